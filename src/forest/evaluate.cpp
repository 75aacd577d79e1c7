// SPDX-License-Identifier: BSD-2-Clause
#include "forest/evaluate.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <utility>

#include "forest/evaluate_sliced.h"
#include "forest/evaluate_walk.h"
#include "forest/plan.h"
#include "forest/tuning.h"

namespace weir::forest {
namespace {

class Forest final : public Evaluator {
 public:
  Forest(std::shared_ptr<const Plan> plan, const Kernel& kernel, const Tuning& tuning)
      : plan_(std::move(plan)),
        kernel_(kernel),
        tuning_(tuning),
        scratch_(*plan_),
        walker_(*plan_),
        sums_(plan_->model.outputs * kBlockRowsMax) {}

  void evaluate(const float* const* columns, std::size_t rows, float* scores) noexcept override {
    const bool walk =
        kernel_.rank == nullptr || plan_->walk_only == 0 || rows < tuning_.sliced_rows_min;
    const std::size_t size = walk ? kBlockRowsMax : kernel_.block_rows(rows);
    for (std::size_t first = 0; first < rows; first += size) {
      const std::size_t count = std::min(size, rows - first);
      std::fill(sums_.begin(), sums_.end(), 0);
      if (walk || count < tuning_.sliced_rows_min) {
        walker_.add(*plan_, 0, columns, first, count, sums_.data(), kBlockRowsMax);
      } else {
        evaluate_block(columns, first, count, size);
      }
      finish(plan_->model, plan_->fixed, columns, sums_.data(), kBlockRowsMax, first, count, rows,
             scores);
    }
  }
  [[nodiscard]] std::unique_ptr<Evaluator> clone() const override {
    return std::make_unique<Forest>(plan_, kernel_, tuning_);
  }
  [[nodiscard]] std::string describe() const override {
    const std::size_t sliced = plan_->walk_only, deep = plan_->walk_trees.size() - sliced;
    if (sliced == 0 || kernel_.rank == nullptr)
      return fmt::format("interleaved walk of {} trees", plan_->walk_trees.size());
    std::string text = fmt::format("bit-sliced, {}", kernel_.target);
    if (deep != 0) text += fmt::format("; interleaved walk of {} deep trees", deep);
    return text + fmt::format("; below {} rows all walked", tuning_.sliced_rows_min);
  }

 private:
  void evaluate_block(const float* const* columns, std::size_t first, std::size_t count,
                      std::size_t size) noexcept {
    kernel_.rank(*plan_, scratch_, columns, first, count, size, tuning_.group_equal_rows, block_);
    if (block_.leaders == 0) {
      kernel_.descend(*plan_, scratch_, size, count, sums_.data(), kBlockRowsMax);
      if (plan_->walk_only < plan_->walk_trees.size())
        walker_.add(*plan_, plan_->walk_only, columns, first, count, sums_.data(), kBlockRowsMax);
      return;
    }
    for (std::size_t g = block_.leaders; g-- > 0;) spread(columns, first, count, g);
  }

  /// One row's sums for all of its group. Sliced trees only: deep ones see more than the ranks.
  void spread(const float* const* columns, std::size_t first, std::size_t count,
              std::size_t g) noexcept {
    const std::size_t leader = block_.leader[g];
    for (std::size_t o = 0; o < plan_->model.outputs; ++o) sums_[o * kBlockRowsMax + leader] = 0;
    walker_.add(*plan_, 0, columns, first + leader, 1, &sums_[leader], kBlockRowsMax);
    for (std::size_t o = 0; o < plan_->model.outputs; ++o) {
      std::uint64_t* sums = &sums_[o * kBlockRowsMax];
      const std::uint64_t sum = sums[leader];
      for (std::size_t r = 0; r < count; ++r)
        if ((block_.members[g][r / 8] >> (r % 8) & 1) != 0) sums[r] = sum;
    }
  }

  std::shared_ptr<const Plan> plan_;
  Kernel kernel_;
  Tuning tuning_;
  Scratch scratch_;
  Walker walker_;
  Block block_;
  std::vector<std::uint64_t> sums_;  // by output, of one block
};

}  // namespace

Tuning default_tuning(const Plan& plan) {
  Tuning tuning;
  // Deep trees read features that have no ranks: equal ranks are not enough there.
  tuning.group_equal_rows = plan.walk_only == plan.walk_trees.size();
  double walk = 0, sliced = 0;  // cycles a row, and a block, about
  for (std::size_t t = 0; t < plan.walk_only; ++t) {
    walk += 6.0 + 3.5 * plan.walk_trees[t].depth;
    sliced += 100.0 + 2.0 * static_cast<double>(1U << plan.sliced[t].depth);
  }
  sliced += 40.0 * plan.planes + 3.0 * plan.vectors;
  const double rows = walk > 0 ? sliced * sliced_kernel().block_cost / walk : 0;
  tuning.sliced_rows_min = static_cast<std::size_t>(std::clamp(rows, 1.0, 256.0));
  return tuning;
}

std::unique_ptr<Evaluator> make_tuned_evaluator(std::shared_ptr<const Plan> plan,
                                                const Tuning& tuning) {
  return std::make_unique<Forest>(std::move(plan), sliced_kernel(), tuning);
}

Result<std::unique_ptr<Evaluator>> make_evaluator(const Model& model) {
  if (model.kind == Model::Kind::linear) return make_scalar_evaluator(model);
  auto plan = std::make_shared<const Plan>(make_plan(model));
  const Tuning tuning = default_tuning(*plan);
  return make_tuned_evaluator(std::move(plan), tuning);
}

}  // namespace weir::forest
