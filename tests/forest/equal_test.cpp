// SPDX-License-Identifier: BSD-2-Clause
// All evaluators, instruction sets and batch sizes give the bits of the plain walk.
#include <gtest/gtest.h>
#include <hwy/targets.h>
#include <rapidcheck.h>

#include <cstring>
#include <memory>

#include "forest/evaluate_sliced.h"
#include "forest/tuning.h"
#include "tests/forest/random_model.h"

namespace weir::forest {
namespace {

using testing::Aligned;
using testing::Maker;
using testing::Shape;

/// Targets that this CPU has and this build holds, best first; 0 stands for Highway's own choice.
std::vector<std::int64_t> targets() {
  std::vector<std::int64_t> found;
  const std::int64_t supported = hwy::SupportedTargets();
  for (const std::int64_t target :
       {HWY_AVX3_DL, HWY_AVX3, HWY_AVX2, HWY_SSE4, HWY_NEON, HWY_EMU128, HWY_SCALAR})
    if ((supported & target) != 0) found.push_back(target);
  return found;
}

class OnTarget {
 public:
  explicit OnTarget(std::int64_t target) { hwy::SetSupportedTargetsForTest(target); }
  ~OnTarget() { hwy::SetSupportedTargetsForTest(0); }
  OnTarget(const OnTarget&) = delete;
  OnTarget& operator=(const OnTarget&) = delete;
};

/// The first difference between `evaluator` and the plain walk, or "".
std::string difference(const Model& model, Evaluator& evaluator, const Aligned& columns,
                       std::size_t rows) {
  const std::size_t size = rows * score_columns(model);
  std::vector<float> expected(size, -7), found(size, -8);
  make_scalar_evaluator(model)->evaluate(columns.data(), rows, expected.data());
  evaluator.evaluate(columns.data(), rows, found.data());
  for (std::size_t i = 0; i < size; ++i) {
    if (std::memcmp(&expected[i], &found[i], sizeof(float)) != 0)
      return evaluator.describe() + ": score " + std::to_string(i) + " of " + std::to_string(size) +
             " is " + std::to_string(found[i]) + ", plain " + std::to_string(expected[i]);
  }
  return "";
}

void expect_equal_everywhere(const Shape& shape, std::uint64_t seed, std::size_t rows) {
  Maker maker(shape, seed);
  const Model model = maker.model();
  const Aligned columns(maker.columns(rows));
  const auto plan = std::make_shared<const Plan>(make_plan(model));
  for (const std::int64_t target : targets()) {
    const OnTarget on(target);
    for (const std::size_t least : {std::size_t{0}, std::size_t{1} << 20U}) {
      Tuning tuning = default_tuning(*plan);
      tuning.sliced_rows_min = least;
      auto evaluator = make_tuned_evaluator(plan, tuning);
      EXPECT_EQ(difference(model, *evaluator, columns, rows), "") << "seed " << seed;
      EXPECT_EQ(difference(model, *evaluator->clone(), columns, rows), "") << "seed " << seed;
    }
  }
}

TEST(Equal, RunsOnMoreThanOneTarget) {
  for (const std::int64_t target : targets()) {
    const OnTarget on(target);
    std::printf("target %s\n", sliced_kernel().target);
  }
  EXPECT_GE(targets().size(), 1U);
}

TEST(Equal, AtEveryBatchSizeAroundABlock) {
  Shape shape;
  shape.trees = 7;
  for (const std::size_t rows : {1,   2,   7,   8,   9,   15,  16,  17,  63,   64,   65,  127,
                                 128, 129, 255, 256, 257, 511, 512, 513, 1000, 4095, 4096})
    expect_equal_everywhere(shape, rows, rows);
}

TEST(Equal, AtEveryDepth) {
  for (std::uint32_t depth = 0; depth <= 14; ++depth) {
    Shape shape;
    shape.depth = depth;
    shape.trees = depth < 11 ? 67 : 5;  // more than a group
    shape.leaf_chance = depth % 2 == 0 ? 0 : 0.2;
    expect_equal_everywhere(shape, depth, 300);
  }
}

TEST(Equal, AtEveryNumberOfThresholds) {
  for (const std::size_t thresholds :
       {0, 1, 2, 3, 6, 7, 8, 14, 15, 16, 30, 31, 62, 127, 254, 255, 256, 700, 3000}) {
    Shape shape;
    shape.features = 1;
    shape.thresholds = thresholds;
    shape.trees = 60;
    expect_equal_everywhere(shape, thresholds, 600);
  }
}

/// The largest and the deepest tree that is read (import.h).
TEST(Equal, AtTheLimitsOfLeavesAndDepth) {
  Maker maker({.trees = 3, .features = 2}, 1);
  for (const bool deep : {false, true}) {
    Model model = maker.model();  // three usual trees, and this one
    const auto root = static_cast<std::uint32_t>(model.nodes.size());
    const std::size_t splits = deep ? 4096 : 65'534;
    model.trees.push_back({root, Tree::kAllOutputs});
    for (std::uint32_t n = 0; n < 2 * splits + 1; ++n) {
      Node node;
      node.value = static_cast<std::uint32_t>(n % model.values.size());
      if (deep ? n % 2 == 0 && n < 2 * splits : n < splits) {
        node.feature = static_cast<std::int32_t>(maker.random()() % 2);
        node.threshold = static_cast<double>(maker.random()() % 1000) / 250.0 - 2;
        node.left = root + (deep ? n + 1 : 2 * n + 1);
        node.right = node.left + 1;
      }
      model.nodes.push_back(node);
    }
    const Aligned columns(maker.columns(300));
    const auto plan = std::make_shared<const Plan>(make_plan(model));
    EXPECT_EQ(plan->walk_trees.back().depth, deep ? 4096U : 16U);
    Tuning tuning = default_tuning(*plan);
    for (const std::size_t least : {std::size_t{0}, std::size_t{1} << 20U}) {
      tuning.sliced_rows_min = least;
      EXPECT_EQ(difference(model, *make_tuned_evaluator(plan, tuning), columns, 300), "");
    }
  }
}

TEST(Equal, WithEveryKindOfModel) {
  rc::check("all evaluators agree", [](std::uint64_t seed) {
    Shape shape;
    shape.trees = *rc::gen::inRange<std::size_t>(1, 140);
    shape.features = *rc::gen::inRange<std::size_t>(1, 30);
    shape.depth = *rc::gen::inRange<std::uint32_t>(0, 11);
    shape.classes = *rc::gen::element<std::size_t>(0, 2, 2, 2, 3, 5);
    shape.sum = *rc::gen::arbitrary<bool>();
    shape.outputs = shape.classes > 2 ? shape.classes : *rc::gen::inRange<std::size_t>(1, 3);
    shape.per_class_trees = shape.sum && *rc::gen::arbitrary<bool>();
    shape.missing_left = *rc::gen::arbitrary<bool>();
    shape.pure = *rc::gen::arbitrary<bool>();
    shape.less = *rc::gen::arbitrary<bool>();
    shape.float32_sums = *rc::gen::arbitrary<bool>();
    shape.leaf_chance = *rc::gen::element(0.0, 0.1, 0.4);
    shape.thresholds = *rc::gen::element<std::size_t>(3, 20, 300, 2000);
    expect_equal_everywhere(shape, seed, *rc::gen::inRange<std::size_t>(1, 700));
    RC_ASSERT(!::testing::Test::HasFailure());
  });
}

TEST(Equal, WhereRowsRepeat) {
  for (std::size_t kinds = 1; kinds <= 7; ++kinds) {
    Shape shape;
    shape.missing_left = kinds % 2 == 0;
    Maker maker(shape, kinds);
    const Model model = maker.model();
    std::vector<std::vector<float>> rows = maker.columns(600);
    for (std::size_t r = kinds; r < 600; ++r) {
      const std::size_t from = maker.random()() % kinds;
      for (auto& column : rows) column[r] = column[from];
    }
    const auto plan = std::make_shared<const Plan>(make_plan(model));
    for (const std::int64_t target : targets()) {
      const OnTarget on(target);
      Tuning tuning = default_tuning(*plan);
      tuning.sliced_rows_min = 0;
      EXPECT_TRUE(tuning.group_equal_rows);
      EXPECT_EQ(difference(model, *make_tuned_evaluator(plan, tuning), Aligned(rows), 600), "");
      tuning.group_equal_rows = false;
      EXPECT_EQ(difference(model, *make_tuned_evaluator(plan, tuning), Aligned(rows), 600), "");
    }
  }
}

}  // namespace
}  // namespace weir::forest
