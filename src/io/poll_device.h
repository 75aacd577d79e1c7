// SPDX-License-Identifier: BSD-2-Clause
/// A pair of interfaces that userspace polls itself, as a module of its own provides them: what a
/// backend besides AF_XDP offers to weir, and all that weir knows of it.
///
/// Module    a shared object with one C function, `kPollModuleSymbol`, that gives a `PollModule`.
///           It is loaded where a configuration asks for it (poll_module.h), so that a weir that
///           does not use it links, loads and needs none of it.
/// Owns      the devices, their memory, and every packet that is not handed out.
/// May not   know anything of the datapath, channels, policy or configuration files.
/// Packets   handed out by `receive` as a handle; each comes back by `transmit` or `release`,
///           exactly once. Nothing is copied.
/// Threads   `receive`, `transmit` and `release` of a channel by that channel's thread; `counters`
///           and `is_up` by anyone; drop rules by one thread at a time, whichever; all else by the
///           owner. A process opens one pair at a time.
/// Errors    one sentence with the device and the remedy; a failed `open` leaves nothing behind.
///           None at run time, where everything is counted, but for drop rules: each call says
///           what the device said.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/address.h"
#include "base/result.h"
#include "base/types.h"

namespace weir::io {

struct PollPacket {
  const std::uint8_t* data = nullptr;
  std::uint32_t length = 0;     ///< bytes at `data`, from the Ethernet header on
  std::uint32_t continues = 0;  ///< bytes of the packet that are elsewhere
  void* handle = nullptr;
};

/// What the caller calls these, in errors.
struct PollWords {
  std::array<const char*, kSides> devices{"dpdk.wan", "dpdk.lan"};
  const char* arguments = "dpdk.eal";
  const char* memory = "dpdk.memory_mb";
  const char* without_hugepages = "set dpdk.hugepages = false";
};

struct PollConfig {
  /// As the backend names them, with their arguments. An empty second one: there is only a WAN side.
  std::array<std::string, kSides> devices;
  std::vector<std::string> arguments;  ///< for the backend itself, as they are
  bool hugepages = true;
  std::uint32_t memory_mb = 512;  ///< without hugepages: what there is for packets
  std::uint32_t channels = 0;     ///< 0: as many as there are queues and CPUs for
  std::uint32_t mtu = 1500;
  std::uint32_t ring = 2048;    ///< descriptors a queue, where the device has so many
  std::uint32_t frames = 8192;  ///< packets of a channel that may be under way in weir
  /// Rules may be put into the devices: one that spreads no packets by the WAN side's address alone
  /// is asked to do so by rules.
  bool flow_rules = false;
  std::function<void(const std::string& line)> log;  ///< what the backend says while it runs
  PollWords words{};
};

/// What an opened device is like.
struct PollFacts {
  std::string name;
  std::string driver;
  std::string spread;  ///< how packets are spread over the channels, in words
  bool promiscuous = false;
};

/// A device's own counts.
struct PollCounters {
  std::uint64_t rx_packets = 0, tx_packets = 0;
  std::uint64_t rx_missed = 0;     ///< the receive ring was full
  std::uint64_t rx_errors = 0;     ///< broken frames
  std::uint64_t rx_no_memory = 0;  ///< no packet memory was free
  std::uint64_t tx_errors = 0;
};

/// What a device itself may drop, before it hands it over: packets from `source`.
struct DropMatch {
  enum class What : std::uint8_t { all, udp, udp_from_port, udp_to_port };
  Prefix source;
  What what = What::all;
  std::uint16_t port = 0;  ///< host order; of those two alone
};

struct DropHits {
  std::uint64_t packets = 0, bytes = 0;
};

/// A rule that is in a device.
struct DropRule {
  void* handle = nullptr;
  bool counted = false;  ///< the device tells how often it dropped by it
};

class PollDevices {
 public:
  virtual ~PollDevices() = default;  ///< stops and closes both devices

  /// Takes what has arrived, up to `out.size()`.
  virtual std::size_t receive(Side side, std::uint32_t channel,
                              std::span<PollPacket> out) noexcept = 0;
  /// Sends these out of `side`, in order; returns how many there was room for, from the first on.
  virtual std::size_t transmit(Side side, std::uint32_t channel,
                               std::span<void* const> handles) noexcept = 0;
  virtual void release(std::span<void* const> handles) noexcept = 0;
  /// Sends copies of these frames, whoever's they are; returns how many there was room for.
  virtual std::size_t send_copies(
      Side side, std::uint32_t channel,
      std::span<const std::span<const std::uint8_t>> frames) noexcept = 0;

  /// Rules for what comes in by `side`. A call may take milliseconds; no packet waits for it. What
  /// is not removed goes with the device. `try_drop`: whether it would take this, room aside.
  [[nodiscard]] virtual Status try_drop(Side side, const DropMatch& match) = 0;
  virtual Result<DropRule> add_drop(Side side, const DropMatch& match) = 0;
  virtual Status remove_drop(Side side, const DropRule& rule) = 0;
  /// Since the rule was added. None where the device does not tell.
  [[nodiscard]] virtual std::optional<DropHits> drop_hits(Side side, const DropRule& rule) = 0;

  [[nodiscard]] virtual std::uint32_t channels() const noexcept = 0;
  [[nodiscard]] virtual const PollFacts& facts(Side side) const noexcept = 0;
  [[nodiscard]] virtual PollCounters counters(Side side) const noexcept = 0;
  [[nodiscard]] virtual bool is_up(Side side) const noexcept = 0;
  /// What a person should know though nothing failed, a sentence each.
  [[nodiscard]] virtual const std::vector<std::string>& notes() const noexcept = 0;
};

/// Program and module hand C++ objects to each other: both must be of one build.
struct PollModule {
  const char* built_as;  ///< WEIR_POLL_BUILD, which the build gives to both
  const char* version;   ///< of the backend's library
  Result<std::unique_ptr<PollDevices>> (*open)(const PollConfig& config);
  /// Whether the backend would start with these arguments and this memory, without a device. What
  /// it takes a process keeps: to be tried in one of its own.
  Status (*try_start)(const PollConfig& config);
};

inline constexpr const char* kPollModuleSymbol = "weir_poll_module";

}  // namespace weir::io
