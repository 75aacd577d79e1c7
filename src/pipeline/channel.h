// SPDX-License-Identifier: BSD-2-Clause
/// The I/O thread of one channel: receive both sides, have batches judged, transmit or release.
///
///   take back judged batches -> shed -> receive into a batch -> submit -> service -> heartbeat
///   -> look again for a while, or sleep, unless the channel is polled
///
/// Shape     a fixed pool of batches. While it is empty, frames wait in the RX rings. Every frame
///           received goes back to the io channel once.
/// Overload  where a side's ring is nearly full, for whatever reason, the overload action takes up
///           to a batch of the oldest frames off it each turn, until there is room again. With the
///           stages on this thread (workers = 0) as with a graph: the ring is what fills in either.
///           `leave` sheds nothing: taking frames off takes time from judging.
/// Order     frames of one side leave in the order in which they came, judged or not: those that
///           overload forwards are held until what was submitted before them has left.
/// Light load packets that come close to each other are waited for awake (patience.h). While batches
///           are under way the thread yields between two looks at its rings: a worker may share its
///           CPU.
/// Heartbeat beaten while batches come back, or nothing is under way. Withdrawn once nearly all
///           frames are in batches or on their way out, so that the datapath takes the fail mode;
///           back when they are.
/// Stop      what lies in the RX rings is still judged and sent.
/// Threads   `run` is the I/O thread's; `done` is any one thread's at a time (the engine's);
///           `request_stop` and `counters` are anyone's.
/// Errors    set-up only; at run time everything is counted.
#pragma once

#include <array>
#include <atomic>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "base/ring.h"
#include "io/interface.h"
#include "pipeline/batch.h"
#include "pipeline/engine.h"
#include "pipeline/patience.h"

namespace weir::pipeline {

/// What happens to the excess.
enum class Overload : std::uint8_t {
  forward,  ///< where a ring is nearly full: on to the peer, unjudged
  drop,     ///< where a ring is nearly full
  leave,    ///< nothing: what finds no room in the ring is the kernel's or the device's to count
};

/// Shares of a ring that are left: below the first the channel sheds, until the second is reached.
/// A quarter of 2,048 entries is what comes in while one batch is judged, at 2 million a second.
inline constexpr double kShedBelow = 0.25;
inline constexpr double kShedUntil = 0.5;

struct ChannelConfig {
  std::uint32_t number = 0;
  std::size_t batches = 16;  ///< 4096 frames: twice a socket's ring
  std::size_t batch_packets = kBatchPackets;
  Overload overload = Overload::forward;
  /// Share of frames that the kernel can still receive into, below which the channel is starved.
  double headroom_low = 0.05;
  /// The longest sleep; must be well below the datapath's heartbeat limit, for an idle channel
  /// beats when it wakes.
  Nanoseconds sleep_max = std::chrono::milliseconds(50);
  /// Packets that come within this of each other are waited for awake; 0: none are (patience.h).
  Nanoseconds spin = std::chrono::microseconds(200);
};

inline constexpr std::size_t kReasons = 16;     ///< room for detect::Reason, by number
inline constexpr std::size_t kFillBuckets = 9;  ///< batches of up to 1, 2, 4, ... 256 packets

/// Since the channel was made. `received` is the sum of all that follows but what is in flight.
struct ChannelTally {
  std::uint64_t received = 0;
  std::uint64_t forwarded = 0;                         ///< judged
  std::uint64_t dropped = 0;                           ///< judged
  std::uint64_t shed_forwarded = 0, shed_dropped = 0;  ///< not judged (Reason::shed)
  std::uint64_t batches = 0;
  std::uint64_t pool_empty = 0;  ///< turns in which every batch was under way
  std::uint64_t sleeps = 0;
  std::uint64_t withdrawals = 0;                  ///< of the heartbeat
  std::array<std::uint64_t, kReasons> reasons{};  ///< judged packets, by detect::Reason
  std::array<std::uint64_t, kFillBuckets> fill{};
};

/// Tells the datapath that this channel made progress at a time; time 0 withdraws that.
using Heartbeat = std::function<void(PacketTime)>;

class ChannelLoop {
 public:
  /// `io` must outlive the loop. An error is the system's: no more file descriptors.
  static Result<std::unique_ptr<ChannelLoop>> make(const ChannelConfig& config, io::Channel& io,
                                                   const Columns& columns, Heartbeat heartbeat);
  ~ChannelLoop();
  ChannelLoop(const ChannelLoop&) = delete;
  ChannelLoop& operator=(const ChannelLoop&) = delete;

  /// Runs until `request_stop`; then sees off what lies in the RX rings and what is in flight,
  /// withdraws its heartbeat and returns with all batches in the pool. Take the sockets out of the
  /// datapath first: what still comes in meanwhile stays in the rings.
  void run(Engine& engine) noexcept;
  void request_stop() noexcept;
  /// The engine gives back one of this channel's batches.
  void done(Batch* batch) noexcept;

  [[nodiscard]] ChannelTally tally() const noexcept;

 private:
  struct Counts;
  ChannelLoop(const ChannelConfig& config, io::Channel& io, const Columns& columns,
              Heartbeat heartbeat, int wake_fd);

  /// An unjudged frame, and how many batches must have come back before it may leave.
  struct Held {
    packet::Frame frame;
    std::uint64_t after = 0;
  };

  bool turn(Engine& engine) noexcept;
  [[nodiscard]] bool may_sleep(bool moved) noexcept;
  void finish(Engine& engine) noexcept;
  bool take_back() noexcept;
  void send_off(const Batch& batch) noexcept;
  void post(const packet::Frame& frame) noexcept;
  void flush() noexcept;
  bool receive(Engine& engine) noexcept;
  bool shed(Side side) noexcept;
  void hold(std::span<const packet::Frame> frames) noexcept;
  void send_held() noexcept;
  void beat(PacketTime now, bool judged) noexcept;
  void sleep() noexcept;
  void wake() noexcept;

  const ChannelConfig config_;
  io::Channel& io_;
  BatchPool pool_;
  const Heartbeat heartbeat_;
  const int wake_fd_;      // an eventfd
  SpscRing<Batch*> done_;  // from the engine's decide to the I/O thread
  std::atomic<bool> sleeping_{false};
  std::atomic<bool> stop_{false};

  // The I/O thread's own:
  std::uint64_t next_number_ = 0;
  Side first_side_ = Side::wan;
  PacketTime beaten_;  // 0: withdrawn
  PacketTime now_;     // of this turn
  Patience patience_{config_.spin};
  bool serves_ = false;                           // this turn saw off what nobody has to judge
  std::uint64_t submitted_ = 0, taken_back_ = 0;  // batches
  std::array<bool, kSides> shedding_{};           // by the side they came in by
  std::vector<Held> held_;                        // a ring, as long as there are frames
  std::uint64_t held_from_ = 0, held_to_ = 0;     // cursors of it
  std::array<std::array<packet::Frame, kBatchPackets>, kSides> out_;  // by the side they leave by
  std::array<std::size_t, kSides> posted_{};                          // how many stand in `out_`
  std::array<packet::Frame, kBatchPackets> released_;
  std::unique_ptr<Counts> counts_;
};

}  // namespace weir::pipeline
