// SPDX-License-Identifier: BSD-2-Clause
// When an I/O thread waits for packets awake. Times are given, none is measured.
#include "pipeline/patience.h"

#include <gtest/gtest.h>

namespace weir::pipeline {
namespace {

using std::chrono::microseconds;
using std::chrono::seconds;

class PatienceTest : public testing::Test {
 protected:
  /// `times` packets, each `gap` after the one before.
  void packets(int times, Nanoseconds gap) {
    for (int i = 0; i < times; ++i) {
      now_ = now_ + gap;
      patience_.arrived(now_);
    }
  }
  [[nodiscard]] bool waits(Nanoseconds after = Nanoseconds{}) const {
    return patience_.waits(now_ + after);
  }

  PacketTime now_{std::chrono::nanoseconds(seconds(100)).count()};
  Patience patience_{microseconds(200)};
};

TEST_F(PatienceTest, SleepsUntilItHasSeenATrain) {
  EXPECT_FALSE(waits());
  packets(1, seconds(1));
  EXPECT_FALSE(waits());
  packets(50, microseconds(100));
  EXPECT_TRUE(waits());
}

TEST_F(PatienceTest, WaitsForASenderThatWasLateOnce) {
  packets(50, microseconds(100));
  EXPECT_TRUE(waits(microseconds(900))) << "late";
  packets(1, seconds(3));
  EXPECT_TRUE(waits(microseconds(100))) << "late, and back: however late, it was one of many";
}

TEST_F(PatienceTest, SleepsOnceATrainHasEnded) {
  packets(50, microseconds(100));
  EXPECT_FALSE(waits(microseconds(1'000)));
}

TEST_F(PatienceTest, DoesNotWaitForTrafficFurtherApart) {
  packets(50, microseconds(100));
  packets(10, microseconds(250));
  for (int i = 0; i < 100; ++i) {
    packets(1, microseconds(250));
    ASSERT_FALSE(waits());
  }
}

TEST_F(PatienceTest, OfNoneIsNone) {
  patience_ = Patience(Nanoseconds{});
  for (int i = 0; i < 100; ++i) {
    packets(1, Nanoseconds{});
    ASSERT_FALSE(waits());
  }
}

}  // namespace
}  // namespace weir::pipeline
