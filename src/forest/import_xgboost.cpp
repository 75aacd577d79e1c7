// SPDX-License-Identifier: BSD-2-Clause
// XGBoost's model, as `Booster.save_model` writes it (JSON or UBJSON):
// doc/model.schema in XGBoost's sources. Values are float32 there, whatever the text says: each
// number is rounded to it.
#include <fmt/format.h>

#include <array>
#include <charconv>
#include <cmath>
#include <string>
#include <utility>

#include "forest/formats.h"
#include "forest/import.h"
#include "forest/json_view.h"
#include "forest/validate.h"

namespace weir::forest {
namespace {

double to_float32(double x) { return static_cast<double>(static_cast<float>(x)); }

/// XGBoost writes most parameters as texts: "24", "5E-1", since 3.1 also "[5E-1]".
Result<double> parameter(const View& view) {
  if (view.json().is_number()) return view.number();
  WEIR_ASSIGN(const std::string text, view.text());
  std::string_view body = text;
  if (body.starts_with('[') && body.ends_with(']')) body = body.substr(1, body.size() - 2);
  double value = 0;
  const auto [end, error] = std::from_chars(body.data(), body.data() + body.size(), value);
  if (error != std::errc() || end != body.data() + body.size() || !std::isfinite(value))
    return view.refuse(fmt::format("\"{}\" is not one number", text.substr(0, 80)));
  return value;
}

Result<std::size_t> count(const View& view, std::size_t max) {
  WEIR_ASSIGN(const double value, parameter(view));
  if (value < 0 || value > static_cast<double>(max) || value != std::floor(value))
    return view.refuse(fmt::format("{}, a whole number up to {} is expected", value, max));
  return static_cast<std::size_t>(value);
}

struct Header {
  std::size_t groups = 1;
  float base = 0;
};

Status read_objective(const View& learner, std::size_t classes, Header& header, Model& model) {
  WEIR_ASSIGN(const View objective, learner.at("objective"));
  WEIR_ASSIGN(const View view, objective.at("name"));
  WEIR_ASSIGN(const std::string name, view.text());
  const bool wide = name == "multi:softprob" || name == "multi:softmax";
  const bool logistic = name == "binary:logistic";
  if (wide) {
    if (classes < 2 || classes > kClassesMax)
      return view.refuse(
          fmt::format("{} with num_class {}, 2 to {} are supported", name, classes, kClassesMax));
    header.groups = classes;
    model.link = Link::softmax;
  } else if (logistic || name == "reg:logistic") {
    model.link = Link::sigmoid;
    if (header.base <= 0 || header.base >= 1)
      return view.refuse(fmt::format("base_score {} is no probability", header.base));
    header.base = -std::log(1.0F / header.base - 1.0F);  // XGBoost's ProbToMargin, in float32
  } else if (name == "reg:squarederror" || name == "reg:linear") {
    model.link = Link::identity;
  } else {
    return view.refuse(
        fmt::format("objective \"{}\" is not supported (binary:logistic, multi:softprob, "
                    "multi:softmax, reg:squarederror and reg:logistic are)",
                    name.substr(0, 80)));
  }
  if (!wide && classes > 1) return view.refuse(fmt::format("{} with {} classes", name, classes));
  const std::size_t named = wide ? classes : logistic ? 2 : 0;
  for (std::size_t c = 0; c < named; ++c) model.classes.push_back({fmt::format("{}", c), 0});
  model.outputs = static_cast<std::uint32_t>(header.groups);
  model.bias.assign(header.groups, static_cast<double>(header.base));
  return {};
}

Result<Header> read_parameters(const View& learner, Model& model) {
  Header header;
  WEIR_ASSIGN(const View parameters, learner.at("learner_model_param"));
  WEIR_ASSIGN(const View num_feature, parameters.at("num_feature"));
  WEIR_ASSIGN(const std::size_t features, count(num_feature, kFeaturesMax));
  WEIR_ASSIGN(const View num_class, parameters.at("num_class"));
  WEIR_ASSIGN(const std::size_t classes, count(num_class, kClassesMax));
  if (parameters.has("num_target")) {
    WEIR_ASSIGN(const View num_target, parameters.at("num_target"));
    WEIR_ASSIGN(const std::size_t targets, count(num_target, 1U << 30U));
    if (targets > 1) return num_target.refuse("models of several targets are not supported");
  }
  WEIR_ASSIGN(const View base_score, parameters.at("base_score"));
  WEIR_ASSIGN(const double base, parameter(base_score));
  header.base = static_cast<float>(base);
  WEIR_TRY(read_objective(learner, classes, header, model));
  const bool named = learner.has("feature_names") && !learner.json()["feature_names"].empty();
  if (named) {
    WEIR_ASSIGN(const View names, learner.at("feature_names"));
    WEIR_TRY(names.array(kFeaturesMax));
    if (names.size() != features)
      return names.refuse(fmt::format("{} names for {} features", names.size(), features));
    for (std::size_t f = 0; f < features; ++f) {
      WEIR_ASSIGN(std::string text, names[f].text());
      model.features.push_back(std::move(text));
    }
  } else {
    for (std::size_t f = 0; f < features; ++f) model.features.push_back(fmt::format("f{}", f));
  }
  model.units.assign(features, "");
  return header;
}

Status refuse_categories(const View& learner) {
  if (!learner.has("feature_types")) return {};
  WEIR_ASSIGN(const View types, learner.at("feature_types"));
  WEIR_TRY(types.array(kFeaturesMax));
  for (std::size_t f = 0; f < types.size(); ++f) {
    WEIR_ASSIGN(const std::string type, types[f].text());
    if (type == "c") return types[f].refuse("categorical features are not supported");
  }
  return {};
}

/// Early stopping leaves trees behind the best iteration: Booster.predict uses them,
/// XGBClassifier.predict does not. The file does not say which one the user means.
Status check_best_iteration(const View& learner, std::size_t rounds) {
  if (rounds == 0 || !learner.has("attributes")) return {};
  WEIR_ASSIGN(const View attributes, learner.at("attributes"));
  if (!attributes.has("best_iteration")) return {};
  WEIR_ASSIGN(const View view, attributes.at("best_iteration"));
  WEIR_ASSIGN(const std::size_t best, count(view, kTreesMax));
  if (best + 1 >= rounds) return {};
  return view.refuse(
      fmt::format("training stopped early: {} rounds, the best after {}, and XGBoost's interfaces "
                  "differ in which "
                  "they use; save booster[:{}] or delete the attribute",
                  rounds, best + 1, best + 1));
}

/// scikit-learn's interface keeps its parameters as a text, among them the number that its predict
/// takes for a missing value; Booster.predict and weir know NaN only. (The text is no JSON: NaN is
/// in it.)
Status check_missing(const View& learner) {
  if (!learner.has("attributes")) return {};
  WEIR_ASSIGN(const View attributes, learner.at("attributes"));
  if (!attributes.has("scikit_learn")) return {};
  WEIR_ASSIGN(const View view, attributes.at("scikit_learn"));
  WEIR_ASSIGN(const std::string parameters, view.text());
  constexpr std::string_view kKey = "\"missing\":";
  const std::size_t key = parameters.find(kKey);
  if (key == std::string::npos) return {};
  std::string_view value = std::string_view(parameters).substr(key + kKey.size());
  value = value.substr(0, value.find_first_of(",}"));
  value.remove_prefix(std::min(value.find_first_not_of(' '), value.size()));
  if (value == "NaN" || value == "null") return {};
  return view.refuse(fmt::format(
      "trained with missing={}, and XGBoost's interfaces differ in whether they take "
      "that number for a missing value; weir takes NaN only: train with missing=NaN, or "
      "delete the attribute where no row has that number",
      value.substr(0, 40)));
}

struct TreeArrays {
  std::vector<std::int64_t> left, right, feature, default_left, split_type;
  std::vector<double> condition, hessian;
};

Result<TreeArrays> read_columns(const View& tree, std::size_t nodes) {
  TreeArrays c;
  const auto check = [&](const View& view, std::size_t found) -> Status {
    if (found == nodes) return {};
    return view.refuse(fmt::format("{} elements for {} nodes", found, nodes));
  };
  const std::array<std::pair<const char*, std::vector<std::int64_t>*>, 4> integers{
      {{"left_children", &c.left},
       {"right_children", &c.right},
       {"split_indices", &c.feature},
       {"default_left", &c.default_left}}};
  for (const auto& [key, into] : integers) {
    WEIR_ASSIGN(const View view, tree.at(key));
    WEIR_ASSIGN(*into, view.integers(kNodesMax));
    WEIR_TRY(check(view, into->size()));
  }
  WEIR_ASSIGN(const View conditions, tree.at("split_conditions"));
  WEIR_ASSIGN(c.condition, conditions.numbers(kNodesMax));
  WEIR_TRY(check(conditions, c.condition.size()));
  if (tree.has("sum_hessian")) {
    WEIR_ASSIGN(const View view, tree.at("sum_hessian"));
    WEIR_ASSIGN(c.hessian, view.numbers(kNodesMax));
    WEIR_TRY(check(view, c.hessian.size()));
  }
  if (tree.has("split_type")) {
    WEIR_ASSIGN(const View view, tree.at("split_type"));
    WEIR_ASSIGN(c.split_type, view.integers(kNodesMax));
    WEIR_TRY(check(view, c.split_type.size()));
  }
  return c;
}

/// The nodes that the root leads to, in its own order; pruning leaves deleted ones between them.
Result<std::vector<Node>> reached_nodes(const View& tree, const TreeArrays& c, Model& model,
                                        std::size_t deleted) {
  const auto nodes = static_cast<std::int64_t>(c.left.size());
  std::vector<std::uint32_t> order{0};
  std::vector<char> seen(c.left.size(), 0);
  seen[0] = 1;
  std::vector<Node> result;
  for (std::size_t i = 0; i < order.size(); ++i) {
    const std::size_t n = order[i];
    const auto at = [&](const char* what, std::int64_t value) {
      return tree.refuse(fmt::format("node {}: {} is {}", n, what, value));
    };
    Node node;
    if (!c.hessian.empty()) node.cover = c.hessian[n];
    const double condition = to_float32(c.condition[n]);
    if (!std::isfinite(condition))
      return tree.refuse(fmt::format("node {}: the number in split_conditions is no float32", n));
    if (c.left[n] == -1) {
      if (c.right[n] != -1) return at("a leaf's right child", c.right[n]);
      node.value = static_cast<std::uint32_t>(model.values.size());
      model.values.push_back(condition);
      result.push_back(node);
      continue;
    }
    if (!c.split_type.empty() && c.split_type[n] != 0)
      return at("the split is categorical, which is not supported: its type", c.split_type[n]);
    for (const std::int64_t child : {c.left[n], c.right[n]}) {
      if (child <= 0 || child >= nodes) return at("a child", child);
      if (seen[static_cast<std::size_t>(child)] != 0)
        return at("it leads back or shares a child, which", child);
      seen[static_cast<std::size_t>(child)] = 1;
      order.push_back(static_cast<std::uint32_t>(child));
    }
    if (c.feature[n] < 0 || c.feature[n] >= static_cast<std::int64_t>(model.features.size()))
      return at("the feature's index", c.feature[n]);
    if (c.default_left[n] != 0 && c.default_left[n] != 1)
      return at("default_left", c.default_left[n]);
    node.feature = static_cast<std::int32_t>(c.feature[n]);
    node.threshold = condition;
    node.missing_left = c.default_left[n] == 1;
    node.left = static_cast<std::uint32_t>(order.size() - 2);
    node.right = static_cast<std::uint32_t>(order.size() - 1);
    result.push_back(node);
  }
  if (order.size() + deleted != c.left.size())
    return tree.refuse(fmt::format("{} nodes, of which the root leads to {}, but {} are deleted",
                                   c.left.size(), order.size(), deleted));
  return result;
}

Status read_tree(const View& tree, std::int32_t output, Model& model) {
  WEIR_ASSIGN(const View parameters, tree.at("tree_param"));
  WEIR_ASSIGN(const View num_nodes, parameters.at("num_nodes"));
  WEIR_ASSIGN(const std::size_t nodes, count(num_nodes, kNodesMax));
  std::size_t deleted = 0;
  if (parameters.has("num_deleted")) {
    WEIR_ASSIGN(const View view, parameters.at("num_deleted"));
    WEIR_ASSIGN(deleted, count(view, kNodesMax));
  }
  if (parameters.has("size_leaf_vector")) {
    WEIR_ASSIGN(const View view, parameters.at("size_leaf_vector"));
    WEIR_ASSIGN(const std::size_t size, count(view, 1U << 30U));
    if (size > 1) return view.refuse("leaves of several values are not supported");
  }
  if (nodes == 0) return num_nodes.refuse("a tree without nodes");
  WEIR_ASSIGN(const TreeArrays columns, read_columns(tree, nodes));
  WEIR_ASSIGN(const std::vector<Node> reached, reached_nodes(tree, columns, model, deleted));
  return append_tree(model, reached, output, tree.where());
}

Status read_trees(const View& booster, const Header& header, Model& model) {
  WEIR_ASSIGN(const View body, booster.at("model"));
  WEIR_ASSIGN(const View trees, body.at("trees"));
  WEIR_ASSIGN(const View info, body.at("tree_info"));
  WEIR_TRY(trees.array(kTreesMax));
  WEIR_ASSIGN(const std::vector<std::int64_t> groups, info.integers(kTreesMax));
  if (groups.size() != trees.size())
    return info.refuse(fmt::format("{} elements for {} trees", groups.size(), trees.size()));
  for (std::size_t t = 0; t < trees.size(); ++t) {
    if (groups[t] < 0 || groups[t] >= static_cast<std::int64_t>(header.groups))
      return info[t].refuse(
          fmt::format("{}, but the model has {} groups", groups[t], header.groups));
    WEIR_TRY(trees[t].object());
    WEIR_TRY(read_tree(trees[t], static_cast<std::int32_t>(groups[t]), model));
  }
  return {};
}

std::string version_of(const View& root) {
  std::string text = "XGBoost";
  if (!root.has("version") || !root.json()["version"].is_array()) return text;
  for (std::size_t i = 0; i < root.json()["version"].size() && i < 3; ++i)
    text += (i == 0 ? " " : ".") + root.json()["version"][i].dump();
  return text;
}

}  // namespace

Result<Model> import_xgboost(const Json& document, const std::string& format,
                             const std::string& name) {
  const View root(document, name + ": ");
  WEIR_ASSIGN(const View learner, root.at("learner"));
  WEIR_ASSIGN(const View booster, learner.at("gradient_booster"));
  WEIR_ASSIGN(const View kind, booster.at("name"));
  WEIR_ASSIGN(const std::string kind_name, kind.text());
  if (kind_name != "gbtree")
    return kind.refuse(fmt::format("booster \"{}\" is not supported, only \"gbtree\" is",
                                   kind_name.substr(0, 80)));
  Model model;
  model.format = format;
  model.provenance = version_of(root);
  model.compare = Compare::less;
  model.vote = Vote::sum;
  model.sums = Sums::float32;
  WEIR_TRY(refuse_categories(learner));
  WEIR_TRY(check_missing(learner));
  WEIR_ASSIGN(const Header header, read_parameters(learner, model));
  WEIR_TRY(read_trees(booster, header, model));
  WEIR_ASSIGN(const View body, booster.at("model"));
  std::size_t parallel = 1;
  if (body.has("gbtree_model_param") &&
      body.json()["gbtree_model_param"].contains("num_parallel_tree")) {
    WEIR_ASSIGN(const View parameters, body.at("gbtree_model_param"));
    WEIR_ASSIGN(const View view, parameters.at("num_parallel_tree"));
    WEIR_ASSIGN(parallel, count(view, kTreesMax));
  }
  const std::size_t per_round = header.groups * std::max<std::size_t>(parallel, 1);
  WEIR_TRY(check_best_iteration(learner, model.trees.size() / per_round));
  return model;
}

}  // namespace weir::forest
