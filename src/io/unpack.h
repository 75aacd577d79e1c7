// SPDX-License-Identifier: BSD-2-Clause
/// Compressed captures, unpacked into memory: gzip (RFC 1952) and zstd (RFC 8878), each of one or
/// several members or frames.
///
/// Limits    `unpacked_max_bytes`: half of the machine's memory, 16 GiB at most; what would be
///           larger is refused with the command that unpacks it into a file.
/// Errors    the rest of a sentence that starts with the capture's name; nothing is kept then.
/// Inside of io/capture.h; nobody else includes this.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "base/result.h"
#include "io/mapping.h"

namespace weir::io::detail {

enum class Packing : std::uint8_t { none, gzip, zstd };
/// By the magic number in front.
Packing packing_of(std::span<const std::uint8_t> file) noexcept;

std::size_t unpacked_max_bytes() noexcept;

/// `file` is of this packing, which is not `none`.
Result<Mapping> unpack(std::span<const std::uint8_t> file, Packing packing,
                       std::size_t max_bytes = unpacked_max_bytes());

}  // namespace weir::io::detail
