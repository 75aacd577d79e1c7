// SPDX-License-Identifier: BSD-2-Clause
/// Whether an I/O thread waits for the next packet awake: a wake-up costs several times what the
/// stages need for one packet, and waiting awake costs a CPU.
///
/// Rule      where the last turns that frames arrived in came within `spin` of each other on average,
///           the thread looks for five times that before it sleeps: a sender that was late once is
///           back to its pace. Traffic further apart is not waited for, once some ten packets have
///           shown that, and a train that ends is waited for once.
/// Threads   one owner.
#pragma once

#include <algorithm>

#include "base/clock.h"

namespace weir::pipeline {

class Patience {
 public:
  explicit Patience(Nanoseconds spin) noexcept : spin_(spin), gap_(spin * kGapMost) {}

  /// Frames arrived in the turn of `now`. What was judged meanwhile comes back in turns of its own,
  /// which say nothing of the traffic.
  void arrived(PacketTime now) noexcept {
    gap_ += (std::clamp(now - last_, Nanoseconds{}, spin_ * kGapMost) - gap_) / kTurns;
    last_ = now;
  }
  [[nodiscard]] bool waits(PacketTime now) const noexcept {
    return gap_ < spin_ && now - last_ < spin_ * kWaitMost;
  }

 private:
  static constexpr int kTurns = 8;     // the average is over about as many
  static constexpr int kGapMost = 4;   // times `spin`: no gap counts for more
  static constexpr int kWaitMost = 5;  // times `spin`

  Nanoseconds spin_;
  Nanoseconds gap_;  // on average
  PacketTime last_;
};

}  // namespace weir::pipeline
