// SPDX-License-Identifier: BSD-2-Clause
#include "base/nearest.h"

#include <gtest/gtest.h>

namespace weir {
namespace {

TEST(Nearest, FindsTypingErrorsAndNothingElse) {
  const std::string_view names[] = {"run", "check", "status", "block", "allow", "detach"};
  EXPECT_EQ(nearest("chekc", names), "check");
  EXPECT_EQ(nearest("stauts", names), "status");
  EXPECT_EQ(nearest("blok", names), "block");
  EXPECT_EQ(nearest("explain", names), "");
  EXPECT_EQ(nearest("x", names), "");
  EXPECT_EQ(nearest("", names), "");
  EXPECT_EQ(did_you_mean("rnu", names), "; did you mean run?");
}

}  // namespace
}  // namespace weir
