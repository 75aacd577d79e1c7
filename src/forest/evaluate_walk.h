// SPDX-License-Identifier: BSD-2-Clause
/// The interleaved walk: eight (row, tree) pairs side by side, without a branch a step, so that
/// their loads overlap. For deep trees, and for batches too small to fill a block of bits.
///
/// Threads   `rows` scratch has one user; the plan is shared.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "forest/plan.h"

namespace weir::forest {

class Walker {
 public:
  explicit Walker(const Plan& plan);
  /// Adds the leaf values of `plan.walk_trees` from `first_tree` on, of rows [first, first + rows),
  /// to `sums[o * stride + r]`, r counted from `first`.
  void add(const Plan& plan, std::size_t first_tree, const float* const* columns, std::size_t first,
           std::size_t rows, std::uint64_t* sums, std::size_t stride) noexcept;

 private:
  static constexpr std::size_t kLanes = 8;
  void add_eight_rows(const Plan& plan, std::size_t first_tree, std::uint64_t* sums,
                      std::size_t stride) noexcept;
  void add_one_row(const Plan& plan, std::size_t first_tree, const float* row, std::uint64_t* sums,
                   std::size_t stride) noexcept;

  std::size_t width_;        // features, and the zero behind them that leaves compare
  std::vector<float> rows_;  // kLanes rows, features side by side
};

}  // namespace weir::forest
