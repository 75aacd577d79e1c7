// SPDX-License-Identifier: BSD-2-Clause
/// Settings of the host's interfaces that an inline wire needs, each as check, apply and undo.
///
///   up            the interface must be up (checked, never changed)
///   promiscuous   IFF_PROMISC, so that frames for other MACs arrive. The flag and no packet-socket
///   membership, for
///                 forwarding must outlive this process
///   offloads      LRO, hardware GRO, VLAN stripping and filtering off: XDP must see what was on
///   the wire mtu           small enough for single-buffer XDP and AF_XDP chunks; equal on both
///   sides peer          veth only: frames redirected into it need NAPI at its far end (a warning)
///
/// What was changed is kept in a state file, so that a start after SIGKILL knows what to give back
/// at the end. Source    ethtool ioctl (SIOCETHTOOL), netdevice(7). Threads   one owner.
#pragma once

#include <array>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/types.h"

namespace weir::io {

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

/// An error names what is missing and what to do: an interface that does not exist, is down, or is
/// no Ethernet.
Result<InterfaceFacts> inspect(const std::string& interface);

class HostSettings {
 public:
  /// `state_file`: where changed settings are kept; its folder must exist.
  static Result<HostSettings> apply(const std::array<std::string, kSides>& interfaces,
                                    const std::string& state_file,
                                    std::vector<std::string>& warnings);
  /// Gives back what the state file says was changed, and removes it. Nothing to do where there is
  /// none.
  static Status restore(const std::string& state_file);

 private:
  HostSettings() = default;
};

}  // namespace weir::io
