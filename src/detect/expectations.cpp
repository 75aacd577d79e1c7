// SPDX-License-Identifier: BSD-2-Clause
#include "detect/expectations.h"

namespace weir::detect {
namespace {
constexpr std::uint32_t kCountMask = 0xff;
}

std::uint32_t* Expectations::slot_of(Entry& entry, std::uint32_t fingerprint) noexcept {
  for (unsigned i = 0; i < entry.sources; ++i) {
    if ((entry.slots[i] & ~kCountMask) == fingerprint) return &entry.slots[i];
  }
  return nullptr;
}

void Expectations::open(const Address& searcher, std::uint16_t port, const Address& asked, int mx_s,
                        PacketTime now) noexcept {
  bool fresh = false;
  Entry& entry = table_.touch({searcher, port}, hash(searcher, port), now, fresh);
  const bool expired = !fresh && now - entry.searched > open_for_;
  entry.searched = now;
  entry.replies = 0;
  entry.late_sources = 0;
  entry.mx_s = static_cast<std::uint8_t>(mx_s < 1 ? 1 : mx_s);
  if (asked.is_multicast() || expired) {
    entry.sources = 0;
    entry.any_source = false;
  }
  if (asked.is_multicast()) {
    entry.any_source = true;
    return;
  }
  const std::uint32_t print = fingerprint(asked);
  if (std::uint32_t* slot = slot_of(entry, print)) {
    *slot = print;
  } else if (entry.sources < kSourcesMax) {
    entry.slots[entry.sources++] = print;
  } else {
    entry.slots[print % kSourcesMax] = print;  // a searcher that asks very many: the newest counts
  }
}

Expectations::Admission Expectations::admit(const Address& searcher, std::uint16_t port,
                                            const Address& source, Standing standing,
                                            PacketTime now) noexcept {
  Entry* entry = table_.find({searcher, port}, hash(searcher, port));
  if (entry == nullptr || now - entry->searched > open_for_) return {};
  const Nanoseconds delay = now - entry->searched;
  const bool late = delay > std::chrono::seconds(entry->mx_s) + kSlack;
  const Admission no{false, false, delay};
  const Admission yes{true, late, delay};
  if (entry->replies >= kRepliesMax) return no;
  const std::uint32_t print = fingerprint(source);
  if (std::uint32_t* slot = slot_of(*entry, print)) {
    const unsigned most = standing.known ? kRepliesPerKnown : kRepliesPerSource;
    if ((*slot & kCountMask) >= most) return no;
    ++*slot;
    ++entry->replies;
    return yes;
  }
  const float suspicion = standing.known ? kSuspicionKnown : kSuspicion;
  if (!entry->any_source || standing.unsolicited >= suspicion) return no;
  if (late && !standing.known && entry->late_sources++ >= kLateSourcesMax) {
    entry->late_sources = kLateSourcesMax;
    return no;
  }
  if (entry->sources < kSourcesMax) {
    entry->slots[entry->sources++] = print + 1;
  } else if (!standing.known) {
    return no;
  }
  ++entry->replies;
  return yes;
}

}  // namespace weir::detect
