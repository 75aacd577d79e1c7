// SPDX-License-Identifier: BSD-2-Clause
#include "kernel_model/plan_trees.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "kernel_model/plan_skx.h"

namespace weir::kernel_model {

namespace {

constexpr std::uint32_t kHighest = std::numeric_limits<std::uint32_t>::max();

/// Nodes of one tree, in any order, before they are laid out in functions.
class Builder {
 public:
  Builder(const forest::Model& model, const std::vector<int>& slots, const LeafValue& value_of,
          weir_reading reading)
      : model_(model), slots_(slots), value_of_(value_of), reading_(reading) {
    high_.fill(kHighest);
  }

  /// The place of what stands for model node `n`.
  std::uint32_t add(const forest::Tree& tree, std::uint32_t n) {
    const forest::Node& node = model_.nodes[n];
    if (node.feature < 0) return put({Node::kLeaf, 0, 0, 0, value_of_(tree, node)});
    const auto slot = static_cast<std::size_t>(slots_[static_cast<std::size_t>(node.feature)]);
    const Cut cut = reading_ == WEIR_READING_skx ? skx_cut(static_cast<int>(slot), node.threshold)
                                                 : cut_of(node.threshold, model_.compare);
    if (cut.none || cut.cut < low_[slot]) return add(tree, node.right);
    if (cut.cut >= high_[slot]) return add(tree, node.left);
    const std::uint32_t high = std::exchange(high_[slot], cut.cut);
    const std::uint32_t left = add(tree, node.left);
    high_[slot] = high;
    const std::uint32_t low = std::exchange(low_[slot], cut.cut + 1);
    const std::uint32_t right = add(tree, node.right);
    low_[slot] = low;
    const Node &a = nodes[left], &b = nodes[right];
    if (a.feature == Node::kLeaf && b.feature == Node::kLeaf && a.value == b.value) return left;
    return put({static_cast<std::int32_t>(slot), cut.cut, left, right, 0});
  }

  std::vector<Node> nodes;

 private:
  std::uint32_t put(const Node& node) {
    nodes.push_back(node);
    return static_cast<std::uint32_t>(nodes.size() - 1);
  }

  const forest::Model& model_;
  const std::vector<int>& slots_;
  const LeafValue& value_of_;
  weir_reading reading_;
  Values low_{}, high_;
};

/// Lays trees out in functions: each node before its children.
class Layout {
 public:
  Layout(Plan& plan, std::vector<Node>& pool) : plan_(plan), pool_(pool) {}

  /// Cuts what is below `n` until it fits into one function; gives its instructions back. Where both
  /// sides are large both are cut: else each level of a tree would call the next one, and calls do
  /// not go that deep.
  std::size_t fit(std::uint32_t n, const std::string& name) {
    const Node node = pool_[n];  // a copy: the pool grows
    if (node.feature < 0) return instructions(node);
    std::size_t left = fit(node.left, name), right = fit(node.right, name);
    if (instructions(node) + left + right > kFunctionInstructionsMax - 8) {
      constexpr std::size_t kLarge = kFunctionInstructionsMax / 4;
      const bool left_is_larger = left >= right;
      if (left_is_larger || left > kLarge) left = cut(pool_[n].left, &Node::left, n, name);
      if (!left_is_larger || right > kLarge) right = cut(pool_[n].right, &Node::right, n, name);
    }
    return instructions(node) + left + right;
  }

  std::uint32_t place(std::uint32_t n, Function& function) {
    const auto at = static_cast<std::uint32_t>(function.nodes.size());
    function.nodes.push_back(pool_[n]);
    const Node node = pool_[n];
    if (node.feature < 0) return at;
    const std::uint32_t left = place(node.left, function);
    const std::uint32_t right = place(node.right, function);
    function.nodes[at].left = left;
    function.nodes[at].right = right;
    return at;
  }

 private:
  /// Makes a function of `child`, and a call in its place in `parent`; the call's instructions.
  std::size_t cut(std::uint32_t child, std::uint32_t Node::*side, std::uint32_t parent,
                  const std::string& name) {
    Function part;
    part.name = fmt::format("{}_part_{}", name, ++parts_);
    part.roots.push_back(place(child, part));
    pool_.push_back({Node::kCall, 0, 0, 0, plan_.functions.size()});
    pool_[parent].*side = static_cast<std::uint32_t>(pool_.size() - 1);
    plan_.functions.push_back(std::move(part));
    return instructions(pool_.back());
  }

  Plan& plan_;
  std::vector<Node>& pool_;
  int parts_ = 0;
};

/// How many functions deep a call of this one goes.
int depth_of(const Plan& plan, std::size_t function, std::vector<int>& known) {
  if (known[function] != 0) return known[function];
  int deepest = 0;
  for (const Node& node : plan.functions[function].nodes)
    if (node.feature == Node::kCall)
      deepest = std::max(deepest, depth_of(plan, static_cast<std::size_t>(node.value), known));
  return known[function] = deepest + 1;
}

struct Built {
  std::vector<Node> nodes;
  std::uint32_t root = 0;
  std::size_t instructions = 0;
};

/// Puts whole trees into functions, up to `together` in one.
void place_trees(const forest::Model& model, std::vector<Built>& trees, std::size_t together,
                 Plan& plan) {
  std::size_t room = 0;
  for (std::size_t t = 0; t < trees.size(); ++t) {
    const bool open = !plan.calls.empty() && room >= trees[t].instructions + 1 &&
                      plan.functions.back().roots.size() < together;
    if (!open) {
      plan.functions.push_back({fmt::format("weir_tree_{}", t), {}, {}});
      room = kFunctionInstructionsMax;
    }
    Function& function = plan.functions.back();
    Layout layout(plan, trees[t].nodes);
    plan.calls.push_back({static_cast<std::uint32_t>(plan.functions.size() - 1),
                          static_cast<std::uint32_t>(function.roots.size()),
                          model.trees[t].output});
    function.roots.push_back(layout.place(trees[t].root, function));
    room -= std::min(room, trees[t].instructions + 1);
  }
}

}  // namespace

std::size_t instructions(const Node& node) noexcept {
  if (node.feature != Node::kLeaf) return 2;
  return node.value > static_cast<std::uint64_t>(std::numeric_limits<std::int32_t>::max()) ? 3 : 2;
}

Cut cut_of(double threshold, forest::Compare compare) noexcept {
  const auto left = [&](std::uint32_t x) {
    const auto row = static_cast<double>(static_cast<float>(x));
    return compare == forest::Compare::less_equal ? row <= threshold : row < threshold;
  };
  if (!left(0)) return {true, 0};
  std::uint32_t low = 0, high = kHighest;
  while (low < high) {
    const std::uint32_t middle = low + (high - low) / 2 + 1;
    if (left(middle))
      low = middle;
    else
      high = middle - 1;
  }
  return {false, low};
}

Status add_functions(const forest::Model& model, const std::vector<int>& slots,
                     const LeafValue& value_of, Plan& plan) {
  std::vector<Built> trees;
  trees.reserve(model.trees.size());
  for (std::size_t t = 0; t < model.trees.size(); ++t) {
    Builder builder(model, slots, value_of, plan.reading);
    Built built;
    built.root = builder.add(model.trees[t], model.trees[t].root);
    built.nodes = std::move(builder.nodes);
    Layout layout(plan, built.nodes);
    built.instructions = layout.fit(built.root, fmt::format("weir_tree_{}", t));
    trees.push_back(std::move(built));
  }
  const std::size_t parts = plan.functions.size();
  if (parts >= kFunctionsMax)
    return fail(
        fmt::format("its trees take {} functions, and the kernel has room for {}; use "
                    "fewer or smaller trees",
                    parts + trees.size(), kFunctionsMax));
  const std::size_t room = kFunctionsMax - parts;
  const auto parts_first = plan.functions;
  for (std::size_t together = (trees.size() + room - 1) / room;; together *= 2) {
    plan.functions = parts_first;
    plan.calls.clear();
    place_trees(model, trees, together, plan);
    if (plan.functions.size() <= kFunctionsMax) break;
    if (together > trees.size())
      return fail(
          fmt::format("its {} trees take {} functions, and the kernel has room for {}; use "
                      "fewer or smaller trees",
                      trees.size(), plan.functions.size(), kFunctionsMax));
  }
  std::vector<int> known(plan.functions.size(), 0);
  for (std::size_t f = 0; f < plan.functions.size(); ++f) {
    if (depth_of(plan, f, known) > kCallsDeepMax)
      return fail(
          fmt::format("function {} calls more than {} others within each other, more than "
                      "the kernel takes; use a shallower tree",
                      plan.functions[f].name, kCallsDeepMax));
    for (const Node& node : plan.functions[f].nodes) {
      plan.splits += node.feature >= 0 ? 1 : 0;
      plan.leaves += node.feature == Node::kLeaf ? 1 : 0;
    }
  }
  return {};
}

}  // namespace weir::kernel_model
