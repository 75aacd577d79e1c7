// SPDX-License-Identifier: BSD-2-Clause
/// What is measured: weir, and the programs that people would use in its place, each between the
/// two interfaces `wan` and `lan` of a `Wire`.
///
///   devmap      a bare XDP redirect, nothing read: the floor
///   weir-xdp    weir's XDP program without `weir run`, so without sockets: for an MTU that
///               `weir run` refuses (a frame of several buffers goes into no socket)
///   bridge      the kernel's bridge, with GRO on
///   xdp-filter  of xdp-tools, native mode, on WAN; what it passes goes nowhere. For more than its
///               10,000 addresses with tables as large as weir's, 131,072
///   testpmd     DPDK's, io mode, `driver` on both interfaces, one core
///   weir        `weir run` with the keys of `toml`
///   weir-dpdk   the same with `driver` of DPDK's on both interfaces; it has no kernel's blocks
///
/// Owner     a box ends with its object, and all that it set with the process (wire.h).
/// Errors    one sentence: the program is missing, or did not start.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "appliance.h"
#include "base/result.h"

namespace weir::perf {

/// What a box is asked to be.
struct BoxOptions {
  std::string toml;          ///< weir: further keys
  std::uint32_t blocks = 0;  ///< weir, xdp-filter: IPv4 sources to block, from `first_block` on
  std::uint32_t first_block = 0;
  std::string driver = "net_af_xdp";  ///< testpmd, weir-dpdk
  std::uint32_t mtu = 1500;           ///< of the interfaces, set before
};

class Box {
 public:
  virtual ~Box() = default;
  /// Drops that it counted, for a report of what became of packets.
  [[nodiscard]] virtual std::string end() { return {}; }
};

Result<std::unique_ptr<Box>> start_box(const std::string& name, test::Appliance& appliance,
                                       const BoxOptions& options);

}  // namespace weir::perf
