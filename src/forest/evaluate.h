// SPDX-License-Identifier: BSD-2-Clause
/// Scores whole batches of rows, held by column.
///
/// Shape     `columns[f][r]` is feature f of row r, f in the order of `Model::features`; each
/// column has room for
///           `rows` rounded up to `kRowAlign`, starts on a 64-byte line, and may hold anything
///           behind its last row.
/// Result    binary classifier: `scores[r]` is the probability of the last class. Else `scores[o *
/// rows + r]`. Threads   `evaluate` is const but uses its own scratch memory: one evaluator a
/// thread. `clone` makes another. Errors    none at run time; no allocation after `make`.
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
  /// For people: algorithm and instruction set, e.g. "bit-sliced, AVX3".
  [[nodiscard]] virtual std::string describe() const = 0;
};

/// The fastest evaluator that is exact for this model on this CPU.
Result<std::unique_ptr<Evaluator>> make_evaluator(const Model& model);
/// The plain walk, one row and tree after another: the oracle of the tests.
std::unique_ptr<Evaluator> make_scalar_evaluator(const Model& model);

}  // namespace weir::forest
