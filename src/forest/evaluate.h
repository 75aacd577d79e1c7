// SPDX-License-Identifier: BSD-2-Clause
/// Scores whole batches of rows, held by column.
///
/// Shape     `columns[f][r]` is feature f of row r, f in the order of `Model::features`; each
///           column has room for `rows` rounded up to kRowAlign, starts on a 64-byte line, and may
///           hold anything behind its last row. NaN means missing.
/// Result    `scores[c * rows + r]`, c below `score_columns(model)`: for a binary classifier the
///           probability of its last class, weighed so that the model's own threshold
///           (`Model::decision`) comes to stand at 0.5. The class is the last one where the score is
///           above 0.5, in wider classifiers the first of the highest.
/// Exact     every evaluator gives the same bits for the same model and row: fixed.h says which.
/// Threads   `evaluate` uses scratch memory of its own: one evaluator a thread, made by `clone`.
/// Errors    none at run time; nothing is allocated after `make_evaluator`.
#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include "base/result.h"
#include "forest/model.h"

namespace weir::forest {

inline constexpr std::size_t kRowAlign = 64;
inline constexpr std::size_t kBatchMax = 4096;

class Evaluator {
 public:
  virtual ~Evaluator() = default;
  /// `rows` from 0 to kBatchMax.
  virtual void evaluate(const float* const* columns, std::size_t rows, float* scores) noexcept = 0;
  [[nodiscard]] virtual std::unique_ptr<Evaluator> clone() const = 0;
  /// For people: algorithm and instruction set, e.g. "bit-sliced, AVX3_DL".
  [[nodiscard]] virtual std::string describe() const = 0;
};

/// The fastest evaluator for this model on this CPU; README.md here says which wins where.
Result<std::unique_ptr<Evaluator>> make_evaluator(const Model& model);
/// The plain walk, one row and tree after another: the oracle of the tests.
std::unique_ptr<Evaluator> make_scalar_evaluator(const Model& model);

}  // namespace weir::forest
