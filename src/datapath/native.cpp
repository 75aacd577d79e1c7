// SPDX-License-Identifier: BSD-2-Clause
#include "datapath/native.h"

#include <algorithm>

#include "../../bpf/datapath.h"
#include "base/seed.h"
#include "datapath/native_tables.h"

static const volatile weir_config* weir_configuration(weir_tables* tables) {
  return &tables->settings->config;
}

static const volatile weir_control* weir_control_value(weir_tables* tables) {
  return &tables->lists->control;
}

static weir_block* weir_find_block4(weir_tables* tables, const weir_key4* key) {
  return tables->lists->find_block(0, {weir::Address::v4(weir::be32::from_wire(key->address)),
                                       static_cast<weir_target>(key->target)});
}

static weir_block* weir_find_block6(weir_tables* tables, const weir_key6* key) {
  return tables->lists->find_block(
      1, {weir::Address::v6(key->address), static_cast<weir_target>(key->target)});
}

static int weir_is_allowed4(weir_tables* tables, const weir_prefix4* key) {
  const auto address = weir::Address::v4(weir::be32::from_wire(key->address));
  return tables->lists->allows(0, address) ? 1 : 0;
}

static int weir_is_allowed6(weir_tables* tables, const weir_prefix6* key) {
  return tables->lists->allows(1, weir::Address::v6(key->address)) ? 1 : 0;
}

static __u64 weir_port_word(weir_tables* tables, __u32 word) {
  return tables->settings->ports[word];
}

static int weir_has_socket(weir_tables* tables, __u32 index) {
  return tables->no_socket[index / WEIR_CHANNELS_MAX][index % WEIR_CHANNELS_MAX] ? 0 : 1;
}

static __u64 weir_heartbeat_ns(weir_tables* tables, __u32 channel) {
  return tables->has_heartbeat[channel] ? tables->heartbeats_ns[channel]
                                        : std::max<std::uint64_t>(tables->now_ns, 1);
}

static __u64 weir_now_ns(weir_tables* tables) { return tables->now_ns; }

static int weir_has_screen(weir_tables* tables) { return tables->lists->screen != nullptr ? 1 : 0; }

static int weir_ask_screen(weir_tables* tables, weir_header_features* f) {
  return tables->lists->screen->judge(*f);
}

static void weir_count_hit(weir_tables* tables, weir_block* block, __u32 bytes) {
  if (tables->shared) {
    __atomic_fetch_add(&block->hit_packets, 1, __ATOMIC_RELAXED);
    __atomic_fetch_add(&block->hit_bytes, bytes, __ATOMIC_RELAXED);
    return;
  }
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

NativeLists::NativeLists(const Config& settings, std::uint64_t seed)
    : blocks_{Blocks(settings.blocks_max, seed), Blocks(settings.blocks_max, seed)},
      allow_max_(settings.allow_max) {
  screen = settings.screen;
  control.abi_version = WEIR_ABI_VERSION;
  for (auto& by_length : allow_)
    for (unsigned length = 0; length <= 128; ++length)
      by_length.emplace_back(settings.allow_max, seed);
}

bool NativeLists::allows(std::size_t family, const Address& address) noexcept {
  return std::any_of(lengths_[family].begin(), lengths_[family].end(), [&](unsigned length) {
    return allow_[family][length].find(address.first_bits(length)) != nullptr;
  });
}

std::size_t NativeLists::add_blocks(std::span<const Block> blocks) {
  std::size_t added = 0;
  for (const Block& block : blocks) {
    Blocks& table = blocks_[family(block.source)];
    const weir_block* old = table.find(block.key());
    const bool was_there = old != nullptr;
    const std::uint32_t old_scope = was_there ? old->scope : 0;
    if (!table.insert(block.key(), block.value)) continue;
    ++added;
    if (was_there) count(control, block.target, old_scope, -1);
    count(control, block.target, block.value.scope, 1);
  }
  return added;
}

std::size_t NativeLists::remove_blocks(std::span<const BlockKey> blocks) {
  std::size_t removed = 0;
  for (const BlockKey& block : blocks) {
    Blocks& table = blocks_[family(block.address)];
    const weir_block* old = table.find(block);
    if (old == nullptr) continue;
    count(control, block.target, old->scope, -1);
    table.erase(block);
    ++removed;
  }
  return removed;
}

std::vector<Block> NativeLists::list_blocks() const {
  std::vector<Block> list;
  list.reserve(blocks_[0].size() + blocks_[1].size());
  for (const auto& table : blocks_)
    table.each([&](const BlockKey& key, const weir_block& value) {
      list.push_back({key.address, value, key.target});
    });
  return list;
}

Status NativeLists::add_allow(const Prefix& prefix) {
  const std::size_t f = family(prefix.address());
  auto& table = allow_[f][prefix.length()];
  if (table.find(prefix.address()) != nullptr) return {};
  std::size_t used = 0;
  for (const unsigned length : lengths_[f]) used += allow_[f][length].size();
  if (used >= allow_max_)
    return fail("the allowlist is full: it holds " + std::to_string(allow_max_) +
                " prefixes of a family; raise its limit or remove one");
  if (table.size() == 0) lengths_[f].push_back(prefix.length());
  table.insert(prefix.address(), 1);
  ++control.allow_count;
  return {};
}

bool NativeLists::remove_allow(const Prefix& prefix) {
  const std::size_t f = family(prefix.address());
  auto& table = allow_[f][prefix.length()];
  if (!table.erase(prefix.address())) return false;
  if (table.size() == 0) std::erase(lengths_[f], prefix.length());
  --control.allow_count;
  return true;
}

std::vector<Prefix> NativeLists::list_allow() const {
  std::vector<Prefix> list;
  for (const auto& by_length : allow_)
    for (unsigned length = 0; length <= 128; ++length)
      by_length[length].each(
          [&](const Address& address, std::uint8_t) { list.emplace_back(address, length); });
  return list;
}

void NativeCounters::add_to(Counters& sum) const noexcept {
  const auto add = [](Counter& to, const NativeCounter& from) {
    const Counter value = from.value();
    to.packets += value.packets;
    to.bytes += value.bytes;
  };
  for (std::size_t side = 0; side < kSides; ++side)
    for (std::size_t i = 0; i < kOutcomes; ++i) add(sum.outcomes[side][i], outcomes[side][i]);
  for (std::size_t i = 0; i < redirect_errors.size(); ++i)
    add(sum.redirect_errors[i], redirect_errors[i]);
}

NativeSettings::NativeSettings(const Config& settings) {
  config.host_mode = settings.host_mode;
  config.observe = settings.observe;
  config.all_ports = settings.all_ports;
  config.all_ip = settings.all_ip;
  config.fail_closed = settings.fail_closed;
  config.drop_fragments = settings.drop_fragments;
  config.blocked_fragments = settings.blocked_fragments;
  config.ssdp_payload = settings.ssdp_payload;
  config.shadow = settings.shadow;
  config.screen_ssdp = settings.screen_ssdp;
  config.single_port = settings.udp_ports.size() == 1 ? settings.udp_ports[0] : 0;
  config.heartbeat_limit_ms = settings.heartbeat_limit_ms;
  for (const std::uint16_t port : settings.udp_ports)
    ports[port / 64U] |= std::uint64_t{1} << (port % 64U);
}

/// What `weir_decide_plain` says of a frame.
static int decide_plain(weir_tables& tables, std::span<const std::uint8_t> frame,
                        packet::Headers& headers) noexcept {
  if (frame.empty()) return WEIR_PLAIN_not;  // there is no pointer to compute with
  weir_packet packet{};
  packet.data = frame.data();
  packet.end = frame.data() + frame.size();
  return weir_decide_plain(&tables, &packet, &headers);
}

std::optional<Glance> glance_natively(weir_tables& tables,
                                      std::span<const std::uint8_t> frame) noexcept {
  packet::Headers headers{};
  const int outcome = decide_plain(tables, frame, headers);
  if (outcome < 0) return std::nullopt;
  return Glance{static_cast<Outcome>(outcome), headers.family, headers.source_offset};
}

Outcome judge_natively(weir_tables& tables, const packet::Frame& frame, std::uint32_t queue,
                       std::uint32_t continues, const packet::Headers& headers) noexcept {
  tables.now_ns = frame.time.ns;
  weir_packet packet{};
  packet.data = frame.data;
  packet.end = frame.data + frame.length;
  packet.bytes = frame.length + continues;
  packet.side = static_cast<__u32>(frame.side);
  packet.queue = queue;
  packet.continues = continues;
  const auto outcome = static_cast<std::size_t>(weir_decide_parsed(&tables, &packet, &headers));
  tables.count(frame.side, outcome, packet.bytes);
  return static_cast<Outcome>(outcome);
}

// Queues are not known to a capture: everything comes in by channel 0.
struct Native::Tables : weir_tables {
  explicit Tables(const Config& config) : fixed(config), own(config, random_seed()) {
    settings = &fixed;
    lists = &own;
  }
  const NativeSettings fixed;
  NativeLists own;
};

Native::Native(const Config& config) : tables_(std::make_unique<Tables>(config)) {}
Native::~Native() = default;

Outcome Native::judge(const packet::Frame& frame, packet::Headers& headers) noexcept {
  headers = packet::parse(frame.bytes());
  return judge_parsed(frame, headers);
}

Outcome Native::judge_parsed(const packet::Frame& frame, const packet::Headers& headers) noexcept {
  return judge_natively(*tables_, frame, 0, 0, headers);
}

std::optional<Glance> Native::glance(std::span<const std::uint8_t> frame) const noexcept {
  return glance_natively(*tables_, frame);
}

std::optional<packet::Headers> Native::read_at_a_glance(
    std::span<const std::uint8_t> frame) const noexcept {
  packet::Headers headers;
  if (decide_plain(*tables_, frame, headers) != WEIR_PLAIN_read) return std::nullopt;
  return headers;
}

Outcome Native::count(Side side, std::size_t bytes, Outcome outcome) noexcept {
  tables_->count(side, static_cast<std::size_t>(outcome), bytes);
  return outcome;
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
  return tables_->own.add_blocks(blocks);
}
Result<std::size_t> Native::remove_blocks(std::span<const BlockKey> blocks) {
  return tables_->own.remove_blocks(blocks);
}
Result<std::vector<Block>> Native::list_blocks() const { return tables_->own.list_blocks(); }
Status Native::add_allow(const Prefix& prefix) { return tables_->own.add_allow(prefix); }
Result<bool> Native::remove_allow(const Prefix& prefix) {
  return tables_->own.remove_allow(prefix);
}
Result<std::vector<Prefix>> Native::list_allow() const { return tables_->own.list_allow(); }

Result<Counters> Native::counters() const {
  Counters sum;
  tables_->counters.add_to(sum);
  return sum;
}

}  // namespace weir::datapath
