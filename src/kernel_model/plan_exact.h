// SPDX-License-Identifier: BSD-2-Clause
/// The class that sums of floats stand for: one definition for the plan and for its judge. Inside
/// of plan.h; nobody else includes this.
#pragma once

#include <algorithm>
#include <array>

#include "kernel_model/plan.h"

namespace weir::kernel_model {

/// The class that margins stand for, as the library chooses it.
inline std::size_t class_of(const Plan& plan, const double* margins) noexcept {
  if (plan.against_first) return margins[1] > margins[0] ? 1 : 0;
  if (plan.outputs == 1) return margins[0] > plan.cut ? 1 : 0;
  if (plan.kind != Plan::Kind::sums && plan.outputs == 2) return margins[1] > plan.cut ? 1 : 0;
  return static_cast<std::size_t>(std::max_element(margins, margins + plan.outputs) - margins);
}

inline bool drops(const Plan& plan, std::size_t number) noexcept {
  return (plan.drop >> number & 1U) != 0;
}

/// The library's sum over leaves, of which `row(call)` is a row of `exact.values`.
template <typename Real, typename Row>
void add_up(const Plan& plan, const Row& row, double* margins) {
  std::array<Real, kOutputsMax> sum{};
  for (std::size_t o = 0; o < plan.outputs; ++o) sum[o] = static_cast<Real>(plan.exact.start[o]);
  for (const Call& call : plan.calls) {
    const double* values = &plan.exact.values[row(call) * plan.outputs];
    for (std::size_t o = 0; o < plan.outputs; ++o)
      if (call.output < 0 || static_cast<std::size_t>(call.output) == o)
        sum[o] += static_cast<Real>(values[o]);
  }
  for (std::size_t o = 0; o < plan.outputs; ++o)
    margins[o] = static_cast<double>(
        plan.exact.divisor > 1 ? sum[o] / static_cast<Real>(plan.exact.divisor) : sum[o]);
}

template <typename Row>
std::size_t exact_class(const Plan& plan, const Row& row) {
  std::array<double, kOutputsMax> margins{};
  if (plan.exact.significand_bits == 53)
    add_up<double>(plan, row, margins.data());
  else
    add_up<float>(plan, row, margins.data());
  return class_of(plan, margins.data());
}

}  // namespace weir::kernel_model
