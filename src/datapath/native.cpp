// SPDX-License-Identifier: BSD-2-Clause
#include "datapath/native.h"

#include <algorithm>
#include <bitset>
#include <random>

#include "../../bpf/datapath.h"
#include "datapath/address_table.h"

// What bpf/datapath.h asks, as memory. Queues are not known to a capture: everything comes in by
// channel 0.
struct weir_tables {
  using Blocks = weir::datapath::AddressTable<weir_block, weir::datapath::BlockKey>;
  using Prefixes = weir::datapath::AddressTable<std::uint8_t>;  // keys: cleared of host bits

  explicit weir_tables(const weir::datapath::Config& settings)
      : seed(std::random_device{}()),
        blocks{Blocks(settings.blocks_max, seed), Blocks(settings.blocks_max, seed)},
        allow_max(settings.allow_max) {
    config.host_mode = settings.host_mode;
    config.fail_closed = settings.fail_closed;
    config.drop_fragments = settings.drop_fragments;
    config.blocked_fragments = settings.blocked_fragments;
    config.ssdp_payload = settings.ssdp_payload;
    config.shadow = settings.shadow;
    config.single_port = settings.udp_ports.size() == 1 ? settings.udp_ports[0] : 0;
    config.heartbeat_limit_ms = settings.heartbeat_limit_ms;
    for (const std::uint16_t port : settings.udp_ports)
      ports[port / 64U] |= std::uint64_t{1} << (port % 64U);
    control.abi_version = WEIR_ABI_VERSION;
    for (auto& family : allow)
      for (unsigned length = 0; length <= 128; ++length)
        family.emplace_back(settings.allow_max, seed);
  }

  /// Cost: one table look-up for each prefix length in use; asked only after a block was hit.
  [[nodiscard]] bool allows(std::size_t family, const weir::Address& address) {
    return std::any_of(lengths[family].begin(), lengths[family].end(), [&](unsigned length) {
      return allow[family][length].find(weir::Prefix(address, length).address()) != nullptr;
    });
  }

  std::uint64_t seed;
  weir_config config{};
  weir_control control{};
  std::array<Blocks, 2> blocks;                  // by family: 0 IPv4, 1 IPv6
  std::array<std::vector<Prefixes>, 2> allow;    // by family, then by length
  std::array<std::vector<unsigned>, 2> lengths;  // those that have prefixes
  std::size_t allow_max;
  std::array<std::uint64_t, WEIR_PORT_WORDS> ports{};
  std::array<std::bitset<WEIR_CHANNELS_MAX>, weir::kSides> no_socket;
  std::bitset<WEIR_CHANNELS_MAX> has_heartbeat;  // told one; else a channel counts as alive
  std::array<std::uint64_t, WEIR_CHANNELS_MAX> heartbeats_ns{};
  std::uint64_t now_ns = 0;  // packet time of the frame that is being judged
  weir::datapath::Counters counters;
};

static const volatile weir_config* weir_configuration(weir_tables* tables) {
  return &tables->config;
}

static const volatile weir_control* weir_control_value(weir_tables* tables) {
  return &tables->control;
}

static weir_block* weir_find_block4(weir_tables* tables, const weir_key4* key) {
  return tables->blocks[0].find({weir::Address::v4(weir::be32::from_wire(key->address)),
                                 static_cast<weir_target>(key->target)});
}

static weir_block* weir_find_block6(weir_tables* tables, const weir_key6* key) {
  return tables->blocks[1].find(
      {weir::Address::v6(key->address), static_cast<weir_target>(key->target)});
}

static int weir_is_allowed4(weir_tables* tables, const weir_prefix4* key) {
  return tables->allows(0, weir::Address::v4(weir::be32::from_wire(key->address))) ? 1 : 0;
}

static int weir_is_allowed6(weir_tables* tables, const weir_prefix6* key) {
  return tables->allows(1, weir::Address::v6(key->address)) ? 1 : 0;
}

static __u64 weir_port_word(weir_tables* tables, __u32 word) { return tables->ports[word]; }

static int weir_has_socket(weir_tables* tables, __u32 index) {
  return tables->no_socket[index / WEIR_CHANNELS_MAX][index % WEIR_CHANNELS_MAX] ? 0 : 1;
}

static __u64 weir_heartbeat_ns(weir_tables* tables, __u32 channel) {
  return tables->has_heartbeat[channel] ? tables->heartbeats_ns[channel]
                                        : std::max<std::uint64_t>(tables->now_ns, 1);
}

static __u64 weir_now_ns(weir_tables* tables) { return tables->now_ns; }

static void weir_count_hit(weir_block* block, __u32 bytes) {
  block->hit_packets += 1;
  block->hit_bytes += bytes;
}

namespace weir::datapath {

namespace {
std::size_t family(const Address& address) noexcept { return address.is_v4() ? 0 : 1; }

/// Counts one block more or less in the control value.
void count(weir_control& control, weir_target target, std::uint32_t scope, int change) noexcept {
  const auto by = static_cast<__u32>(change);
  switch (target) {
    case WEIR_TARGET_source:
      control.blocks += by;
      control.blocks_all += scope == WEIR_SCOPE_all ? by : 0;
      return;
    case WEIR_TARGET_network:
      control.networks += by;
      return;
    case WEIR_TARGET_victim:
      control.victims += by;
      return;
  }
}
}  // namespace

struct Native::Tables : weir_tables {
  using weir_tables::weir_tables;
};

Native::Native(const Config& config) : tables_(std::make_unique<Tables>(config)) {}
Native::~Native() = default;

Outcome Native::judge(const packet::Frame& frame, packet::Headers& headers) noexcept {
  tables_->now_ns = frame.time.ns;
  weir_packet packet{};
  packet.data = frame.data;
  packet.end = frame.data + frame.length;
  packet.bytes = frame.length;
  packet.side = static_cast<__u32>(frame.side);
  const auto outcome = static_cast<std::size_t>(weir_decide(tables_.get(), &packet, &headers));
  packet::cut_payload(headers, frame.length);
  Counter& counter = tables_->counters.outcomes[index(frame.side)][outcome];
  counter.packets += 1;
  counter.bytes += frame.length;
  return static_cast<Outcome>(outcome);
}

void Native::set_socket(Side side, std::uint32_t queue, bool present) noexcept {
  WEIR_CHECK(queue < WEIR_CHANNELS_MAX);
  tables_->no_socket[index(side)][queue] = !present;
}

void Native::set_heartbeat(std::uint32_t channel, PacketTime time) noexcept {
  WEIR_CHECK(channel < WEIR_CHANNELS_MAX);
  tables_->has_heartbeat.set(channel);
  tables_->heartbeats_ns[channel] = time.ns;
}

Result<std::size_t> Native::add_blocks(std::span<const Block> blocks) {
  std::size_t added = 0;
  for (const Block& block : blocks) {
    weir_tables::Blocks& table = tables_->blocks[family(block.source)];
    const weir_block* old = table.find(block.key());
    const bool was_there = old != nullptr;
    const std::uint32_t old_scope = was_there ? old->scope : 0;
    if (!table.insert(block.key(), block.value)) continue;
    ++added;
    if (was_there) count(tables_->control, block.target, old_scope, -1);
    count(tables_->control, block.target, block.value.scope, 1);
  }
  return added;
}

Result<std::size_t> Native::remove_blocks(std::span<const BlockKey> blocks) {
  std::size_t removed = 0;
  for (const BlockKey& block : blocks) {
    weir_tables::Blocks& table = tables_->blocks[family(block.address)];
    const weir_block* old = table.find(block);
    if (old == nullptr) continue;
    count(tables_->control, block.target, old->scope, -1);
    table.erase(block);
    ++removed;
  }
  return removed;
}

Result<std::vector<Block>> Native::list_blocks() const {
  std::vector<Block> list;
  list.reserve(tables_->blocks[0].size() + tables_->blocks[1].size());
  for (const auto& table : tables_->blocks)
    table.each([&](const BlockKey& key, const weir_block& value) {
      list.push_back({key.address, value, key.target});
    });
  return list;
}

Status Native::add_allow(const Prefix& prefix) {
  const std::size_t f = family(prefix.address());
  auto& table = tables_->allow[f][prefix.length()];
  if (table.find(prefix.address()) != nullptr) return {};
  std::size_t used = 0;
  for (const unsigned length : tables_->lengths[f]) used += tables_->allow[f][length].size();
  if (used >= tables_->allow_max)
    return fail("the allowlist is full: it holds " + std::to_string(tables_->allow_max) +
                " prefixes of a family; raise its limit or remove one");
  if (table.size() == 0) tables_->lengths[f].push_back(prefix.length());
  table.insert(prefix.address(), 1);
  ++tables_->control.allow_count;
  return {};
}

Result<bool> Native::remove_allow(const Prefix& prefix) {
  const std::size_t f = family(prefix.address());
  auto& table = tables_->allow[f][prefix.length()];
  if (!table.erase(prefix.address())) return false;
  if (table.size() == 0) std::erase(tables_->lengths[f], prefix.length());
  --tables_->control.allow_count;
  return true;
}

Result<std::vector<Prefix>> Native::list_allow() const {
  std::vector<Prefix> list;
  for (const auto& by_length : tables_->allow)
    for (unsigned length = 0; length <= 128; ++length)
      by_length[length].each(
          [&](const Address& address, std::uint8_t) { list.emplace_back(address, length); });
  return list;
}

Result<Counters> Native::counters() const { return tables_->counters; }

}  // namespace weir::datapath
