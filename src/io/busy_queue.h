// SPDX-License-Identifier: BSD-2-Clause
/// Patience with a queue that is in use (EBUSY): the kernel lets go of an ended process's sockets from
/// a work queue, after tens of ms; longer than 2 s means that somebody lives there.
#pragma once

#include <algorithm>
#include <chrono>
#include <thread>

namespace weir::io {

class BusyQueue {
 public:
  /// Sleeps until it is worth another try, twice as long each time; false where none is.
  [[nodiscard]] bool wait() {
    if (std::chrono::steady_clock::now() + pause_ > give_up_) return false;
    std::this_thread::sleep_for(pause_);
    pause_ = std::min(pause_ * 2, kLongest);
    return true;
  }

 private:
  static constexpr std::chrono::milliseconds kAtMost{2000};
  static constexpr std::chrono::milliseconds kLongest{100};

  const std::chrono::steady_clock::time_point give_up_ = std::chrono::steady_clock::now() + kAtMost;
  std::chrono::milliseconds pause_{1};
};

}  // namespace weir::io
