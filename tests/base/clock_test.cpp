// SPDX-License-Identifier: BSD-2-Clause
#include "base/clock.h"

#include <gtest/gtest.h>

namespace weir {
namespace {

TEST(PacketTime, DistancesKeepTheirSignAndSaturate) {
  constexpr std::uint64_t kLast = ~std::uint64_t{0};
  EXPECT_EQ(PacketTime{7} - PacketTime{5}, Nanoseconds(2));
  EXPECT_EQ(PacketTime{5} - PacketTime{7}, Nanoseconds(-2));
  EXPECT_EQ(PacketTime{kLast} - PacketTime{kLast - 1}, Nanoseconds(1));
  EXPECT_EQ(PacketTime{kLast} - PacketTime{0}, Nanoseconds::max());
  EXPECT_EQ(PacketTime{0} - PacketTime{kLast}, -Nanoseconds::max());
  EXPECT_EQ(PacketTime{1ULL << 63U} - PacketTime{0}, Nanoseconds::max());
}

}  // namespace
}  // namespace weir
