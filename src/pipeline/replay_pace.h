// SPDX-License-Identifier: BSD-2-Clause
/// How fast a replay reads: as fast as it can, so many packets a second, or a multiple of the
/// capture's own speed.
///
/// Threads   one owner.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>

#include "base/clock.h"

namespace weir::pipeline {

struct Pace {
  double packets_per_s = 0;  ///< 0: not limited
  double speed = 0;          ///< packet time a real second; 0: not limited
};

class Pacer {
 public:
  explicit Pacer(Pace pace) : pace_(pace), limited_(pace.packets_per_s > 0 || pace.speed > 0) {}
  [[nodiscard]] bool limited() const noexcept { return limited_; }

  /// How long the next packet, number `n` from 0, must wait still. Not positive where it is due.
  Nanoseconds early(std::uint64_t n, PacketTime time) {
    const auto now = std::chrono::steady_clock::now();
    if (n == 0) {
      start_ = now;
      first_ = time;
    }
    double due_s = 0;
    if (pace_.packets_per_s > 0) due_s = static_cast<double>(n) / pace_.packets_per_s;
    if (pace_.speed > 0) due_s = std::max(due_s, seconds(time - first_) / pace_.speed);
    return Nanoseconds{static_cast<std::int64_t>(due_s * 1e9)} - (now - start_);
  }

 private:
  const Pace pace_;
  const bool limited_;
  std::chrono::steady_clock::time_point start_;
  PacketTime first_;
};

}  // namespace weir::pipeline
