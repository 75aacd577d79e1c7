// SPDX-License-Identifier: BSD-2-Clause
#include "forest/evaluate.h"

namespace weir::forest {

Result<std::unique_ptr<Evaluator>> make_evaluator(const Model& model) {
  return make_scalar_evaluator(model);
}

}  // namespace weir::forest
