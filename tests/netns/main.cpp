// SPDX-License-Identifier: BSD-2-Clause
// The tests of the whole box. Mounts of their own come first: no thread may be there before them.
#include <gtest/gtest.h>

#include "appliance.h"

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  weir::test::missing_privilege();
  return RUN_ALL_TESTS();
}
