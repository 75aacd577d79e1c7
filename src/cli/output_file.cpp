// SPDX-License-Identifier: BSD-2-Clause
#include "cli/output_file.h"

#include <fmt/format.h>

#include <filesystem>
#include <system_error>

namespace weir::cli {
namespace fs = std::filesystem;

bool is_same_file(const std::string& a, const std::string& b) {
  if (a.empty() || b.empty()) return false;
  std::error_code error;
  const auto status = fs::status(a, error);
  if (fs::exists(status) && !fs::is_regular_file(status)) return false;
  if (fs::equivalent(a, b, error)) return true;
  const fs::path one = fs::weakly_canonical(a, error);
  return !error && one == fs::weakly_canonical(b, error) && !error;
}

Status keeps_inputs(std::span<const OutputFile> outputs, std::span<const std::string> inputs) {
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    const auto& [option, path] = outputs[i];
    for (const std::string& input : inputs)
      if (is_same_file(path, input))
        return fail(
            fmt::format("{} would write over '{}', which is read here; name another file for it",
                        option, input));
    for (const auto& [other, other_path] : outputs.first(i))
      if (is_same_file(path, other_path))
        return fail(fmt::format("{} and {} both name '{}'; give each a file of its own", other,
                                option, path));
  }
  return {};
}

}  // namespace weir::cli
