// SPDX-License-Identifier: BSD-2-Clause
#include "forest/evaluate.h"

#include <gtest/gtest.h>

#include <limits>
#include <vector>

namespace weir::forest {
namespace {

/// One split at 1.5 with pure leaves, `trees` times.
Model stumps(std::size_t trees) {
  Model model;
  model.features = {"a"};
  model.units = {""};
  model.classes = {{"no", 0}, {"yes", 0}};
  model.values = {0.0, 1.0};
  for (std::size_t t = 0; t < trees; ++t) {
    const auto root = static_cast<std::uint32_t>(model.nodes.size());
    model.trees.push_back({root, Tree::kAllOutputs});
    model.nodes.push_back({1.5, 0, root + 1, root + 2, 0, false, 0});
    model.nodes.push_back({0, -1, 0, 0, 0, false, 0});
    model.nodes.push_back({0, -1, 0, 0, 1, false, 0});
  }
  return model;
}

TEST(ScalarEvaluator, ComparesAsTheModelSays) {
  Model model = stumps(1);
  alignas(64) float column[64] = {1.0F, 1.5F, 2.0F, std::numeric_limits<float>::quiet_NaN()};
  const float* columns[] = {column};
  float scores[4];
  make_scalar_evaluator(model)->evaluate(columns, 4, scores);
  EXPECT_EQ((std::vector<float>(scores, scores + 4)), (std::vector<float>{0, 0, 1, 1}));
  model.compare = Compare::less;
  model.nodes[0].missing_left = true;
  make_scalar_evaluator(model)->evaluate(columns, 4, scores);
  EXPECT_EQ((std::vector<float>(scores, scores + 4)), (std::vector<float>{0, 1, 1, 0}));
}

}  // namespace
}  // namespace weir::forest
