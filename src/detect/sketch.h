// SPDX-License-Identifier: BSD-2-Clause
/// How many different things were seen lately, in a few words of memory: linear counting over two
/// generations.
///
///   estimate = -m * ln(empty / m)      m bits, of which `empty` are clear in both generations
///
/// Shape     `Words` 64-bit words a generation; a generation lasts 2^33 ns (8.6 s), so the estimate
///           covers the last 8.6 to 17.2 s.
/// Accuracy  a few percent up to m items; it cannot exceed `kMost` (m = 256: 1,419; m = 64: 266),
///           where it stands for "at least that many". tests/detect/window_test.cpp measures it.
/// Exactness logarithms come from a table that is built once, in double: the same on every machine
///           to the float they are rounded to.
/// Threads   values.
/// Source    Whang et al., "A linear-time probabilistic counting algorithm", TODS 1990.
#pragma once

#include <array>
#include <bit>
#include <cmath>
#include <cstdint>

#include "base/clock.h"

namespace weir::detect {

template <unsigned Words>
class DistinctSketch {
 public:
  static constexpr unsigned kBits = Words * 64;

  /// Adds the thing with this hash; returns the estimate.
  float add(PacketTime now, std::uint64_t hash) noexcept {
    advance(now);
    const auto bit = static_cast<unsigned>(hash >> 40U) % kBits;
    current_[bit / 64] |= 1ULL << (bit % 64);
    return estimate();
  }
  /// The estimate at `now`, without adding.
  float at(PacketTime now) noexcept {
    advance(now);
    return estimate();
  }

 private:
  static constexpr unsigned kGenerationShift = 33;

  void advance(PacketTime now) noexcept {
    const auto generation = static_cast<std::uint32_t>(now.ns >> kGenerationShift);
    const auto passed = static_cast<std::int32_t>(generation - generation_);
    if (passed <= 0) return;  // also a packet from before
    previous_ = passed == 1 ? current_ : std::array<std::uint64_t, Words>{};
    current_ = {};
    generation_ = generation;
  }

  [[nodiscard]] float estimate() const noexcept {
    int set = 0;
    for (unsigned i = 0; i < Words; ++i) set += std::popcount(current_[i] | previous_[i]);
    return table()[static_cast<std::size_t>(set)];
  }

  static const std::array<float, kBits + 1>& table() noexcept {
    static const std::array<float, kBits + 1> values = [] {
      std::array<float, kBits + 1> t{};
      for (unsigned set = 0; set <= kBits; ++set) {
        const double empty = set < kBits ? kBits - set : 1.0;  // full: as if one were left
        t[set] = static_cast<float>(std::round(-16.0 * kBits * std::log(empty / kBits)) / 16.0);
      }
      return t;
    }();
    return values;
  }

  std::array<std::uint64_t, Words> current_{};
  std::array<std::uint64_t, Words> previous_{};
  std::uint32_t generation_ = 0;
};

}  // namespace weir::detect
