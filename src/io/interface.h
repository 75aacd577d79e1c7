// SPDX-License-Identifier: BSD-2-Clause
/// One channel of the wire as its I/O thread sees it: rx and tx queue `channel` of both interfaces
/// over one UMEM.
///
/// Backends  af_xdp.cpp (live). A capture has no channel: io/capture.h reads it. The datapath runs
/// before this: what
///           `receive` returns was steered.
/// Owner     the channel's thread; all calls come from it, but `counters`.
/// Frames    `receive` hands frames over (place batch); each comes back by `transmit` or `release`,
/// exactly once. Errors    set-up only; at run time everything is counted.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "base/clock.h"
#include "base/types.h"
#include "packet/frame.h"

namespace weir::io {

/// Counts of one channel and side; published at leisure, read by anyone.
struct ChannelCounters {
  std::uint64_t rx_packets = 0, rx_bytes = 0;
  std::uint64_t tx_packets = 0, tx_bytes = 0;
  std::uint64_t released = 0;  ///< dropped by verdict, given back to the fill ring
  std::uint64_t tx_full = 0;   ///< frames that the TX ring had no room for: dropped
  std::uint64_t wakeups_rx = 0, wakeups_tx = 0, wakeup_errors = 0;
  std::uint64_t kernel_rx_dropped = 0, kernel_rx_ring_full = 0, kernel_fill_empty = 0;
  std::uint64_t kernel_rx_invalid = 0, kernel_tx_invalid = 0,
                kernel_tx_ring_empty = 0;  ///< XDP_STATISTICS
};

class Channel {
 public:
  virtual ~Channel() = default;

  /// Takes what has arrived on `side`, up to `out.size()`, without waiting; stamps packet time
  /// `now`.
  virtual std::size_t receive(Side side, std::span<packet::Frame> out, PacketTime now) noexcept = 0;
  /// Sends the frames out of `side`, in order. What finds no room is released and counted; returns
  /// how many were taken.
  virtual std::size_t transmit(Side side, std::span<const packet::Frame> frames) noexcept = 0;
  /// Gives frames back without sending them.
  virtual void release(std::span<const packet::Frame> frames) noexcept = 0;
  /// Refills, reaps completions, kicks the kernel where it asked for that. Call once a loop.
  virtual void service() noexcept = 0;
  /// Sleeps until a frame arrives, `wake_fd` becomes readable, or the time is over. `wake_fd` may
  /// be -1.
  virtual void wait(int wake_fd, Nanoseconds at_most) noexcept = 0;

  /// Share of frames that the kernel can still receive into, 0 to 1: a starved channel withdraws
  /// its heartbeat.
  [[nodiscard]] virtual double headroom() const noexcept = 0;
  [[nodiscard]] virtual bool conserved() const noexcept = 0;
  [[nodiscard]] virtual std::array<std::uint32_t, 6> frame_counts()
      const noexcept = 0;  ///< by io::Place
  [[nodiscard]] virtual ChannelCounters counters(Side side) const noexcept = 0;
  [[nodiscard]] virtual int socket_fd(Side side) const noexcept = 0;
  [[nodiscard]] virtual bool zero_copy(Side side) const noexcept = 0;
  [[nodiscard]] virtual bool busy_poll() const noexcept = 0;
};

}  // namespace weir::io
