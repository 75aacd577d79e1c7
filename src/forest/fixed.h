// SPDX-License-Identifier: BSD-2-Clause
/// What a score is, to the last bit: the one definition that all evaluators share.
///
/// Sum       a leaf value v of a tree counts as the integer q(v) = round((v - offset) / unit), at
///           least 0 and below 2^kFixedBits; `offset` is the least value of the tree for that
///           output, `unit` a power of two, the same for the whole output. Integers add in any
///           order to the same sum, so no evaluator, vector length or skipped subtree can change a
///           bit. The margin is base + unit * (sum of q), in float64; a mean is divided by trees.
/// Error     |margin - real sum| <= trees * unit / 2. Where all leaf values are multiples of the
///           unit (pure leaves: 0 and 1) it is exact.
/// Decision  a row whose margin stands within `bound` of the decision (the class would depend on
///           rounding) is added again, from the trained values, in the arithmetic and tree order of
///           the trainer's library (`Model::sums`): the class is the library's own, always.
/// Threshold where the model has one of its own, at probability t, the score is p (1-t) / (p (1-t) +
///           (1-p) t): what p would be if t were one half. At margin m, it is the sigmoid of the
///           margin less m. Which side of 0.5 it is on is decided before that, by p or the margin.
/// Link      sigmoid and softmax in float64; in XGBoost's float32 where the sums are float32.
/// Threads   immutable after `make_fixed`.
#pragma once

#include <cstdint>
#include <vector>

#include "forest/model.h"

namespace weir::forest {

/// 28 bits: four digits of 7 bits, of which two trees add in a byte. A mean is then within 2^-29
/// of the real one, float32's own step being 2^-25 at one half. More bits cost a byte permute and
/// two additions a tree and 64 rows for each 7.
inline constexpr int kFixedBits = 28;

struct Fixed {
  /// Outputs below `first` are not summed: 1 where the two values of each leaf of a binary forest
  /// add to one, so that the last class's says all. Decisions near one half still use both.
  std::size_t first = 0;
  std::size_t outputs = 0;
  std::size_t trees = 0;
  /// By index in `Model::values`: the q of each value.
  std::vector<std::uint32_t> q;
  std::vector<double> base;   ///< by output: bias and offsets, added in tree order
  std::vector<double> unit;   ///< by output
  std::vector<double> bound;  ///< by output: how far a margin may be from the library's own
};
Fixed make_fixed(const Model& model);

/// Margins of sums, then scores: `sums[o * stride + r]` of rows [0, rows); `scores` as `evaluate`
/// writes them for a batch of `batch_rows`, beginning at row `first`. `columns` are the batch's.
void finish(const Model& model, const Fixed& fixed, const float* const* columns,
            const std::uint64_t* sums, std::size_t stride, std::size_t first, std::size_t rows,
            std::size_t batch_rows, float* scores) noexcept;

/// Scores of one row from its margins (float64), as a linear model and `finish` end.
/// `step` is the distance between two outputs' scores.
void link_row(const Model& model, const double* margins, float* scores, std::size_t step) noexcept;

/// The leaf of `tree` that row `r` reaches: the plain walk.
const Node& walk(const Model& model, const Tree& tree, const float* const* columns,
                 std::size_t r) noexcept;

}  // namespace weir::forest
