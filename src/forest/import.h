// SPDX-License-Identifier: BSD-2-Clause
/// Reads a model file, by content and not by name.
///
/// Errors    one sentence with file, position and reason; nothing partial is returned.
/// Limits    stated and enforced here, before anything is allocated for a file's own claims.
/// Threads   pure functions.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "forest/model.h"

namespace weir::forest {

inline constexpr std::size_t kModelFile_bytes = 256U << 20U;  ///< larger files are refused unread
inline constexpr std::size_t kNodesMax = 8U << 20U;
inline constexpr std::size_t kTreesMax = 10'000;
inline constexpr std::size_t kLeavesPerTreeMax = 65'535;
inline constexpr std::size_t kDepthMax = 4'096;
inline constexpr std::size_t kFeaturesMax = 4'096;

Result<Model> load_model(const std::string& path);
/// The same from memory; `name` stands in for the path in errors.
Result<Model> parse_model(std::string_view bytes, const std::string& name);

}  // namespace weir::forest
