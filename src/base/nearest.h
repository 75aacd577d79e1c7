// SPDX-License-Identifier: BSD-2-Clause
/// "Did you mean ...?": the known name that is nearest to a mistyped one.
///
/// Source    Levenshtein's distance with swaps of neighbours (optimal string alignment).
/// Threads   pure functions.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace weir {

/// The nearest of `names`; empty where none is within a third of the word's length: a farther guess
/// only confuses.
[[nodiscard]] std::string_view nearest(std::string_view word,
                                       std::span<const std::string_view> names);
/// "; did you mean NAME?", or nothing.
[[nodiscard]] std::string did_you_mean(std::string_view word,
                                       std::span<const std::string_view> names);

}  // namespace weir
