// SPDX-License-Identifier: BSD-2-Clause
/// A small valid model of each format that is read, to change and break in tests.
#pragma once

#include <string>
#include <vector>

namespace weir::forest {

struct Sample {
  const char* format;  ///< as `Model::format`
  std::string bytes;
};

std::vector<Sample> sample_models();
/// The first of a format, which must be there.
std::string sample_model(const std::string& format);

}  // namespace weir::forest
