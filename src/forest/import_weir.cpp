// SPDX-License-Identifier: BSD-2-Clause
// weir's own JSON model, version 1: README.md in this folder describes it, member by member.
#include <fmt/format.h>

#include <array>
#include <cmath>
#include <limits>
#include <utility>

#include "forest/formats.h"
#include "forest/import.h"
#include "forest/json_view.h"
#include "forest/sha256.h"
#include "forest/validate.h"

namespace weir::forest {
namespace {

constexpr std::int64_t kVersion = 1;

template <typename T, std::size_t N>
Result<T> choose(const View& view, const std::array<std::pair<const char*, T>, N>& words) {
  WEIR_ASSIGN(const std::string word, view.text());
  std::string known;
  for (const auto& [text, value] : words) {
    if (word == text) return value;
    known += fmt::format("{}\"{}\"", known.empty() ? "" : ", ", text);
  }
  return view.refuse(fmt::format("\"{}\" is none of {}", word.substr(0, 80), known));
}

/// The hash covers every byte before the comma that stands before the member "sha256", which is
/// the last one: a writer needs no second pass, a reader no re-serialising.
Status check_hash(const View& hash, std::string_view text) {
  WEIR_ASSIGN(const std::string expected, hash.text());
  const std::size_t key = text.rfind("\"sha256\"");
  const std::size_t comma = key == std::string_view::npos ? key : text.rfind(',', key);
  if (comma == std::string_view::npos) return hash.refuse("it is not the last member");
  const std::string found = sha256(text.substr(0, comma));
  if (found != expected)
    return hash.refuse(fmt::format(
        "the file was changed or damaged after it was written (its content hashes to {})", found));
  return {};
}

Status read_features(const View& root, Model& model) {
  WEIR_ASSIGN(const View list, root.at("features"));
  WEIR_TRY(list.array(kFeaturesMax));
  for (std::size_t i = 0; i < list.size(); ++i) {
    const View entry = list[i];
    WEIR_TRY(entry.only({"name", "unit"}));
    WEIR_ASSIGN(const View name, entry.at("name"));
    WEIR_ASSIGN(std::string text, name.text());
    model.features.push_back(std::move(text));
    model.units.emplace_back();
    if (!entry.has("unit")) continue;
    WEIR_ASSIGN(const View unit, entry.at("unit"));
    WEIR_ASSIGN(model.units.back(), unit.text());
  }
  return {};
}

Status read_classes(const View& root, Model& model) {
  if (!root.has("classes")) return {};
  WEIR_ASSIGN(const View list, root.at("classes"));
  WEIR_TRY(list.array(kClassesMax));
  for (std::size_t i = 0; i < list.size(); ++i) {
    const View entry = list[i];
    WEIR_TRY(entry.only({"name", "rows"}));
    ClassShare share;
    WEIR_ASSIGN(const View name, entry.at("name"));
    WEIR_ASSIGN(share.name, name.text());
    if (entry.has("rows")) {
      WEIR_ASSIGN(const View rows, entry.at("rows"));
      WEIR_ASSIGN(share.rows, rows.number());
    }
    model.classes.push_back(std::move(share));
  }
  return {};
}

Status read_provenance(const View& root, Model& model) {
  if (!root.has("provenance")) return {};
  WEIR_ASSIGN(const View view, root.at("provenance"));
  WEIR_TRY(view.object());
  for (const auto& [key, value] : view.json().items()) {
    if (!value.is_string() && !value.is_number() && !value.is_boolean())
      return view.refuse(fmt::format("'{}' is neither text nor number", key.substr(0, 80)));
    const std::string text = value.is_string() ? value.get<std::string>() : value.dump();
    model.provenance += fmt::format("{}{}: {}", model.provenance.empty() ? "" : "; ", key, text);
  }
  return {};
}

Status same_size(const View& view, std::size_t found, std::size_t nodes) {
  if (found == nodes) return {};
  return view.refuse(fmt::format("{} elements for {} nodes", found, nodes));
}

struct NodeColumns {
  std::vector<std::int64_t> feature, left, right, missing_left;
  std::vector<double> threshold, cover, values;
};

/// Thresholds may be the text "inf": a split that parts missing values from all others has it.
Result<std::vector<double>> read_thresholds(const View& view) {
  WEIR_TRY(view.array(kNodesMax));
  std::vector<double> values;
  values.reserve(view.size());
  for (const Json& element : view.json()) {
    if (element == "inf") {
      values.push_back(std::numeric_limits<double>::infinity());
    } else if (element.is_number() && std::isfinite(element.get<double>())) {
      values.push_back(element.get<double>());
    } else {
      return view[values.size()].refuse("a finite number is expected here, or \"inf\"");
    }
  }
  return values;
}

Result<NodeColumns> read_columns(const View& tree) {
  NodeColumns c;
  const auto integers = [&](const char* key, std::vector<std::int64_t>& into) -> Status {
    WEIR_ASSIGN(const View view, tree.at(key));
    WEIR_ASSIGN(into, view.integers(kNodesMax));
    return same_size(view, into.size(), c.feature.size());
  };
  const auto numbers = [&](const char* key, std::vector<double>& into) -> Status {
    WEIR_ASSIGN(const View view, tree.at(key));
    WEIR_ASSIGN(into, view.numbers(kNodesMax));
    return same_size(view, into.size(), c.feature.size());
  };
  WEIR_ASSIGN(const View feature, tree.at("feature"));
  WEIR_ASSIGN(c.feature, feature.integers(kNodesMax));
  WEIR_ASSIGN(const View threshold, tree.at("threshold"));
  WEIR_ASSIGN(c.threshold, read_thresholds(threshold));
  WEIR_TRY(same_size(threshold, c.threshold.size(), c.feature.size()));
  WEIR_TRY(integers("left", c.left));
  WEIR_TRY(integers("right", c.right));
  if (tree.has("missing_left")) WEIR_TRY(integers("missing_left", c.missing_left));
  if (tree.has("cover")) WEIR_TRY(numbers("cover", c.cover));
  WEIR_ASSIGN(const View values, tree.at("values"));
  WEIR_ASSIGN(c.values, values.numbers(kValuesMax));
  return c;
}

Status in_range(const View& tree, const char* key, std::size_t i, std::int64_t value,
                std::int64_t low, std::int64_t high) {
  if (value >= low && value <= high) return {};
  return tree.refuse(fmt::format("{}[{}] is {}, allowed are {} to {}", key, i, value, low, high));
}

Status read_tree(const View& tree, Model& model) {
  WEIR_TRY(tree.only(
      {"output", "feature", "threshold", "left", "right", "missing_left", "cover", "values"}));
  std::int64_t output = Tree::kAllOutputs;
  if (tree.has("output")) {
    WEIR_ASSIGN(const View view, tree.at("output"));
    WEIR_ASSIGN(output, view.integer());
    WEIR_TRY(in_range(view, "it", 0, output, 0, std::int64_t{model.outputs} - 1));
  }
  WEIR_ASSIGN(const NodeColumns c, read_columns(tree));
  const std::size_t width = output == Tree::kAllOutputs ? model.outputs : 1;
  const auto last = static_cast<std::int64_t>(c.feature.size()) - 1;
  if (c.values.size() > kValuesMax - model.values.size())
    return tree.refuse(fmt::format("more than {} leaf values in the model", kValuesMax));
  std::vector<Node> nodes(c.feature.size());
  std::size_t leaves = 0;
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    Node& node = nodes[i];
    if (!c.cover.empty()) node.cover = c.cover[i];
    WEIR_TRY(in_range(tree, "feature", i, c.feature[i], -1,
                      static_cast<std::int64_t>(model.features.size()) - 1));
    node.feature = static_cast<std::int32_t>(c.feature[i]);
    if (node.feature < 0) {
      node.value = static_cast<std::uint32_t>(model.values.size() + width * leaves++);
      continue;
    }
    WEIR_TRY(in_range(tree, "left", i, c.left[i], 1, last));
    WEIR_TRY(in_range(tree, "right", i, c.right[i], 1, last));
    node.left = static_cast<std::uint32_t>(c.left[i]);
    node.right = static_cast<std::uint32_t>(c.right[i]);
    node.threshold = c.threshold[i];
    if (!c.missing_left.empty()) {
      WEIR_TRY(in_range(tree, "missing_left", i, c.missing_left[i], 0, 1));
      node.missing_left = c.missing_left[i] == 1;
    }
  }
  if (c.values.size() != leaves * width)
    return tree.refuse(
        fmt::format("{} values, but {} leaves with {} each", c.values.size(), leaves, width));
  model.values.insert(model.values.end(), c.values.begin(), c.values.end());
  return append_tree(model, nodes, static_cast<std::int32_t>(output), tree.where());
}

Status read_threshold(const View& root, Model& model) {
  if (!root.has("threshold")) return {};
  WEIR_ASSIGN(const View view, root.at("threshold"));
  WEIR_TRY(view.only({"on", "above"}));
  WEIR_ASSIGN(const View on, view.at("on"));
  WEIR_ASSIGN(model.decision.on,
              (choose<Decision::On, 2>(on, {{{"probability", Decision::On::probability},
                                             {"margin", Decision::On::margin}}})));
  WEIR_ASSIGN(const View above, view.at("above"));
  WEIR_ASSIGN(model.decision.above, above.number());
  return {};
}

Status read_rules(const View& root, Model& model) {
  WEIR_ASSIGN(const View link, root.at("link"));
  WEIR_ASSIGN(model.link, (choose<Link, 3>(link, {{{"identity", Link::identity},
                                                   {"sigmoid", Link::sigmoid},
                                                   {"softmax", Link::softmax}}})));
  WEIR_ASSIGN(const View outputs, root.at("outputs"));
  WEIR_ASSIGN(const std::int64_t count, outputs.integer());
  WEIR_TRY(in_range(outputs, "it", 0, count, 1, kClassesMax));
  model.outputs = static_cast<std::uint32_t>(count);
  if (root.has("sums")) {
    WEIR_ASSIGN(const View sums, root.at("sums"));
    WEIR_ASSIGN(model.sums, (choose<Sums, 2>(
                                sums, {{{"float64", Sums::float64}, {"float32", Sums::float32}}})));
  }
  if (root.has("bias")) {
    WEIR_ASSIGN(const View bias, root.at("bias"));
    WEIR_ASSIGN(model.bias, bias.numbers(kClassesMax));
  }
  if (root.has("probabilities")) {
    WEIR_ASSIGN(const View probabilities, root.at("probabilities"));
    WEIR_ASSIGN(model.probabilities, probabilities.boolean());
  }
  return read_threshold(root, model);
}

Status read_trees(const View& root, Model& model) {
  WEIR_ASSIGN(const View compare, root.at("compare"));
  WEIR_ASSIGN(model.compare,
              (choose<Compare, 2>(compare, {{{"<=", Compare::less_equal}, {"<", Compare::less}}})));
  WEIR_ASSIGN(const View vote, root.at("vote"));
  WEIR_ASSIGN(model.vote, (choose<Vote, 2>(vote, {{{"mean", Vote::mean}, {"sum", Vote::sum}}})));
  if (model.vote == Vote::sum && model.bias.empty()) model.bias.assign(model.outputs, 0.0);
  WEIR_ASSIGN(const View trees, root.at("trees"));
  WEIR_TRY(trees.array(kTreesMax));
  for (std::size_t t = 0; t < trees.size(); ++t) WEIR_TRY(read_tree(trees[t], model));
  return {};
}

}  // namespace

Result<Model> import_weir_json(const Json& document, std::string_view text,
                               const std::string& name) {
  const View root(document, name + ": ");
  WEIR_TRY(root.only({"format", "version", "name", "kind", "provenance", "features", "classes",
                      "outputs", "vote", "link", "sums", "compare", "bias", "threshold",
                      "probabilities", "trees", "weights", "sha256"}));
  WEIR_ASSIGN(const View version, root.at("version"));
  WEIR_ASSIGN(const std::int64_t number, version.integer());
  if (number != kVersion)
    return version.refuse(
        fmt::format("version {} of the model format, this program reads {}; "
                    "export the model with the script of this release",
                    number, kVersion));
  if (root.has("sha256")) {
    WEIR_ASSIGN(const View hash, root.at("sha256"));
    WEIR_TRY(check_hash(hash, text));
  }
  Model model;
  model.format = "weir JSON";
  if (root.has("name")) {
    WEIR_ASSIGN(const View view, root.at("name"));
    WEIR_ASSIGN(model.name, view.text());
  }
  WEIR_ASSIGN(const View kind, root.at("kind"));
  WEIR_ASSIGN(model.kind, (choose<Model::Kind, 2>(kind, {{{"trees", Model::Kind::trees},
                                                          {"linear", Model::Kind::linear}}})));
  WEIR_TRY(read_provenance(root, model));
  WEIR_TRY(read_features(root, model));
  WEIR_TRY(read_classes(root, model));
  WEIR_TRY(read_rules(root, model));
  if (model.kind == Model::Kind::trees) {
    if (root.has("weights")) return root.refuse("'weights' belong to a linear model");
    WEIR_TRY(read_trees(root, model));
  } else {
    for (const char* key : {"trees", "vote", "compare"})
      if (root.has(key)) return root.refuse(fmt::format("'{}' belongs to a model of trees", key));
    WEIR_ASSIGN(const View weights, root.at("weights"));
    WEIR_ASSIGN(model.weights, weights.numbers(kClassesMax * kFeaturesMax));
    if (model.bias.empty()) model.bias.assign(model.outputs, 0.0);
  }
  return model;
}

}  // namespace weir::forest
