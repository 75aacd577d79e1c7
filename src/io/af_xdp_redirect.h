// SPDX-License-Identifier: BSD-2-Clause
/// A way out of both interfaces past the AF_XDP sockets: whole batches go to the driver as XDP
/// redirects unsteered traffic (ndo_xdp_xmit), with one system call for all of them. In copy mode
/// a socket makes an skb of each frame, which costs several times as much.
///
/// Shape     frames are copied into a map, and bpf/send.bpf.c is run on as many live frames
///           (BPF_PROG_RUN), which it fills and redirects. A call costs what some 12 frames of a
///           socket do: not for small batches.
/// Needs     Linux 5.18, CAP_NET_ADMIN, CAP_BPF, CAP_PERFMON and CAP_SYS_ADMIN; drivers that take
///           redirected frames, as those do that have native XDP programs on both sides. 1 MiB of
///           kernel memory a channel.
/// Kept      the kernel patches its dispatcher for a program that no interface has, and waits for
///           all CPUs, at each call. So the program is attached once: to a veth, never up, in a
///           network namespace of its own, which nothing else is in.
/// Order     of what one thread sends while it stays on its CPU. A driver takes the ring of the CPU
///           for what is redirected, and the channel's for what a socket sends: where these are
///           two, and where the thread moves (no `channels.io_cpus`), packets may overtake others.
/// Counted   frames that the driver has no room for are gone, where a socket would keep them: they
///           are counted at the tracepoint, with those of unsteered traffic (`redirect_errors`).
/// Owner     the wire; outlives the channels that send by it.
/// Threads   `make`: any. `send`: each channel's own, for its channel; all in the interfaces' network
///           namespace.
/// Source    Documentation/bpf/bpf_prog_run.rst; kernel net/bpf/test_run.c, kernel/bpf/dispatcher.c.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "base/result.h"
#include "base/types.h"
#include "packet/frame.h"

namespace weir::io {

class RedirectTx {
 public:
  /// Fewer frames leave sooner by the socket.
  static constexpr std::size_t kLeast_frames = 32;

  /// For channels 0 to `channels - 1`. One sentence where this kernel cannot, or only slowly.
  static Result<std::unique_ptr<RedirectTx>> make(const std::array<std::string, kSides>& interfaces,
                                                  std::uint32_t channels);
  virtual ~RedirectTx() = default;

  struct Sent {
    std::size_t frames = 0;   ///< the first so many are done with
    std::size_t refused = 0;  ///< of these: never got to the driver
    std::uint32_t calls = 0;  ///< of the system
  };
  /// Sends `frames` out of `side`, in order; they are copied, and the caller's again. Not all where
  /// there are more than a batch, one is too long or too short, the other side's interface is gone,
  /// or the kernel is out of memory.
  virtual Sent send(std::uint32_t channel, Side side,
                    std::span<const packet::Frame> frames) noexcept = 0;
};

}  // namespace weir::io
