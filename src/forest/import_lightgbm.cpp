// SPDX-License-Identifier: BSD-2-Clause
// LightGBM's text model (version v2 to v4), as `Booster.save_model` writes it: lines `key=value`, a
// block for each tree that begins with `Tree=N`, then "end of trees". Sources: LightGBM's
// gbdt_model_text.cpp and tree.cpp/tree.h.
#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <limits>
#include <map>
#include <set>
#include <vector>

#include "forest/formats.h"
#include "forest/import.h"
#include "forest/validate.h"

namespace weir::forest {
namespace {

/// LightGBM's kZeroThreshold: what it takes for zero in columns where zero means missing.
constexpr double kZero = static_cast<double>(1e-35F);
/// Trees are copied by recursion; LightGBM's own are rarely deeper than 50.
constexpr std::size_t kLevelsMax = 512;
constexpr double kInf = std::numeric_limits<double>::infinity();

struct Value {
  std::string_view text;
  std::size_t line = 0;
};

/// The lines `key=value` of one block.
struct Block {
  std::string name;  // "m.txt: " of the file, for errors
  std::size_t line = 1;
  std::map<std::string_view, Value> values;

  [[nodiscard]] tl::unexpected<Error> refuse(const char* key, const std::string& reason) const {
    const auto found = values.find(key);
    return fail(fmt::format("{}: line {}: {}: {}", name,
                            found == values.end() ? line : found->second.line, key, reason));
  }
  [[nodiscard]] bool has(const char* key) const { return values.contains(key); }

  [[nodiscard]] Result<std::vector<std::string_view>> words(const char* key,
                                                            std::size_t max) const {
    const auto found = values.find(key);
    if (found == values.end()) return refuse(key, "is missing");
    std::vector<std::string_view> result;
    const std::string_view text = found->second.text;
    for (std::size_t at = 0; at < text.size();) {
      const std::size_t end = std::min(text.find(' ', at), text.size());
      if (end > at) {
        if (result.size() == max) return refuse(key, fmt::format("more than {} values", max));
        result.push_back(text.substr(at, end - at));
      }
      at = end + 1;
    }
    return result;
  }

  template <typename T>
  [[nodiscard]] Result<std::vector<T>> numbers(const char* key, std::size_t count) const {
    WEIR_ASSIGN(const std::vector<std::string_view> texts, words(key, kNodesMax));
    if (texts.size() != count)
      return refuse(key, fmt::format("{} values, {} are expected", texts.size(), count));
    std::vector<T> result;
    result.reserve(count);
    for (const std::string_view text : texts) {
      T value{};
      const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
      if (error != std::errc() || end != text.data() + text.size())
        return refuse(key, fmt::format("'{}' is no number that fits", text.substr(0, 40)));
      result.push_back(value);
    }
    return result;
  }

  [[nodiscard]] Result<std::int64_t> integer(const char* key, std::int64_t low,
                                             std::int64_t high) const {
    WEIR_ASSIGN(const std::vector<std::int64_t> list, numbers<std::int64_t>(key, 1));
    if (list[0] < low || list[0] > high)
      return refuse(key, fmt::format("{}, allowed are {} to {}", list[0], low, high));
    return list[0];
  }
};

struct File {
  Block head;
  std::vector<Block> trees;
};

Result<File> split(std::string_view text, const std::string& name) {
  File file;
  file.head.name = name;
  Block* block = &file.head;
  std::size_t line = 0;
  bool ended = false;
  while (!text.empty() && !ended) {
    ++line;
    const std::size_t end = text.find('\n');
    std::string_view row = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    if (row.ends_with('\r')) row.remove_suffix(1);
    if (row.empty()) continue;
    if (row == "end of trees") {
      ended = true;
      continue;
    }
    const std::size_t equals = row.find('=');
    const std::string_view key = row.substr(0, equals);
    const std::string_view value = equals == std::string_view::npos ? "" : row.substr(equals + 1);
    if (key == "Tree") {
      if (value != fmt::format("{}", file.trees.size()))
        return fail(fmt::format("{}: line {}: Tree={}, Tree={} is expected", name, line,
                                value.substr(0, 40), file.trees.size()));
      if (file.trees.size() == kTreesMax)
        return fail(fmt::format("{}: line {}: more than {} trees", name, line, kTreesMax));
      file.trees.push_back({name, line, {}});
      block = &file.trees.back();
      continue;
    }
    if (block->values.size() == 64 || !block->values.emplace(key, Value{value, line}).second)
      return fail(fmt::format("{}: line {}: '{}' stands twice, or there are too many keys", name,
                              line, key.substr(0, 40)));
  }
  if (!ended)
    return fail(
        fmt::format("{}: line {}: the file is cut off, 'end of trees' is missing", name, line));
  return file;
}

/// One tree in LightGBM's columns: children below zero are leaves, ~child is their number.
struct Columns {
  std::vector<std::int64_t> feature, decision, left, right;
  std::vector<double> threshold, value, leaf_count, count;
};

class Builder {
 public:
  Builder(const Block& block, const Columns& columns, Model& model)
      : block_(block), c_(columns), model_(model) {}

  Result<std::vector<Node>> build() {
    WEIR_ASSIGN([[maybe_unused]] const std::uint32_t root, subtree(c_.feature.empty() ? -1 : 0, 0));
    // Every node and leaf must have been met: else the children name some of them twice, or never.
    if (met_.size() != c_.feature.size() + c_.value.size())
      return block_.refuse("left_child",
                           fmt::format("the root leads to {} of {} nodes and leaves", met_.size(),
                                       c_.feature.size() + c_.value.size()));
    return std::move(nodes_);
  }

 private:
  Result<std::uint32_t> place() {
    // A tree's own size, and what splits of "zero is missing" may add by copying.
    if (nodes_.size() >= 4 * kLeavesPerTreeMax)
      return block_.refuse(
          "decision_type",
          "zero as a missing value makes this tree too large to be written out as comparisons");
    nodes_.emplace_back();
    return static_cast<std::uint32_t>(nodes_.size() - 1);
  }

  Result<std::uint32_t> subtree(std::int64_t child, std::size_t depth) {
    if (depth > kLevelsMax)
      return block_.refuse(
          "left_child",
          fmt::format("deeper than {} levels, or the nodes lead in a circle", kLevelsMax));
    met_.insert(child);
    if (child < 0) {
      const auto leaf = static_cast<std::size_t>(~child);
      if (leaf >= c_.value.size())
        return block_.refuse("left_child", fmt::format("leaf {} of {}", leaf, c_.value.size()));
      WEIR_ASSIGN(const std::uint32_t at, place());
      nodes_[at].value = first_value_ + static_cast<std::uint32_t>(leaf);
      if (!c_.leaf_count.empty()) nodes_[at].cover = c_.leaf_count[leaf];
      return at;
    }
    const auto n = static_cast<std::size_t>(child);
    if (n >= c_.feature.size())
      return block_.refuse("left_child", fmt::format("node {} of {}", n, c_.feature.size()));
    return split(n, depth);
  }

  Result<std::uint32_t> join(std::size_t n, double threshold, bool missing_left,
                             std::size_t depth) {
    return node(
        n, threshold, missing_left, [&] { return subtree(c_.left[n], depth + 1); },
        [&] { return subtree(c_.right[n], depth + 1); });
  }

  template <typename Left, typename Right>
  Result<std::uint32_t> node(std::size_t n, double threshold, bool missing_left, Left left,
                             Right right) {
    WEIR_ASSIGN(const std::uint32_t at, place());
    WEIR_ASSIGN(const std::uint32_t l, left());
    WEIR_ASSIGN(const std::uint32_t r, right());
    Node& made = nodes_[at];
    made.feature = static_cast<std::int32_t>(c_.feature[n]);
    made.threshold = threshold;
    made.missing_left = missing_left;
    made.left = l;
    made.right = r;
    if (!c_.count.empty()) made.cover = c_.count[n];
    return at;
  }

  /// tree.h, NumericalDecision: NaN is zero unless the column's missing value is NaN; where it is
  /// zero, all of [-kZero, kZero] takes the default side, whatever the threshold says.
  Result<std::uint32_t> split(std::size_t n, std::size_t depth) {
    const std::int64_t type = c_.decision[n];
    if ((type & 1) != 0)
      return block_.refuse("decision_type", "categorical splits are not supported");
    if (type < 0 || type > 11)
      return block_.refuse("decision_type", fmt::format("{}, which is unknown", type));
    if (c_.feature[n] < 0 || c_.feature[n] >= static_cast<std::int64_t>(model_.features.size()))
      return block_.refuse("split_feature", fmt::format("{}, there are {} features", c_.feature[n],
                                                        model_.features.size()));
    const bool default_left = (type & 2) != 0;
    const double t = c_.threshold[n];
    if (!std::isfinite(t)) return block_.refuse("threshold", fmt::format("{} is not finite", t));
    switch (type >> 2) {
      case 0:
        return join(n, t, 0.0 <= t, depth);
      case 2:
        return join(n, t, default_left, depth);
      default:
        break;
    }
    const double below = std::nextafter(-kZero, -kInf);
    if (default_left) {
      // Everything up to t, and the zeros. Only above -kZero does that need more than one
      // comparison.
      if (t >= below) return join(n, std::max(t, kZero), true, depth);
      return join_around_zero(n, t, depth);
    }
    if (t < kZero) return join(n, std::min(t, below), false, depth);
    return join_around_zero(n, t, depth);
  }

  /// Left and right alternate twice: x <= t or in the zeros (t below them), or x <= t but not in
  /// the zeros (t above them). Both subtrees are written twice.
  Result<std::uint32_t> join_around_zero(std::size_t n, double t, std::size_t depth) {
    const double below = std::nextafter(-kZero, -kInf);
    const auto left = [&] { return subtree(c_.left[n], depth + 3); };
    const auto right = [&] { return subtree(c_.right[n], depth + 3); };
    if (t < below) {  // left | right | zeros: left | right
      return node(n, t, false, left, [&] {
        return node(n, below, false, right, [&] { return node(n, kZero, true, left, right); });
      });
    }
    return node(n, below, false, left, [&] {  // left | zeros: right | left | right
      return node(n, kZero, true, right, [&] { return node(n, t, true, left, right); });
    });
  }

  const Block& block_;
  const Columns& c_;
  Model& model_;
  std::uint32_t first_value_ = static_cast<std::uint32_t>(model_.values.size());
  std::set<std::int64_t> met_;
  std::vector<Node> nodes_;
};

Status read_tree(const Block& block, std::int32_t output, Model& model) {
  WEIR_ASSIGN(const std::int64_t leaves, block.integer("num_leaves", 1, kLeavesPerTreeMax));
  WEIR_ASSIGN(const std::int64_t categories, block.integer("num_cat", 0, kNodesMax));
  if (categories != 0) return block.refuse("num_cat", "categorical splits are not supported");
  if (block.has("is_linear")) {
    WEIR_ASSIGN(const std::int64_t linear, block.integer("is_linear", 0, 1));
    if (linear != 0) return block.refuse("is_linear", "linear trees are not supported");
  }
  const auto n = static_cast<std::size_t>(leaves);
  Columns c;
  WEIR_ASSIGN(c.value, block.numbers<double>("leaf_value", n));
  if (n > 1) {
    WEIR_ASSIGN(c.feature, block.numbers<std::int64_t>("split_feature", n - 1));
    WEIR_ASSIGN(c.threshold, block.numbers<double>("threshold", n - 1));
    WEIR_ASSIGN(c.decision, block.numbers<std::int64_t>("decision_type", n - 1));
    WEIR_ASSIGN(c.left, block.numbers<std::int64_t>("left_child", n - 1));
    WEIR_ASSIGN(c.right, block.numbers<std::int64_t>("right_child", n - 1));
    if (block.has("leaf_count") && block.has("internal_count")) {
      WEIR_ASSIGN(c.leaf_count, block.numbers<double>("leaf_count", n));
      WEIR_ASSIGN(c.count, block.numbers<double>("internal_count", n - 1));
    }
  }
  if (n > kValuesMax - model.values.size()) return block.refuse("leaf_value", "too many leaves");
  Builder builder(block, c, model);
  WEIR_ASSIGN(const std::vector<Node> nodes, builder.build());
  model.values.insert(model.values.end(), c.value.begin(), c.value.end());
  return append_tree(model, nodes, output, fmt::format("{}: line {}", block.name, block.line));
}

Status read_objective(const Block& head, std::int64_t per_round, Model& model) {
  model.vote = Vote::sum;
  model.outputs = static_cast<std::uint32_t>(per_round);
  WEIR_ASSIGN(const std::vector<std::string_view> words, head.words("objective", 16));
  const std::string_view name = words.empty() ? "" : words[0];
  std::size_t classes = 0;
  for (std::size_t i = 1; i < words.size(); ++i) {
    if (words[i].starts_with("sigmoid:") && words[i] != "sigmoid:1")
      return head.refuse("objective",
                         fmt::format("{} is not supported, sigmoid:1 is", words[i].substr(0, 40)));
    if (words[i] == "sqrt")
      return head.refuse("objective", "regression of square roots is not supported");
  }
  if (name == "binary" && per_round == 1) {
    classes = 2;
    model.link = Link::sigmoid;
  } else if ((name == "multiclass" || name == "multiclassova") && per_round > 2) {
    classes = static_cast<std::size_t>(per_round);
    model.link = name == "multiclass" ? Link::softmax : Link::sigmoid;
  } else if ((name == "regression" || name == "regression_l1" || name == "huber" ||
              name == "fair" || name == "quantile" || name == "mape") &&
             per_round == 1) {
    model.link = Link::identity;
  } else {
    return head.refuse(
        "objective", fmt::format("'{}' with {} trees a round is not supported (binary, multiclass, "
                                 "multiclassova and regression are)",
                                 name.substr(0, 40), per_round));
  }
  for (std::size_t c = 0; c < classes; ++c) model.classes.push_back({fmt::format("{}", c), 0});
  if (head.has("average_output")) {
    if (model.link != Link::identity)
      return head.refuse("average_output", "boosting=rf is supported for regression only");
    model.vote = Vote::mean;
  } else {
    model.bias.assign(model.outputs, 0.0);
  }
  return {};
}

}  // namespace

Result<Model> import_lightgbm(std::string_view text, const std::string& name) {
  WEIR_ASSIGN(const File file, split(text, name));
  const Block& head = file.head;
  WEIR_ASSIGN(const std::vector<std::string_view> version, head.words("version", 1));
  if (version.empty() || (version[0] != "v2" && version[0] != "v3" && version[0] != "v4"))
    return head.refuse("version", "v2, v3 or v4 is expected");
  Model model;
  model.format = "LightGBM text";
  model.provenance = fmt::format("LightGBM {}", version[0]);
  WEIR_ASSIGN(const std::int64_t last, head.integer("max_feature_idx", 0, kFeaturesMax - 1));
  WEIR_ASSIGN(const std::vector<std::string_view> names, head.words("feature_names", kFeaturesMax));
  if (names.size() != static_cast<std::size_t>(last) + 1)
    return head.refuse("feature_names",
                       fmt::format("{} names for {} features", names.size(), last + 1));
  model.features.assign(names.begin(), names.end());
  model.units.assign(names.size(), "");
  WEIR_ASSIGN(const std::int64_t per_round, head.integer("num_tree_per_iteration", 1, kClassesMax));
  WEIR_TRY(read_objective(head, per_round, model));
  if (file.trees.size() % static_cast<std::size_t>(per_round) != 0)
    return head.refuse("num_tree_per_iteration",
                       fmt::format("{} trees are no multiple of {}", file.trees.size(), per_round));
  for (std::size_t t = 0; t < file.trees.size(); ++t) {
    const auto output = static_cast<std::int32_t>(t % static_cast<std::size_t>(per_round));
    WEIR_TRY(read_tree(file.trees[t], per_round == 1 ? Tree::kAllOutputs : output, model));
  }
  return model;
}

}  // namespace weir::forest
