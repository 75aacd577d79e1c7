// SPDX-License-Identifier: BSD-2-Clause
#include "forest/paths.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "forest/fixed.h"
#include "tests/forest/random_model.h"

namespace weir::forest {
namespace {

using testing::Maker;
using testing::Shape;

/// length <= 300 ? (ttl < ... ) : a leaf; covers 100 = 60 + 40.
Model small() {
  Model m;
  m.features = {"length", "ttl"};
  m.units = {"bytes", ""};
  m.classes = {{"benign", 60}, {"attack", 40}};
  m.values = {0.0, 0.5, 1.0};
  m.trees = {{0, Tree::kAllOutputs}};
  m.nodes = {{300.5, 0, 1, 2, 0, false, 100},
             {64, 1, 3, 4, 0, true, 60},
             {0, -1, 0, 0, 2, false, 40},
             {0, -1, 0, 0, 0, false, 45},
             {0, -1, 0, 0, 1, false, 15}};
  return m;
}

TEST(Paths, GivesEachFeatureWhatItChanged) {
  const Model model = small();
  const Explainer explainer(model);
  EXPECT_TRUE(explainer.weighted());
  const float row[] = {200, 128};
  const Explanation e = explainer.explain(row);
  // Root: (60 * 0.125 + 40 * 1) / 100; its left child: 15 * 0.5 / 60.
  EXPECT_DOUBLE_EQ(e.bias, 0.475);
  EXPECT_DOUBLE_EQ(e.contributions[0], 0.125 - 0.475);
  EXPECT_DOUBLE_EQ(e.contributions[1], 0.5 - 0.125);
  EXPECT_DOUBLE_EQ(e.margin, 0.5);
  EXPECT_EQ(e.votes.against, 1U);
  EXPECT_EQ(e.path, "length <= 300.5 bytes, ttl > 64");
  EXPECT_EQ(strongest(e, 1), std::vector<std::size_t>{1});
}

TEST(Paths, SaysThatAValueIsMissing) {
  const Model model = small();
  const float row[] = {200, std::nanf("")};
  EXPECT_EQ(Explainer(model).explain(row).path, "length <= 300.5 bytes, ttl is missing");
}

TEST(Paths, SaysThatOnlyMissingValuesMatter) {
  Model model = small();
  model.nodes[0].threshold = std::numeric_limits<double>::infinity();
  const float known[] = {200, 128}, missing[] = {std::nanf(""), 128};
  EXPECT_EQ(Explainer(model).explain(known).path, "length is known, ttl > 64");
  EXPECT_EQ(Explainer(model).explain(missing).path, "length is missing");
}

TEST(Paths, JoinsTheConditionsOfAFeature) {
  Model model = small();
  model.nodes[1].feature = 0;
  const float row[] = {200, 0};
  EXPECT_EQ(Explainer(model).explain(row).path, "length > 64 and <= 300.5 bytes");
}

TEST(Paths, ContributionsAddToTheMargin) {
  for (std::uint64_t seed = 0; seed < 40; ++seed) {
    Shape shape;
    shape.sum = seed % 2 == 0;
    shape.classes = seed % 3 == 0 ? 3 : 2;
    shape.outputs = shape.classes == 3 ? 3 : 1;
    shape.per_class_trees = shape.sum;
    shape.missing_left = seed % 5 == 0;
    Maker maker(shape, seed);
    const Model model = maker.model();
    const auto columns = maker.columns(50);
    std::vector<const float*> pointers;
    for (const auto& column : columns) pointers.push_back(column.data());
    for (std::size_t o = 0; o < model.outputs; ++o) {
      const Explainer explainer(model, o);
      for (std::size_t r = 0; r < 50; ++r) {
        std::vector<float> row;
        for (const auto& column : columns) row.push_back(column[r]);
        const Explanation e = explainer.explain(row);
        double sum = e.bias, margin = model.vote == Vote::sum ? model.bias[o] : 0;
        for (const double c : e.contributions) sum += c;
        for (const Tree& tree : model.trees) {
          if (tree.output == Tree::kAllOutputs || tree.output == static_cast<std::int32_t>(o))
            margin += model.values[walk(model, tree, pointers.data(), r).value +
                                   (tree.output == Tree::kAllOutputs ? o : 0)];
        }
        if (model.vote == Vote::mean) margin /= static_cast<double>(model.trees.size());
        EXPECT_NEAR(sum, margin, 1e-12) << "seed " << seed;
        EXPECT_NEAR(e.margin, margin, 1e-12) << "seed " << seed;
      }
    }
  }
}

}  // namespace
}  // namespace weir::forest
