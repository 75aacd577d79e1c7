// SPDX-License-Identifier: BSD-2-Clause
/// Settings of the host's interfaces that weir needs, each as check, apply and undo.
///
///   up, MTU       checked, never changed: up, small enough for XDP, and equal on both sides
///   bridges       checked: two interfaces of one bridge would carry each frame twice
///   promiscuous   IFF_PROMISC, so that frames for other MACs arrive. The flag, and no membership
///                 of a packet socket: forwarding must outlive this process
///   offloads      LRO, hardware GRO, VLAN stripping, insertion and filtering off: XDP must see
///                 what was on the wire. Of a single interface (host mode), which is no wire, only
///                 those of reception, and it is not made promiscuous
///   NAPI          as `Tuning` asks, for who polls the driver himself
///   far end       veth only: frames redirected into it need NAPI at its far end (a warning)
///
/// Undo      what was changed stands in a state file before it is changed, so that whoever comes
///           after a SIGKILL can give it back. A setting that somebody else has changed since is
///           left to him, and so is an interface that is a new one of the old name.
/// Errors    one sentence with the interface and the remedy; a failed `apply` has changed nothing.
/// Source    netdevice(7), rtnetlink(7), linux/ethtool.h (features by their names in 'ethtool -k').
/// Threads   one owner.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/types.h"

namespace weir::io {

/// The largest MTU that fits: a page less XDP's headroom (256), the kernel's tail room (320), the
/// Ethernet header (14) and two VLAN tags (8).
inline constexpr std::uint32_t kMtuMax = 3498;

struct InterfaceFacts {
  std::string name;
  std::uint32_t ifindex = 0;
  std::string driver;
  std::uint32_t mtu = 0;
  std::uint32_t rx_queues = 0;  ///< as they stand now; a driver may change them when XDP attaches
  std::uint32_t tx_queues = 0;
  bool up = false;
  bool carrier = false;
};

/// An interface that does not exist, is down, or is no Ethernet, is an error.
Result<InterfaceFacts> inspect(const std::string& interface);

/// Where neighbours on one machine give each other frames as the sender's stack left them, without
/// checksums or of many segments: what takes such a frame off the interface and gives it to the
/// stack again later (host mode's guard) loses it there.
struct UnfinishedFrames {
  std::string found;   ///< begins with the driver
  std::string remedy;  ///< an ethtool command, for the sender
};
/// None where frames come as from a wire, or where the far end is seen to finish them.
std::optional<UnfinishedFrames> unfinished_frames(const std::string& interface);

/// Numbers of an interface in sysfs that are set while weir runs; 0: left as they are.
struct Tuning {
  std::uint64_t napi_defer_hard_irqs = 0;
  std::uint64_t gro_flush_ns = 0;
};

struct HostSettings {
  /// What `apply` would refuse: interfaces that are missing or down, that are one, that share a
  /// bridge, that differ in MTU.
  static Status check(const std::array<std::string, kSides>& interfaces);
  /// `state_file`: where changed settings are kept; its folder must exist. What an earlier run left
  /// in it for these interfaces is taken over, what it left for others is given back. An empty name
  /// is a side that there is none of (host mode).
  static Status apply(const std::array<std::string, kSides>& interfaces, const Tuning& tuning,
                      const std::string& state_file, std::vector<std::string>& warnings);
  /// Gives back what the state file says was changed, and removes it; what could not be given back
  /// stays in it. Nothing to do where there is none.
  static Status restore(const std::string& state_file);
};

}  // namespace weir::io
