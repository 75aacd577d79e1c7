// SPDX-License-Identifier: BSD-2-Clause
/// Reads a model file, by content and not by name.
///
/// Formats   weir JSON (README.md here), ONNX, XGBoost JSON and UBJSON, LightGBM text, PMML.
///           A pickle is refused: reading one runs code. scripts/export_sklearn.py writes weir
///           JSON.
/// Errors    one sentence with file, position and reason; nothing partial is returned. What a
///           format can say and weir cannot evaluate exactly is refused by its name.
/// Limits    below; enforced before anything is allocated for a file's own claims.
/// Threads   pure functions.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "base/result.h"
#include "forest/model.h"

namespace weir::forest {

/// Larger files are refused unread. A parsed text takes up to ten times its size while it is read.
inline constexpr std::size_t kModelFile_bytes = 128U << 20U;
inline constexpr std::size_t kNodesMax = 4U << 20U;
inline constexpr std::size_t kValuesMax = 16U << 20U;
inline constexpr std::size_t kTreesMax = 10'000;
inline constexpr std::size_t kLeavesPerTreeMax = 65'535;
inline constexpr std::size_t kDepthMax = 4'096;
inline constexpr std::size_t kFeaturesMax = 4'095;
inline constexpr std::size_t kClassesMax = 256;
inline constexpr std::size_t kNameMax_bytes = 256;
inline constexpr int kNestingMax = 64;  ///< lists and objects of JSON and UBJSON within each other

/// Share of the training rows from which one class drowns the others.
inline constexpr double kOneSided = 0.95;

Result<Model> load_model(const std::string& path);
/// A sentence where the training rows, as far as the file tells them, are nearly all of one class;
/// empty otherwise.
std::string one_sided(const Model& model);
/// Makes `attack` the last class of two, as weir wants it; empty leaves the model as it is. An error
/// where it is none of the model's classes, or its place cannot be changed without rounding.
Status put_attack_last(Model& model, const std::string& attack);
/// The same from memory; `name` stands in for the path in errors.
Result<Model> parse_model(std::string_view bytes, const std::string& name);

}  // namespace weir::forest
