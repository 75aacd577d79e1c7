// SPDX-License-Identifier: BSD-2-Clause
/// Binds a model to the feature list: what an engine judges with.
///
/// Errors    a feature that weir does not extract, or a model that is no judge of two classes: one
///           sentence with the model's name and what it would have to be.
/// Threads   none; set-up.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "detect/extractor.h"
#include "detect/policy.h"
#include "forest/evaluate.h"
#include "forest/model.h"
#include "pipeline/batch.h"

namespace weir::pipeline {

struct Bound {
  std::unique_ptr<detect::Extractor> extractor;
  std::unique_ptr<forest::Evaluator> evaluator;
  Columns columns;
  std::vector<std::string> model_columns;  ///< by column that the evaluator reads: its feature
};

enum class Extract : std::uint8_t {
  model_features,  ///< what the model asks for, in its order
  all_features,    ///< detect::all_features(), in that order: for training and explanations
};

enum class Scores : std::uint8_t {
  guarded,  ///< see guard.h: what a sender writes into its packets never speaks for it
  alone     ///< the model's own: where nothing but the model judges
};
inline Scores scores_of(const detect::PolicyConfig& policy) noexcept {
  return policy.score_alone ? Scores::alone : Scores::guarded;
}

/// `model` may be nullptr: then every score is 0, and nothing is an attack.
Result<Bound> bind(const forest::Model* model, const detect::TableConfig& tables, Extract extract,
                   Scores scores = Scores::guarded);

/// Another model for an engine that is running (Engine::use): it may ask for what is extracted
/// since the start, `model_columns`, in any order, and for nothing else.
Result<std::unique_ptr<forest::Evaluator>> rebind(const forest::Model& model,
                                                  const std::vector<std::string>& model_columns,
                                                  Scores scores = Scores::guarded);

}  // namespace weir::pipeline
