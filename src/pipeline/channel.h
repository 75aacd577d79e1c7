// SPDX-License-Identifier: BSD-2-Clause
/// The I/O thread of one channel: receive both sides, have batches judged, transmit or release.
///
///   take back judged batches -> receive into a batch -> submit -> service -> heartbeat -> sleep
///
/// Shape     a fixed pool of batches. Where it is empty while frames wait, the overload action
///           says what happens to them; every frame received goes back to the io channel once.
/// Order     frames of one side leave in the order in which they came. Frames that overload
///           forwards unjudged overtake those that are being judged.
/// Heartbeat beaten while the channel makes progress and can still receive, or has nothing to do.
///           Withdrawn once the headroom falls below its low-water mark, so that the datapath takes
///           the fail mode before frames are lost; back when the headroom is.
/// Threads   `run` is the I/O thread's; `done` is any one thread's at a time (the engine's);
///           `request_stop` and `counters` are anyone's.
/// Errors    set-up only; at run time everything is counted.
#pragma once

#include <array>
#include <atomic>
#include <functional>
#include <memory>

#include "base/clock.h"
#include "base/result.h"
#include "base/ring.h"
#include "io/interface.h"
#include "pipeline/batch.h"
#include "pipeline/engine.h"

namespace weir::pipeline {

/// What happens to frames that wait while every batch is in use.
enum class Overload : std::uint8_t {
  forward,  ///< on to the peer, unjudged
  drop,
  wait,  ///< left in the ring until a batch is free; then the kernel drops or takes the fail mode
};

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
  std::uint64_t pool_empty = 0;  ///< times that frames found no batch, or might have
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

  /// Runs until `request_stop`; then receives no more, sees off what is in flight, withdraws its
  /// heartbeat and returns with all batches in the pool. Take the socket out of the datapath first.
  void run(Engine& engine) noexcept;
  void request_stop() noexcept;
  /// The engine gives back one of this channel's batches.
  void done(Batch* batch) noexcept;

  [[nodiscard]] ChannelTally tally() const noexcept;

 private:
  struct Counts;
  ChannelLoop(const ChannelConfig& config, io::Channel& io, const Columns& columns,
              Heartbeat heartbeat, int wake_fd);

  bool take_back() noexcept;
  void send_off(const Batch& batch) noexcept;
  bool receive(Engine& engine) noexcept;
  bool shed() noexcept;
  void beat(PacketTime now, bool progress) noexcept;
  void sleep(bool for_frames) noexcept;
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
  PacketTime beaten_;                                                 // 0: withdrawn
  std::array<std::array<packet::Frame, kBatchPackets>, kSides> out_;  // by the side they leave by
  std::array<packet::Frame, kBatchPackets> released_;
  std::unique_ptr<Counts> counts_;
};

}  // namespace weir::pipeline
