// SPDX-License-Identifier: BSD-2-Clause
/// Durations by size: how long things took, with quantiles to 1/16.
///
/// Shape     64 octaves of 16 steps; nothing allocates after the constructor.
/// Units     ns.
/// Threads   one thread adds; any thread reads (relaxed: a reader may miss the latest).
/// Accuracy  a quantile is the upper end of its step: at most 6.25 % too long.
#pragma once

#include <array>
#include <atomic>
#include <bit>
#include <cstdint>

#include "base/clock.h"

namespace weir {

class DurationHistogram {
 public:
  /// `times` things took `duration` each.
  void add(Nanoseconds duration, std::uint64_t times = 1) noexcept {
    const auto ns = duration.count() > 0 ? static_cast<std::uint64_t>(duration.count()) : 0;
    auto& step = steps_[step_of(ns)];
    step.store(step.load(std::memory_order_relaxed) + times, std::memory_order_relaxed);
    count_.store(count_.load(std::memory_order_relaxed) + times, std::memory_order_relaxed);
  }

  [[nodiscard]] std::uint64_t count() const noexcept {
    return count_.load(std::memory_order_relaxed);
  }

  /// The duration that `share` (0 to 1) of all are not longer than; 0 where there are none.
  [[nodiscard]] Nanoseconds quantile(double share) const noexcept {
    const double wanted = share * static_cast<double>(count());
    std::uint64_t seen = 0;
    std::size_t last = 0;
    for (std::size_t i = 0; i < steps_.size(); ++i) {
      const std::uint64_t here = steps_[i].load(std::memory_order_relaxed);
      if (here == 0) continue;
      seen += here;
      last = i;
      if (static_cast<double>(seen) >= wanted) break;
    }
    return Nanoseconds{seen == 0 ? 0 : static_cast<std::int64_t>(upper_end(last))};
  }

 private:
  static constexpr unsigned kStepBits = 4;
  static constexpr std::uint64_t kSteps = 1U << kStepBits;

  static std::size_t step_of(std::uint64_t ns) noexcept {
    if (ns < kSteps) return static_cast<std::size_t>(ns);
    const auto octave = static_cast<unsigned>(std::bit_width(ns)) - 1 - kStepBits;
    return static_cast<std::size_t>((octave + 1) * kSteps + ((ns >> octave) - kSteps));
  }
  static std::uint64_t upper_end(std::size_t step) noexcept {
    if (step < kSteps) return step;
    const std::size_t octave = step / kSteps - 1;
    return ((kSteps + step % kSteps + 1) << octave) - 1;
  }

  std::array<std::atomic<std::uint64_t>, 61 * kSteps> steps_{};  // 64 bits: octaves 0 to 59
  std::atomic<std::uint64_t> count_{0};
};

}  // namespace weir
