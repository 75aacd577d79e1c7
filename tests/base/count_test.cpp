// SPDX-License-Identifier: BSD-2-Clause
#include "base/count.h"

#include <gtest/gtest.h>

#include <thread>

namespace weir {
namespace {

TEST(Published, IsReadWhole) {
  struct Pair {
    std::array<std::uint32_t, 7> values;  // not a whole number of words
  };
  constexpr std::uint32_t kLast = 200'000;
  Published<Pair> pair({});
  std::thread writer([&] {
    for (std::uint32_t i = 1; i <= kLast; ++i) {
      Pair next{};
      next.values.fill(i);
      pair.write(next);
    }
  });
  std::uint32_t seen = 0;
  while (seen < kLast) {
    const Pair got = pair.read();
    for (const std::uint32_t value : got.values) ASSERT_EQ(value, got.values[0]);
    ASSERT_GE(got.values[0], seen);
    seen = got.values[0];
  }
  writer.join();
}

TEST(Count, Adds) {
  Count count;
  count.add(3);
  count.add(4);
  EXPECT_EQ(count.value(), 7U);
}

}  // namespace
}  // namespace weir
