// SPDX-License-Identifier: BSD-2-Clause
#include "forest/validate.h"

#include <fmt/format.h>

#include <cmath>
#include <set>

#include "forest/import.h"

namespace weir::forest {
namespace {

bool finite(const std::vector<double>& numbers) {
  for (const double x : numbers)
    if (!std::isfinite(x)) return false;
  return true;
}

Status check_names(const Model& model, const std::string& name) {
  if (model.features.empty()) return fail(fmt::format("{}: the model has no features", name));
  if (model.features.size() > kFeaturesMax)
    return fail(fmt::format("{}: {} features, at most {} are supported", name,
                            model.features.size(), kFeaturesMax));
  if (model.units.size() != model.features.size())
    return fail(fmt::format("{}: {} units for {} features", name, model.units.size(),
                            model.features.size()));
  std::set<std::string> seen;
  for (const std::string& feature : model.features) {
    if (feature.empty() || feature.size() > kNameMax_bytes)
      return fail(fmt::format("{}: a feature's name has {} bytes, 1 to {} are allowed", name,
                              feature.size(), kNameMax_bytes));
    if (!seen.insert(feature).second)
      return fail(fmt::format("{}: feature '{}' stands twice", name, feature));
  }
  if (model.classes.size() == 1 || model.classes.size() > kClassesMax)
    return fail(fmt::format("{}: {} classes, 2 to {} are supported", name, model.classes.size(),
                            kClassesMax));
  seen.clear();
  for (const ClassShare& share : model.classes) {
    if (!seen.insert(share.name).second)
      return fail(fmt::format("{}: class '{}' stands twice", name, share.name));
    if (share.name.size() > kNameMax_bytes)
      return fail(fmt::format("{}: a class's name is longer than {} bytes", name, kNameMax_bytes));
    if (!std::isfinite(share.rows) || share.rows < 0)
      return fail(fmt::format("{}: class '{}' has {} training rows", name, share.name, share.rows));
  }
  return {};
}

Status check_outputs(const Model& model, const std::string& name) {
  const std::size_t classes = model.classes.size();
  const std::size_t n = model.outputs;
  if (n == 0 || n > kClassesMax)
    return fail(fmt::format("{}: {} outputs, 1 to {} are supported", name, n, kClassesMax));
  if (classes != 0 && n != classes && !(classes == 2 && n == 1))
    return fail(fmt::format("{}: {} outputs do not fit {} classes", name, n, classes));
  if (model.link == Link::softmax && n < 2)
    return fail(fmt::format("{}: softmax needs two outputs or more", name));
  if (model.vote == Vote::mean && model.kind == Model::Kind::trees && model.link != Link::identity)
    return fail(fmt::format("{}: a mean vote goes with link identity only", name));
  if (classes == 2 && n == 2 && model.link == Link::sigmoid)
    return fail(fmt::format("{}: a binary classifier with sigmoid has one output, not 2", name));
  const bool biased = model.vote == Vote::sum || model.kind == Model::Kind::linear;
  if (model.bias.size() != (biased ? n : 0))
    return fail(
        fmt::format("{}: {} bias values, expected {}", name, model.bias.size(), biased ? n : 0));
  if (!finite(model.bias)) return fail(fmt::format("{}: bias is not finite", name));
  return {};
}

Status check_decision(const Model& model, const std::string& name) {
  const Decision& decision = model.decision;
  if (decision.usual()) return {};
  if (model.classes.size() != 2)
    return fail(fmt::format("{}: a threshold belongs to a classifier of two classes, this has {}",
                            name, model.classes.size()));
  if (decision.on == Decision::On::probability && !model.probabilities)
    return fail(fmt::format(
        "{}: a threshold on a probability, and the model has none; put it on the margin", name));
  if (decision.on == Decision::On::probability && !(decision.above > 0 && decision.above < 1))
    return fail(
        fmt::format("{}: a threshold of {} on a probability, expected is one between 0 and 1", name,
                    decision.above));
  if (!std::isfinite(decision.above))
    return fail(fmt::format("{}: the threshold is not finite", name));
  if (decision.on == Decision::On::margin && model.link != Link::sigmoid)
    return fail(fmt::format("{}: a threshold on the margin goes with link sigmoid only", name));
  return {};
}

Status check_leaf(const Model& model, const Tree& tree, const Node& node, const std::string& at) {
  const std::size_t count = tree.output == Tree::kAllOutputs ? model.outputs : 1;
  if (node.value > model.values.size() || model.values.size() - node.value < count)
    return fail(
        fmt::format("{}: the leaf's value lies outside of the {} values", at, model.values.size()));
  return {};
}

Status check_split(const Model& model, const Node& node, std::size_t n, std::size_t end,
                   std::vector<std::uint16_t>& depth, std::size_t root, const std::string& at) {
  if (static_cast<std::size_t>(node.feature) >= model.features.size())
    return fail(fmt::format("{}: feature index {}, but the model has {} features", at, node.feature,
                            model.features.size()));
  const bool usable =
      std::isfinite(node.threshold) || (node.threshold > 0 && std::isinf(node.threshold));
  if (!usable) return fail(fmt::format("{}: threshold is {}", at, node.threshold));
  for (const std::uint32_t child : {node.left, node.right}) {
    if (child <= n || child >= end)
      return fail(fmt::format("{}: child {} is outside of its tree or not behind its parent", at,
                              child - root));
    std::uint16_t& d = depth[child - root];
    if (d != 0) return fail(fmt::format("{}: child {} has two parents", at, child - root));
    d = static_cast<std::uint16_t>(depth[n - root] + 1);
    if (d - 1U > kDepthMax) return fail(fmt::format("{}: deeper than {} levels", at, kDepthMax));
  }
  return {};
}

Status check_tree(const Model& model, std::size_t t, const std::string& name) {
  const Tree& tree = model.trees[t];
  const std::size_t end = t + 1 < model.trees.size() ? model.trees[t + 1].root : model.nodes.size();
  const std::string at = fmt::format("{}: tree {}", name, t);
  if (tree.root >= end || end > model.nodes.size())
    return fail(fmt::format("{}: has no nodes of its own", at));
  if (tree.output < Tree::kAllOutputs || tree.output >= static_cast<std::int32_t>(model.outputs))
    return fail(fmt::format("{}: output {}, but the model has {}", at, tree.output, model.outputs));
  std::vector<std::uint16_t> depth(end - tree.root, 0);
  depth[0] = 1;
  std::size_t leaves = 0;
  for (std::size_t n = tree.root; n < end; ++n) {
    const Node& node = model.nodes[n];
    const auto where = [&] { return fmt::format("{}, node {}", at, n - tree.root); };
    if (depth[n - tree.root] == 0) return fail(where() + ": no parent leads to it");
    if (!std::isfinite(node.cover) || node.cover < 0)
      return fail(fmt::format("{}: cover is {}", where(), node.cover));
    if (node.feature < 0) {
      ++leaves;
      if (node.feature != -1) return fail(fmt::format("{}: feature {}", where(), node.feature));
      WEIR_TRY(check_leaf(model, tree, node, where()));
    } else {
      WEIR_TRY(check_split(model, node, n, end, depth, tree.root, where()));
    }
  }
  if (leaves > kLeavesPerTreeMax)
    return fail(
        fmt::format("{}: {} leaves, at most {} are supported", at, leaves, kLeavesPerTreeMax));
  return {};
}

}  // namespace

Status validate(const Model& model, const std::string& name) {
  WEIR_TRY(check_names(model, name));
  WEIR_TRY(check_outputs(model, name));
  WEIR_TRY(check_decision(model, name));
  if (!finite(model.values)) return fail(fmt::format("{}: a leaf's value is not finite", name));
  if (model.kind == Model::Kind::linear) {
    if (!model.trees.empty()) return fail(fmt::format("{}: a linear model with trees", name));
    if (model.weights.size() != model.outputs * model.features.size())
      return fail(fmt::format("{}: {} weights, expected {} outputs x {} features", name,
                              model.weights.size(), model.outputs, model.features.size()));
    if (!finite(model.weights)) return fail(fmt::format("{}: a weight is not finite", name));
    return {};
  }
  if (model.trees.empty()) return fail(fmt::format("{}: the model has no trees", name));
  if (model.trees.size() > kTreesMax)
    return fail(
        fmt::format("{}: {} trees, at most {} are supported", name, model.trees.size(), kTreesMax));
  if (model.nodes.size() > kNodesMax)
    return fail(
        fmt::format("{}: {} nodes, at most {} are supported", name, model.nodes.size(), kNodesMax));
  if (model.values.size() > kValuesMax)
    return fail(fmt::format("{}: {} leaf values, at most {} are supported", name,
                            model.values.size(), kValuesMax));
  if (model.trees[0].root != 0) return fail(fmt::format("{}: nodes before the first tree", name));
  for (std::size_t t = 0; t < model.trees.size(); ++t) WEIR_TRY(check_tree(model, t, name));
  return {};
}

Status append_tree(Model& model, const std::vector<Node>& nodes, std::int32_t output,
                   const std::string& name) {
  const std::size_t t = model.trees.size();
  if (nodes.empty()) return fail(fmt::format("{}: tree {} has no nodes", name, t));
  if (t >= kTreesMax) return fail(fmt::format("{}: more than {} trees", name, kTreesMax));
  if (nodes.size() > kNodesMax - model.nodes.size())
    return fail(fmt::format("{}: more than {} nodes", name, kNodesMax));
  const auto root = static_cast<std::uint32_t>(model.nodes.size());
  std::vector<std::uint32_t> order{0};  // breadth first: children get the next free places
  std::vector<char> reached(nodes.size(), 0);
  reached[0] = 1;
  for (std::size_t i = 0; i < order.size(); ++i) {
    Node node = nodes[order[i]];
    if (node.feature >= 0) {
      for (std::uint32_t* child : {&node.left, &node.right}) {
        if (*child >= nodes.size())
          return fail(fmt::format("{}: tree {}, node {}: child {} does not exist", name, t,
                                  order[i], *child));
        if (reached[*child] != 0)
          return fail(fmt::format("{}: tree {}, node {}: child {} has two parents or leads back",
                                  name, t, order[i], *child));
        reached[*child] = 1;
        order.push_back(*child);
        *child = root + static_cast<std::uint32_t>(order.size() - 1);
      }
    }
    model.nodes.push_back(node);
  }
  if (order.size() != nodes.size())
    return fail(fmt::format("{}: tree {}: {} of its {} nodes are not reached from the root", name,
                            t, nodes.size() - order.size(), nodes.size()));
  model.trees.push_back(Tree{root, output});
  return {};
}

}  // namespace weir::forest
