// SPDX-License-Identifier: BSD-2-Clause
#include "base/ring.h"

#include <gtest/gtest.h>

#include <thread>

namespace weir {
namespace {

TEST(SpscRing, IsBoundedAndKeepsOrder) {
  SpscRing<int> ring(3);
  EXPECT_EQ(ring.capacity(), 4U);
  for (int i = 0; i < 4; ++i) EXPECT_TRUE(ring.push(i));
  EXPECT_FALSE(ring.push(4));
  int value = -1;
  for (int i = 0; i < 4; ++i) {
    ASSERT_TRUE(ring.pop(value));
    EXPECT_EQ(value, i);
  }
  EXPECT_FALSE(ring.pop(value));
}

TEST(SpscRing, LosesNothingBetweenTwoThreads) {
  constexpr int kCount = 200'000;
  SpscRing<int> ring(64);
  std::thread producer([&] {
    for (int i = 0; i < kCount; ++i) {
      while (!ring.push(i)) std::this_thread::yield();
    }
  });
  int value = 0;
  for (int i = 0; i < kCount; ++i) {
    while (!ring.pop(value)) std::this_thread::yield();
    ASSERT_EQ(value, i);
  }
  producer.join();
  EXPECT_FALSE(ring.pop(value));
}

}  // namespace
}  // namespace weir
