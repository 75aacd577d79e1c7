// SPDX-License-Identifier: BSD-2-Clause
#include "cli/skx.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>

namespace weir::cli {
namespace {

using Type = CInteger::Type;

constexpr double kScale = 1e4;  // its exporter's `precision` of 4 digits
constexpr double kIntMost = 2147483647.0;
constexpr double kLongMost = 9.2e18;

/// `number`, cut towards zero, as a decimal constant in a C program: `int` where that holds it.
std::optional<CInteger> constant(double number) {
  const double cut = std::trunc(number);
  if (!(std::abs(cut) < kLongMost)) return std::nullopt;
  return CInteger{static_cast<std::int64_t>(cut),
                  std::abs(cut) <= kIntMost ? Type::int32 : Type::int64};
}

/// `value` as that type holds it: overflow wraps.
CInteger as(std::uint64_t value, Type type) {
  switch (type) {
    case Type::int32:
      return {static_cast<std::int32_t>(static_cast<std::uint32_t>(value)), type};
    case Type::uint32:
      return {static_cast<std::uint32_t>(value), type};
    case Type::int64:
      break;
  }
  return {static_cast<std::int64_t>(value), type};
}

/// The usual arithmetic conversions: the wider of the two, and of equals the unsigned one.
Type common(const CInteger& a, const CInteger& b) { return std::max(a.type, b.type); }

std::uint64_t in(const CInteger& a, Type type) {
  return static_cast<std::uint64_t>(as(static_cast<std::uint64_t>(a.value), type).value);
}

CInteger operator*(const CInteger& a, const CInteger& b) {
  const Type type = common(a, b);
  return as(in(a, type) * in(b, type), type);
}

CInteger operator+(const CInteger& a, const CInteger& b) {
  const Type type = common(a, b);
  return as(in(a, type) + in(b, type), type);
}

bool operator<=(const CInteger& a, const CInteger& b) {
  const Type type = common(a, b);
  return static_cast<std::int64_t>(in(a, type)) <= static_cast<std::int64_t>(in(b, type));
}

bool is_unsigned_int(weir_header_feature feature) {
  return feature == WEIR_HEADER_FEATURE_ip_ihl || feature == WEIR_HEADER_FEATURE_ip_version ||
         feature == WEIR_HEADER_FEATURE_tcp_sequence_num ||
         feature == WEIR_HEADER_FEATURE_tcp_ack_num;
}

/// Whether the leaf's likeliest class is the last one: of equals it is the first.
bool says_last(const forest::Model& model, const forest::Node& leaf) {
  const double* values = &model.values[leaf.value];
  return model.outputs == 1 ? values[0] > 0.5 : values[1] > values[0];
}

}  // namespace

Result<Skx> Skx::make(const forest::Model& model, std::vector<weir_header_feature> places) {
  const auto refuse = [&](const char* what) {
    return fail(fmt::format(
        "model '{}' {}: SkimXDP has decision trees and random forests of scikit-learn, and linear "
        "classifiers, each of two classes; compare one of these",
        model.name, what));
  };
  if (model.classes.size() != 2) return refuse("is no classifier of two classes");
  Skx skx(model, std::move(places));
  if (model.kind == forest::Model::Kind::linear) {
    if (model.outputs != 1) return refuse("is linear with two outputs");
    WEIR_TRY(skx.cut_coefficients());
    return skx;
  }
  if (model.vote != forest::Vote::mean) return refuse("adds its trees up (boosting)");
  if (model.compare != forest::Compare::less_equal) return refuse("compares with '<'");
  return skx;
}

Status Skx::cut_coefficients() {
  std::vector<double> numbers = model_->weights;
  numbers.push_back(model_->bias[0]);
  double above = 0;  // of a probability: where the margin has it
  const forest::Decision& decision = model_->decision;
  if (decision.on == forest::Decision::On::margin)
    above = decision.above;
  else if (!decision.usual())
    above = std::log(decision.above / (1 - decision.above));
  numbers.push_back(above);
  for (const double number : numbers) {
    const auto cut = constant(number * kScale);
    if (!cut)
      return fail(
          fmt::format("model '{}': {} times 10,000 is more than C's long holds: SkimXDP's "
                      "program of this model would not compile; scale its features",
                      model_->name, number));
    coefficients_.push_back(*cut);
  }
  threshold_ = coefficients_.back();
  coefficients_.pop_back();
  return {};
}

CInteger Skx::feature(const packet::HeaderFeatures& features, std::size_t f) const {
  const weir_header_feature place = places_[f];
  return {features.value[place], is_unsigned_int(place) ? Type::uint32 : Type::int32};
}

bool Skx::votes(const packet::HeaderFeatures& features, bool cut) const {
  std::size_t votes = 0;
  for (const forest::Tree& tree : model_->trees) {
    const forest::Node* node = &model_->nodes[tree.root];
    while (node->feature >= 0) {
      const auto f = static_cast<std::size_t>(node->feature);
      const CInteger value = feature(features, f);
      // What no constant holds is beyond every feature.
      const auto threshold = cut ? constant(node->threshold) : std::nullopt;
      const bool left =
          threshold ? value <= *threshold
                    : static_cast<double>(static_cast<float>(value.value)) <= node->threshold;
      node = &model_->nodes[left ? node->left : node->right];
    }
    if (says_last(*model_, *node)) ++votes;
  }
  return votes > model_->trees.size() / 2;
}

bool Skx::drops(const packet::HeaderFeatures& features) const {
  if (model_->kind == forest::Model::Kind::trees) return votes(features, true);
  CInteger sum = coefficients_.back();
  for (std::size_t f = 0; f < places_.size(); ++f)
    sum = sum + coefficients_[f] * feature(features, f);
  return !(sum <= threshold_);
}

bool Skx::drops_by_rule(const packet::HeaderFeatures& features) const {
  if (model_->kind == forest::Model::Kind::trees) return votes(features, false);
  auto sum = static_cast<double>(coefficients_.back().value);
  for (std::size_t f = 0; f < places_.size(); ++f)
    sum += static_cast<double>(coefficients_[f].value) *
           static_cast<double>(features.value[places_[f]]);
  return sum > static_cast<double>(threshold_.value);
}

}  // namespace weir::cli
