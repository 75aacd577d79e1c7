// SPDX-License-Identifier: BSD-2-Clause
/// How many different things were seen lately, in a few words of memory: linear counting over two
/// generations.
///
///   estimate = -m * ln(empty / m)      m bits, of which `empty` are clear in both generations
///
/// Shape     `Words` 64-bit words a generation; a generation lasts 2^33 ns (8.6 s), so the estimate
///           covers the last 8.6 to 17.2 s.
/// Cost      nothing but the bit: how many are set is counted as they are set.
/// Accuracy  a few percent up to m items; it cannot exceed `kMost` (m = 256: 1,419; m = 64: 266),
///           where it stands for "at least that many". tests/detect/window_test.cpp measures it.
/// Exactness logarithms come from a table that is built once, in double: the same on every machine
///           to the float they are rounded to.
/// Threads   values.
/// Source    Whang et al., "A linear-time probabilistic counting algorithm", TODS 1990.
#pragma once

#include <array>
#include <cmath>
#include <cstdint>

#include "base/clock.h"
#include "detect/window.h"

namespace weir::detect {

template <unsigned Words>
class DistinctSketch {
 public:
  static constexpr unsigned kBits = Words * 64;

  /// Adds the thing with this hash; returns the estimate.
  float add(PacketTime now, std::uint64_t hash) noexcept {
    advance(now);
    const auto bit = static_cast<unsigned>(hash >> 40U) % kBits;
    const std::uint32_t mask = 1U << (bit % 32);
    const unsigned word = bit / 32;
    set_ = static_cast<std::uint16_t>(set_ + (((current_[word] | previous_[word]) & mask) == 0));
    current_[word] |= mask;
    return estimate();
  }
  /// The estimate at `now`, without adding.
  float at(PacketTime now) noexcept {
    advance(now);
    return estimate();
  }

 private:
  static constexpr unsigned kGenerationShift = 33;
  using Bits = std::array<std::uint32_t, std::size_t{Words} * 2>;

  void advance(PacketTime now) noexcept {
    const auto generation = static_cast<std::uint16_t>(now.ns >> kGenerationShift);
    const auto passed = static_cast<std::uint16_t>(generation - generation_);
    if (passed == 0 || passed >= kBehind) return;  // also a packet from before
    previous_ = passed == 1 ? current_ : Bits{};
    current_ = {};
    generation_ = generation;
    set_ = 0;
    for (const std::uint32_t word : previous_)
      set_ = static_cast<std::uint16_t>(set_ + SecondsSeen::ones(word));
  }

  [[nodiscard]] float estimate() const noexcept { return kEstimates[set_]; }

  static inline const std::array<float, kBits + 1> kEstimates = [] {
    std::array<float, kBits + 1> t{};
    for (unsigned set = 0; set <= kBits; ++set) {
      const double empty = set < kBits ? kBits - set : 1.0;  // full: as if one were left
      t[set] = static_cast<float>(std::round(-16.0 * kBits * std::log(empty / kBits)) / 16.0 +
                                  0.0);  // no -0
    }
    return t;
  }();

  /// Generations are counted modulo 2^16 (6.5 days); one that seems to be up to two minutes old is
  /// that of a packet out of order.
  static constexpr std::uint16_t kBehind = 0xffff - 14;

  Bits current_{};
  Bits previous_{};
  std::uint16_t generation_ = 0;
  std::uint16_t set_ = 0;  // bits that are set in either generation
};

}  // namespace weir::detect
