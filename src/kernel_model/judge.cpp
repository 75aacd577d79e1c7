// SPDX-License-Identifier: BSD-2-Clause
#include <limits>

#include "kernel_model/plan_exact.h"

namespace weir::kernel_model {

namespace {

constexpr std::uint32_t kFloatWhole = 1U << 24U;  ///< up to here a float holds every whole number

std::uint64_t leaf_of(const Plan& plan, const Call& call, const Values& values) noexcept {
  const Function* function = &plan.functions[call.function];
  const Node* node = &function->nodes[function->roots[call.which]];
  while (node->feature != Node::kLeaf) {
    if (node->feature == Node::kCall) {
      function = &plan.functions[node->value];
      node = &function->nodes[function->roots[0]];
      continue;
    }
    const bool left = values[static_cast<std::size_t>(node->feature)] <= node->cut;
    node = &function->nodes[left ? node->left : node->right];
  }
  return node->value;
}

int judge_sums(const Plan& plan, const Values& values, bool* was_exact) {
  std::array<std::int64_t, kOutputsMax> sum{};
  std::copy(plan.start.begin(), plan.start.end(), sum.begin());
  for (const Call& call : plan.calls)
    for (std::size_t o = 0; o < plan.outputs; ++o)
      sum[o] += plan.addends[leaf_of(plan, call, values) * plan.outputs + o];
  const auto end = sum.begin() + plan.outputs;
  const auto best = static_cast<std::size_t>(std::max_element(sum.begin(), end) - sum.begin());
  const auto near =
      std::count_if(sum.begin(), end, [&](std::int64_t s) { return sum[best] - s <= plan.near; });
  if (near == 1) return drops(plan, best) ? 1 : 0;
  if (was_exact != nullptr) *was_exact = true;
  const auto row = [&](const Call& call) { return leaf_of(plan, call, values); };
  return drops(plan, exact_class(plan, row)) ? 1 : 0;
}

int judge_sum(const Plan& plan, const Values& values, bool* was_exact) {
  std::uint64_t sum = 0;
  for (const Call& call : plan.calls)
    sum += leaf_of(plan, call, values) & ((std::uint64_t{1} << Plan::kRowShift) - 1);
  if (sum >= plan.last_from) return drops(plan, 1) ? 1 : 0;
  if (static_cast<std::int64_t>(sum) <= plan.other_to) return drops(plan, 0) ? 1 : 0;
  if (was_exact != nullptr) *was_exact = true;
  const auto row = [&](const Call& call) { return leaf_of(plan, call, values) >> Plan::kRowShift; };
  return drops(plan, exact_class(plan, row)) ? 1 : 0;
}

std::int64_t wrapped(std::uint64_t number, Term::Wrap wrap) noexcept {
  switch (wrap) {
    case Term::Wrap::int32:
      return static_cast<std::int32_t>(static_cast<std::uint32_t>(number));
    case Term::Wrap::uint32:
      return static_cast<std::uint32_t>(number);
    case Term::Wrap::int64:
      break;
  }
  return static_cast<std::int64_t>(number);
}

std::uint64_t operand(const Plan& plan, const Term& term, const Values& values) noexcept {
  const std::uint32_t read = values[static_cast<std::size_t>(term.feature)];
  const std::uint64_t x = is_rounded(term.feature, plan.reading) ? as_row(read) : read;
  switch (term.part) {
    case Term::Part::low:
      return x & 0xffffU;
    case Term::Part::high:
      return x >> 16U;
    case Term::Part::whole:
      break;
  }
  return x;
}

int judge_linear(const Plan& plan, const Values& values) noexcept {
  std::array<std::int64_t, kOutputsMax> sum{};
  std::copy(plan.start.begin(), plan.start.end(), sum.begin());
  for (const Term& term : plan.terms) {
    const std::int64_t product = wrapped(
        static_cast<std::uint64_t>(term.weight) * operand(plan, term, values), term.product);
    sum[term.output] = wrapped(static_cast<std::uint64_t>(sum[term.output]) +
                                   static_cast<std::uint64_t>(product >> term.shift),
                               term.sum);
  }
  if (plan.outputs == 1) return drops(plan, sum[0] > plan.above ? 1 : 0) ? 1 : 0;
  const auto best = std::max_element(sum.begin(), sum.begin() + plan.outputs);
  return drops(plan, static_cast<std::size_t>(best - sum.begin())) ? 1 : 0;
}

}  // namespace

int judge(const Plan& plan, const Values& values, bool* was_exact) {
  switch (plan.kind) {
    case Plan::Kind::verdict:
      return static_cast<int>(leaf_of(plan, plan.calls[0], values));
    case Plan::Kind::sum:
      return judge_sum(plan, values, was_exact);
    case Plan::Kind::sums:
      return judge_sums(plan, values, was_exact);
    case Plan::Kind::linear:
      break;
  }
  return judge_linear(plan, values);
}

const char* feature_name(int feature) noexcept {
  switch (feature) {
#define WEIR_NAME(name, unit, help, skx) \
  case WEIR_HEADER_FEATURE_##name:       \
    return #name;
    WEIR_HEADER_FEATURES(WEIR_NAME)
#undef WEIR_NAME
    default:
      return "";
  }
}

std::uint32_t largest(int feature, weir_reading reading) noexcept {
  const bool skx = reading == WEIR_READING_skx;
  switch (feature) {
    case WEIR_HEADER_FEATURE_ip_ihl:
      return skx ? 15U << 24U : WEIR_OFFSET_MASK / 4;
    case WEIR_HEADER_FEATURE_ip_version:
      return skx ? 15U << 24U : 15;
    case WEIR_HEADER_FEATURE_ip_total_length:
      return 0xffff + WEIR_IP6_BYTES;
    case WEIR_HEADER_FEATURE_ip_preference:
    case WEIR_HEADER_FEATURE_ip_dscp:
    case WEIR_HEADER_FEATURE_ip_ttl:
    case WEIR_HEADER_FEATURE_ip_protocol:
      return 255;
    case WEIR_HEADER_FEATURE_tcp_sequence_num:
    case WEIR_HEADER_FEATURE_tcp_ack_num:
      return std::numeric_limits<std::uint32_t>::max();
    default:
      return feature >= WEIR_HEADER_FEATURE_tcp_cwr_flag ? (skx ? 256 : 1) : 0xffff;
  }
}

std::uint64_t as_row(std::uint32_t x) noexcept {
  return static_cast<std::uint64_t>(static_cast<float>(x));
}

bool is_rounded(int feature, weir_reading reading) noexcept {
  return reading == WEIR_READING_exact && largest(feature, reading) > kFloatWhole &&
         (feature == WEIR_HEADER_FEATURE_tcp_sequence_num ||
          feature == WEIR_HEADER_FEATURE_tcp_ack_num);
}

}  // namespace weir::kernel_model
