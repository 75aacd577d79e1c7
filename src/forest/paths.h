// SPDX-License-Identifier: BSD-2-Clause
/// Why a row has its score: what each feature added, the path that decided, how the trees voted.
///
///   margin = bias + sum of contributions        (exact but for the rounding of float64 additions)
///
/// Method    along the path of each tree, a step's contribution is what it changes in the expected
///           value, and belongs to the feature that it asked (Saabas). The expected value of a node
///           is the mean of its leaves, weighted by training rows (`Node::cover`); where a model
///           has none, both sides of a split count alike, and `Explainer::weighted` says so.
/// Shape     one output is explained: the last class's, or the one asked for.
/// Threads   immutable after construction; `explain` may run in several threads at once.
/// Cost      microseconds a row and allocation: for people, not for the packet path.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "forest/model.h"

namespace weir::forest {

struct VoteSplit {
  std::size_t against = 0, for_it = 0;  ///< trees whose leaf speaks against or for the output
};

struct Explanation {
  double margin = 0;                  ///< of the output, before the link
  double bias = 0;                    ///< the margin that is expected before any feature is known
  std::vector<double> contributions;  ///< by feature
  VoteSplit votes;
  std::size_t tree = 0;  ///< the one that moved the margin most towards where it ended
  /// Its path with one condition a feature, in words: "length > 300.5 bytes and ttl <= 64".
  std::string path;
};

/// One tree's part in an explanation.
struct TreePath {
  std::size_t tree = 0;
  double moved = 0;  ///< what it added to the margin, beyond what is expected of it
  std::string path;  ///< in words
};

class Explainer {
 public:
  /// `model` must live longer.
  explicit Explainer(const Model& model);
  Explainer(const Model& model, std::size_t output);

  /// `row`: one value a feature; NaN means missing.
  [[nodiscard]] Explanation explain(std::span<const float> row) const;
  /// The trees by what they moved, the strongest first, at most `most`.
  [[nodiscard]] std::vector<TreePath> paths(std::span<const float> row, std::size_t most) const;
  [[nodiscard]] bool weighted() const noexcept { return weighted_; }
  [[nodiscard]] std::size_t output() const noexcept { return output_; }

 private:
  void explain_tree(std::size_t t, std::span<const float> row, double scale, Explanation& into,
                    double& strongest) const;
  /// What each tree moves the margin by; zero for trees of other outputs.
  std::vector<double> explain_trees(std::span<const float> row, Explanation& into) const;
  const Model& model_;
  std::size_t output_;
  bool weighted_ = true;
  std::vector<double> expected_;  // by node
};

/// The features by the size of their contribution, largest first, at most `most`; zeros left out.
std::vector<std::size_t> strongest(const Explanation& explanation, std::size_t most);

}  // namespace weir::forest
