// SPDX-License-Identifier: BSD-2-Clause
/// What a machine is like for weir: what would stop it or slow it down, each with what to change.
///
/// Nothing is changed or attached: it reads /proc and /sys, asks drivers by ethtool's calls, and
/// makes one AF_XDP socket that it closes again. With devices of DPDK's, weir's module for them is
/// loaded and DPDK started in a process of its own, but no device is opened.
///
/// Shape     one `Finding` a subject, in the order in which a person would go through them.
/// Source    Documentation/ABI/testing/sysfs-class-net*, sysfs-devices-system-cpu; af_xdp.rst;
///           vfio.rst; doc.dpdk.org/guides-22.11/linux_gsg/linux_drivers.html.
/// Threads   one owner.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "base/types.h"
#include "io/host.h"

namespace weir::io {

struct Finding {
  enum class State : std::uint8_t {
    good,
    slower,  ///< works, but not as fast or as evenly as it could
    stops,   ///< weir cannot run like this
  };
  State state = State::good;
  std::string subject;  ///< "kernel", "eth0: queues", "CPU 2: frequency"
  std::string found;
  std::string remedy;  ///< empty where it is good
};

struct MachineQuestion {
  std::array<std::string, kSides> interfaces;  ///< WAN and LAN; empty: not asked about
  /// DPDK's, as the configuration has them; where there is one, no interface is asked about, and
  /// nothing that only AF_XDP needs.
  std::array<std::string, kSides> devices;
  bool hugepages = true;               ///< DPDK's packet memory
  std::uint32_t memory_mb = 512;       ///< without hugepages
  std::uint32_t channel_mb = 28;       ///< of packets, that a channel takes at least
  std::vector<std::string> arguments;  ///< more for DPDK
  std::uint32_t channels = 0;          ///< that are wanted; 0: as many as there are queues
  std::vector<std::uint32_t> cpus;     ///< that threads are pinned to; empty: none
  bool host = false;                   ///< host mode: the first interface alone, which is no wire
  bool guards_all_ip = false;          ///< host mode: TCP too is held back until it is judged
  bool busy_poll = false;
  bool may_redirect = false;  ///< frames leave by sockets, and need not (io/af_xdp_redirect.h)
  Tuning tuning;
  std::string pin_directory;
  std::string root;  ///< in front of /proc and /sys: for tests
};

std::vector<Finding> examine(const MachineQuestion& question);

}  // namespace weir::io
