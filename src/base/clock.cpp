// SPDX-License-Identifier: BSD-2-Clause
#include "base/clock.h"

#include <ctime>

namespace weir {

PacketTime monotonic_now() noexcept {
  timespec t{};
  clock_gettime(CLOCK_MONOTONIC, &t);
  return {static_cast<std::uint64_t>(t.tv_sec) * 1'000'000'000U +
          static_cast<std::uint64_t>(t.tv_nsec)};
}

}  // namespace weir
