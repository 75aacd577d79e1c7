// SPDX-License-Identifier: BSD-2-Clause
#include "kernel_model/plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "base/nearest.h"
#include "forest/fixed.h"
#include "kernel_model/plan_exact.h"
#include "kernel_model/plan_skx.h"
#include "kernel_model/plan_trees.h"

namespace weir::kernel_model {

namespace {

using forest::Link;
using forest::Model;
using forest::Sums;
using forest::Vote;

/// The float64 whose place among all of them, in their order, is `place`.
double at_place(std::int64_t place) noexcept {
  const std::int64_t bits = place < 0 ? std::numeric_limits<std::int64_t>::min() - place : place;
  return std::bit_cast<double>(bits);
}

/// The probability that the library makes of a margin.
double sigmoid(const Model& model, double margin) noexcept {
  if (model.sums == Sums::float32) {
    const float x = std::min(-static_cast<float>(margin), 88.7F);
    return static_cast<double>(1.0F / (std::exp(x) + 1.0F + 1e-16F));
  }
  return 1.0 / (1.0 + std::exp(-margin));
}

/// The largest margin whose probability is not above `threshold`.
double margin_of(const Model& model, double threshold) noexcept {
  std::int64_t low = -std::bit_cast<std::int64_t>(800.0), high = -low;
  while (low < high) {
    const std::uint64_t apart = static_cast<std::uint64_t>(high) - static_cast<std::uint64_t>(low);
    const std::int64_t middle = low + static_cast<std::int64_t>(apart / 2 + apart % 2);
    if (sigmoid(model, at_place(middle)) <= threshold)
      low = middle;
    else
      high = middle - 1;
  }
  return at_place(low);
}

Result<std::vector<int>> find_slots(const Model& model, const std::vector<bool>& used,
                                    const Words& words) {
  std::vector<std::string_view> names;
  names.reserve(WEIR_HEADER_FEATURE_COUNT);
  for (int f = 0; f < WEIR_HEADER_FEATURE_COUNT; ++f) names.emplace_back(feature_name(f));
  std::vector<int> slots(model.features.size(), 0);
  for (std::size_t f = 0; f < slots.size(); ++f) {
    const auto found = std::find(names.begin(), names.end(), model.features[f]);
    if (found != names.end()) {
      slots[f] = static_cast<int>(found - names.begin());
    } else if (used[f]) {
      return fail(fmt::format(
          "feature '{}' is none that the kernel reads of a packet's headers{}; `weir model "
          "features` lists the group `header`, whose features a kernel model may use{}",
          model.features[f], did_you_mean(model.features[f], names),
          words.names.empty() ? std::string()
                              : fmt::format("; say in {} which of them it is", words.names)));
    }
  }
  return slots;
}

std::vector<bool> used_features(const Model& model) {
  std::vector<bool> used(model.features.size(), false);
  for (const forest::Node& node : model.nodes)
    if (node.feature >= 0) used[static_cast<std::size_t>(node.feature)] = true;
  for (std::size_t i = 0; i < model.weights.size(); ++i)
    if (model.weights[i] != 0) used[i % used.size()] = true;
  return used;
}

Result<std::uint64_t> drop_mask(const Model& model, const Options& options) {
  if (model.classes.empty()) {
    if (!options.threshold)
      return fail(fmt::format("the model has no classes; give {}, above which packets are {}",
                              options.words.threshold, options.words.dropped));
    if (!options.drop.empty())
      return fail(fmt::format("the model has no classes, which {} could name; give {} alone",
                              options.words.drop, options.words.threshold));
    return 2;
  }
  if (options.drop.empty()) {
    if (model.classes.size() == 2) return 2;
    return fail(
        fmt::format("the model has {} classes; name by {} those whose packets are {}, such as '{}'",
                    model.classes.size(), options.words.drop, options.words.dropped,
                    model.classes.back().name));
  }
  std::uint64_t mask = 0;
  for (const std::string& name : options.drop) {
    std::size_t c = 0;
    while (c < model.classes.size() && model.classes[c].name != name) ++c;
    if (c == model.classes.size()) {
      std::string all;
      for (const auto& each : model.classes) all += (all.empty() ? "'" : ", '") + each.name + "'";
      return fail(fmt::format("{} names the class '{}', which is not in the model; it has {}",
                              options.words.drop, name, all));
    }
    mask |= std::uint64_t{1} << c;
  }
  return mask;
}

/// A vote of trees by mean is a probability, and there is no other number.
bool votes(const Model& model) noexcept {
  return model.kind == Model::Kind::trees && model.link == Link::identity &&
         !model.classes.empty() && (model.vote == Vote::mean || model.trees.size() == 1) &&
         std::all_of(model.values.begin(), model.values.end(),
                     [](double value) { return value >= 0 && value <= 1; });
}

/// What is compared with the threshold as it stands: a decision function, or an output.
bool is_margin(const Model& model, const Options& options) noexcept {
  return options.on_decision || (model.link == Link::identity && !votes(model));
}

/// Where the decision stands: `cut` or `against_first`.
Status set_decision(const Model& model, const Options& options, Plan& plan) {
  const bool binary = model.classes.size() == 2 || model.classes.empty();
  const bool two = model.classes.size() == 2 && model.outputs == 2;
  if (model.classes.empty() && model.outputs != 1)
    return fail(
        fmt::format("the model has {} outputs and no classes; one output can be compared "
                    "with a threshold",
                    model.outputs));
  if (!binary) return {};
  if (!options.threshold) {
    plan.against_first = two;
    plan.cut = model.link == Link::identity ? 0.5 : margin_of(model, 0.5);
    return {};
  }
  if (two && (model.link != Link::identity || model.kind == Model::Kind::linear))
    return fail(
        "a threshold is for models of one margin, and this one has one for each class; "
        "leave it out");
  const double threshold = *options.threshold;
  plan.cut = is_margin(model, options) || votes(model) ? threshold : margin_of(model, threshold);
  return {};
}

/// Takes a leaf's trained values into `exact.values`; its row.
std::size_t add_row(const Model& model, const forest::Tree& tree, const forest::Node& node,
                    Plan& plan) {
  const std::size_t row = plan.exact.values.size() / model.outputs;
  for (std::uint32_t o = 0; o < model.outputs; ++o) {
    double value = 0;
    if (tree.output == forest::Tree::kAllOutputs) value = model.values[node.value + o];
    if (tree.output == static_cast<std::int32_t>(o)) value = model.values[node.value];
    plan.exact.values.push_back(value + 0.0);  // no negative zero
  }
  return row;
}

Status plan_one_tree(const Model& model, const std::vector<int>& slots, Plan& plan) {
  plan.kind = plan.outputs > 2 || plan.against_first ? Plan::Kind::sums : Plan::Kind::sum;
  Plan one = plan;  // one row at a time is in it
  one.calls = {{0, 0, model.trees[0].output}};
  const auto verdict = [&](const forest::Tree& tree, const forest::Node& node) -> std::uint64_t {
    one.exact.values.clear();
    add_row(model, tree, node, one);
    return drops(one, exact_class(one, [](const Call&) { return std::size_t{0}; })) ? 1 : 0;
  };
  plan.kind = Plan::Kind::verdict;
  return add_functions(model, slots, verdict, plan);
}

/// The zone of sums in which rounding could choose the class.
void set_zone(const Model& model, const forest::Fixed& fixed, std::uint64_t most, Plan& plan) {
  const std::size_t o = model.outputs - 1;
  const auto margin = [&](std::uint64_t sum) {
    const double m = fixed.base[o] + fixed.unit[o] * static_cast<double>(sum);
    return model.vote == Vote::mean ? m / static_cast<double>(fixed.trees) : m;
  };
  bool exact = fixed.bound[o] < 0;
  double bound = std::max(fixed.bound[o], 0.0);
  if (plan.against_first) {
    exact = exact && fixed.bound[0] < 0;
    bound += std::max(fixed.bound[0], 0.0);
  }
  const double cut = plan.against_first ? 0.5 : plan.cut;
  // A rounding of the library's exponential decides next to the cut; and a cut that is no float32
  // stands between two margins of a float32 sum.
  if (model.link == Link::sigmoid) {
    bound = std::max(bound, 0x1p-20);
    exact = false;
  }
  const auto is_last = [&](std::uint64_t sum) {
    return exact ? margin(sum) > cut : margin(sum) - cut > bound;
  };
  const auto is_other = [&](std::uint64_t sum) {
    return exact ? margin(sum) <= cut : cut - margin(sum) > bound;
  };
  std::uint64_t low = 0, high = most + 1;  // the least that is_last
  while (low < high) {
    const std::uint64_t middle = low + (high - low) / 2;
    if (is_last(middle))
      high = middle;
    else
      low = middle + 1;
  }
  plan.last_from = low;
  low = 0;
  high = most + 1;  // the least that is not is_other
  while (low < high) {
    const std::uint64_t middle = low + (high - low) / 2;
    if (is_other(middle))
      low = middle + 1;
    else
      high = middle;
  }
  plan.other_to = static_cast<std::int64_t>(low) - 1;
  plan.exact.needed = static_cast<std::uint64_t>(plan.other_to + 1) < plan.last_from;
}

Status plan_sum(const Model& model, const forest::Fixed& fixed, const std::vector<int>& slots,
                Plan& plan) {
  plan.kind = Plan::Kind::sum;
  const std::size_t o = model.outputs - 1;
  std::uint64_t most = 0;
  for (std::size_t t = 0; t < model.trees.size(); ++t) {
    const std::size_t end =
        t + 1 < model.trees.size() ? model.trees[t + 1].root : model.nodes.size();
    std::uint64_t most_here = 0;
    for (std::size_t n = model.trees[t].root; n < end; ++n)
      if (model.nodes[n].feature < 0)
        most_here = std::max<std::uint64_t>(most_here, fixed.q[model.nodes[n].value + o]);
    most += most_here;
  }
  if (most >> Plan::kRowShift != 0)
    return fail(fmt::format("the sum of its {} trees takes more bits than there are; use fewer",
                            model.trees.size()));
  set_zone(model, fixed, most, plan);
  const auto value = [&](const forest::Tree& tree, const forest::Node& node) {
    std::uint64_t q = fixed.q[node.value + o];
    if (plan.exact.needed) q |= std::uint64_t{add_row(model, tree, node, plan)} << Plan::kRowShift;
    return q;
  };
  return add_functions(model, slots, value, plan);
}

/// Several outputs: whole numbers of one unit, of which no sum reaches 2^61.
Status plan_sums(const Model& model, const std::vector<int>& slots, Plan& plan) {
  plan.kind = Plan::Kind::sums;
  const auto value = [&](const forest::Tree& tree, const forest::Node& node) -> std::uint64_t {
    return add_row(model, tree, node, plan);
  };
  WEIR_TRY(add_functions(model, slots, value, plan));
  plan.exact.needed = true;
  double largest = 0;
  for (const double value_of_leaf : plan.exact.values)
    largest = std::max(largest, std::abs(value_of_leaf));
  const auto trees = static_cast<double>(model.trees.size());
  double bias = 0;
  for (const double x : plan.exact.start) bias = std::max(bias, std::abs(x));
  largest = largest * trees + bias;
  if (largest == 0) largest = 1;
  plan.shift = 60 - std::ilogb(largest) - 1;
  const auto whole = [&](double x) { return std::llrint(std::ldexp(x, plan.shift)); };
  for (const double x : plan.exact.values) plan.addends.push_back(whole(x));
  for (const double x : plan.exact.start) plan.start.push_back(whole(x));
  // Each addition of the library rounds by half a step of the largest sum, a division likewise;
  // each addend here by half a unit.
  const double step = std::ldexp(1.0, -plan.exact.significand_bits);
  const double bound = (trees + 3) * std::ldexp(largest, plan.shift) * step + trees / 2 + 1;
  plan.near = std::llrint(std::ceil(2 * bound)) + 1;
  return {};
}

Status plan_trees(const Model& model, const std::vector<int>& slots, Plan& plan) {
  plan.exact.significand_bits = model.sums == Sums::float64 ? 53 : 24;
  const bool mean = model.vote == Vote::mean;
  plan.exact.divisor = mean ? static_cast<std::uint32_t>(model.trees.size()) : 1;
  plan.exact.start = mean ? std::vector<double>(model.outputs, 0.0) : model.bias;
  for (double& bias : plan.exact.start) {
    if (model.sums == Sums::float32) bias = static_cast<double>(static_cast<float>(bias));
    bias += 0.0;
  }
  double largest = 0;
  for (const double x : model.values) largest = std::max(largest, std::abs(x));
  for (const double x : plan.exact.start) largest = std::max(largest, std::abs(x));
  if (largest > (model.sums == Sums::float64 ? 0x1p900 : 0x1p100))
    return fail(
        fmt::format("a leaf's value of {} is larger than the kernel's sums take; scale the "
                    "model's values",
                    largest));
  if (model.trees.size() == 1) return plan_one_tree(model, slots, plan);
  const forest::Fixed fixed = make_fixed(model);
  const bool second_alone = model.outputs == 2 && !plan.against_first && model.classes.size() == 2;
  const bool single =
      model.outputs == 1 || (model.outputs == 2 && fixed.first == 1) || second_alone;
  const bool whole_rows =
      std::all_of(model.trees.begin(), model.trees.end(), [&](const auto& tree) {
        return model.outputs == 1 || tree.output == forest::Tree::kAllOutputs;
      });
  if (second_alone && !whole_rows)
    return fail(
        "a threshold is for models of one margin, and this one's trees add to either of "
        "two; leave it out");
  return single && whole_rows ? plan_sum(model, fixed, slots, plan) : plan_sums(model, slots, plan);
}

constexpr unsigned kHalf_bits = 16;

/// `weight` times a part of a feature that is up to `range`: a term of as many bits as its product
/// has room for, and by how much that is off at most.
double add_term(Term term, double weight, double range, Plan& plan) {
  constexpr int kProduct_bits = 62, kShiftsMost = 60;
  if (weight == 0) return 0;
  term.shift =
      std::clamp(kProduct_bits - 1 - std::ilogb(weight * range) - plan.shift, 0, kShiftsMost);
  auto whole = std::llrint(std::ldexp(weight, plan.shift + term.shift));
  for (; term.shift > 0 && whole % 2 == 0; --term.shift) whole /= 2;
  const double kept = std::ldexp(static_cast<double>(whole), -plan.shift - term.shift);
  term.weight = whole;
  if (whole != 0) plan.terms.push_back(term);
  // What a shift to the right cuts off is less than a unit of the sum.
  return std::abs(kept - weight) * range + (term.shift > 0 ? std::ldexp(1.0, -plan.shift) : 0);
}

/// The terms of a sum at this shift, and by how much a decision is off at most.
void set_terms(const Model& model, const std::vector<int>& slots, int shift, Plan& plan) {
  plan.shift = shift;
  plan.terms.clear();
  plan.start.assign(plan.outputs, 0);
  std::vector<double> off(plan.outputs, 0);
  for (std::uint32_t o = 0; o < plan.outputs; ++o) {
    plan.start[o] = std::llrint(std::ldexp(model.bias[o], shift));
    off[o] = std::abs(std::ldexp(static_cast<double>(plan.start[o]), -shift) - model.bias[o]);
  }
  const std::size_t features = model.features.size();
  for (std::size_t f = 0; f < features; ++f) {
    const double most = static_cast<double>(as_row(largest(slots[f], plan.reading)));
    for (std::uint32_t o = 0; o < plan.outputs; ++o) {
      const double weight = model.weights[o * features + f];
      Term term{.output = o, .feature = slots[f]};
      if (most < std::ldexp(1.0, kHalf_bits + 1)) {
        off[o] += add_term(term, weight, most, plan);
        continue;
      }
      term.part = Term::Part::low;
      off[o] += add_term(term, weight, std::ldexp(1.0, kHalf_bits) - 1, plan);
      term.part = Term::Part::high;
      off[o] +=
          add_term(term, std::ldexp(weight, kHalf_bits), std::ldexp(most, -int{kHalf_bits}), plan);
    }
  }
  plan.error = *std::max_element(off.begin(), off.end());
  plan.above = static_cast<std::int64_t>(std::floor(std::ldexp(plan.cut, shift)));
  plan.error += plan.outputs == 1
                    ? std::abs(std::ldexp(static_cast<double>(plan.above), -shift) - plan.cut)
                    : plan.error;
}

/// How far the decision function can be from where it decides, over all that features can be: an
/// error of as much may change any verdict.
double reach_of(const Model& model, const std::vector<int>& slots, const Plan& plan) {
  const std::size_t features = model.features.size();
  // The most that `sign` times output a, less output b where there is one, can be.
  const auto most = [&](double sign, std::size_t a, std::optional<std::size_t> b) {
    const auto of = [&](const std::vector<double>& values, std::size_t place, std::size_t count) {
      return sign * (values[a * count + place] - (b ? values[*b * count + place] : 0));
    };
    double sum = of(model.bias, 0, 1);
    for (std::size_t f = 0; f < features; ++f)
      sum += std::max(0.0, of(model.weights, f, features)) * largest(slots[f], plan.reading);
    return sum;
  };
  if (plan.outputs == 1)
    return std::max(most(1, 0, std::nullopt) - plan.cut, most(-1, 0, std::nullopt) + plan.cut);
  double reach = 0;
  for (std::size_t a = 0; a < plan.outputs; ++a)
    for (std::size_t b = 0; b < plan.outputs; ++b)
      if (a != b) reach = std::max(reach, most(1, a, b));
  return reach;
}

Status plan_linear(const Model& model, const Options& options, const std::vector<int>& slots,
                   Plan& plan) {
  plan.kind = Plan::Kind::linear;
  if (plan.against_first) plan.against_first = false;  // the greatest of two is the same
  double most = std::abs(plan.cut);
  for (std::size_t o = 0; o < plan.outputs; ++o) {
    double sum = std::abs(model.bias[o]);
    for (std::size_t f = 0; f < model.features.size(); ++f)
      sum +=
          std::abs(model.weights[o * model.features.size() + f]) * largest(slots[f], plan.reading);
    most = std::max(most, sum);
  }
  constexpr int kShiftLeast = -30, kShiftMost = 62;
  const int finest = most > 0 ? std::min(kShiftMost, 60 - std::ilogb(most)) : kShiftMost;
  if (finest < kShiftLeast)
    return fail(
        fmt::format("its decision function reaches {:.3g}, more than 64 bits hold; scale "
                    "its weights",
                    most));
  set_terms(model, slots, finest, plan);
  if (!options.precision) return {};
  const double reach = reach_of(model, slots, plan);
  if (*options.precision >= reach)
    return fail(fmt::format(
        "a precision of {:g} bounds nothing: the decision function is never farther than {:.3g} "
        "from where it decides, so that each verdict could be another; give a smaller one",
        *options.precision, reach));
  if (plan.error > *options.precision)
    return fail(
        fmt::format("a precision of {:g} is finer than 64 bits allow for this model, which "
                    "is {:.3g}; leave it out for that",
                    *options.precision, plan.error));
  int shift = finest;
  while (shift > kShiftLeast) {
    set_terms(model, slots, shift - 1, plan);
    if (plan.error > *options.precision) break;
    --shift;
  }
  set_terms(model, slots, shift, plan);
  return {};
}

/// `options`, with the model's own threshold where they name none.
Options with_threshold(const Model& model, Options options) {
  if (options.threshold || model.decision.usual()) return options;
  options.threshold = model.decision.above;
  options.on_decision = model.decision.on == forest::Decision::On::margin;
  return options;
}

}  // namespace

Status check_threshold(const Model& model, const Options& options) {
  if (!options.threshold) return {};
  const double threshold = *options.threshold;
  if (model.classes.size() > 2)
    return fail(fmt::format("a threshold is for two classes, and the model has {}; leave it out",
                            model.classes.size()));
  if (!std::isfinite(threshold)) return fail("the threshold is no finite number; give one");
  if (options.on_decision && votes(model))
    return fail(
        "the model has no decision function, for its trees vote by probability; give a threshold "
        "on that");
  if (!options.on_decision && !model.probabilities)
    return fail(fmt::format("the model has no probabilities, as {} is expected to be one{}",
                            options.words.threshold, options.words.other_threshold));
  const bool may_be_0 = options.reading == WEIR_READING_exact;  // SkimXDP takes the logit
  if (is_margin(model, options) ||
      ((threshold > 0 || (threshold == 0 && may_be_0)) && threshold < 1))
    return {};
  return fail(fmt::format(
      "the threshold {} is no probability {} 0 and below 1, as {} is expected to be{}", threshold,
      may_be_0 ? "of at least" : "above", options.words.threshold, options.words.other_threshold));
}

Result<Plan> make_plan(const Model& model, const Options& given) {
  const Options options = with_threshold(model, given);
  Plan plan;
  plan.outputs = model.outputs;
  plan.reading = options.reading;
  plan.model_name = model.name;
  plan.model_sha256 = model.sha256;
  if (model.outputs > kOutputsMax)
    return fail(fmt::format("the model has {} outputs, and a kernel model has room for {}",
                            model.outputs, kOutputsMax));
  WEIR_TRY(check_threshold(model, options));
  const bool skx = options.reading == WEIR_READING_skx;
  WEIR_ASSIGN(
      const std::vector<int> slots,
      find_slots(model, skx ? std::vector<bool>(model.features.size(), true) : used_features(model),
                 given.words));
  if (skx) WEIR_TRY(has_skx(model, given));
  WEIR_ASSIGN(plan.drop, drop_mask(model, options));
  if (skx) {
    WEIR_TRY(plan_skx(model, options, slots, plan));
    return plan;
  }
  WEIR_TRY(set_decision(model, options, plan));
  if (options.precision && model.kind != Model::Kind::linear)
    return fail("a precision is for linear models: trees are exact; leave it out");
  if (model.kind == Model::Kind::linear) {
    WEIR_TRY(plan_linear(model, options, slots, plan));
  } else {
    WEIR_TRY(plan_trees(model, slots, plan));
  }
  return plan;
}

}  // namespace weir::kernel_model
