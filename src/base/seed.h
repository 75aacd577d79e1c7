// SPDX-License-Identifier: BSD-2-Clause
/// A seed that strangers do not know, for the hash of a table that strangers fill: they choose what
/// is in it, and must not choose where it lands.
#pragma once

#include <cstdint>

namespace weir {

/// From the kernel's generator (getrandom); never 0.
std::uint64_t random_seed() noexcept;

}  // namespace weir
