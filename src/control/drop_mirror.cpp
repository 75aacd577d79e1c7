// SPDX-License-Identifier: BSD-2-Clause
#include "control/drop_mirror.h"

#include <fmt/format.h>
#include <pthread.h>

#include <algorithm>
#include <utility>

#include "base/seed.h"

namespace weir::control {
namespace {

using datapath::Block;
using datapath::BlockKey;
using What = io::DropMatch::What;

constexpr Nanoseconds kSayAgain = std::chrono::minutes(1);
/// A rule goes so long before its block, so that none outlives it though a pass comes late.
constexpr Nanoseconds kEarly = 2 * DropMirror::kPass;

Prefix prefix_of(const BlockKey& key) {
  const bool network = key.target == WEIR_TARGET_network;
  return key.address.is_v4() ? Prefix(key.address, network ? 24 : 32)
                             : Prefix(key.address, network ? 64 : 128);
}

/// Whether an allowed prefix holds any address of the block.
bool touches(const Prefix& allowed, const BlockKey& key) {
  const Prefix blocked = prefix_of(key);
  return allowed.contains(blocked.address()) || blocked.contains(allowed.address());
}

bool expires_soon(const Block& block, PacketTime now) {
  return block.value.expires_ns != 0 && block.value.expires_ns <= (now + kEarly).ns;
}

}  // namespace

DropMirror::DropMirror(datapath::Datapath& datapath, io::PollDevices& devices,
                       DropMirrorConfig config)
    : datapath_(datapath),
      devices_(devices),
      config_(std::move(config)),
      entries_(0, Hash{random_seed()}),
      earlier_(0, Hash{random_seed()}),
      seen_(0, Hash{random_seed()}) {
  probe();
}

DropMirror::~DropMirror() {
  {
    const std::lock_guard lock(sleep_);
    stop_ = true;
  }
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
  take_back_if([](const BlockKey&) { return true; });
}

void DropMirror::start() {
  if (refusal_.empty()) thread_ = std::thread([this] { run(); });
}

void DropMirror::run() {
  pthread_setname_np(pthread_self(), "weir-flows");
  std::unique_lock lock(sleep_);
  while (!wake_.wait_for(lock, kPass, [this] { return stop_; })) {
    lock.unlock();
    pass(monotonic_now());
    lock.lock();
  }
}

/// With addresses that nobody has (RFC 5737, RFC 3849), and with the ports that are steered.
void DropMirror::probe() {
  const Address v4 = Address::v4(be32::from_host(0xc0000200U));
  std::array<std::uint8_t, 16> documentation{0x20, 0x01, 0x0d, 0xb8};
  const Address v6 = Address::v6(documentation.data());
  std::vector<std::string> families, targets;
  for (const auto& [family, address] : {std::pair(0, v4), std::pair(1, v6)}) {
    for (const auto target : {WEIR_TARGET_source, WEIR_TARGET_network}) {
      const bool network = target == WEIR_TARGET_network;
      auto& takes = takes_[static_cast<std::size_t>(family)][network ? 1 : 0];
      takes.fill(true);
      auto matched = matches({address, target}, WEIR_SCOPE_ssdp);
      const auto all = matches({address, target}, WEIR_SCOPE_all);
      matched.insert(matched.end(), all.begin(), all.end());
      takes.fill(false);
      for (const io::DropMatch& match : matched) {
        const Status status = devices_.try_drop(Side::wan, match);
        takes[static_cast<std::size_t>(match.what)] |= status.has_value();
        if (!status && refusal_.empty()) refusal_ = status.error().message;
      }
      if (std::find(takes.begin(), takes.end(), true) == takes.end()) continue;
      const auto note = [](std::vector<std::string>& to, const char* name) {
        if (std::find(to.begin(), to.end(), name) == to.end()) to.emplace_back(name);
      };
      note(families, family == 0 ? "IPv4" : "IPv6");
      note(targets, network ? "networks" : "sources");
    }
  }
  if (families.empty()) return;
  refusal_.clear();
  kinds_ = targets.front() + (targets.size() > 1 ? " and " + targets.back() : "") + ", " +
           families.front() + (families.size() > 1 ? " and " + families.back() : "");
}

/// The rules of a block, those alone that the device takes.
std::vector<io::DropMatch> DropMirror::matches(const BlockKey& key, std::uint32_t scope) {
  const Prefix source = prefix_of(key);
  std::vector<io::DropMatch> all;
  if (key.target == WEIR_TARGET_victim) return all;
  if (scope == WEIR_SCOPE_all) {
    if (key.target == WEIR_TARGET_source) all.push_back({source, What::all});
  } else if (config_.all_ports) {
    all.push_back({source, What::udp});
  } else {
    for (const std::uint16_t port : config_.udp_ports)
      for (const What what : {What::udp_from_port, What::udp_to_port})
        all.push_back({source, what, port});
  }
  std::erase_if(all, [this](const io::DropMatch& match) { return !of_kind(takes_, match); });
  return all;
}

void DropMirror::pass(PacketTime now) {
  const std::uint64_t changes = changes_.load(std::memory_order_acquire);
  std::vector<Block> blocks;
  std::vector<Prefix> allow;
  {
    const std::lock_guard lock(tables_);
    auto listed = datapath_.list_blocks();
    auto allowed = datapath_.list_allow();
    if (!listed || !allowed) return;
    blocks = std::move(*listed);
    allow = std::move(*allowed);
  }
  changed_ = 0;
  retire(blocks, now);
  auto wanted = look(blocks, allow, now);
  add_wanted(wanted, changes, now);
}

/// Reads what the rules have counted, and takes back those that nobody needs any more.
void DropMirror::retire(std::span<const Block> blocks, PacketTime now) {
  ByBlock<const Block*> standing(0, seen_.hash_function());  // of those that have, or had, rules
  std::vector<BlockKey> keys, earlier;
  {
    const std::lock_guard lock(nic_);
    for (const auto& [key, entry] : entries_) keys.push_back(key);
    for (const auto& [key, hits] : earlier_) earlier.push_back(key);
  }
  if (keys.empty() && earlier.empty()) return;
  for (const auto* list : {&keys, &earlier})
    for (const BlockKey& key : *list) standing[key] = nullptr;
  for (const Block& block : blocks)
    if (const auto found = standing.find(block.key()); found != standing.end())
      found->second = &block;
  for (const BlockKey& key : keys) {
    const std::lock_guard lock(nic_);
    const auto found = entries_.find(key);
    if (found == entries_.end()) continue;
    Entry& entry = found->second;
    count_hits(entry);
    const Block* block = standing[key];
    const bool over =
        block == nullptr || expires_soon(*block, now) || block->value.scope != entry.scope;
    if (over || entry.quiet >= kQuiet) take_back(found);
  }
  const std::lock_guard lock(nic_);
  for (const BlockKey& key : earlier)
    if (standing[key] == nullptr) earlier_.erase(key);
}

void DropMirror::count_hits(Entry& entry) {
  io::DropHits hits;
  bool counted = true;
  for (const io::DropRule& rule : entry.rules) {
    const auto more = devices_.drop_hits(Side::wan, rule);
    counted = counted && more.has_value();
    if (!more) continue;
    hits.packets += more->packets;
    hits.bytes += more->bytes;
  }
  // A device whose counter jumps back has not taken hits away.
  hits.packets = std::max(hits.packets, entry.hits.packets);
  hits.bytes = std::max(hits.bytes, entry.hits.bytes);
  entry.recent = hits.packets - entry.hits.packets;
  counters_.hit_packets += entry.recent;
  counters_.hit_bytes += hits.bytes - entry.hits.bytes;
  entry.hits = hits;
  entry.counted = counted;
  entry.quiet = counted && entry.recent > 0 ? 0 : entry.quiet + 1;
}

/// Which blocks were hit in software since the last pass and may have a rule; the most hit first.
std::vector<DropMirror::Wanted> DropMirror::look(std::span<const Block> blocks,
                                                 const std::vector<Prefix>& allow, PacketTime now) {
  std::vector<Wanted> wanted;
  ByBlock<std::uint64_t> seen(0, seen_.hash_function());
  ByBlock<bool> ruled(0, seen_.hash_function());
  {
    const std::lock_guard lock(nic_);
    for (const auto& [key, entry] : entries_) ruled[key] = true;
  }
  for (const Block& block : blocks) {
    const std::uint64_t hits = block.value.hit_packets;
    if (hits == 0) continue;
    const BlockKey key = block.key();
    seen[key] = hits;
    const auto before = seen_.find(key);
    // Less than before: the block was replaced, and its hits with it.
    const std::uint64_t had = before == seen_.end() || before->second > hits ? 0 : before->second;
    if (hits - had < kWorth || expires_soon(block, now) || ruled.contains(key)) continue;
    const auto forbids = [&](const Prefix& prefix) { return touches(prefix, key); };
    if (std::any_of(allow.begin(), allow.end(), forbids)) continue;
    wanted.push_back({block, hits - had});
  }
  seen_.swap(seen);
  const std::size_t most = std::min<std::size_t>(wanted.size(), kChanges);
  std::partial_sort(wanted.begin(), wanted.begin() + static_cast<std::ptrdiff_t>(most),
                    wanted.end(),
                    [](const Wanted& a, const Wanted& b) { return a.recent > b.recent; });
  wanted.resize(most);
  return wanted;
}

void DropMirror::add_wanted(std::vector<Wanted>& wanted, std::uint64_t changes, PacketTime now) {
  for (const Wanted& one : wanted) {
    const std::lock_guard lock(nic_);
    // Who changes the tables counts first and comes for the rules then: either it is seen here, or
    // it finds the rule.
    if (changes_.load(std::memory_order_acquire) != changes) return;
    if (now < paused_until_) return;
    const std::size_t rules = matches(one.block.key(), one.block.value.scope).size();
    if (rules == 0) continue;
    if (changed_ + rules > kChanges || !make_room(one, rules)) return;
    if (!add(one.block)) paused_until_ = now + kPause;
  }
}

/// Whether there is room for so many rules, by taking those of less hit blocks back if need be.
bool DropMirror::make_room(const Wanted& wanted, std::size_t rules) {
  while (counters_.rules + rules > config_.rules_max) {
    const auto least = std::min_element(
        entries_.begin(), entries_.end(),
        [](const auto& a, const auto& b) { return a.second.recent < b.second.recent; });
    if (least == entries_.end() || !least->second.counted) return false;
    if (least->second.recent * 2 > wanted.recent || changed_ >= kChanges) return false;
    if (!take_back(least)) return false;
  }
  return true;
}

bool& DropMirror::of_kind(Kinds& kinds, const io::DropMatch& match) noexcept {
  const Address& address = match.source.address();
  const bool network = match.source.length() != (address.is_v4() ? 32U : 128U);
  return kinds[address.is_v4() ? 0 : 1][network ? 1 : 0][static_cast<std::size_t>(match.what)];
}

/// False where the device has no room for one of the rules; those that it took stay.
bool DropMirror::add(const Block& block) {
  Entry entry;
  entry.scope = block.value.scope;
  bool room = true;
  for (const io::DropMatch& match : matches(block.key(), block.value.scope)) {
    ++changed_;
    const auto rule = devices_.add_drop(Side::wan, match);
    if (rule) {
      ++counters_.added;
      ++counters_.rules;
      of_kind(added_, match) = true;
      entry.counted = entry.counted && rule->counted;
      entry.rules.push_back(*rule);
      continue;
    }
    ++counters_.refused;
    say(
        fmt::format("the device refuses a drop rule for {} ({} stand): {}; what it refuses is "
                    "dropped in software",
                    match.source.text(), counters_.rules, rule.error().message));
    // It has just taken another, and never one like this: one mask for all rules, and it is set.
    room = !entry.rules.empty() && !of_kind(added_, match);
    if (!room) break;
    of_kind(takes_, match) = false;
  }
  if (entry.rules.empty()) return room;
  ++counters_.blocks;
  // No less hit than what it takes the place of, until its first pass.
  entry.recent = ~std::uint64_t{0} / 2;
  entries_.emplace(block.key(), std::move(entry));
  return room;
}

/// False where the device keeps one of them: it is tried again at the next pass.
bool DropMirror::take_back(ByBlock<Entry>::iterator at) {
  Entry& entry = at->second;
  if (!entry.rules.empty() && entry.counted) count_hits(entry);
  while (!entry.rules.empty()) {
    ++changed_;
    const Status removed = devices_.remove_drop(Side::wan, entry.rules.back());
    if (!removed) {
      say(
          fmt::format("the device keeps its drop rule for {}, whose packets it goes on dropping: "
                      "{}; restart weir if this stays",
                      prefix_of(at->first).text(), removed.error().message));
      entry.scope = ~0U;  // no block's: the next pass comes for it
      return false;
    }
    entry.rules.pop_back();
    --counters_.rules;
  }
  io::DropHits& hits = earlier_[at->first];
  hits.packets += entry.hits.packets;
  hits.bytes += entry.hits.bytes;
  entries_.erase(at);
  --counters_.blocks;
  return true;
}

template <typename Is>
void DropMirror::take_back_if(Is is) {
  const std::lock_guard lock(nic_);
  for (auto at = entries_.begin(); at != entries_.end();) {
    const auto entry = at++;
    if (is(entry->first)) take_back(entry);
  }
}

Result<std::size_t> DropMirror::add_blocks(std::span<const Block> blocks) {
  const auto by_hand = [](const Block& block) { return block.value.origin == WEIR_ORIGIN_manual; };
  // The policy's blocks come in crowds, and only prolong what stands.
  const bool person = std::any_of(blocks.begin(), blocks.end(), by_hand);
  if (person) changes_.fetch_add(1, std::memory_order_acq_rel);
  Result<std::size_t> added;
  {
    const std::lock_guard lock(tables_);
    added = datapath_.add_blocks(blocks);
  }
  if (!person) return added;
  take_back_if([&](const BlockKey& key) {
    return std::any_of(blocks.begin(), blocks.end(),
                       [&](const Block& block) { return block.key() == key; });
  });
  return added;
}

Result<std::size_t> DropMirror::remove_blocks(std::span<const BlockKey> blocks) {
  changes_.fetch_add(1, std::memory_order_acq_rel);
  Result<std::size_t> removed;
  {
    const std::lock_guard lock(tables_);
    removed = datapath_.remove_blocks(blocks);
  }
  const std::lock_guard lock(nic_);
  for (const BlockKey& key : blocks) {
    if (const auto entry = entries_.find(key); entry != entries_.end()) take_back(entry);
    earlier_.erase(key);
  }
  return removed;
}

Result<std::vector<Block>> DropMirror::list_blocks() const {
  Result<std::vector<Block>> blocks;
  {
    const std::lock_guard lock(tables_);
    blocks = datapath_.list_blocks();
  }
  if (!blocks) return blocks;
  const std::lock_guard lock(nic_);
  const auto add = [](Block& block, const io::DropHits& hits) {
    block.value.hit_packets += hits.packets;
    block.value.hit_bytes += hits.bytes;
  };
  for (Block& block : *blocks) {
    if (entries_.empty() && earlier_.empty()) break;
    const BlockKey key = block.key();
    if (const auto entry = entries_.find(key); entry != entries_.end())
      add(block, entry->second.hits);
    if (const auto hits = earlier_.find(key); hits != earlier_.end()) add(block, hits->second);
  }
  return blocks;
}

Status DropMirror::add_allow(const Prefix& prefix) {
  changes_.fetch_add(1, std::memory_order_acq_rel);
  Status added;
  {
    const std::lock_guard lock(tables_);
    added = datapath_.add_allow(prefix);
  }
  take_back_if([&](const BlockKey& key) { return touches(prefix, key); });
  return added;
}

Result<bool> DropMirror::remove_allow(const Prefix& prefix) {
  const std::lock_guard lock(tables_);
  return datapath_.remove_allow(prefix);
}

Result<std::vector<Prefix>> DropMirror::list_allow() const {
  const std::lock_guard lock(tables_);
  return datapath_.list_allow();
}

Result<datapath::Counters> DropMirror::counters() const { return datapath_.counters(); }

DropMirrorCounters DropMirror::nic_counters() const {
  const std::lock_guard lock(nic_);
  return counters_;
}

void DropMirror::alone(const std::function<void()>& change) {
  const std::lock_guard lock(tables_);
  change();
}

void DropMirror::say(const std::string& what) {
  const PacketTime now = monotonic_now();
  if (!config_.log || (said_ != PacketTime{} && now - said_ < kSayAgain)) return;
  said_ = now;
  config_.log(what);
}

}  // namespace weir::control
