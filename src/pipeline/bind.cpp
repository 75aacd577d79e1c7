// SPDX-License-Identifier: BSD-2-Clause
#include "pipeline/bind.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>

#include "pipeline/guard.h"

namespace weir::pipeline {
namespace {

/// Where there is no model.
class Acquit final : public forest::Evaluator {
 public:
  void evaluate(const float* const* /*columns*/, std::size_t rows,
                float* scores) noexcept override {
    std::fill_n(scores, rows, 0.0F);
  }
  [[nodiscard]] std::unique_ptr<forest::Evaluator> clone() const override {
    return std::make_unique<Acquit>();
  }
  [[nodiscard]] std::string describe() const override { return "none: every score is 0"; }
};

/// Finds a model's features among the columns of the one before it.
class Picks final : public forest::Evaluator {
 public:
  Picks(std::unique_ptr<forest::Evaluator> model, std::vector<std::uint32_t> places)
      : model_(std::move(model)), places_(std::move(places)), columns_(places_.size()) {}
  void evaluate(const float* const* columns, std::size_t rows, float* scores) noexcept override {
    for (std::size_t i = 0; i < places_.size(); ++i) columns_[i] = columns[places_[i]];
    model_->evaluate(columns_.data(), rows, scores);
  }
  [[nodiscard]] std::unique_ptr<forest::Evaluator> clone() const override {
    return std::make_unique<Picks>(model_->clone(), places_);
  }
  [[nodiscard]] std::string describe() const override { return model_->describe(); }

 private:
  std::unique_ptr<forest::Evaluator> model_;
  std::vector<std::uint32_t> places_;
  std::vector<const float*> columns_;
};

Status judges_two_classes(const forest::Model& model) {
  if (forest::score_columns(model) == 1) return {};
  return fail(
      fmt::format("model '{}' has {} classes: weir needs two, benign first and attack last; "
                  "train a binary classifier",
                  model.name, model.classes.size()));
}

/// The extracted feature that each of the model's features is.
Result<std::vector<std::uint32_t>> places(const std::vector<std::string>& wanted,
                                          const std::vector<std::string>& extracted) {
  std::vector<std::uint32_t> found;
  for (const std::string& name : wanted) {
    const auto place = std::find(extracted.begin(), extracted.end(), name);
    if (place == extracted.end())
      return fail(
          fmt::format("it asks for the feature '{}', and only what the model at the start asked "
                      "for is extracted; restart weir to use this model",
                      name));
    found.push_back(static_cast<std::uint32_t>(place - extracted.begin()));
  }
  return found;
}

Result<std::unique_ptr<forest::Evaluator>> make_judge(const forest::Model& model, Scores scores) {
  WEIR_ASSIGN(auto evaluator, forest::make_evaluator(model));
  return scores == Scores::alone ? std::move(evaluator) : guard(std::move(evaluator), model);
}

}  // namespace

Result<std::unique_ptr<forest::Evaluator>> rebind(const forest::Model& model,
                                                  const std::vector<std::string>& model_columns,
                                                  Scores scores) {
  WEIR_TRY(judges_two_classes(model));
  auto found = places(model.features, model_columns);
  if (!found) return fail(fmt::format("model '{}': {}", model.name, found.error().message));
  WEIR_ASSIGN(auto evaluator, make_judge(model, scores));
  return std::make_unique<Picks>(std::move(evaluator), std::move(*found));
}

Result<Bound> bind(const forest::Model* model, const detect::TableConfig& tables, Extract extract,
                   Scores scores) {
  Bound bound;
  std::vector<std::string> features;
  if (model != nullptr) {
    WEIR_TRY(judges_two_classes(*model));
    // Also where all features are extracted: the extractor says best which name is wrong.
    auto extractor = detect::Extractor::make(tables, model->features);
    if (!extractor)
      return fail(fmt::format("model '{}': {}", model->name, extractor.error().message));
    bound.extractor = std::move(*extractor);
    WEIR_ASSIGN(bound.evaluator, make_judge(*model, scores));
    features = bound.model_columns = model->features;
  } else {
    bound.evaluator = std::make_unique<Acquit>();
  }
  if (extract == Extract::model_features && model != nullptr) {
    bound.columns = Columns::all_of(features.size());
    return bound;
  }
  std::vector<std::string> all;
  if (extract == Extract::all_features)
    for (const detect::FeatureInfo& feature : detect::all_features())
      all.emplace_back(feature.name);
  WEIR_ASSIGN(bound.extractor, detect::Extractor::make(tables, all));
  bound.columns.extracted = all.size();
  WEIR_ASSIGN(bound.columns.model_features, places(features, all));
  return bound;
}

}  // namespace weir::pipeline
