// SPDX-License-Identifier: BSD-2-Clause
// TreeEnsembleClassifier and TreeEnsembleRegressor, ai.onnx.ml 1 to 3. The operator's page leaves
// the two-class cases open; where it does, ONNX Runtime's answer is the meaning
// (tests/forest/parity holds that).
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <set>
#include <unordered_map>
#include <utility>

#include "forest/import.h"
#include "forest/onnx_node.h"
#include "forest/validate.h"

namespace weir::forest {
namespace {

struct Weights {
  std::vector<std::int64_t> trees, nodes, outputs;
  std::vector<float> values;
};

struct Arrays {
  std::vector<std::int64_t> trees, nodes, features, yes, no, missing;
  std::vector<float> values;
  std::vector<std::string> modes;
};

/// One tree's nodes by their ids, and what its leaves add to which output.
struct Draft {
  std::vector<std::size_t> entries;  // indices into Arrays
  std::unordered_map<std::int64_t, std::uint32_t> place;
  std::vector<std::pair<std::uint32_t, std::size_t>> weights;  // node, index into Weights
};

Status same_size(const OnnxNode& node, const char* name, std::size_t found, std::size_t expected) {
  if (found == expected) return {};
  return node.refuse(fmt::format("{}: {} elements, expected {}", name, found, expected));
}

Result<Arrays> read_arrays(const OnnxNode& node) {
  Arrays a;
  WEIR_ASSIGN(a.trees, node.integers("nodes_treeids"));
  WEIR_ASSIGN(a.nodes, node.integers("nodes_nodeids"));
  WEIR_ASSIGN(a.features, node.integers("nodes_featureids"));
  WEIR_ASSIGN(a.yes, node.integers("nodes_truenodeids"));
  WEIR_ASSIGN(a.no, node.integers("nodes_falsenodeids"));
  WEIR_ASSIGN(a.missing, node.integers("nodes_missing_value_tracks_true"));
  WEIR_ASSIGN(a.values, node.floats("nodes_values"));
  WEIR_ASSIGN(a.modes, node.strings("nodes_modes"));
  const std::size_t n = a.trees.size();
  if (n == 0) return node.refuse("nodes_treeids: no nodes");
  if (n > kNodesMax)
    return node.refuse(fmt::format("{} nodes, at most {} are supported", n, kNodesMax));
  if (a.missing.empty()) a.missing.assign(n, 0);
  WEIR_TRY(same_size(node, "nodes_nodeids", a.nodes.size(), n));
  WEIR_TRY(same_size(node, "nodes_featureids", a.features.size(), n));
  WEIR_TRY(same_size(node, "nodes_truenodeids", a.yes.size(), n));
  WEIR_TRY(same_size(node, "nodes_falsenodeids", a.no.size(), n));
  WEIR_TRY(same_size(node, "nodes_missing_value_tracks_true", a.missing.size(), n));
  WEIR_TRY(same_size(node, "nodes_values", a.values.size(), n));
  WEIR_TRY(same_size(node, "nodes_modes", a.modes.size(), n));
  return a;
}

Result<Weights> read_weights(const OnnxNode& node, const std::string& prefix) {
  Weights w;
  WEIR_ASSIGN(w.trees, node.integers((prefix + "_treeids").c_str()));
  WEIR_ASSIGN(w.nodes, node.integers((prefix + "_nodeids").c_str()));
  WEIR_ASSIGN(w.outputs, node.integers((prefix + "_ids").c_str()));
  WEIR_ASSIGN(w.values, node.floats((prefix + "_weights").c_str()));
  const std::size_t n = w.values.size();
  if (n == 0) return node.refuse(prefix + "_weights: no weights");
  WEIR_TRY(same_size(node, (prefix + "_treeids").c_str(), w.trees.size(), n));
  WEIR_TRY(same_size(node, (prefix + "_nodeids").c_str(), w.nodes.size(), n));
  WEIR_TRY(same_size(node, (prefix + "_ids").c_str(), w.outputs.size(), n));
  return w;
}

/// Trees in the order of their first node.
Result<std::vector<Draft>> group(const OnnxNode& node, const Arrays& a, const Weights& w) {
  std::vector<Draft> drafts;
  std::map<std::int64_t, std::size_t> index;
  for (std::size_t i = 0; i < a.trees.size(); ++i) {
    const auto [found, fresh] = index.emplace(a.trees[i], drafts.size());
    if (fresh && drafts.size() == kTreesMax)
      return node.refuse(fmt::format("more than {} trees", kTreesMax));
    if (fresh) drafts.emplace_back();
    Draft& draft = drafts[found->second];
    const auto place = static_cast<std::uint32_t>(draft.entries.size());
    if (!draft.place.emplace(a.nodes[i], place).second)
      return node.refuse(
          fmt::format("nodes_nodeids[{}]: tree {} has node {} twice", i, a.trees[i], a.nodes[i]));
    draft.entries.push_back(i);
  }
  for (std::size_t i = 0; i < w.values.size(); ++i) {
    const auto tree = index.find(w.trees[i]);
    if (tree == index.end())
      return node.refuse(fmt::format("weight {}: tree {} does not exist", i, w.trees[i]));
    const auto place = drafts[tree->second].place.find(w.nodes[i]);
    if (place == drafts[tree->second].place.end())
      return node.refuse(
          fmt::format("weight {}: tree {} has no node {}", i, w.trees[i], w.nodes[i]));
    drafts[tree->second].weights.emplace_back(place->second, i);
  }
  return drafts;
}

/// A branch as weir has it: the condition leads left. `x < t` is `x <= (the float before t)`, for x
/// is a float32 too; `>=` and `>` are the two with their children exchanged, and NaN, which no
/// comparison holds for, stays on the side of "false".
Result<Node> branch(const OnnxNode& node, const Arrays& a, std::size_t i, bool all_less) {
  Node result;
  const std::string& mode = a.modes[i];
  const bool swapped = mode == "BRANCH_GTE" || mode == "BRANCH_GT";
  const bool strict = mode == "BRANCH_LT" || mode == "BRANCH_GTE";
  if (!swapped && !strict && mode != "BRANCH_LEQ")
    return node.refuse(
        fmt::format("nodes_modes[{}]: {} is not supported (BRANCH_LEQ, BRANCH_LT, BRANCH_GTE, "
                    "BRANCH_GT and LEAF are)",
                    i, mode.substr(0, 80)));
  if (a.missing[i] != 0 && a.missing[i] != 1)
    return node.refuse(fmt::format("nodes_missing_value_tracks_true[{}] is {}", i, a.missing[i]));
  const float t = a.values[i];
  if (!std::isfinite(t)) return node.refuse(fmt::format("nodes_values[{}] is {}", i, t));
  result.threshold = static_cast<double>(
      strict && !all_less ? std::nextafter(t, -std::numeric_limits<float>::infinity()) : t);
  if (!std::isfinite(result.threshold))
    return node.refuse(fmt::format("nodes_values[{}] is {}", i, t));
  result.missing_left = (a.missing[i] == 1) != swapped;
  return result;
}

struct Linked {
  std::vector<Node> nodes;
  std::uint32_t root =
      0;  // the place in the draft of the node that now stands first, and the reverse
};

/// The draft's nodes; the root changed places with the first.
Result<Linked> link_nodes(const OnnxNode& node, const Arrays& a, const Draft& draft,
                          std::size_t features, bool all_less) {
  const std::size_t n = draft.entries.size();
  std::vector<Node> nodes(n);
  std::vector<char> child(n, 0);
  for (std::size_t p = 0; p < n; ++p) {
    const std::size_t i = draft.entries[p];
    if (a.modes[i] == "LEAF") continue;
    WEIR_ASSIGN(nodes[p], branch(node, a, i, all_less));
    if (a.features[i] < 0 || a.features[i] >= static_cast<std::int64_t>(features))
      return node.refuse(fmt::format("nodes_featureids[{}] is {}, the input has {} features", i,
                                     a.features[i], features));
    nodes[p].feature = static_cast<std::int32_t>(a.features[i]);
    const auto yes = draft.place.find(a.yes[i]), no = draft.place.find(a.no[i]);
    if (yes == draft.place.end() || no == draft.place.end())
      return node.refuse(fmt::format("node {} of tree {}: child {} does not exist", a.nodes[i],
                                     a.trees[i], yes == draft.place.end() ? a.yes[i] : a.no[i]));
    nodes[p].left = yes->second;
    nodes[p].right = no->second;
    if (a.modes[i].starts_with("BRANCH_G")) std::swap(nodes[p].left, nodes[p].right);
    child[yes->second] = child[no->second] = 1;
  }
  const auto root = std::find(child.begin(), child.end(), 0);
  if (root == child.end())
    return node.refuse(
        fmt::format("tree {} has no root: its nodes lead in a circle", a.trees[draft.entries[0]]));
  const auto r = static_cast<std::uint32_t>(root - child.begin());
  std::swap(nodes[0], nodes[r]);
  for (Node& each : nodes) {
    for (std::uint32_t* c : {&each.left, &each.right})
      if (each.feature >= 0) *c = *c == 0 ? r : *c == r ? 0 : *c;
  }
  return Linked{std::move(nodes), r};
}

/// Writes the leaves' values and appends the tree. A tree whose weights all go to one of several
/// outputs holds one value a leaf.
Status append(const OnnxNode& node, const Arrays& a, const Weights& w, const Draft& draft,
              std::size_t features, bool all_less, Model& model) {
  WEIR_ASSIGN(Linked linked, link_nodes(node, a, draft, features, all_less));
  std::vector<Node>& nodes = linked.nodes;
  std::set<std::int64_t> outputs;
  for (const auto& [place, i] : draft.weights) outputs.insert(w.outputs[i]);
  const bool single = model.outputs > 1 && outputs.size() == 1;
  const std::size_t width = single ? 1 : model.outputs;
  const auto moved = [&](std::uint32_t p) {
    return p == 0 ? linked.root : p == linked.root ? 0 : p;
  };
  for (Node& each : nodes) {
    if (each.feature >= 0) continue;
    if (width > kValuesMax - model.values.size())
      return node.refuse(fmt::format("more than {} leaf values", kValuesMax));
    each.value = static_cast<std::uint32_t>(model.values.size());
    model.values.resize(model.values.size() + width, 0.0);
  }
  std::set<std::pair<std::uint32_t, std::int64_t>> seen;
  for (const auto& [place, i] : draft.weights) {
    const Node& leaf = nodes[moved(place)];
    if (leaf.feature >= 0)
      return node.refuse(
          fmt::format("weight {}: node {} of tree {} is no leaf", i, w.nodes[i], w.trees[i]));
    if (!seen.emplace(place, w.outputs[i]).second)
      return node.refuse(fmt::format("weight {}: the leaf has one for this output already", i));
    if (!std::isfinite(w.values[i]))
      return node.refuse(fmt::format("weight {} is {}", i, w.values[i]));
    model.values[leaf.value + (single ? 0 : static_cast<std::size_t>(w.outputs[i]))] =
        static_cast<double>(w.values[i]);
  }
  return append_tree(model, nodes,
                     single ? static_cast<std::int32_t>(*outputs.begin()) : Tree::kAllOutputs,
                     node.where());
}

/// Two classes and weights for one of them only: ONNX Runtime takes the sum as the probability of
/// the second class where no weight is negative, else as its margin.
Status read_binary(const OnnxNode& node, const std::string& post, Weights& w, Model& model) {
  const bool positive =
      std::none_of(w.values.begin(), w.values.end(), [](float x) { return x < 0; });
  model.outputs = 1;
  std::fill(w.outputs.begin(), w.outputs.end(), 0);
  if (positive && post == "NONE") {
    model.link = Link::identity;
  } else if (!positive && post == "LOGISTIC") {
    model.link = Link::sigmoid;
  } else {
    return node.refuse(
        fmt::format("post_transform {} with {} weights of one class is not supported: runtimes do "
                    "not agree what its scores are",
                    post, positive ? "positive" : "negative"));
  }
  return {};
}

Status read_classifier(const OnnxNode& node, Weights& w, Model& model) {
  WEIR_TRY(onnx_classes(node, "classlabels_strings", "classlabels_int64s", model));
  WEIR_ASSIGN(const std::string post, node.text("post_transform", "NONE"));
  const std::size_t n = model.classes.size();
  for (std::size_t i = 0; i < w.outputs.size(); ++i)
    if (w.outputs[i] < 0 || w.outputs[i] >= static_cast<std::int64_t>(n))
      return node.refuse(
          fmt::format("class_ids[{}] is {}, there are {} classes", i, w.outputs[i], n));
  const bool one_id = std::all_of(w.outputs.begin(), w.outputs.end(),
                                  [&](std::int64_t id) { return id == w.outputs[0]; });
  if (n == 2 && one_id) return read_binary(node, post, w, model);
  model.outputs = static_cast<std::uint32_t>(n);
  if (post == "NONE") {
    model.link = Link::identity;
  } else if (post == "SOFTMAX") {
    model.link = Link::softmax;
  } else if (post == "LOGISTIC" && n > 2) {
    model.link = Link::sigmoid;
  } else {
    return node.refuse(
        fmt::format("post_transform {} with {} classes is not supported", post.substr(0, 80), n));
  }
  return {};
}

Status read_regressor(const OnnxNode& node, const Weights& w, Model& model) {
  WEIR_ASSIGN(const std::string post, node.text("post_transform", "NONE"));
  if (post != "NONE")
    return node.refuse(
        fmt::format("post_transform {} of a regressor is not supported", post.substr(0, 80)));
  WEIR_ASSIGN(const std::int64_t targets, node.integer("n_targets", 1));
  if (targets < 1 || targets > static_cast<std::int64_t>(kClassesMax))
    return node.refuse(fmt::format("n_targets is {}", targets));
  model.outputs = static_cast<std::uint32_t>(targets);
  for (std::size_t i = 0; i < w.outputs.size(); ++i)
    if (w.outputs[i] < 0 || w.outputs[i] >= targets)
      return node.refuse(
          fmt::format("target_ids[{}] is {}, there are {} targets", i, w.outputs[i], targets));
  WEIR_ASSIGN(const std::string aggregate, node.text("aggregate_function", "SUM"));
  if (aggregate == "AVERAGE") {
    model.vote = Vote::mean;
  } else if (aggregate != "SUM") {
    return node.refuse(
        fmt::format("aggregate_function {} is not supported", aggregate.substr(0, 80)));
  }
  return {};
}

Status read_bias(const OnnxNode& node, Model& model) {
  WEIR_ASSIGN(const std::vector<float> base, node.floats("base_values"));
  if (model.vote == Vote::mean) {
    if (std::any_of(base.begin(), base.end(), [](float x) { return x != 0; }))
      return node.refuse("base_values with aggregate_function AVERAGE are not supported");
    return {};
  }
  model.bias.assign(model.outputs, 0.0);
  if (base.empty()) return {};
  if (base.size() != model.outputs)
    return node.refuse(fmt::format("base_values: {} elements for {} outputs are not supported",
                                   base.size(), model.outputs));
  model.bias.assign(base.begin(), base.end());
  return {};
}

}  // namespace

Status import_onnx_trees(const OnnxNode& node, std::size_t features, Model& model) {
  const bool classifier = node.op() == "TreeEnsembleClassifier";
  // Those "as_tensor" are float64 variants, which change the arithmetic: they are not in the lists.
  if (classifier) {
    WEIR_TRY(node.only({"nodes_treeids", "nodes_nodeids", "nodes_featureids", "nodes_values",
                        "nodes_hitrates", "nodes_modes", "nodes_truenodeids", "nodes_falsenodeids",
                        "nodes_missing_value_tracks_true", "base_values", "post_transform",
                        "class_treeids", "class_nodeids", "class_ids", "class_weights",
                        "classlabels_strings", "classlabels_int64s"}));
  } else {
    WEIR_TRY(node.only({"nodes_treeids", "nodes_nodeids", "nodes_featureids", "nodes_values",
                        "nodes_hitrates", "nodes_modes", "nodes_truenodeids", "nodes_falsenodeids",
                        "nodes_missing_value_tracks_true", "base_values", "post_transform",
                        "target_treeids", "target_nodeids", "target_ids", "target_weights",
                        "n_targets", "aggregate_function"}));
  }
  model.sums = Sums::float32;
  model.vote = Vote::sum;
  WEIR_ASSIGN(const Arrays a, read_arrays(node));
  WEIR_ASSIGN(Weights w, read_weights(node, classifier ? "class" : "target"));
  WEIR_TRY(classifier ? read_classifier(node, w, model) : read_regressor(node, w, model));
  WEIR_TRY(read_bias(node, model));
  if (features == 0) {
    const std::int64_t last = *std::max_element(a.features.begin(), a.features.end());
    if (last < 0 || last >= static_cast<std::int64_t>(kFeaturesMax))
      return node.refuse(fmt::format("nodes_featureids: feature {}", last));
    features = static_cast<std::size_t>(last) + 1;
  }
  const bool all_less = std::all_of(a.modes.begin(), a.modes.end(), [](const std::string& mode) {
    return mode == "BRANCH_LT" || mode == "BRANCH_GTE" || mode == "LEAF";
  });
  model.compare = all_less ? Compare::less : Compare::less_equal;
  WEIR_ASSIGN(const std::vector<Draft> drafts, group(node, a, w));
  for (const Draft& draft : drafts) WEIR_TRY(append(node, a, w, draft, features, all_less, model));
  for (std::size_t f = 0; f < features; ++f) model.features.push_back(fmt::format("f{}", f));
  return {};
}

}  // namespace weir::forest
