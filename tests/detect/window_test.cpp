// SPDX-License-Identifier: BSD-2-Clause
#include "detect/window.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <vector>

#include "detect/sketch.h"

namespace weir::detect {
namespace {

constexpr PacketTime kBegin{1'767'225'600'000'000'000ULL};

TEST(Window, FadesLikeTheSum) {
  std::mt19937_64 random(7);
  FadeClock clock;
  float short_count = 0;
  float long_count = 0;
  double short_sum = 0;
  double long_sum = 0;
  double last_s = 0;
  double now_s = 0;
  for (int i = 0; i < 20'000; ++i) {
    const double gap_s = static_cast<double>(random() % 1'000'000) * (i % 100 == 0 ? 3e-6 : 1e-8);
    now_s += gap_s;
    const PacketTime now = kBegin + Nanoseconds(static_cast<std::int64_t>(now_s * 1e9));
    const Factors f = clock.advance(now);
    short_count = short_count * f.short_window + 1;
    long_count = long_count * f.long_window + 1;
    short_sum = short_sum * std::exp2(-(now_s - last_s) / kShortHalfLife_s) + 1;
    long_sum = long_sum * std::exp2(-(now_s - last_s) / kLongHalfLife_s) + 1;
    last_s = now_s;
    ASSERT_NEAR(short_count, short_sum, short_sum * 0.002 + 0.001) << i;
    ASSERT_NEAR(long_count, long_sum, long_sum * 0.002 + 0.001) << i;
  }
  EXPECT_GT(long_sum, 1'000) << "the test must reach counts that matter";
}

TEST(Window, FadeIsAPowerOfTwo) {
  for (const std::uint64_t x :
       {0ULL, 1ULL, 255ULL, 256ULL, 32'767ULL, 32'768ULL, 98'304ULL, 500'000ULL}) {
    const double expected = std::exp2(-static_cast<double>(x) / 32'768);
    EXPECT_NEAR(fade(x), expected, expected * 1e-6) << x;
  }
  EXPECT_EQ(fade(32U * 32'768U), 0);
  EXPECT_EQ(fade(~0ULL), 0);
}

TEST(Window, TimeThatGoesBackChangesNothing) {
  FadeClock clock;
  clock.advance(kBegin + std::chrono::seconds(10));
  EXPECT_FALSE(clock.advance(kBegin).changed);
  EXPECT_FALSE(clock.advance(kBegin + std::chrono::seconds(10)).changed);
  EXPECT_TRUE(clock.advance(kBegin + std::chrono::seconds(11)).changed);
}

std::uint64_t hash_of(std::uint64_t i) {
  std::mt19937_64 random(i);
  return random();
}

TEST(Sketch, CountsDifferentThings) {
  for (const unsigned count : {1U, 10U, 50U, 100U, 250U, 500U}) {
    DistinctSketch<4> sketch;
    float estimate = 0;
    for (unsigned repeat = 0; repeat < 3; ++repeat) {
      for (unsigned i = 0; i < count; ++i) estimate = sketch.add(kBegin, hash_of(i));
    }
    EXPECT_NEAR(estimate, count, 1 + count * 0.2) << count;
  }
}

TEST(Sketch, SaturatesAndForgets) {
  DistinctSketch<4> sketch;
  for (unsigned i = 0; i < 100'000; ++i) sketch.add(kBegin, hash_of(i));
  const float most = sketch.at(kBegin);
  EXPECT_GT(most, 1'400);
  EXPECT_LT(most, 1'420);
  EXPECT_EQ(sketch.at(kBegin + std::chrono::seconds(1)), most);
  EXPECT_EQ(sketch.at(kBegin + std::chrono::seconds(20)), 0);
}

}  // namespace
}  // namespace weir::detect
