// SPDX-License-Identifier: BSD-2-Clause
#include "base/histogram.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

namespace weir {
namespace {

TEST(Histogram, QuantilesAreAtMostASixteenthTooLong) {
  rc::check([] {
    const auto exponents = *rc::gen::nonEmpty<std::vector<std::uint8_t>>();
    std::vector<std::int64_t> all;
    DurationHistogram histogram;
    for (const auto e : exponents) {
      const std::int64_t ns = (std::int64_t{1} << (e % 50U)) + e * 37;
      all.push_back(ns);
      histogram.add(Nanoseconds{ns});
    }
    std::sort(all.begin(), all.end());
    RC_ASSERT(histogram.count() == all.size());
    for (const double share : {0.5, 0.99, 1.0}) {
      const auto place = static_cast<std::size_t>(
          std::max(1.0, std::ceil(share * static_cast<double>(all.size()))));
      const std::int64_t exact = all[place - 1];
      const std::int64_t found = histogram.quantile(share).count();
      RC_ASSERT(found >= exact);
      RC_ASSERT(static_cast<double>(found) <= static_cast<double>(exact) * 1.0625);
    }
  });
}

TEST(Histogram, IsZeroWhereNothingWasAdded) {
  EXPECT_EQ(DurationHistogram{}.quantile(0.5).count(), 0);
}

}  // namespace
}  // namespace weir
