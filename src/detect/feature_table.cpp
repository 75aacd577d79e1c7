// SPDX-License-Identifier: BSD-2-Clause
#include <fmt/format.h>

#include "detect/extractor.h"

namespace weir::detect {

std::string feature_table() {
  std::string text =
      "| feature | group | set by | cost | unit | meaning |\n"
      "| --- | --- | --- | --- | --- | --- |\n";
  for (const FeatureInfo& f : all_features())
    text += fmt::format("| `{}` | {} | {} | {} | {} | {} |\n", f.name, f.group, f.set_by_name,
                        f.cost, f.unit, f.help);
  return text;
}

}  // namespace weir::detect
