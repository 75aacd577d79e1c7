// SPDX-License-Identifier: BSD-2-Clause
/// AF_XDP channels: a socket on each interface's queue, both over one UMEM (XDP_SHARED_UMEM), so
/// that a frame crosses by its descriptor alone.
///
/// Needs     CAP_NET_RAW; CAP_IPC_LOCK, or RLIMIT_MEMLOCK above `frames` * 4 KiB.
/// Order     open all channels, register their sockets with the datapath, then receive. Take down:
///           out of the datapath first, then the channel (sockets, UMEM, memory, in this order).
/// Errors    one sentence with the interface, the queue and the remedy. A queue that a dying
///           process still holds (EBUSY) is retried for 2 s.
/// Source    Documentation/networking/af_xdp.rst; libxdp's xsk.h.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>

#include "base/result.h"
#include "io/af_xdp_redirect.h"
#include "io/interface.h"

namespace weir::io {

/// Least frames for an entry of a ring: both fill rings full, and as many again in batches and on
/// their way out.
inline constexpr std::uint32_t kFramesPerEntry = 4;

struct AfXdpConfig {
  std::array<std::string, kSides> interfaces;
  /// Chunks in a channel's UMEM, a power of two, at least `kFramesPerEntry * ring`.
  std::uint32_t frames = 8192;
  /// Entries of each ring, a power of two. Smaller sheds bursts; larger only adds delay.
  std::uint32_t ring = 2048;
  bool force_copy = false;
  bool hugepages = false;  ///< of vm.nr_hugepages; else the kernel is advised to use its own
  bool busy_poll = false;
  std::uint32_t busy_poll_budget = 64;
  std::uint32_t busy_poll_us = 20;
  /// Copy mode: frames for one system call, XDP_MAX_TX_SKB_BUDGET where the kernel has it (6.17).
  std::uint32_t tx_budget = 32;
};

/// Binds queue `channel` of both interfaces; zero-copy where both drivers have it, else copy mode.
/// Nothing allocates after this. In copy mode large batches leave by `redirect`, where there is one;
/// it outlives the channel.
Result<std::unique_ptr<Channel>> open_af_xdp(const AfXdpConfig& config, std::uint32_t channel,
                                             RedirectTx* redirect = nullptr);

}  // namespace weir::io
