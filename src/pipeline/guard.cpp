// SPDX-License-Identifier: BSD-2-Clause
#include "pipeline/guard.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

#include "detect/extractor.h"

namespace weir::pipeline {
namespace {

/// Rows at a time: what batches have, so that the second columns stay in the cache.
constexpr std::size_t kRows = 256;
struct alignas(64) Column {
  std::array<float, kRows> values;
};

class Guarded final : public forest::Evaluator {
 public:
  Guarded(std::unique_ptr<forest::Evaluator> evaluator, std::size_t features,
          std::vector<std::pair<std::uint32_t, float>> neutral)
      : evaluator_(std::move(evaluator)),
        neutral_(std::move(neutral)),
        storage_(neutral_.size()),
        columns_(features),
        replaced_(features) {
    for (std::size_t i = 0; i < neutral_.size(); ++i) storage_[i].values.fill(neutral_[i].second);
  }

  void evaluate(const float* const* columns, std::size_t rows, float* scores) noexcept override {
    for (std::size_t first = 0; first < rows; first += kRows) {
      const std::size_t count = std::min(kRows, rows - first);
      for (std::size_t f = 0; f < columns_.size(); ++f)
        columns_[f] = replaced_[f] = columns[f] + first;
      for (std::size_t i = 0; i < neutral_.size(); ++i)
        replaced_[neutral_[i].first] = storage_[i].values.data();
      evaluator_->evaluate(columns_.data(), count, scores + first);
      evaluator_->evaluate(replaced_.data(), count, scratch_.values.data());
      for (std::size_t r = 0; r < count; ++r)
        scores[first + r] = std::max(scores[first + r], scratch_.values[r]);
    }
  }
  [[nodiscard]] std::unique_ptr<forest::Evaluator> clone() const override {
    return std::make_unique<Guarded>(evaluator_->clone(), columns_.size(), neutral_);
  }
  [[nodiscard]] std::string describe() const override {
    return evaluator_->describe() + ", twice: features that senders set may not clear";
  }

 private:
  std::unique_ptr<forest::Evaluator> evaluator_;
  std::vector<std::pair<std::uint32_t, float>> neutral_;  // by the model's feature
  std::vector<Column> storage_;
  std::vector<const float*> columns_;
  std::vector<const float*> replaced_;
  Column scratch_;
};

bool asks_for(const forest::Model& model, std::size_t feature) {
  if (model.kind == forest::Model::Kind::linear) return true;
  return std::any_of(model.nodes.begin(), model.nodes.end(), [&](const forest::Node& node) {
    return node.feature == static_cast<std::int32_t>(feature);
  });
}

bool asks_for_headers_alone(const forest::Model& model) {
  for (std::size_t f = 0; f < model.features.size(); ++f) {
    const auto* info = detect::find_feature(model.features[f]);
    if (asks_for(model, f) && (info == nullptr || std::string_view(info->group) != "header"))
      return false;
  }
  return true;
}

}  // namespace

std::vector<std::uint32_t> sender_features(const forest::Model& model) {
  std::vector<std::uint32_t> found;
  if (asks_for_headers_alone(model)) return found;
  for (std::size_t f = 0; f < model.features.size(); ++f) {
    const auto* info = detect::find_feature(model.features[f]);
    if (info != nullptr && info->set_by == detect::SetBy::sender && asks_for(model, f))
      found.push_back(static_cast<std::uint32_t>(f));
  }
  return found;
}

std::vector<float> neutral_row(const forest::Model& model, std::vector<float> row) {
  for (const std::uint32_t f : sender_features(model))
    row[f] = detect::find_feature(model.features[f])->neutral;
  return row;
}

std::unique_ptr<forest::Evaluator> guard(std::unique_ptr<forest::Evaluator> evaluator,
                                         const forest::Model& model) {
  std::vector<std::pair<std::uint32_t, float>> neutral;
  for (const std::uint32_t f : sender_features(model))
    neutral.emplace_back(f, detect::find_feature(model.features[f])->neutral);
  if (neutral.empty()) return evaluator;
  return std::make_unique<Guarded>(std::move(evaluator), model.features.size(), std::move(neutral));
}

}  // namespace weir::pipeline
