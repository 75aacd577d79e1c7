// SPDX-License-Identifier: BSD-2-Clause
#include "datapath/native_shared.h"

#include <thread>

#include "base/seed.h"
#include "datapath/native_tables.h"

namespace weir::datapath {

struct NativeShared::Copies {
  explicit Copies(const Config& config, std::uint64_t seed)
      : settings(config), lists{NativeLists(config, seed), NativeLists(config, seed)} {}
  const NativeSettings settings;
  std::array<NativeLists, 2> lists;
};

NativeShared::NativeShared(const Config& config, std::uint32_t channels)
    : copies_(std::make_unique<Copies>(config, random_seed())) {
  WEIR_CHECK(channels <= WEIR_CHANNELS_MAX);
  for (std::uint32_t i = 0; i < channels; ++i)
    judges_.push_back(std::unique_ptr<Judge>(new Judge(*this, i)));
}

NativeShared::~NativeShared() = default;

NativeShared::Judge::Judge(NativeShared& owner, std::uint32_t channel)
    : owner_(owner), channel_(channel), tables_(std::make_unique<weir_tables>()) {
  tables_->settings = &owner.copies_->settings;
  tables_->shared = true;
  tables_->has_heartbeat.set(channel);  // none yet: 0
}

void NativeShared::Judge::begin() noexcept {
  // Either the changer sees what this reads, or this sees that the other copy is current by now.
  int current = owner_.current_.load(std::memory_order_relaxed);
  for (;;) {
    reads_.store(current, std::memory_order_seq_cst);
    const int now = owner_.current_.load(std::memory_order_seq_cst);
    if (now == current) break;
    current = now;
  }
  tables_->lists = &owner_.copies_->lists[static_cast<std::size_t>(current)];
  const bool absent = !owner_.connected_.load(std::memory_order_relaxed);
  for (auto& side : tables_->no_socket) side[channel_] = absent;
}

Outcome NativeShared::Judge::judge(const packet::Frame& frame, std::uint32_t continues) noexcept {
  if (const auto glanced = glance_natively(*tables_, frame.bytes())) {
    tables_->count(frame.side, static_cast<std::size_t>(glanced->outcome),
                   std::uint64_t{frame.length} + continues);
    return glanced->outcome;
  }
  const packet::Headers headers = packet::parse(frame.bytes());
  return judge_natively(*tables_, frame, channel_, continues, headers);
}

void NativeShared::Judge::count_error(weir_redirect_error error, std::uint64_t bytes) noexcept {
  tables_->counters.redirect_errors[error].add(bytes);
}

void NativeShared::Judge::heartbeat(PacketTime now) noexcept {
  tables_->heartbeats_ns[channel_] = now.ns;
}

void NativeShared::Judge::excuse(Nanoseconds pause) noexcept {
  std::uint64_t& beat_ns = tables_->heartbeats_ns[channel_];
  if (beat_ns != 0) beat_ns += static_cast<std::uint64_t>(pause.count());
}

/// Runs `use` over each copy while nobody reads it; afterwards the same one is current as before.
template <typename Use>
void NativeShared::on_both(Use use) const {
  for (const bool first : {true, false}) {
    const int used = current_.load(std::memory_order_relaxed);
    const int spare = 1 - used;
    use(copies_->lists[static_cast<std::size_t>(spare)], first);
    current_.store(spare, std::memory_order_seq_cst);
    for (const auto& judge : judges_)
      while (judge->reads_.load(std::memory_order_seq_cst) == used) std::this_thread::yield();
  }
}

Result<std::size_t> NativeShared::add_blocks(std::span<const Block> blocks) {
  std::size_t added = 0;
  std::vector<Block> unhit(blocks.begin(), blocks.end());
  for (Block& block : unhit) block.value.hit_packets = block.value.hit_bytes = 0;
  on_both([&](NativeLists& lists, bool first) {
    added = lists.add_blocks(first ? blocks : std::span<const Block>(unhit));
  });
  return added;
}

Result<std::size_t> NativeShared::remove_blocks(std::span<const BlockKey> blocks) {
  std::size_t removed = 0;
  on_both([&](NativeLists& lists, bool) { removed = lists.remove_blocks(blocks); });
  return removed;
}

Result<std::vector<Block>> NativeShared::list_blocks() const {
  std::array<std::vector<Block>, 2> lists;
  on_both([&](NativeLists& copy, bool first) { lists[first ? 0 : 1] = copy.list_blocks(); });
  // Both went through the same changes from the same seed, and so hold the same in the same order.
  WEIR_CHECK(lists[0].size() == lists[1].size());
  for (std::size_t i = 0; i < lists[0].size(); ++i) {
    WEIR_CHECK(lists[0][i].key() == lists[1][i].key());
    lists[0][i].value.hit_packets += lists[1][i].value.hit_packets;
    lists[0][i].value.hit_bytes += lists[1][i].value.hit_bytes;
  }
  return std::move(lists[0]);
}

void NativeShared::use_screen(std::shared_ptr<const Screen> screen) {
  on_both([&](NativeLists& lists, bool) { lists.screen = screen; });
}

Status NativeShared::add_allow(const Prefix& prefix) {
  Status status;
  on_both([&](NativeLists& lists, bool) { status = lists.add_allow(prefix); });
  return status;
}

Result<bool> NativeShared::remove_allow(const Prefix& prefix) {
  bool removed = false;
  on_both([&](NativeLists& lists, bool) { removed = lists.remove_allow(prefix); });
  return removed;
}

Result<std::vector<Prefix>> NativeShared::list_allow() const {
  // The changer itself, or somebody in its stead: nothing changes meanwhile, and judges only read.
  return copies_->lists[static_cast<std::size_t>(current_.load(std::memory_order_relaxed))]
      .list_allow();
}

Result<Counters> NativeShared::counters() const {
  Counters sum;
  for (const auto& judge : judges_) judge->tables_->counters.add_to(sum);
  return sum;
}

}  // namespace weir::datapath
