// SPDX-License-Identifier: BSD-2-Clause
#include "forest/evaluate_walk.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace weir::forest {
namespace {

constexpr std::uint32_t kLeftMask = (1U << kWalkLeft_bits) - 1;

/// Steps between two looks at whether all lanes stand in a leaf.
constexpr std::uint32_t kStepsBetweenLooks = 4;

template <std::size_t kLanes>
struct Lanes {
  std::array<const WalkNode*, kLanes> root;
  std::array<const float*, kLanes> row;
  std::array<std::uint32_t, kLanes> place;

  template <bool kMissing>
  void descend(const Plan& plan, std::uint32_t depth) noexcept {
    place.fill(0);
    for (std::uint32_t step = 0; step < depth;) {
      const std::array<std::uint32_t, kLanes> before = place;
      const std::uint32_t stop = std::min(depth, step + kStepsBetweenLooks);
      for (; step < stop; ++step) {
        for (std::size_t i = 0; i < kLanes; ++i) {
          const WalkNode node = root[i][place[i]];
          const float x = row[i][node.feature_and_left >> kWalkLeft_bits];
          bool right = !(x <= node.threshold);  // NaN too
          if constexpr (kMissing) {
            const std::size_t index =
                static_cast<std::size_t>(root[i] - plan.walk_nodes.data()) + place[i];
            right = right && !(plan.walk_missing_left[index] != 0 && std::isnan(x));
          }
          place[i] = (node.feature_and_left & kLeftMask) + (right ? 1U : 0U);
        }
      }
      if (place == before) return;
    }
  }

  void run(const Plan& plan, std::uint32_t depth) noexcept {
    if (plan.walk_missing_left.empty()) {
      descend<false>(plan, depth);
    } else {
      descend<true>(plan, depth);
    }
  }
};

void add_leaf(const Plan& plan, const WalkTree& tree, std::uint32_t place, std::uint64_t* sums,
              std::size_t stride) noexcept {
  const std::uint32_t* q = &plan.fixed.q[plan.walk_q[tree.root + place]];
  if (tree.output != Tree::kAllOutputs) {
    sums[static_cast<std::size_t>(tree.output) * stride] += q[0];
    return;
  }
  for (std::size_t o = plan.fixed.first; o < plan.fixed.outputs; ++o) sums[o * stride] += q[o];
}

}  // namespace

Walker::Walker(const Plan& plan)
    : width_(plan.model.features.size() + 1), rows_(kLanes * width_, 0.0F) {}

void Walker::add(const Plan& plan, std::size_t first_tree, const float* const* columns,
                 std::size_t first, std::size_t rows, std::uint64_t* sums,
                 std::size_t stride) noexcept {
  for (std::size_t r = 0; r < rows; r += kLanes) {
    const std::size_t count = std::min(kLanes, rows - r);
    for (std::size_t f = 0; f + 1 < width_; ++f)
      for (std::size_t i = 0; i < count; ++i) rows_[i * width_ + f] = columns[f][first + r + i];
    if (count == kLanes) {
      add_eight_rows(plan, first_tree, sums + r, stride);
    } else {
      for (std::size_t i = 0; i < count; ++i)
        add_one_row(plan, first_tree, &rows_[i * width_], sums + r + i, stride);
    }
  }
}

void Walker::add_eight_rows(const Plan& plan, std::size_t first_tree, std::uint64_t* sums,
                            std::size_t stride) noexcept {
  Lanes<kLanes> lanes;
  for (std::size_t i = 0; i < kLanes; ++i) lanes.row[i] = &rows_[i * width_];
  for (std::size_t t = first_tree; t < plan.walk_trees.size(); ++t) {
    const WalkTree& tree = plan.walk_trees[t];
    lanes.root.fill(&plan.walk_nodes[tree.root]);
    lanes.run(plan, tree.depth);
    for (std::size_t i = 0; i < kLanes; ++i) add_leaf(plan, tree, lanes.place[i], sums + i, stride);
  }
}

void Walker::add_one_row(const Plan& plan, std::size_t first_tree, const float* row,
                         std::uint64_t* sums, std::size_t stride) noexcept {
  Lanes<kLanes> lanes;
  lanes.row.fill(row);
  const std::vector<WalkTree>& trees = plan.walk_trees;
  std::size_t t = first_tree;
  for (; t + kLanes <= trees.size(); t += kLanes) {
    std::uint32_t depth = 0;
    for (std::size_t i = 0; i < kLanes; ++i) {
      lanes.root[i] = &plan.walk_nodes[trees[t + i].root];
      depth = std::max(depth, trees[t + i].depth);
    }
    lanes.run(plan, depth);
    for (std::size_t i = 0; i < kLanes; ++i)
      add_leaf(plan, trees[t + i], lanes.place[i], sums, stride);
  }
  Lanes<1> single;
  single.row[0] = row;
  for (; t < trees.size(); ++t) {
    single.root[0] = &plan.walk_nodes[trees[t].root];
    single.run(plan, trees[t].depth);
    add_leaf(plan, trees[t], single.place[0], sums, stride);
  }
}

}  // namespace weir::forest
