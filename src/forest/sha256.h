// SPDX-License-Identifier: BSD-2-Clause
/// SHA-256 (FIPS 180-4) of bytes in memory: the name of a model file, and its check of itself.
/// It guards against damage and mix-up; a model's author is not proven by it.
#pragma once

#include <string>
#include <string_view>

namespace weir::forest {
/// 64 lower-case hex digits.
std::string sha256(std::string_view bytes);
}  // namespace weir::forest
