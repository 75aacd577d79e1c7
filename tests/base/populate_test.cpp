// SPDX-License-Identifier: BSD-2-Clause
#include "base/populate.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <vector>

namespace weir {
namespace {

TEST(Populate, EveryPageOfTheRangeIsThereAndWhatStandsInItStays) {
  constexpr std::size_t kPages = 64;
  const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  void* const memory = mmap(nullptr, kPages * page, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  ASSERT_NE(memory, MAP_FAILED);
  madvise(memory, kPages * page, MADV_NOHUGEPAGE);
  auto* const bytes = static_cast<std::uint8_t*>(memory);
  const auto resident = [&] {
    std::vector<unsigned char> pages(kPages);
    EXPECT_EQ(mincore(memory, kPages * page, pages.data()), 0);
    return std::count_if(pages.begin(), pages.end(), [](unsigned char p) { return (p & 1U) != 0; });
  };
  bytes[5 * page + 7] = 42;
  EXPECT_EQ(resident(), 1);
  // From the middle of the second page to the first byte of the last but one.
  populate(bytes + page + page / 2, (kPages - 3) * page - page / 2 + 1);
  EXPECT_EQ(resident(), static_cast<std::ptrdiff_t>(kPages - 2));
  EXPECT_EQ(bytes[5 * page + 7], 42);
  EXPECT_EQ(std::count(bytes, bytes + kPages * page, 0),
            static_cast<std::ptrdiff_t>(kPages * page - 1));
  populate(bytes, 0);
  munmap(memory, kPages * page);
}

}  // namespace
}  // namespace weir
