// SPDX-License-Identifier: BSD-2-Clause
// The DPDK module: two ethdev ports as a pair of polled interfaces. Nothing else of weir knows DPDK.
//
// Queues   queue i of both ports is channel i's alone, so that no queue needs a lock; a channel has
//          a pool of packet memory for both ports, and a packet crosses without a copy.
// Spread   receive-side scaling by the address on the WAN side: the source address of what comes in
//          by the WAN port, the destination address at the LAN port. A host of the WAN then keeps
//          its channel in both directions. Where a device cannot take one address alone, by both,
//          with a symmetric key (Woo and Park, "Scalable TCP session monitoring with symmetric
//          receive-side scaling", 2012); and where flow rules are wanted, and the device takes
//          them, UDP by one address by rules.
// Source   doc.dpdk.org/api-22.11, rte_ethdev.h.
#include <fmt/format.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <rte_mbuf_pool_ops.h>
#include <rte_version.h>
#include <sched.h>

#include <algorithm>
#include <cstring>

#include "io/dpdk_eal.h"
#include "io/dpdk_flow.h"
#include "io/poll_device.h"

namespace weir::io {
namespace {

constexpr std::uint32_t kChannelsMax = 64;
constexpr std::uint32_t kPoolCache = 256;
constexpr std::uint32_t kHeaders_bytes = RTE_ETHER_HDR_LEN + RTE_ETHER_CRC_LEN + 2 * RTE_VLAN_HLEN;
constexpr std::uint32_t kUnbroken_bytes = 2048;  // many devices fill no less without scattering

/// A port of DPDK's, closed at its end.
class PortNumber {
 public:
  PortNumber() = default;
  explicit PortNumber(std::uint16_t number) : number_(number) {}
  PortNumber(PortNumber&& other) noexcept { *this = std::move(other); }
  PortNumber& operator=(PortNumber&& other) noexcept {
    std::swap(number_, other.number_);
    std::swap(started_, other.started_);
    return *this;
  }
  ~PortNumber() {
    if (number_ == RTE_MAX_ETHPORTS) return;
    if (started_) {
      static_cast<void>(rte_eth_promiscuous_disable(number_));
      static_cast<void>(rte_eth_dev_stop(number_));
    }
    static_cast<void>(rte_eth_dev_close(number_));
  }
  /// As rte_eth_dev_start.
  int start() {
    const int error = rte_eth_dev_start(number_);
    started_ = error == 0;
    return error;
  }
  [[nodiscard]] std::uint16_t value() const noexcept { return number_; }

 private:
  std::uint16_t number_ = RTE_MAX_ETHPORTS;
  bool started_ = false;
};
struct PoolFree {
  void operator()(rte_mempool* pool) const noexcept { rte_mempool_free(pool); }
};

struct Port {
  const char* key = "";  // that names it
  PortNumber number;
  rte_eth_dev_info info{};
  PollFacts facts;
  std::uint16_t rx_ring = 0, tx_ring = 0;
  bool one_address = false;  // what it spreads by
};

tl::unexpected<Error> fail_port(const Port& port, const char* what, int error, const char* remedy) {
  return fail(fmt::format("{}: device {}: {}: {}; {}", port.key, port.facts.name, what,
                          rte_strerror(std::abs(error)), remedy));
}

Result<Port> find_port(const PollConfig& config, Side side, const Eal& eal) {
  Port port;
  port.key = config.words.devices[index(side)];
  port.facts.name = device_name(config.devices[index(side)]);
  std::uint16_t number = 0;
  if (rte_eth_dev_get_port_by_name(port.facts.name.c_str(), &number) != 0) {
    return fail(fmt::format(
        "{}: DPDK has no device {}{}{}; look at its name and arguments; a PCI device must be "
        "bound to vfio-pci ('dpdk-devbind.py --status' lists them)",
        port.key, port.facts.name, eal.complaint().empty() ? "" : ": ", eal.complaint()));
  }
  port.number = PortNumber(number);
  if (const int error = rte_eth_dev_info_get(number, &port.info); error != 0)
    return fail_port(port, "cannot be asked what it is", error, "use another device");
  port.facts.driver = port.info.driver_name;
  return port;
}

std::uint32_t own_cpu_count() {
  cpu_set_t set;
  CPU_ZERO(&set);
  sched_getaffinity(0, sizeof set, &set);
  return static_cast<std::uint32_t>(std::max(CPU_COUNT(&set), 1));
}

Result<std::uint32_t> channel_count(const PollConfig& config, std::span<const Port> ports) {
  std::uint32_t usable = kChannelsMax;
  bool spreads = true;
  for (const Port& port : ports) {
    usable = std::min<std::uint32_t>({usable, port.info.max_rx_queues, port.info.max_tx_queues});
    spreads = spreads && port.info.flow_type_rss_offloads != 0;
  }
  if (config.channels > usable) {
    return fail(fmt::format(
        "channels.count is {}, but {} and {} have only {} rx and tx queues in common; set "
        "channels.count = \"auto\", or give the devices more queues by their arguments",
        config.channels, ports.front().facts.name, ports.back().facts.name, usable));
  }
  if (config.channels != 0) return config.channels;
  return spreads ? std::min(usable, own_cpu_count()) : std::min(usable, 1U);
}

/// Every pair of bytes the same: both directions of a flow come to the same hash.
std::array<std::uint8_t, 64> symmetric_key() {
  std::array<std::uint8_t, 64> key{};
  for (std::size_t i = 0; i < key.size(); ++i) key[i] = i % 2 == 0 ? 0x6d : 0x5a;
  return key;
}

constexpr std::uint64_t kAddressTypes = RTE_ETH_RSS_IP;
constexpr std::uint64_t kFlowTypes =
    kAddressTypes | RTE_ETH_RSS_UDP | RTE_ETH_RSS_TCP | RTE_ETH_RSS_SCTP;

/// Asks for the best spread that the device has; says in `facts` which.
void set_spread(Port& port, Side side, std::uint32_t channels, std::array<std::uint8_t, 64>& key,
                rte_eth_conf& conf) {
  const std::uint64_t has = port.info.flow_type_rss_offloads;
  std::string& text = port.facts.spread;
  if (channels == 1) {
    text = "one channel";
    return;
  }
  if ((has & kFlowTypes) == 0) {
    text = "no RSS: as the device itself does";
    return;
  }
  conf.rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
  auto& rss = conf.rx_adv_conf.rss_conf;
  rss.rss_key = key.data();
  rss.rss_key_len = std::min<std::uint8_t>(port.info.hash_key_size, key.size());
  if (rss.rss_key_len == 0) rss.rss_key = nullptr;
  const std::uint64_t one = side == Side::wan ? RTE_ETH_RSS_L3_SRC_ONLY : RTE_ETH_RSS_L3_DST_ONLY;
  if ((has & one) != 0) {
    rss.rss_hf = (has & kFlowTypes) | one;
    text = "RSS of the WAN side's address";
    port.one_address = true;
  } else if ((has & RTE_ETH_RSS_IPV4) != 0) {
    rss.rss_hf = has & kAddressTypes;
    text = "symmetric RSS of both addresses";
  } else {
    rss.rss_hf = has & kFlowTypes;
    text = "symmetric RSS of addresses and ports";
  }
}

class DpdkDevices final : public PollDevices {
 public:
  static Result<std::unique_ptr<PollDevices>> open(const PollConfig& config);
  ~DpdkDevices() override {
    for (Port& port : ports_) port.number = PortNumber();  // before the memory of their packets
    pools_.clear();
  }

  std::size_t receive(Side side, std::uint32_t channel,
                      std::span<PollPacket> out) noexcept override;
  std::size_t transmit(Side side, std::uint32_t channel,
                       std::span<void* const> handles) noexcept override;
  void release(std::span<void* const> handles) noexcept override;
  std::size_t send_copies(Side side, std::uint32_t channel,
                          std::span<const std::span<const std::uint8_t>> frames) noexcept override;

  Status try_drop(Side side, const DropMatch& match) override {
    return flow::try_drop(number(side), match);
  }
  Result<DropRule> add_drop(Side side, const DropMatch& match) override {
    return flow::add_drop(number(side), match);
  }
  Status remove_drop(Side side, const DropRule& rule) override {
    return flow::remove(number(side), rule);
  }
  std::optional<DropHits> drop_hits(Side side, const DropRule& rule) override {
    return flow::hits(number(side), rule);
  }

  [[nodiscard]] std::uint32_t channels() const noexcept override {
    return static_cast<std::uint32_t>(pools_.size());
  }
  [[nodiscard]] const PollFacts& facts(Side side) const noexcept override {
    return ports_[index(side)].facts;
  }
  [[nodiscard]] PollCounters counters(Side side) const noexcept override;
  [[nodiscard]] bool is_up(Side side) const noexcept override;
  [[nodiscard]] const std::vector<std::string>& notes() const noexcept override { return notes_; }

 private:
  explicit DpdkDevices(std::unique_ptr<Eal> eal) : eal_(std::move(eal)) {}
  Status set_up(const PollConfig& config);
  Status configure(const PollConfig& config, Side side, std::uint32_t channels);
  Status make_pools(const PollConfig& config, std::uint32_t channels);
  Status start(Side side);
  void spread_by_rules(Side side);
  [[nodiscard]] std::uint16_t number(Side side) const noexcept {
    return ports_[index(side)].number.value();
  }

  std::unique_ptr<Eal> eal_;                                   // first: goes last
  std::vector<std::unique_ptr<rte_mempool, PoolFree>> pools_;  // by channel
  std::array<Port, kSides> ports_;
  std::vector<Side> sides_;
  std::vector<std::string> notes_;
};

Result<std::unique_ptr<PollDevices>> DpdkDevices::open(const PollConfig& config) {
  WEIR_ASSIGN(auto eal, Eal::start(config));
  std::unique_ptr<DpdkDevices> devices(new DpdkDevices(std::move(eal)));
  WEIR_TRY(devices->set_up(config));
  return devices;
}

Status DpdkDevices::set_up(const PollConfig& config) {
  sides_ = {Side::wan};
  if (!config.devices[index(Side::lan)].empty()) sides_.push_back(Side::lan);
  for (const Side side : sides_) {
    WEIR_ASSIGN(ports_[index(side)], find_port(config, side, *eal_));
  }
  WEIR_ASSIGN(const std::uint32_t channels,
              channel_count(config, std::span(ports_).first(sides_.size())));
  for (const Side side : sides_) WEIR_TRY(configure(config, side, channels));
  WEIR_TRY(make_pools(config, channels));
  for (const Side side : sides_) {
    WEIR_TRY(start(side));
    if (config.flow_rules && channels > 1) spread_by_rules(side);
  }
  return {};
}

/// Where the device's own RSS does not take one address alone.
void DpdkDevices::spread_by_rules(Side side) {
  Port& port = ports_[index(side)];
  if (port.one_address) return;
  const std::string families = flow::spread(number(side), side == Side::wan);
  if (families.empty()) return;
  port.facts.spread =
      fmt::format("flow rules, UDP over {} by the WAN side's address, the rest by {}", families,
                  port.facts.spread);
}

Status DpdkDevices::configure(const PollConfig& config, Side side, std::uint32_t channels) {
  Port& port = ports_[index(side)];
  if (config.mtu < port.info.min_mtu ||
      (port.info.max_mtu != 0 && config.mtu > port.info.max_mtu)) {
    return fail(fmt::format("dpdk.mtu is {}, but {} takes {} to {}; set one that both devices take",
                            config.mtu, port.facts.name, port.info.min_mtu, port.info.max_mtu));
  }
  rte_eth_conf conf{};
  conf.rxmode.mtu = config.mtu;
  auto key = symmetric_key();
  set_spread(port, side, channels, key, conf);
  if (channels > 1 && conf.rxmode.mq_mode != RTE_ETH_MQ_RX_RSS) {
    notes_.push_back(fmt::format(
        "{}: {} has no RSS; its packets are spread over {} channels as the device itself does",
        side_name(side), port.facts.name, channels));
  }
  const auto queues = static_cast<std::uint16_t>(channels);
  if (const int error = rte_eth_dev_configure(number(side), queues, queues, &conf); error != 0) {
    return fail_port(
        port, fmt::format("refuses {} queues and an MTU of {}", channels, config.mtu).c_str(),
        error, "set another channels.count or dpdk.mtu");
  }
  port.rx_ring = port.tx_ring = static_cast<std::uint16_t>(std::min(config.ring, 32'768U));
  rte_eth_dev_adjust_nb_rx_tx_desc(number(side), &port.rx_ring, &port.tx_ring);
  return {};
}

/// As rte_pktmbuf_pool_create, but that packets of virtual devices lie side by side. Else, without
/// hugepages, each has a page of its own, so that no device's memory access crosses pages, which
/// net_af_xdp does not reckon with: most of the memory is outside of the UMEM that it makes of it,
/// and the kernel throws away what it is given to receive into, until there is nothing left.
rte_mempool* make_pool(const char* name, std::uint32_t packets, std::uint16_t room, int socket,
                       bool virtual_devices) {
  rte_mempool* pool = rte_mempool_create_empty(name, packets, sizeof(rte_mbuf) + room, kPoolCache,
                                               sizeof(rte_pktmbuf_pool_private), socket,
                                               virtual_devices ? RTE_MEMPOOL_F_NO_IOVA_CONTIG : 0);
  if (pool == nullptr) return nullptr;
  rte_pktmbuf_pool_private about{};
  about.mbuf_data_room_size = room;
  int error = rte_mempool_set_ops_byname(pool, rte_mbuf_best_mempool_ops(), nullptr);
  if (error == 0) {
    rte_pktmbuf_pool_init(pool, &about);
    error = std::min(rte_mempool_populate_default(pool), 0);
  }
  if (error != 0) {
    rte_mempool_free(pool);
    rte_errno = -error;
    return nullptr;
  }
  rte_mempool_obj_iter(pool, rte_pktmbuf_init, nullptr);
  return pool;
}

/// Packet memory for all that may be anywhere at once: in both receive rings, in both transmit
/// rings, in weir, and in the caches of threads.
Status DpdkDevices::make_pools(const PollConfig& config, std::uint32_t channels) {
  const std::uint32_t packets = ports_[0].rx_ring + ports_[0].tx_ring + ports_[1].rx_ring +
                                ports_[1].tx_ring + config.frames + 4 * kPoolCache;
  const std::uint32_t room =
      RTE_PKTMBUF_HEADROOM + std::max(config.mtu + kHeaders_bytes, kUnbroken_bytes);
  const bool virtual_devices = std::none_of(config.devices.begin(), config.devices.end(), is_pci);
  for (std::uint32_t i = 0; i < channels; ++i) {
    const auto name = fmt::format("weir{}", i);
    rte_mempool* pool = make_pool(name.c_str(), packets, static_cast<std::uint16_t>(room),
                                  rte_eth_dev_socket_id(number(Side::wan)), virtual_devices);
    if (pool == nullptr) {
      return fail(
          fmt::format("DPDK has no memory for {} packets of {} bytes for channel {} ({}); give it "
                      "more by {}, or "
                      "fewer packets by channels.count, channels.frames and channels.ring",
                      packets, room, i, rte_strerror(rte_errno),
                      config.hugepages ? "more hugepages" : config.words.memory));
    }
    pools_.emplace_back(pool);
  }
  return {};
}

Status DpdkDevices::start(Side side) {
  Port& port = ports_[index(side)];
  const auto socket = static_cast<unsigned>(rte_eth_dev_socket_id(number(side)));
  const auto queues = static_cast<std::uint16_t>(pools_.size());
  for (std::uint16_t i = 0; i < queues; ++i) {
    int error =
        rte_eth_rx_queue_setup(number(side), i, port.rx_ring, socket, nullptr, pools_[i].get());
    if (error == 0) error = rte_eth_tx_queue_setup(number(side), i, port.tx_ring, socket, nullptr);
    if (error != 0)
      return fail_port(port, "cannot make its queues", error, "set a smaller channels.ring");
  }
  if (const int error = port.number.start(); error != 0)
    return fail_port(port, "does not start", error, "look at its arguments and at its MTU");
  static_cast<void>(rte_eth_promiscuous_enable(number(side)));
  port.facts.promiscuous = rte_eth_promiscuous_get(number(side)) == 1;
  if (!port.facts.promiscuous) {
    notes_.push_back(
        fmt::format("{}: {} cannot be promiscuous: frames for other addresses may not arrive",
                    side_name(side), port.facts.name));
  }
  return {};
}

std::size_t DpdkDevices::receive(Side side, std::uint32_t channel,
                                 std::span<PollPacket> out) noexcept {
  Eal::join_thread();
  constexpr std::size_t kMost = 64;
  std::array<rte_mbuf*, kMost> packets;
  const auto want = static_cast<std::uint16_t>(std::min(out.size(), kMost));
  const std::uint16_t got =
      rte_eth_rx_burst(number(side), static_cast<std::uint16_t>(channel), packets.data(), want);
  for (std::uint16_t i = 0; i < got; ++i) {
    rte_mbuf* packet = packets[i];
    out[i] = {rte_pktmbuf_mtod(packet, const std::uint8_t*), packet->data_len,
              packet->pkt_len - packet->data_len, packet};
  }
  return got;
}

std::size_t DpdkDevices::transmit(Side side, std::uint32_t channel,
                                  std::span<void* const> handles) noexcept {
  std::size_t sent = 0;
  while (sent < handles.size()) {
    // DPDK takes the array as it is: handles are its packets.
    auto* packets = reinterpret_cast<rte_mbuf**>(const_cast<void**>(handles.data() + sent));
    const auto want =
        static_cast<std::uint16_t>(std::min<std::size_t>(handles.size() - sent, 1024));
    const std::uint16_t taken =
        rte_eth_tx_burst(number(side), static_cast<std::uint16_t>(channel), packets, want);
    sent += taken;
    if (taken < want) break;
  }
  return sent;
}

void DpdkDevices::release(std::span<void* const> handles) noexcept {
  for (void* handle : handles) rte_pktmbuf_free(static_cast<rte_mbuf*>(handle));
}

std::size_t DpdkDevices::send_copies(
    Side side, std::uint32_t channel,
    std::span<const std::span<const std::uint8_t>> frames) noexcept {
  Eal::join_thread();
  std::size_t sent = 0;
  for (const auto& frame : frames) {
    rte_mbuf* packet = rte_pktmbuf_alloc(pools_[channel].get());
    if (packet == nullptr) break;
    char* room = rte_pktmbuf_append(packet, static_cast<std::uint16_t>(frame.size()));
    if (room != nullptr) std::memcpy(room, frame.data(), frame.size());
    void* handle = packet;
    if (room == nullptr || transmit(side, channel, {&handle, 1}) == 0) {
      rte_pktmbuf_free(packet);
      break;
    }
    ++sent;
  }
  return sent;
}

PollCounters DpdkDevices::counters(Side side) const noexcept {
  rte_eth_stats stats{};
  if (rte_eth_stats_get(number(side), &stats) != 0) return {};
  return {.rx_packets = stats.ipackets,
          .tx_packets = stats.opackets,
          .rx_missed = stats.imissed,
          .rx_errors = stats.ierrors,
          .rx_no_memory = stats.rx_nombuf,
          .tx_errors = stats.oerrors};
}

bool DpdkDevices::is_up(Side side) const noexcept {
  rte_eth_link link{};
  return rte_eth_link_get_nowait(number(side), &link) == 0 && link.link_status == RTE_ETH_LINK_UP;
}

Status try_start(const PollConfig& config) {
  const auto eal = Eal::start(config);
  return eal ? Status{} : tl::unexpected(eal.error());
}

}  // namespace
}  // namespace weir::io

extern "C" __attribute__((visibility("default"))) const weir::io::PollModule* weir_poll_module() {
  static const weir::io::PollModule module{WEIR_POLL_BUILD, rte_version(),
                                           weir::io::DpdkDevices::open, weir::io::try_start};
  return &module;
}
