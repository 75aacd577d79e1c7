// SPDX-License-Identifier: BSD-2-Clause
/// What happened when, over a replay: packets by their end, and blocks, in equal steps of packet
/// time.
///
/// Shape     at most `kStepsMax` steps; they start at a millisecond and double in length whenever
///           they would be more, so that any capture fits.
/// Order     a packet from before the first one counts in the first step; others where they belong.
/// Cost      a comparison a packet while time stays within a step.
/// Threads   one owner.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/clock.h"

namespace weir::pipeline {

struct TimelineStep {
  std::uint64_t packets = 0;
  std::uint64_t dropped_judged = 0;    ///< by policy
  std::uint64_t dropped_datapath = 0;  ///< by blocks
  std::uint64_t blocks = 0;            ///< that were made
};

class Timeline {
 public:
  static constexpr std::size_t kStepsMax = 512;

  /// The step of `time`. The first call's time is where the timeline starts.
  TimelineStep& at(PacketTime time) {
    // Before `from_`, too, and of a timeline that has not begun.
    if (time.ns - from_ >= open_ns_) [[unlikely]]
      go_to(time);
    return steps_[here_];
  }

  [[nodiscard]] const std::vector<TimelineStep>& steps() const noexcept { return steps_; }
  [[nodiscard]] PacketTime start() const noexcept { return start_; }
  [[nodiscard]] Nanoseconds step_length() const noexcept { return Nanoseconds{length_ns_}; }

 private:
  [[gnu::noinline]] void go_to(PacketTime time) {
    if (steps_.empty()) start_ = time;
    const std::int64_t since = std::max<std::int64_t>((time - start_).count(), 0);
    while (since / length_ns_ >= static_cast<std::int64_t>(kStepsMax)) halve();
    here_ = static_cast<std::size_t>(since / length_ns_);
    if (here_ >= steps_.size()) steps_.resize(here_ + 1);
    open_ns_ = static_cast<std::uint64_t>(length_ns_);
    from_ = start_.ns + here_ * open_ns_;
  }
  /// Half as many steps, twice as long.
  void halve() {
    for (std::size_t i = 0; i < steps_.size(); ++i) {
      const TimelineStep step = steps_[i];
      TimelineStep& to = steps_[i / 2];
      if (i % 2 == 0) to = {};
      to.packets += step.packets;
      to.dropped_judged += step.dropped_judged;
      to.dropped_datapath += step.dropped_datapath;
      to.blocks += step.blocks;
    }
    steps_.resize((steps_.size() + 1) / 2);
    length_ns_ *= 2;
  }

  std::vector<TimelineStep> steps_;
  PacketTime start_;
  std::int64_t length_ns_ = 1'000'000;
  // Of the present step:
  std::size_t here_ = 0;       // its number
  std::uint64_t from_ = 0;     // its first time
  std::uint64_t open_ns_ = 0;  // its length; 0 before there is one
};

}  // namespace weir::pipeline
