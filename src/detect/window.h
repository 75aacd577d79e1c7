// SPDX-License-Identifier: BSD-2-Clause
/// Counts that fade: "how many in about the last half-life?" in four bytes a count.
///
///   value(t) = sum over events i of weight_i * 2^-((t - t_i) / half_life)
///
/// Shape     a `FadeClock` in each table entry says up to when its counts have faded; the counts
///           are plain floats, multiplied by `Factors` when the clock moves on. Nothing allocates.
/// Units     time: packet time, in ticks of 2^20 ns (1.05 ms). Half-lives: short 2^10 ticks
///           (1.07 s), long 2^15 ticks (34 s). A steady rate of r a second reads as 1.55 r in a
///           short window and as 50 r in a long one.
/// Cost      within one tick, where a flood spends its time, nothing at all; else one
///           multiplication a count.
/// Order     an event older than the clock counts as one of now: no error, no loss.
/// Accuracy  within one tick's fading (0.07 % short, 0.002 % long) of the sum above:
///           tests/detect/window_test.cpp, FadesLikeTheSum.
/// Exactness factors are products of constants that the compiler computed, so that every machine
///           fades alike (a libm's exp2 differs between CPUs) and a replay is bit for bit the same.
/// Threads   values.
/// Source    Cormode et al., "Forward decay", ICDE 2009 (the weights; not its sampling part).
#pragma once

#include <array>
#include <cstdint>

#include "base/clock.h"

namespace weir::detect {

inline constexpr unsigned kTickShift = 20;
inline constexpr double kShortHalfLife_s = static_cast<double>(1ULL << (kTickShift + 10U)) * 1e-9;
inline constexpr double kLongHalfLife_s = static_cast<double>(1ULL << (kTickShift + 15U)) * 1e-9;

constexpr std::uint64_t tick(PacketTime time) noexcept { return time.ns >> kTickShift; }

namespace detail {
constexpr double square_root(double x) noexcept {  // Newton; x in [0.5, 1]
  double root = x;
  for (int i = 0; i < 32; ++i) root = 0.5 * (root + x / root);
  return root;
}

/// 2^-(i * step / 2^15) for i in [0, N), built from repeated square roots of one half.
template <std::size_t N>
constexpr std::array<float, N> powers(unsigned step_log2) noexcept {
  std::array<double, 16> root{};  // root[k] = 2^-(2^-k)
  root[0] = 0.5;
  for (std::size_t k = 1; k < root.size(); ++k) root[k] = square_root(root[k - 1]);
  std::array<float, N> table{};
  for (std::size_t i = 0; i < N; ++i) {
    double product = 1;
    for (unsigned bit = 0; (std::size_t{1} << bit) < N; ++bit) {
      if (((i >> bit) & 1U) != 0) product *= root[15U - step_log2 - bit];
    }
    table[i] = static_cast<float>(product);
  }
  return table;
}
inline constexpr std::array<float, 256> kFine = powers<256>(0);
inline constexpr std::array<float, 128> kCoarse = powers<128>(8);
inline constexpr std::array<float, 32> kWhole = [] {
  std::array<float, 32> table{};
  float value = 1;
  for (float& entry : table) {
    entry = value;
    value *= 0.5F;
  }
  return table;
}();
}  // namespace detail

/// 2^-(x / 2^15); zero from 32 half-lives on.
constexpr float fade(std::uint64_t x) noexcept {
  const std::uint64_t whole = x >> 15U;
  if (whole >= detail::kWhole.size()) return 0;
  return detail::kWhole[whole] * detail::kCoarse[(x >> 8U) & 127U] * detail::kFine[x & 255U];
}

/// What the counts are to be multiplied with, and how far the clock moved.
struct Factors {
  float short_window = 1;
  float long_window = 1;
  bool changed = false;             ///< false: both are one
  std::uint32_t ticks = 0;          ///< since the latest event before
  std::uint32_t seconds_begun = 0;  ///< of `SecondsSeen`, since then
};

/// Four bytes an entry: ticks modulo 2^32 (52 days). `begin` it with the entry.
class FadeClock {
 public:
  void begin(PacketTime now) noexcept { tick_ = static_cast<std::uint32_t>(tick(now)); }

  /// Moves on to `now` and returns what the counts are to be multiplied with.
  Factors advance(PacketTime now) noexcept {
    const auto to = static_cast<std::uint32_t>(tick(now));
    const std::uint32_t passed = to - tick_;
    if (passed == 0 || passed > 0 - kBehindMost) return {};  // also a packet from before
    const std::uint32_t seconds_begun = (to >> 10U) - (tick_ >> 10U);
    tick_ = to;
    return {fade(std::uint64_t{passed} << 5U), fade(passed), true, passed, seconds_begun};
  }
  [[nodiscard]] std::uint32_t ticks() const noexcept { return tick_; }

 private:
  /// A packet that seems to be older than this (18 minutes) is from 52 days later.
  static constexpr std::uint32_t kBehindMost = 1U << 20U;
  std::uint32_t tick_ = 0;
};

/// In how many of the last 64 "seconds" (2^10 ticks, 1.07 s) something happened: a steady drip
/// fills them, bursts minutes apart do not, whatever their rate.
class SecondsSeen {
 public:
  void advance(std::uint32_t seconds_begun) noexcept {
    bits_ = seconds_begun < 64 ? bits_ << seconds_begun : 0;
  }
  void mark() noexcept { bits_ |= 1; }
  [[nodiscard]] float count() const noexcept { return static_cast<float>(ones(bits_)); }

  /// The set bits; a CPU's own instruction for that is not asked for, and the compiler's stand-in
  /// is a call.
  static constexpr unsigned ones(std::uint64_t x) noexcept {
    x -= (x >> 1U) & 0x5555555555555555ULL;
    x = (x & 0x3333333333333333ULL) + ((x >> 2U) & 0x3333333333333333ULL);
    x = (x + (x >> 4U)) & 0x0f0f0f0f0f0f0f0fULL;
    return static_cast<unsigned>((x * 0x0101010101010101ULL) >> 56U);
  }

 private:
  std::uint64_t bits_ = 0;
};

}  // namespace weir::detect
