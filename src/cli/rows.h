// SPDX-License-Identifier: BSD-2-Clause
/// Rows of features from a CSV file with a header, for `weir model test`.
///
/// Shape     one column a feature of the model, by name, in any order; an empty field or `nan` is a
///           missing value; the columns `expected` and `label` are kept as text, others ignored.
///           Fields may stand in "quotes", but not on several lines.
/// Errors    file, line and column of what is no number, is missing or stands twice.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"

namespace weir::cli {

struct Rows {
  std::vector<std::vector<float>> columns;  ///< by feature, padded for the evaluator
  std::vector<std::string> expected;        ///< empty where the file has no such column
  std::size_t count = 0;
};

Result<Rows> read_rows(const std::string& path, const std::vector<std::string>& features);

}  // namespace weir::cli
