// SPDX-License-Identifier: BSD-2-Clause
/// One channel of the wire as its I/O thread sees it: rx and tx queue `channel` of both interfaces
/// over one UMEM.
///
/// Backends  af_xdp.cpp (live). A capture has no channel: io/capture.h reads it. The datapath runs
///           before this: what `receive` returns was steered.
/// Owner     the channel's thread; all calls come from it, but those that say otherwise.
/// Frames    `receive` hands frames over (place batch); each comes back by `transmit` or `release`,
///           exactly once. Debug builds abort where one does not.
/// Errors    set-up only; at run time everything is counted.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "base/clock.h"
#include "base/types.h"
#include "io/frame_pool.h"
#include "packet/frame.h"

namespace weir::io {

/// Counts of one channel and side, since it was opened.
struct ChannelCounters {
  std::uint64_t rx_packets = 0, rx_bytes = 0;
  std::uint64_t tx_packets = 0, tx_bytes = 0;  ///< put into the TX ring, or redirected
  std::uint64_t tx_redirected = 0;             ///< of `tx_packets`: io/af_xdp_redirect.h
  std::uint64_t released = 0;                  ///< received here and given back unsent, by verdict
  std::uint64_t tx_full = 0;                   ///< frames that the TX ring had no room for: dropped
  std::uint64_t tx_lost = 0;        ///< of `tx_packets`: refused (no carrier, no interface), gone
  std::uint64_t fill_short = 0;     ///< times that no frame was free for an empty fill ring
  std::uint64_t not_completed = 0;  ///< completions of frames that were not sent: kernel fault
  std::uint64_t wakeups_rx = 0, wakeups_tx = 0;  ///< system calls
  std::uint64_t wakeup_errors = 0;               ///< those that failed other than by "try again"
  // The kernel's own, XDP_STATISTICS:
  std::uint64_t kernel_rx_dropped = 0;    ///< too long for a chunk, and other causes
  std::uint64_t kernel_rx_ring_full = 0;  ///< we did not take them fast enough
  std::uint64_t kernel_fill_empty = 0;    ///< we gave no frame to receive into
  std::uint64_t kernel_rx_invalid = 0, kernel_tx_invalid = 0;  ///< descriptors that were refused
  std::uint64_t kernel_tx_ring_empty = 0;                      ///< no loss: nothing was to be sent
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
  /// Refills, reaps completions, kicks the kernel where it asked for that: also for frames that an
  /// earlier `transmit` left behind. Where busy polling is on, polls the driver. Call once a loop.
  /// True where it saw off packets that are not steered: more of them may be there by now.
  virtual bool service() noexcept = 0;
  /// Sleeps until a frame arrives, `wake_fd` becomes readable, or the time is over. `wake_fd` may
  /// be -1. Wakes early where frames still wait to be sent.
  virtual void wait(int wake_fd, Nanoseconds at_most) noexcept = 0;

  /// Frames that lie received on `side`: what `receive` would find.
  [[nodiscard]] virtual std::uint32_t waiting(Side side) noexcept = 0;
  /// Share of a side's RX ring, 0 to 1, that the kernel can still fill before it has to drop what
  /// is steered here: by the ring's room, and by the frames that it was given to receive into.
  [[nodiscard]] virtual double room(Side side) noexcept = 0;

  /// Share of frames that are free or with the kernel to receive into, 0 to 1: what is missing is
  /// received, in batches, or on its way out. A starved channel withdraws its heartbeat. As of the
  /// last `service`. Any thread.
  [[nodiscard]] virtual double headroom() const noexcept = 0;
  /// Whether every frame is accounted for, as of the last `service`: the places add up to all
  /// frames, and agree with what rings and counters say independently of them. Any thread.
  [[nodiscard]] virtual bool conserved() const noexcept = 0;
  /// Frames by io::Place, all of one moment: the last `service`. Any thread.
  [[nodiscard]] virtual std::array<std::uint32_t, kPlaces> frame_counts() const noexcept = 0;
  /// Any thread; a system call for the kernel's counts.
  [[nodiscard]] virtual ChannelCounters counters(Side side) const noexcept = 0;
  [[nodiscard]] virtual int socket_fd(Side side) const noexcept = 0;
  [[nodiscard]] virtual bool zero_copy(Side side) const noexcept = 0;
  [[nodiscard]] virtual bool busy_poll() const noexcept = 0;  ///< asked for, and granted
};

}  // namespace weir::io
