// SPDX-License-Identifier: BSD-2-Clause
#pragma once

#include <cstddef>

namespace weir {

/// Gives memory that nobody has written yet its pages now, so that no later write waits for one: a
/// fault costs 1 to 6 us, the latter in a virtual machine. What stands there stays. Nothing
/// happens where memory is short: later writes wait, as they would have.
/// Source: madvise(2), MADV_POPULATE_WRITE (Linux 5.14); older kernels have each page written to.
void populate(void* memory, std::size_t bytes) noexcept;

}  // namespace weir
