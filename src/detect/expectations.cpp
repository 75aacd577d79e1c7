// SPDX-License-Identifier: BSD-2-Clause
#include "detect/expectations.h"

namespace weir::detect {

std::uint32_t* Expectations::slot_of(Entry& entry, std::uint32_t fingerprint) noexcept {
  for (unsigned i = 0; i < entry.sources; ++i) {
    if ((entry.slots[i] & ~kCountMask) == fingerprint) return &entry.slots[i];
  }
  return nullptr;
}

void Expectations::open(const Address& searcher, std::uint16_t port, const Asked& asked, int mx_s,
                        PacketTime now) noexcept {
  bool fresh = false;
  Entry& entry = table_.touch({searcher, port}, hash(searcher, port), now, fresh);
  const bool expired = !fresh && now - entry.searched > open_for_;
  entry.searched = now;
  entry.replies = entry.replies_of_strangers = 0;
  entry.late_sources = 0;
  entry.twins = 0;
  entry.mx_s = static_cast<std::uint8_t>(mx_s < 1 ? 1 : mx_s);
  if (asked.anyone || expired) {
    entry.sources = 0;
    entry.anyone = false;
  }
  if (asked.anyone) {
    entry.anyone = true;
    return;
  }
  const std::uint32_t print = fingerprint(asked.one);
  if (std::uint32_t* slot = slot_of(entry, print)) {
    *slot = print;
  } else if (entry.sources < kSourcesMax) {
    entry.slots[entry.sources++] = print;
  } else {
    entry.slots[print % kSourcesMax] = print;  // a searcher that asks very many: the newest counts
  }
}

/// Whether one more source may answer.
bool Expectations::has_room(Entry& entry, Standing standing, bool late) noexcept {
  if (standing.unsolicited >= (standing.known ? kSuspicionKnown : kSuspicion)) return false;
  if (!entry.anyone) {
    if (late || entry.twins >= kTwinsMax) return false;
    ++entry.twins;
  }
  if (standing.known) return true;
  if (entry.sources >= kSourcesMax) return entry.replies_of_strangers < earned_by_known(entry);
  if (!late) return true;
  if (entry.late_sources >= kLateSourcesMax) return false;
  ++entry.late_sources;
  return true;
}

Expectations::Admission Expectations::admit(const Address& searcher, std::uint16_t port,
                                            const Address& source, Standing standing,
                                            PacketTime now) noexcept {
  if (table_.size() == 0) return {};  // nobody searches from the WAN, as a rule
  Entry* entry = table_.find({searcher, port}, hash(searcher, port));
  if (entry == nullptr || now - entry->searched > open_for_) return {};
  Admission admission;
  admission.delay = now - entry->searched;
  admission.late = admission.delay > std::chrono::seconds(entry->mx_s) + kSlack;
  admission.due = !admission.late;
  const std::uint32_t print = fingerprint(source);
  std::uint32_t* const slot = slot_of(*entry, print);
  const bool asked_itself = slot != nullptr && !entry->anyone;
  if (entry->replies >= kRepliesMax) return admission;
  const unsigned of_strangers =
      standing.flooded && !asked_itself ? kRepliesUnderFlood : kRepliesOfStrangers;
  if (!standing.known && entry->replies_of_strangers >= of_strangers + earned_by_known(*entry))
    return admission;
  if (slot != nullptr) {
    const unsigned most = standing.known ? kRepliesPerKnown : kRepliesPerStranger;
    if ((*slot & kCountMask) >= most) return admission;
    ++*slot;
  } else {
    if (!has_room(*entry, standing, admission.late)) return admission;
    if (entry->sources < kSourcesMax) entry->slots[entry->sources++] = print + 1;
  }
  ++entry->replies;
  if (!standing.known) ++entry->replies_of_strangers;
  admission.wanted = true;
  return admission;
}

}  // namespace weir::detect
