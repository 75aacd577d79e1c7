// SPDX-License-Identifier: BSD-2-Clause
#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <functional>
#include <limits>
#include <string_view>

#include "forest/import.h"
#include "forest/pmml.h"
#include "forest/validate.h"

namespace weir::forest {

using pugi::xml_node;

tl::unexpected<Error> pmml_refuse(const std::string& name, const xml_node& at,
                                  const std::string& reason) {
  return fail(fmt::format("{}: byte {} ({}): {}", name, at.offset_debug(),
                          std::string_view(at.name()).substr(0, 80), reason));
}

Result<double> pmml_number(const std::string& name, const xml_node& at, const char* attribute) {
  const std::string_view text = at.attribute(attribute).value();
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || !std::isfinite(value))
    return pmml_refuse(
        name, at,
        fmt::format("{} is '{}', a finite number is expected", attribute, text.substr(0, 80)));
  return value;
}

namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr std::size_t kTreeNodesMax = 2 * kLeavesPerTreeMax;

/// Where a decision goes on. Two with the same number lead to the same place, so that a missing
/// value that goes with "true" or "false" needs no comparison of its own.
struct Way {
  int id = 0;
  std::function<Result<std::uint32_t>()> make;
};

bool is_predicate(std::string_view name) {
  return name == "SimplePredicate" || name == "CompoundPredicate" || name == "True" ||
         name == "False" || name == "SimpleSetPredicate";
}

class TreeBuilder {
 public:
  TreeBuilder(PmmlContext& context, Model& model, double weight)
      : context_(context), model_(model), weight_(weight) {}

  Status append(const xml_node& tree) {
    WEIR_TRY(read_strategies(tree));
    const xml_node root = tree.child("Node");
    if (!root || root.next_sibling("Node"))
      return refuse(tree, "exactly one root Node is expected");
    if (!root.child("True"))
      return refuse(root, "a root whose predicate is not True is not supported");
    WEIR_ASSIGN([[maybe_unused]] const std::uint32_t first, subtree(root, 0));
    return append_tree(model_, nodes_, Tree::kAllOutputs, context_.name);
  }

 private:
  enum class Missing : std::uint8_t { none, null, last, default_child };

  [[nodiscard]] tl::unexpected<Error> refuse(const xml_node& at, const std::string& reason) const {
    return pmml_refuse(context_.name, at, reason);
  }

  Status read_strategies(const xml_node& tree) {
    const std::string_view missing = tree.attribute("missingValueStrategy").as_string("none");
    if (missing == "none") {
      missing_ = Missing::none;
    } else if (missing == "nullPrediction") {
      missing_ = Missing::null;
    } else if (missing == "lastPrediction") {
      missing_ = Missing::last;
    } else if (missing == "defaultChild") {
      missing_ = Missing::default_child;
      const std::string_view penalty = tree.attribute("missingValuePenalty").as_string("1");
      if (penalty != "1" && penalty != "1.0")
        return refuse(
            tree, fmt::format("missingValuePenalty {} is not supported", penalty.substr(0, 80)));
    } else {
      return refuse(tree,
                    fmt::format("missingValueStrategy {} is not supported", missing.substr(0, 80)));
    }
    const std::string_view otherwise =
        tree.attribute("noTrueChildStrategy").as_string("returnNullPrediction");
    if (otherwise != "returnNullPrediction" && otherwise != "returnLastPrediction")
      return refuse(tree,
                    fmt::format("noTrueChildStrategy {} is unknown", otherwise.substr(0, 80)));
    return_last_ = otherwise == "returnLastPrediction";
    return {};
  }

  Result<std::uint32_t> place(const xml_node& at) {
    if (nodes_.size() >= kTreeNodesMax)
      return refuse(
          at, fmt::format("the tree takes more than {} comparisons and leaves", kTreeNodesMax));
    nodes_.emplace_back();
    return static_cast<std::uint32_t>(nodes_.size() - 1);
  }

  Result<std::uint32_t> subtree(const xml_node& node, std::size_t depth) {
    if (depth > kPmmlLevelsMax)
      return refuse(node, fmt::format("nested deeper than {} levels", kPmmlLevelsMax));
    for (const xml_node& child : node.children()) {
      const std::string_view name = child.name();
      if (name != "Node" && name != "ScoreDistribution" && name != "Extension" &&
          !is_predicate(name))
        return refuse(child, "it is not supported here");
    }
    if (!node.child("Node")) return leaf(node);
    return children(node, node.child("Node"), depth).make();
  }

  /// The decision among `child` and its later siblings.
  Way children(const xml_node& parent, const xml_node& child, std::size_t depth) {
    return {
        ++ids_, [=, this]() -> Result<std::uint32_t> {
          if (!child) return no_true_child(parent);
          if (depth > kPmmlLevelsMax)
            return refuse(child, fmt::format("more than {} levels and siblings", kPmmlLevelsMax));
          const Way yes{++ids_, [=, this] { return subtree(child, depth + 1); }};
          const xml_node next = child.next_sibling("Node");
          Way no = children(parent, next, depth + 1);
          WEIR_ASSIGN(const xml_node condition, predicate(child));
          // A last child that asks the opposite is simply the other side.
          const bool opposite = next && !next.next_sibling("Node") && opposes(condition, next);
          const Way skipped = opposite && missing_ == Missing::none && return_last_
                                  ? Way{++ids_, [=, this] { return leaf(parent); }}
                                  : no;
          if (opposite) no = {++ids_, [=, this] { return subtree(next, depth + 1); }};
          WEIR_ASSIGN(
              const Way unknown,
              missing_way(parent, child, yes, no, opposite ? skipped : no, next, opposite, depth));
          return emit(condition, yes, no, unknown, depth);
        }};
  }

  /// Where an unknown predicate leads. `rest` is what follows when it counts as false.
  Result<Way> missing_way(const xml_node& parent, const xml_node& child, const Way& yes,
                          const Way& no, const Way& rest, const xml_node& next, bool opposite,
                          std::size_t depth) {
    switch (missing_) {
      case Missing::last:
        return Way{++ids_, [=, this] { return leaf(parent); }};
      case Missing::default_child: {
        const std::string_view wanted = parent.attribute("defaultChild").value();
        if (wanted.empty())
          return refuse(parent, "defaultChild is missing, which missingValueStrategy needs");
        if (wanted == child.attribute("id").value()) return yes;
        if (opposite && wanted == next.attribute("id").value()) return no;
        for (const xml_node& other : parent.children("Node")) {
          if (wanted == other.attribute("id").value())
            return Way{++ids_, [=, this] { return subtree(other, depth + 1); }};
        }
        return refuse(
            parent, fmt::format("defaultChild '{}' is none of its children", wanted.substr(0, 80)));
      }
      case Missing::null:
        context_.null_predictions = true;
        return no;
      default:
        if (!opposite) return no;  // false, and the siblings are asked
        if (return_last_) return rest;
        context_.null_predictions = true;
        return no;
    }
  }

  Result<std::uint32_t> no_true_child(const xml_node& parent) {
    if (return_last_) return leaf(parent);
    // Nothing is true: no prediction. With complete splits only a missing value comes here.
    return refuse(parent,
                  "its children may all be false, and then there is no prediction "
                  "(noTrueChildStrategy returnNullPrediction), which is not supported");
  }

  Result<xml_node> predicate(const xml_node& node) const {
    xml_node found;
    for (const xml_node& child : node.children()) {
      if (!is_predicate(child.name())) continue;
      if (found) return refuse(child, "a second predicate in one place");
      found = child;
    }
    if (!found) return refuse(node, "it has no predicate");
    return found;
  }

  /// True where `next` holds exactly where `condition` does not, for values that are there.
  [[nodiscard]] bool opposes(const xml_node& condition, const xml_node& next) const {
    const xml_node other = next.child("SimplePredicate");
    const std::string_view a = condition.attribute("operator").value(),
                           b = other.attribute("operator").value();
    if (std::string_view(condition.name()) != "SimplePredicate" || !other ||
        next.child("CompoundPredicate"))
      return false;
    const bool pair =
        (a == "lessOrEqual" && b == "greaterThan") || (a == "greaterThan" && b == "lessOrEqual") ||
        (a == "lessThan" && b == "greaterOrEqual") || (a == "greaterOrEqual" && b == "lessThan");
    return pair &&
           std::string_view(condition.attribute("field").value()) ==
               other.attribute("field").value() &&
           std::string_view(condition.attribute("value").value()) ==
               other.attribute("value").value();
  }

  Result<std::uint32_t> emit(const xml_node& p, const Way& yes, const Way& no, const Way& unknown,
                             std::size_t depth) {
    const std::string_view kind = p.name();
    if (kind == "True") return yes.make();
    if (kind == "False") return no.make();
    if (kind == "SimplePredicate") return simple(p, yes, no, unknown);
    if (kind == "CompoundPredicate") {
      const std::string_view op = p.attribute("booleanOperator").value();
      if (op != "and" && op != "or")
        return refuse(
            p, fmt::format("booleanOperator {} is not supported (and, or are)", op.substr(0, 80)));
      const xml_node first = p.first_child();
      if (!first) return refuse(p, "a compound of no predicates");
      // "x <= t or x is missing" is one comparison that says where a missing value goes.
      const xml_node test = with_missing(p, op == "or" ? "isMissing" : "isNotMissing");
      if (test) return simple(test, yes, no, op == "or" ? yes : no);
      return compound(first, op == "and", {yes, no, unknown}, depth);
    }
    return refuse(p, "the predicate is not supported");
  }

  /// Of two predicates about one field, one of which is `missing_test`: the other one.
  static xml_node with_missing(const xml_node& compound, std::string_view missing_test) {
    const xml_node a = compound.first_child(), b = a.next_sibling();
    if (!b || b.next_sibling() || std::string_view(a.name()) != "SimplePredicate" ||
        std::string_view(b.name()) != "SimplePredicate" ||
        std::string_view(a.attribute("field").value()) != b.attribute("field").value())
      return {};
    const bool second = missing_test == b.attribute("operator").value();
    if (!second && missing_test != a.attribute("operator").value()) return {};
    const xml_node other = second ? a : b;
    return std::string_view(other.attribute("operator").value()).starts_with("is") ? xml_node()
                                                                                   : other;
  }

  struct Ways {
    Way yes, no, unknown;
  };

  /// Three-valued: "and" is false where one is, else unknown where one is; "or" the same with true.
  Result<std::uint32_t> compound(const xml_node& p, bool all, const Ways& ways, std::size_t depth) {
    if (depth > kPmmlLevelsMax)
      return refuse(p, fmt::format("nested deeper than {} levels", kPmmlLevelsMax));
    if (!is_predicate(p.name())) return refuse(p, "no predicate");
    const xml_node next = p.next_sibling();
    if (!next) return emit(p, ways.yes, ways.no, ways.unknown, depth + 1);
    const auto rest = [&](const Ways& w) {
      return Way{++ids_, [=, this] { return compound(next, all, w, depth + 1); }};
    };
    // A missing value is simply false under "none": then there is no third value.
    const bool third = ways.unknown.id != ways.no.id;
    if (all) {
      const Way more = rest(ways);
      const Way doubt = third ? rest({ways.unknown, ways.no, ways.unknown}) : ways.no;
      return emit(p, more, ways.no, doubt, depth + 1);
    }
    const Way more = rest(ways);
    const Way doubt = third ? rest({ways.yes, ways.unknown, ways.unknown}) : more;
    return emit(p, ways.yes, more, doubt, depth + 1);
  }

  Result<std::uint32_t> simple(const xml_node& p, const Way& yes, const Way& no,
                               const Way& unknown) {
    const std::string field_name = p.attribute("field").value();
    const auto found = context_.fields.find(field_name);
    if (found == context_.fields.end())
      return refuse(p, fmt::format("field '{}' is no active numeric field of the MiningSchema",
                                   field_name.substr(0, 80)));
    const PmmlField& field = found->second;
    const std::string_view op = p.attribute("operator").value();
    if (op == "isMissing" || op == "isNotMissing") {
      const bool is = op == "isMissing";
      const Way& there = is ? no : yes;
      if (field.replacement) return there.make();
      return compare(p, field, kInfinity, there, is ? yes : no, is ? yes : no);
    }
    WEIR_ASSIGN(double t, pmml_number(context_.name, p, "value"));
    if (field.float32) t = static_cast<double>(static_cast<float>(t));
    if (!std::isfinite(t)) return refuse(p, "value does not fit a float");
    const double before =
        std::nextafter(t, -kInfinity);  // x < t is x <= before: no double lies between
    if (!std::isfinite(before)) return refuse(p, "value is too small");
    const Way& missing =
        field.replacement ? (holds(op, *field.replacement, t) ? yes : no) : unknown;
    if (op == "lessOrEqual") return compare(p, field, t, yes, no, missing);
    if (op == "lessThan") return compare(p, field, before, yes, no, missing);
    if (op == "greaterThan") return compare(p, field, t, no, yes, missing);
    if (op == "greaterOrEqual") return compare(p, field, before, no, yes, missing);
    if (op == "equal" || op == "notEqual") {
      const Way& same = op == "equal" ? yes : no;
      const Way& other = op == "equal" ? no : yes;
      const Way upper{++ids_, [&] { return compare(p, field, before, other, same, other); }};
      return compare(p, field, t, upper, other, missing);
    }
    return refuse(p, fmt::format("operator {} is not supported", op.substr(0, 80)));
  }

  static bool holds(std::string_view op, double x, double t) {
    if (op == "lessOrEqual") return x <= t;
    if (op == "lessThan") return x < t;
    if (op == "greaterThan") return x > t;
    if (op == "greaterOrEqual") return x >= t;
    return (op == "equal") == (x == t);
  }

  Result<std::uint32_t> compare(const xml_node& p, const PmmlField& field, double threshold,
                                const Way& left, const Way& right, const Way& missing) {
    if (missing.id != left.id && missing.id != right.id) {
      // First: is the value there at all?
      const Way there{++ids_, [&] { return compare(p, field, threshold, left, right, right); }};
      return compare(p, field, kInfinity, there, missing, missing);
    }
    WEIR_ASSIGN(const std::uint32_t at, place(p));
    WEIR_ASSIGN(const std::uint32_t l, left.make());
    WEIR_ASSIGN(const std::uint32_t r, right.make());
    Node& made = nodes_[at];
    made.feature = field.feature;
    made.threshold = threshold;
    made.missing_left = missing.id == left.id;
    made.left = l;
    made.right = r;
    return at;
  }

  Result<std::uint32_t> leaf(const xml_node& node) {
    WEIR_ASSIGN(const std::uint32_t at, place(node));
    Node& made = nodes_[at];
    if (node.attribute("recordCount")) {
      WEIR_ASSIGN(made.cover, pmml_number(context_.name, node, "recordCount"));
    }
    if (model_.outputs > kValuesMax - model_.values.size())
      return refuse(node, "too many leaf values");
    made.value = static_cast<std::uint32_t>(model_.values.size());
    if (context_.classes.empty()) {
      WEIR_ASSIGN(const double score, pmml_number(context_.name, node, "score"));
      model_.values.push_back(weight_ * score);
    } else {
      WEIR_ASSIGN(const std::vector<double> shares, distribution(node));
      for (const double share : shares) model_.values.push_back(weight_ * share);
    }
    return at;
  }

  Result<std::size_t> class_of(const xml_node& at, const char* attribute) const {
    const auto found = context_.classes.find(at.attribute(attribute).value());
    if (found == context_.classes.end())
      return refuse(at,
                    fmt::format("{} '{}' is no class of the target", attribute,
                                std::string_view(at.attribute(attribute).value()).substr(0, 80)));
    return found->second;
  }

  /// Probabilities of the classes; a leaf without a ScoreDistribution is sure of its score.
  Result<std::vector<double>> distribution(const xml_node& node) const {
    std::vector<double> shares(context_.classes.size(), 0.0);
    WEIR_ASSIGN(const std::size_t score, class_of(node, "score"));
    if (context_.votes || !node.child("ScoreDistribution")) {
      shares[score] = 1.0;
      return shares;
    }
    double total = 0;
    bool probabilities = true;
    for (const xml_node& entry : node.children("ScoreDistribution"))
      probabilities &= bool(entry.attribute("probability"));
    std::vector<char> seen(shares.size(), 0);
    for (const xml_node& entry : node.children("ScoreDistribution")) {
      WEIR_ASSIGN(const std::size_t c, class_of(entry, "value"));
      if (seen[c]++ != 0) return refuse(entry, "the class stands twice");
      WEIR_ASSIGN(shares[c],
                  pmml_number(context_.name, entry, probabilities ? "probability" : "recordCount"));
      if (shares[c] < 0) return refuse(entry, "a negative share");
      total += shares[c];
    }
    if (probabilities ? std::abs(total - 1) > 1e-6 : total <= 0)
      return refuse(node, fmt::format("the shares of its classes add up to {}", total));
    if (!probabilities)
      for (double& share : shares) share /= total;
    // Alone, the tree decides by `score`; among others, its shares are what counts.
    for (std::size_t c = 0; c < shares.size() && context_.single; ++c) {
      if (shares[c] > shares[score] || (c < score && shares[c] == shares[score]))
        return refuse(node, "its score is not the (first) likeliest class, which is not supported");
    }
    return shares;
  }

  PmmlContext& context_;
  Model& model_;
  double weight_;
  Missing missing_ = Missing::none;
  bool return_last_ = false;
  int ids_ = 0;
  std::vector<Node> nodes_;
};

}  // namespace

Status append_pmml_tree(const xml_node& tree, double weight, PmmlContext& context, Model& model) {
  return TreeBuilder(context, model, weight).append(tree);
}

}  // namespace weir::forest
