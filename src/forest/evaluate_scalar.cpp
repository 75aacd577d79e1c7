// SPDX-License-Identifier: BSD-2-Clause
#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "forest/evaluate.h"
#include "forest/fixed.h"
#include "forest/import.h"

namespace weir::forest {
namespace {

class ScalarTrees final : public Evaluator {
 public:
  explicit ScalarTrees(const Model& model)
      : shared_(std::make_shared<const Shared>(Shared{model, make_fixed(model)})) {}

  void evaluate(const float* const* columns, std::size_t rows, float* scores) noexcept override {
    const Model& model = shared_->model;
    for (std::size_t r = 0; r < rows; ++r) {
      std::array<std::uint64_t, kClassesMax> sums;
      std::fill_n(sums.begin(), model.outputs, 0);
      for (const Tree& tree : model.trees) {
        const std::uint32_t* q = &shared_->fixed.q[walk(model, tree, columns, r).value];
        if (tree.output != Tree::kAllOutputs) {
          sums[static_cast<std::size_t>(tree.output)] += q[0];
        } else {
          for (std::size_t o = 0; o < model.outputs; ++o) sums[o] += q[o];
        }
      }
      finish(model, shared_->fixed, columns, sums.data(), 1, r, 1, rows, scores);
    }
  }
  [[nodiscard]] std::unique_ptr<Evaluator> clone() const override {
    return std::make_unique<ScalarTrees>(*this);
  }
  [[nodiscard]] std::string describe() const override { return "plain walk, scalar"; }

 private:
  struct Shared {
    Model model;
    Fixed fixed;
  };
  std::shared_ptr<const Shared> shared_;
};

/// Margins in float64, features in their order: the same additions for each row, so that the
/// compiler may run rows side by side without changing a bit.
class Linear final : public Evaluator {
 public:
  explicit Linear(const Model& model) : model_(std::make_shared<const Model>(model)) {}

  void evaluate(const float* const* columns, std::size_t rows, float* scores) noexcept override {
    const Model& model = *model_;
    constexpr std::size_t kBlock = 16;
    std::array<std::array<double, kBlock>, kClassesMax> sums;
    for (std::size_t first = 0; first < rows; first += kBlock) {
      const std::size_t count = std::min(kBlock, rows - first);
      for (std::size_t o = 0; o < model.outputs; ++o) {
        sums[o].fill(model.bias[o]);
        for (std::size_t f = 0; f < model.features.size(); ++f) {
          const double weight = model.weights[o * model.features.size() + f];
          for (std::size_t i = 0; i < count; ++i)
            sums[o][i] += weight * static_cast<double>(columns[f][first + i]);
        }
      }
      for (std::size_t i = 0; i < count; ++i) {
        std::array<double, kClassesMax> margins;
        for (std::size_t o = 0; o < model.outputs; ++o) margins[o] = sums[o][i];
        link_row(model, margins.data(), scores + first + i, rows);
      }
    }
  }
  [[nodiscard]] std::unique_ptr<Evaluator> clone() const override {
    return std::make_unique<Linear>(*this);
  }
  [[nodiscard]] std::string describe() const override { return "linear"; }

 private:
  std::shared_ptr<const Model> model_;
};

}  // namespace

std::unique_ptr<Evaluator> make_scalar_evaluator(const Model& model) {
  if (model.kind == Model::Kind::linear) return std::make_unique<Linear>(model);
  return std::make_unique<ScalarTrees>(model);
}

}  // namespace weir::forest
