// SPDX-License-Identifier: BSD-2-Clause
#include "base/fd.h"

#include <fcntl.h>
#include <gtest/gtest.h>

namespace weir {
namespace {

bool is_open(int fd) { return fcntl(fd, F_GETFD) >= 0; }
int fresh() { return open("/dev/null", O_RDONLY | O_CLOEXEC); }

TEST(Fd, ClosesWhatItHoldsOnce) {
  const int first = fresh();
  const int second = fresh();
  {
    Fd fd(first);
    EXPECT_TRUE(fd);
    Fd moved(std::move(fd));
    EXPECT_EQ(moved.get(), first);
    moved = Fd(second);  // the first is closed
    EXPECT_FALSE(is_open(first));
    EXPECT_TRUE(is_open(second));
  }
  EXPECT_FALSE(is_open(second));
}

TEST(Fd, ReleasesAndTakes) {
  const int first = fresh();
  Fd fd(first);
  EXPECT_EQ(fd.release(), first);
  EXPECT_FALSE(fd);
  fd.reset(first);
  fd.reset();
  EXPECT_FALSE(is_open(first));
}

}  // namespace
}  // namespace weir
