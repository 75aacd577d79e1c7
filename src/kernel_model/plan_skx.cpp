// SPDX-License-Identifier: BSD-2-Clause
#include "kernel_model/plan_skx.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

#include "kernel_model/plan_exact.h"

namespace weir::kernel_model {

namespace {

constexpr double kScale = 1e4;  // its exporter's `precision` of 4 digits
constexpr double kIntMost = 2147483647.0, kLongMost = 9.2e18;

/// Of C, in the order of its conversions: of two operands the later type is that of the result.
enum class Type : std::uint8_t { int32, uint32, int64 };

Term::Wrap wrap_of(Type type) noexcept {
  return type == Type::int32    ? Term::Wrap::int32
         : type == Type::uint32 ? Term::Wrap::uint32
                                : Term::Wrap::int64;
}

struct Constant {
  std::int64_t value = 0;
  Type type = Type::int32;
};

/// A decimal constant; none where no type of C holds it.
std::optional<Constant> constant(double number) noexcept {
  const double cut = std::trunc(number);
  if (!(std::abs(cut) < kLongMost)) return std::nullopt;
  return Constant{static_cast<std::int64_t>(cut),
                  std::abs(cut) <= kIntMost ? Type::int32 : Type::int64};
}

Type type_of(int feature) noexcept {
  return feature == WEIR_HEADER_FEATURE_ip_ihl || feature == WEIR_HEADER_FEATURE_ip_version ||
                 feature == WEIR_HEADER_FEATURE_tcp_sequence_num ||
                 feature == WEIR_HEADER_FEATURE_tcp_ack_num
             ? Type::uint32
             : Type::int32;
}

Result<Constant> scaled(const forest::Model& model, double number) {
  if (const auto made = constant(number * kScale)) return *made;
  return fail(
      fmt::format("model '{}': {} times 10,000 is more than C's long holds: SkimXDP's program of "
                  "this model would not compile; scale its features",
                  model.name, number));
}

Status plan_sum(const forest::Model& model, const Options& options, const std::vector<int>& slots,
                Plan& plan) {
  plan.kind = Plan::Kind::linear;
  double above = 0;  // of a probability: where the decision function has it
  if (options.threshold)
    above = options.on_decision ? *options.threshold
                                : std::log(*options.threshold / (1 - *options.threshold));
  WEIR_ASSIGN(const Constant start, scaled(model, model.bias[0]));
  WEIR_ASSIGN(const Constant threshold, scaled(model, above));
  plan.start = {start.value};
  Type sum = start.type;
  for (std::size_t f = 0; f < slots.size(); ++f) {
    WEIR_ASSIGN(const Constant weight, scaled(model, model.weights[f]));
    const Type product = std::max(weight.type, type_of(slots[f]));
    const Type before = sum;
    sum = std::max(sum, product);
    if (weight.value == 0 && sum == before) continue;
    plan.terms.push_back({.feature = slots[f],
                          .weight = weight.value,
                          .product = sum == Type::int64 ? wrap_of(product) : Term::Wrap::int64,
                          .sum = wrap_of(sum)});
  }
  plan.above = std::max(sum, threshold.type) == Type::uint32
                   ? static_cast<std::int64_t>(static_cast<std::uint32_t>(threshold.value))
                   : threshold.value;
  return {};
}

/// Whether the leaf's likeliest class is the last one: of equals it is the first.
bool says_last(const forest::Model& model, const forest::Node& leaf) noexcept {
  const double* values = &model.values[leaf.value];
  return model.outputs == 1 ? values[0] > 0.5 : values[1] > values[0];
}

Status plan_votes(const forest::Model& model, const std::vector<int>& slots, Plan& plan) {
  plan.outputs = 1;
  const std::size_t trees = model.trees.size();
  plan.kind = trees == 1 ? Plan::Kind::verdict : Plan::Kind::sum;
  plan.last_from = trees / 2 + 1;
  plan.other_to = static_cast<std::int64_t>(trees / 2);
  const auto vote = [&](const forest::Tree&, const forest::Node& leaf) -> std::uint64_t {
    const bool last = says_last(model, leaf);
    return (trees == 1 ? drops(plan, last ? 1 : 0) : last) ? 1 : 0;
  };
  return add_functions(model, slots, vote, plan);
}

}  // namespace

Cut skx_cut(int feature, double threshold) noexcept {
  const auto cut = constant(threshold);
  constexpr std::uint32_t kAll = std::numeric_limits<std::uint32_t>::max();
  if (!cut) return {!(threshold > 0), kAll};
  if (std::max(cut->type, type_of(feature)) == Type::uint32)
    return {false, static_cast<std::uint32_t>(cut->value)};
  return {cut->value < 0,
          static_cast<std::uint32_t>(std::clamp<std::int64_t>(cut->value, 0, kAll))};
}

Status has_skx(const forest::Model& model, const Options& options) {
  const auto refuse = [&](const char* what) {
    return fail(fmt::format(
        "model '{}' {}: SkimXDP has decision trees and random forests of scikit-learn, and linear "
        "classifiers, each of two classes; leave out that it is to judge like that",
        model.name, what));
  };
  if (model.classes.size() != 2) return refuse("is no classifier of two classes");
  if (options.precision)
    return fail("a precision was given, and SkimXDP's is four digits; leave one of the two out");
  if (model.kind == forest::Model::Kind::linear)
    return model.outputs == 1 ? Status{} : refuse("is linear with two outputs");
  if (model.vote != forest::Vote::mean) return refuse("adds its trees up (boosting)");
  if (model.compare != forest::Compare::less_equal) return refuse("compares with '<'");
  if (options.threshold)
    return fail(
        "a threshold was given, and SkimXDP's trees have none: each votes for its likelier class; "
        "leave one of the two out");
  return {};
}

Status plan_skx(const forest::Model& model, const Options& options, const std::vector<int>& slots,
                Plan& plan) {
  return model.kind == forest::Model::Kind::linear ? plan_sum(model, options, slots, plan)
                                                   : plan_votes(model, slots, plan);
}

}  // namespace weir::kernel_model
