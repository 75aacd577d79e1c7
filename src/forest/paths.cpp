// SPDX-License-Identifier: BSD-2-Clause
#include "forest/paths.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>

#include "base/result.h"
#include "forest/fixed.h"

namespace weir::forest {
namespace {

/// The narrowest interval that a path leaves a feature.
struct Bounds {
  double low = -std::numeric_limits<double>::infinity();
  double high = std::numeric_limits<double>::infinity();
  bool missing = false;
};

std::string condition(const Model& model, std::size_t feature, const Bounds& bounds) {
  const std::string& name = model.features[feature];
  if (bounds.missing) return fmt::format("{} is missing", name);
  // An infinite threshold asks only whether there is a value.
  if (std::isinf(bounds.low) && std::isinf(bounds.high)) return fmt::format("{} is known", name);
  const std::string unit = model.units[feature].empty() ? "" : " " + model.units[feature];
  const char* up = model.compare == Compare::less_equal ? "<=" : "<";
  const char* down = model.compare == Compare::less_equal ? ">" : ">=";
  if (std::isinf(bounds.low)) return fmt::format("{} {} {}{}", name, up, bounds.high, unit);
  if (std::isinf(bounds.high)) return fmt::format("{} {} {}{}", name, down, bounds.low, unit);
  return fmt::format("{} {} {} and {} {}{}", name, down, bounds.low, up, bounds.high, unit);
}

bool goes_left(const Model& model, const Node& node, float value) {
  if (std::isnan(value)) return node.missing_left;
  const double x = static_cast<double>(value);
  return model.compare == Compare::less_equal ? x <= node.threshold : x < node.threshold;
}

std::string path_in_words(const Model& model, std::size_t t, std::span<const float> row) {
  std::vector<std::size_t> order;  // as the path asks
  std::map<std::size_t, Bounds> bounds;
  const Node* node = &model.nodes[model.trees[t].root];
  while (node->feature >= 0) {
    const auto feature = static_cast<std::size_t>(node->feature);
    if (!bounds.contains(feature)) order.push_back(feature);
    Bounds& b = bounds[feature];
    const bool left = goes_left(model, *node, row[feature]);
    if (std::isnan(row[feature])) {
      b.missing = true;
    } else if (left) {
      b.high = std::min(b.high, node->threshold);
    } else {
      b.low = std::max(b.low, node->threshold);
    }
    node = &model.nodes[left ? node->left : node->right];
  }
  std::string text;
  for (const std::size_t feature : order)
    text += (text.empty() ? "" : ", ") + condition(model, feature, bounds[feature]);
  return text.empty() ? "the tree asks nothing" : text;
}

}  // namespace

Explainer::Explainer(const Model& model) : Explainer(model, model.outputs - 1) {}

Explainer::Explainer(const Model& model, std::size_t output) : model_(model), output_(output) {
  WEIR_CHECK(output < model.outputs);
  expected_.assign(model.nodes.size(), 0.0);
  for (std::size_t t = model.trees.size(); t-- > 0;) {
    const Tree& tree = model.trees[t];
    if (tree.output != Tree::kAllOutputs && tree.output != static_cast<std::int32_t>(output))
      continue;
    const std::size_t end =
        t + 1 < model.trees.size() ? model.trees[t + 1].root : model.nodes.size();
    for (std::size_t n = end; n-- > tree.root;) {  // children stand behind their parents
      const Node& node = model.nodes[n];
      if (node.feature < 0) {
        expected_[n] = model.values[node.value + (tree.output == Tree::kAllOutputs ? output : 0)];
        continue;
      }
      double left = model.nodes[node.left].cover, right = model.nodes[node.right].cover;
      if (left + right <= 0) {
        left = right = 1;
        weighted_ = false;
      }
      expected_[n] = (expected_[node.left] * left + expected_[node.right] * right) / (left + right);
    }
  }
}

void Explainer::explain_tree(std::size_t t, std::span<const float> row, double scale,
                             Explanation& into, double& strongest) const {
  const Tree& tree = model_.trees[t];
  std::size_t n = tree.root;
  into.bias += expected_[n] * scale;
  while (model_.nodes[n].feature >= 0) {
    const Node& node = model_.nodes[n];
    const auto feature = static_cast<std::size_t>(node.feature);
    const std::size_t child = goes_left(model_, node, row[feature]) ? node.left : node.right;
    into.contributions[feature] += (expected_[child] - expected_[n]) * scale;
    n = child;
  }
  const double moved = (expected_[n] - expected_[tree.root]) * scale;
  if (model_.vote == Vote::mean) {
    const bool wanted = expected_[n] > 0.5;
    ++(wanted ? into.votes.for_it : into.votes.against);
  } else {
    ++(expected_[n] > 0 ? into.votes.for_it : into.votes.against);
  }
  into.margin += expected_[n] * scale;
  if (std::abs(moved) > std::abs(strongest)) strongest = moved;
}

Explanation Explainer::explain(std::span<const float> row) const {
  WEIR_CHECK(row.size() == model_.features.size());
  Explanation result;
  result.contributions.assign(row.size(), 0.0);
  if (model_.kind == Model::Kind::linear) {
    result.bias = result.margin = model_.bias[output_];
    for (std::size_t f = 0; f < row.size(); ++f) {
      result.contributions[f] =
          model_.weights[output_ * row.size() + f] * static_cast<double>(row[f]);
      result.margin += result.contributions[f];
    }
    return result;
  }
  if (model_.vote == Vote::sum) result.bias = result.margin = model_.bias[output_];
  const std::vector<double> moved = explain_trees(row, result);
  // The tree that pushed most to the side on which the margin ended.
  const double side = result.margin >= result.bias ? 1.0 : -1.0;
  result.tree = static_cast<std::size_t>(
      std::max_element(moved.begin(), moved.end(),
                       [&](double a, double b) { return a * side < b * side; }) -
      moved.begin());
  result.path = path_in_words(model_, result.tree, row);
  return result;
}

std::vector<double> Explainer::explain_trees(std::span<const float> row, Explanation& into) const {
  const double scale =
      model_.vote == Vote::mean ? 1.0 / static_cast<double>(model_.trees.size()) : 1.0;
  std::vector<double> moved(model_.trees.size(), 0.0);
  for (std::size_t t = 0; t < model_.trees.size(); ++t) {
    const std::int32_t output = model_.trees[t].output;
    if (output == Tree::kAllOutputs || output == static_cast<std::int32_t>(output_))
      explain_tree(t, row, scale, into, moved[t]);
  }
  return moved;
}

std::vector<TreePath> Explainer::paths(std::span<const float> row, std::size_t most) const {
  Explanation unused;
  unused.contributions.assign(row.size(), 0.0);
  const std::vector<double> moved = explain_trees(row, unused);
  std::vector<std::size_t> order(moved.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return std::abs(moved[a]) > std::abs(moved[b]);
  });
  order.resize(std::min(order.size(), most));
  std::vector<TreePath> found;
  found.reserve(order.size());
  for (const std::size_t t : order) found.push_back({t, moved[t], path_in_words(model_, t, row)});
  return found;
}

std::vector<std::size_t> strongest(const Explanation& explanation, std::size_t most) {
  std::vector<std::size_t> order(explanation.contributions.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  const auto size = [&](std::size_t f) { return std::abs(explanation.contributions[f]); };
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return size(a) > size(b); });
  while (!order.empty() && (order.size() > most || size(order.back()) == 0)) order.pop_back();
  return order;
}

}  // namespace weir::forest
