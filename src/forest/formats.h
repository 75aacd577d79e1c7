// SPDX-License-Identifier: BSD-2-Clause
/// The importers, one a file; `parse_model` picks one by content and ends with `validate`.
///
/// Errors    as in import.h; `name` is the file's and begins each sentence.
#pragma once

#include <cstddef>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "base/result.h"
#include "forest/model.h"

namespace weir::forest {

using Json = nlohmann::json;

/// Lists, objects, keys and texts in one document. They take up to 200 bytes each where a file may
/// have three for them; a model of 10,000 trees has 300,000.
inline constexpr std::size_t kLargeMax = 1'000'000;

/// Strict JSON: no duplicate keys, at most 64 levels; an error says line and column.
Result<Json> read_json(std::string_view text, const std::string& name);
/// UBJSON, as strictly; an error says the byte.
Result<Json> read_ubjson(std::string_view bytes, const std::string& name);

/// `document` is what `text` parses to; the text is needed for its hash.
Result<Model> import_weir_json(const Json& document, std::string_view text,
                               const std::string& name);

/// `format` is what the model will say that it came from.
Result<Model> import_xgboost(const Json& document, const std::string& format,
                             const std::string& name);
Result<Model> import_onnx(std::string_view bytes, const std::string& name);
Result<Model> import_lightgbm(std::string_view text, const std::string& name);
Result<Model> import_pmml(std::string_view text, const std::string& name);

}  // namespace weir::forest
