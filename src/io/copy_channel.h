// SPDX-License-Identifier: BSD-2-Clause
/// Host mode's channel: copies out of a ring that the kernel's programs fill, beside the packets of
/// another channel or alone.
///
///   alone    a copy of each packet that is steered, of either direction; the packet itself is long
///            where it was going, so `transmit` and `release` both only give the copy back
///   beside   `inner` has what comes in, and sends it into this host's stack by its LAN side; the
///            ring has copies of what this host sends
///
/// Order     what is in the ring is received before what `inner` has, and both by Side::wan; a
///           frame's own side is that of its record. So a search of this host stands before its
///           answers.
/// Full      where no frame is free the ring is left alone; where that is full, the kernel counts
///           what it could not copy.
/// Frames    chunks of 4 KiB of its own; the places and counts of both add up.
/// Threads   as io/interface.h.
/// Errors    one sentence with the errno, of the set-up.
/// Source    Documentation/bpf/ringbuf.rst; bpf/abi.h, weir_copy.
#pragma once

#include <memory>

#include "base/result.h"
#include "io/interface.h"

namespace weir::io {

struct CopyConfig {
  int ring_fd = -1;              ///< a BPF_MAP_TYPE_RINGBUF; outlives the channel
  std::uint32_t ring_bytes = 0;  ///< its size
  std::uint32_t frames = 1024;   ///< copies that may be under way
};

/// `inner` may be nullptr.
Result<std::unique_ptr<Channel>> open_copies(const CopyConfig& config,
                                             std::unique_ptr<Channel> inner);

}  // namespace weir::io
