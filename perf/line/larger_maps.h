// SPDX-License-Identifier: BSD-2-Clause
/// A program's BPF object with room for more in its maps: for peers whose tables have a fixed size.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"

namespace weir::perf {

/// Copies the object file `from` to `to`, its maps of `entries` entries with room for
/// `more_entries`; all else stays, the code too. BTF-defined maps (libbpf): their `max_entries` is the
/// length of an array type.
Status with_larger_maps(const std::string& from, const std::string& to, std::uint32_t entries,
                        std::uint32_t more_entries);

}  // namespace weir::perf
