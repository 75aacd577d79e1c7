// SPDX-License-Identifier: BSD-2-Clause
/// Random numbers that are the same on every machine: the standard's distributions are not, nor is
/// a libm's logarithm. A call whose arguments draw twice is not either: compilers evaluate them in an order of their own.
///
/// Source    xoshiro256** by Blackman and Vigna, seeded by splitmix64.
/// Threads   values.
#pragma once

#include <array>
#include <bit>
#include <cstdint>

namespace weir::synth {

class Random {
 public:
  explicit Random(std::uint64_t seed) noexcept {
    for (std::uint64_t& word : state_) {
      seed += 0x9e3779b97f4a7c15ULL;
      std::uint64_t z = seed;
      z = (z ^ (z >> 30U)) * 0xbf58476d1ce4e5b9ULL;
      z = (z ^ (z >> 27U)) * 0x94d049bb133111ebULL;
      word = z ^ (z >> 31U);
    }
  }
  std::uint64_t next() noexcept {
    const std::uint64_t result = std::rotl(state_[1] * 5, 7) * 9;
    const std::uint64_t t = state_[1] << 17U;
    state_[2] ^= state_[0];
    state_[3] ^= state_[1];
    state_[1] ^= state_[2];
    state_[0] ^= state_[3];
    state_[2] ^= t;
    state_[3] = std::rotl(state_[3], 45);
    return result;
  }
  /// From 0 to `bound` - 1; `bound` at least 1.
  std::uint32_t below(std::uint32_t bound) noexcept {
    return static_cast<std::uint32_t>(((next() >> 32U) * bound) >> 32U);
  }
  /// From `low` to `high`, both included.
  std::uint32_t between(std::uint32_t low, std::uint32_t high) noexcept {
    return low + below(high - low + 1);
  }
  /// In [0, 1).
  double real() noexcept { return static_cast<double>(next() >> 11U) * 0x1.0p-53; }
  double real(double low, double high) noexcept { return low + (high - low) * real(); }
  bool chance(double probability) noexcept { return real() < probability; }

 private:
  std::array<std::uint64_t, 4> state_{};
};

}  // namespace weir::synth
