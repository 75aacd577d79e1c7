// SPDX-License-Identifier: BSD-2-Clause
#include "forest/plan.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>

namespace weir::forest {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
/// One vector of the widest target (AVX-512): levels of fewer thresholds are loaded as one, too.
constexpr std::size_t kLevelsReadAhead = 16;

std::vector<std::uint32_t> tree_depths(const Model& model) {
  std::vector<std::uint32_t> node_depth(model.nodes.size(), 0), depth;
  for (std::size_t t = 0; t < model.trees.size(); ++t) {
    const std::size_t end =
        t + 1 < model.trees.size() ? model.trees[t + 1].root : model.nodes.size();
    std::uint32_t deepest = 0;
    for (std::size_t n = model.trees[t].root; n < end; ++n) {
      const Node& node = model.nodes[n];
      deepest = std::max(deepest, node_depth[n]);
      if (node.feature < 0) continue;
      node_depth[node.left] = node_depth[node.right] = node_depth[n] + 1;
    }
    depth.push_back(deepest);
  }
  return depth;
}

class Planner {
 public:
  explicit Planner(const Model& model) {
    plan_.model = model;
    plan_.fixed = make_fixed(model);
  }

  Plan run() {
    const std::vector<std::uint32_t> depth = tree_depths(plan_.model);
    order_.resize(depth.size());
    std::iota(order_.begin(), order_.end(), 0U);
    // Sliced trees of equal depth next to each other: one code path after another, predicted well.
    std::stable_sort(order_.begin(), order_.end(),
                     [&](std::uint32_t a, std::uint32_t b) { return depth[a] < depth[b]; });
    for (const std::uint32_t t : order_) add_walk_tree(t, depth[t]);
    if (std::none_of(plan_.walk_missing_left.begin(), plan_.walk_missing_left.end(),
                     [](std::uint8_t m) { return m != 0; }))
      plan_.walk_missing_left.clear();
    // At worst all digits are used; what would not fit the tables is walked.
    std::size_t bytes = 0;
    while (plan_.walk_only < order_.size() && depth[order_[plan_.walk_only]] <= kSlicedDepth) {
      const std::size_t outputs =
          plan_.model.trees[order_[plan_.walk_only]].output == Tree::kAllOutputs
              ? plan_.model.outputs
              : 1;
      const std::size_t slots =
          std::max<std::size_t>(64, std::size_t{1} << depth[order_[plan_.walk_only]]);
      bytes += kDigits * outputs * slots;
      if (bytes > kTablesMax_bytes) break;
      ++plan_.walk_only;
    }
    rank_features();
    count_digits();
    for (std::size_t i = 0; i < plan_.walk_only; ++i) add_sliced_tree(order_[i], depth[order_[i]]);
    add_groups();
    plan_.tables = Lines(tables_.size());
    std::copy(tables_.begin(), tables_.end(), plan_.tables.data());
    return std::move(plan_);
  }

 private:
  [[nodiscard]] float threshold_of(const Node& node) const {
    return threshold32(node.threshold, plan_.model.compare);
  }

  void add_walk_tree(std::uint32_t t, std::uint32_t depth) {
    const Model& model = plan_.model;
    const auto root = static_cast<std::uint32_t>(plan_.walk_nodes.size());
    plan_.walk_trees.push_back({root, depth, model.trees[t].output});
    std::vector<std::uint32_t> queue{model.trees[t].root};
    for (std::uint32_t i = 0; i < queue.size(); ++i) {
      const Node& node = model.nodes[queue[i]];
      WalkNode out;
      if (node.feature < 0) {
        // A leaf leads back to itself: it compares the zero behind the last feature with infinity.
        out.threshold = kInfinity;
        out.feature_and_left =
            static_cast<std::uint32_t>(model.features.size()) << kWalkLeft_bits | i;
      } else {
        out.threshold = threshold_of(node);
        out.feature_and_left = static_cast<std::uint32_t>(node.feature) << kWalkLeft_bits |
                               static_cast<std::uint32_t>(queue.size());
        queue.push_back(node.left);
        queue.push_back(node.right);
      }
      plan_.walk_nodes.push_back(out);
      plan_.walk_missing_left.push_back(node.feature >= 0 && node.missing_left ? 1 : 0);
      plan_.walk_q.push_back(node.value);
    }
  }

  /// Thresholds, ranks and conditions of the trees that are sliced.
  void rank_features() {
    const Model& model = plan_.model;
    std::map<std::int32_t, std::vector<float>> thresholds;
    std::vector<char> left_for_nan(model.features.size(), 0);
    for_sliced_nodes([&](const Node& node) {
      thresholds[node.feature].push_back(threshold_of(node));
      if (node.missing_left) left_for_nan[static_cast<std::size_t>(node.feature)] = 1;
    });
    ranked_of_.assign(model.features.size(), 0);
    for (auto& [feature, values] : thresholds) {
      sort_distinct(values);
      add_feature(static_cast<std::uint32_t>(feature), values,
                  left_for_nan[static_cast<std::size_t>(feature)] != 0);
    }
    // A vector is read from wherever a level begins: the last ones must not end behind the array.
    plan_.levels.insert(plan_.levels.end(), kLevelsReadAhead, kInfinity);
  }

  static void sort_distinct(std::vector<float>& values) {
    std::sort(values.begin(), values.end());
    values.erase(std::unique(values.begin(), values.end()), values.end());
  }

  void add_feature(std::uint32_t feature, const std::vector<float>& values, bool left_for_nan) {
    RankedFeature ranked;
    ranked.feature = feature;
    ranked.thresholds = static_cast<std::uint32_t>(values.size());
    ranked.bits = static_cast<std::uint32_t>(std::bit_width(values.size()));
    // Halves: the fewest vectors. Of an odd number the low field has one more, as there may be two
    // copies of the high one's.
    ranked.low_bits = (ranked.bits + 1) / 2;
    ranked.first_plane = plan_.planes;
    ranked.levels = static_cast<std::uint32_t>(plan_.levels.size());
    for (std::uint32_t level = 0; level < ranked.bits; ++level) {
      for (std::size_t place = 0; place < std::size_t{1} << level; ++place) {
        std::size_t prefix = 0;  // of the rank: the bit that was found first is its highest
        for (std::uint32_t k = 0; k < level; ++k) prefix = prefix * 2 + (place >> k & 1U);
        const std::size_t half = std::size_t{1} << (ranked.bits - level - 1);
        const std::size_t i = prefix * half * 2 + half - 1;
        plan_.levels.push_back(i < values.size() ? values[i] : kInfinity);
      }
    }
    plan_.levels.push_back(kInfinity);  // levels begin at multiples of a power of two
    plan_.conditions += ranked.thresholds;
    plan_.planes += ranked.bits;
    const std::uint32_t high_vectors = (1U << (ranked.bits - ranked.low_bits)) + 1;
    ranked.low = plan_.vectors;
    ranked.high = ranked.low + (1U << ranked.low_bits);
    plan_.vectors = ranked.high + high_vectors;
    if (left_for_nan) {
      ranked.nan_plane = static_cast<std::int32_t>(plan_.planes++);
      ranked.high_not_nan = plan_.vectors;
      plan_.vectors += high_vectors;
    }
    ranked_of_[feature] = plan_.ranked.size();
    sorted_[static_cast<std::int32_t>(feature)] = values;
    plan_.ranked.push_back(ranked);
  }

  [[nodiscard]] Condition condition_of(const Node& node) const {
    const RankedFeature& ranked = plan_.ranked[ranked_of_[static_cast<std::size_t>(node.feature)]];
    const std::vector<float>& values = sorted_.at(node.feature);
    const auto place = static_cast<std::uint32_t>(
        std::lower_bound(values.begin(), values.end(), threshold_of(node)) - values.begin());
    const std::uint32_t high = node.missing_left ? ranked.high_not_nan : ranked.high;
    return {(high + (place >> ranked.low_bits)) * 16,
            (ranked.low + (place & ((1U << ranked.low_bits) - 1))) * 16};
  }

  template <typename Visit>
  void for_sliced_nodes(Visit visit) const {
    const Model& model = plan_.model;
    for (std::size_t i = 0; i < plan_.walk_only; ++i) {
      const std::size_t t = order_[i];
      const std::size_t end =
          t + 1 < model.trees.size() ? model.trees[t + 1].root : model.nodes.size();
      for (std::size_t n = model.trees[t].root; n < end; ++n)
        if (model.nodes[n].feature >= 0) visit(model.nodes[n]);
    }
  }

  void count_digits() {
    plan_.digits.assign(plan_.model.outputs, 0);
    for (std::size_t i = 0; i < plan_.walk_only; ++i) {
      const Tree& tree = plan_.model.trees[order_[i]];
      for_leaves(order_[i], [&](const Node& leaf) {
        for (std::size_t o = plan_.fixed.first; o < plan_.model.outputs; ++o) {
          if (tree.output != Tree::kAllOutputs && tree.output != static_cast<std::int32_t>(o))
            continue;
          const std::uint32_t q = q_of(tree, leaf, o);
          plan_.digits[o] = std::max(
              plan_.digits[o], static_cast<int>(std::bit_width(q) + kDigitBits - 1) / kDigitBits);
        }
      });
    }
  }

  template <typename Visit>
  void for_leaves(std::size_t t, Visit visit) const {
    const Model& model = plan_.model;
    const std::size_t end =
        t + 1 < model.trees.size() ? model.trees[t + 1].root : model.nodes.size();
    for (std::size_t n = model.trees[t].root; n < end; ++n)
      if (model.nodes[n].feature < 0) visit(model.nodes[n]);
  }

  [[nodiscard]] std::uint32_t q_of(const Tree& tree, const Node& leaf, std::size_t output) const {
    return plan_.fixed.q[leaf.value + (tree.output == Tree::kAllOutputs ? output : 0)];
  }

  void add_sliced_tree(std::uint32_t t, std::uint32_t depth) {
    const std::uint32_t levels = std::max(depth, 1U);
    plan_.sliced.push_back({levels, static_cast<std::uint32_t>(plan_.nodes.size())});
    slots_.emplace_back();
    complete(plan_.model.trees[t].root, levels, slots_.back());
  }

  /// Appends the conditions of the subtree at `n`, completed to `levels`, and its leaves to
  /// `slots`.
  void complete(std::uint32_t n, std::uint32_t levels, std::vector<std::uint32_t>& slots) {
    if (levels == 0) {
      slots.push_back(n);
      return;
    }
    const Node& node = plan_.model.nodes[n];
    if (node.feature < 0) {
      plan_.nodes.emplace_back();
      complete(n, levels - 1, slots);
      complete(n, levels - 1, slots);
      return;
    }
    plan_.nodes.push_back(condition_of(node));
    complete(node.left, levels - 1, slots);
    complete(node.right, levels - 1, slots);
  }

  void add_groups() {
    for (std::size_t first = 0; first < plan_.sliced.size(); first += kGroupTrees) {
      Group group;
      group.first_tree = static_cast<std::uint32_t>(first);
      group.trees = static_cast<std::uint32_t>(std::min(kGroupTrees, plan_.sliced.size() - first));
      group.lookups.resize(plan_.model.outputs);
      for (std::uint32_t slot = 0; slot < group.trees; ++slot) add_lookups(group, slot);
      for (std::size_t o = 0; o < plan_.model.outputs; ++o)
        if (group.lookups[o].size() % 2 != 0) add_lookup(group, o, 0, nullptr);
      plan_.groups.push_back(std::move(group));
    }
  }

  void add_lookups(Group& group, std::uint32_t slot) {
    const Tree& tree = plan_.model.trees[order_[group.first_tree + slot]];
    for (std::size_t o = 0; o < plan_.model.outputs; ++o) {
      if (tree.output == Tree::kAllOutputs || tree.output == static_cast<std::int32_t>(o))
        add_lookup(group, o, slot, &tree);
    }
  }

  /// `tree` is null for the zero that makes the number of lookups even.
  void add_lookup(Group& group, std::size_t output, std::uint32_t slot, const Tree* tree) {
    const std::uint32_t depth = plan_.sliced[group.first_tree + slot].depth;
    group.lookups[output].push_back({slot, depth, static_cast<std::uint32_t>(tables_.size())});
    const std::size_t size = std::max<std::size_t>(64, std::size_t{1} << depth);
    const std::vector<std::uint32_t>& leaves = slots_[group.first_tree + slot];
    for (int digit = 0; digit < plan_.digits[output]; ++digit) {
      for (std::size_t i = 0; i < size; ++i) {
        std::uint32_t q = 0;
        if (tree != nullptr && i < leaves.size())
          q = q_of(*tree, plan_.model.nodes[leaves[i]], output);
        tables_.push_back(static_cast<std::uint8_t>((q >> (digit * kDigitBits)) & 0x7fU));
      }
    }
  }

  Plan plan_;
  std::vector<std::uint8_t> tables_;
  std::vector<std::uint32_t> order_;    // of walk_trees: indices into model.trees
  std::vector<std::size_t> ranked_of_;  // by feature: its place in Plan::ranked
  std::map<std::int32_t, std::vector<float>> sorted_;
  std::vector<std::vector<std::uint32_t>> slots_;  // by sliced tree: the leaf's node of each slot
};

}  // namespace

float threshold32(double threshold, Compare compare) noexcept {
  // Rounds to nearest, so the result may lie above; then its predecessor does not.
  auto t = static_cast<float>(threshold);
  const bool above = compare == Compare::less_equal ? static_cast<double>(t) > threshold
                                                    : static_cast<double>(t) >= threshold;
  if (above) t = std::nextafter(t, -kInfinity);
  return t == 0.0F ? 0.0F : t;  // one zero only
}

Plan make_plan(const Model& model) { return Planner(model).run(); }

}  // namespace weir::forest
