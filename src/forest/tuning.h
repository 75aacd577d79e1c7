// SPDX-License-Identifier: BSD-2-Clause
/// Which way a batch takes: chosen once at load, and set by hand in tests and benchmarks.
#pragma once

#include <cstddef>
#include <memory>

#include "forest/evaluate.h"
#include "forest/plan.h"

namespace weir::forest {

struct Tuning {
  /// Fewer rows are walked: a block of bits costs the same however few of its rows are used.
  std::size_t sliced_rows_min = 1;
  /// Whether blocks of a few groups of equal rows are answered by one row of each.
  bool group_equal_rows = true;
};

Tuning default_tuning(const Plan& plan);
std::unique_ptr<Evaluator> make_tuned_evaluator(std::shared_ptr<const Plan> plan,
                                                const Tuning& tuning);

}  // namespace weir::forest
