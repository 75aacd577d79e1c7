// SPDX-License-Identifier: BSD-2-Clause
/// AF_XDP channels: libxdp sockets on both interfaces over one shared UMEM (XDP_SHARED_UMEM).
///
/// Needs     CAP_NET_RAW and CAP_NET_ADMIN, memory lock for the UMEM.
/// Order     bind all channels, register their sockets with the datapath, then receive. Take down:
/// datapath first. Source    Documentation/networking/af_xdp.rst; libxdp's xsk.h.
#pragma once

#include <memory>
#include <string>

#include "base/result.h"
#include "io/interface.h"

namespace weir::io {

struct AfXdpConfig {
  std::array<std::string, kSides> interfaces;
  std::uint32_t frames = 8192;  ///< chunks in a channel's UMEM, a power of two
  std::uint32_t ring = 2048;    ///< entries of each ring, a power of two
  bool force_copy = false;
  bool busy_poll = false;
  std::uint32_t busy_poll_budget = 64;
  std::uint32_t busy_poll_us = 20;
  std::uint32_t tx_budget = 32;  ///< XDP_MAX_TX_SKB_BUDGET where the kernel has it (6.17)
};

/// Binds queue `channel` of both interfaces; zero-copy where the driver has it, else copy mode.
Result<std::unique_ptr<Channel>> open_af_xdp(const AfXdpConfig& config, std::uint32_t channel);

}  // namespace weir::io
