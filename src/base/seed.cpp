// SPDX-License-Identifier: BSD-2-Clause
#include "base/seed.h"

#include <sys/random.h>

#include "base/clock.h"

namespace weir {

std::uint64_t random_seed() noexcept {
  std::uint64_t seed = 0;
  // Fails only where a sandbox forbids the call; the clock is then better than a constant.
  if (getrandom(&seed, sizeof seed, 0) != sizeof seed) seed = monotonic_now().ns;
  return seed | 1U;
}

}  // namespace weir
