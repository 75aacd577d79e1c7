// SPDX-License-Identifier: BSD-2-Clause
/// A trained ensemble of decision trees, or a linear model, as it was trained: exact, format-blind,
/// immutable.
///
/// Shape     one array of nodes, trees one behind the other, each starting with its root; children
///           stand behind their parent (child index > parent index), so no cycle is possible.
/// Units     thresholds and values as trained; `cover` in training rows (or summed hessians).
/// Owner     whoever holds the value; evaluators copy what they need.
/// Threads   immutable after load.
/// Errors    `validate.h` checks everything once: a `Model` that an importer returned is
///           consistent.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace weir::forest {

/// The condition that sends a value to the left child: `value <= threshold` or `value < threshold`.
enum class Compare : std::uint8_t { less_equal, less };
/// How the trees' outputs become margins: their mean (forests), or bias + their sum (boosting).
enum class Vote : std::uint8_t { mean, sum };
/// What turns margins into scores.
enum class Link : std::uint8_t { identity, sigmoid, softmax };
/// The arithmetic in which the trainer's own library adds the trees, in tree order. It decides
/// rows whose score stands so near the decision that rounding would choose the class.
enum class Sums : std::uint8_t { float64, float32 };

/// What makes the last of two classes a row's class: its probability, or the margin before the link
/// (scikit-learn's decision function), is above a number.
struct Decision {
  enum class On : std::uint8_t { probability, margin };
  On on = On::probability;
  double above = 0.5;
  [[nodiscard]] bool usual() const noexcept { return on == On::probability && above == 0.5; }
};

struct Node {
  double threshold = 0;       ///< exact as trained
  std::int32_t feature = -1;  ///< index into `Model::features`; -1: a leaf
  std::uint32_t left = 0;     ///< node indices in the same array
  std::uint32_t right = 0;
  std::uint32_t value = 0;    ///< leaf: index of its first value in `Model::values`
  bool missing_left = false;  ///< where NaN goes
  double cover = 0;           ///< training rows that came here, for explanations; 0 where unknown
};

struct Tree {
  static constexpr std::int32_t kAllOutputs = -1;
  std::uint32_t root = 0;
  /// The one output that its leaves add to, or kAllOutputs: then a leaf has `Model::outputs`
  /// values.
  std::int32_t output = kAllOutputs;
};

struct ClassShare {
  std::string name;
  double rows = 0;  ///< training rows; 0 where unknown
};

struct Model {
  enum class Kind : std::uint8_t { trees, linear };
  Kind kind = Kind::trees;
  std::string name;
  std::string format;      ///< of the file it came from, e.g. "XGBoost JSON"
  std::string sha256;      ///< of that file, 64 lower-case hex digits
  std::string provenance;  ///< what made it, in words
  std::vector<std::string> features;
  std::vector<std::string> units;   ///< same length as `features`; "" where unknown
  std::vector<ClassShare> classes;  ///< two or more for a classifier; empty for a regressor
  /// Margins a row has. Binary classifiers: 1 (the last class's) or 2.
  std::uint32_t outputs = 1;
  std::vector<Tree> trees;
  std::vector<Node> nodes;
  std::vector<double> values;
  std::vector<double> bias;     ///< one an output, before the trees in the sum (Vote::sum, linear)
  std::vector<double> weights;  ///< linear: outputs x features
  Compare compare = Compare::less_equal;
  Vote vote = Vote::mean;
  Link link = Link::identity;
  Sums sums = Sums::float64;
  Decision decision;  ///< of a binary classifier
  /// Whether the trainer's library calls its scores probabilities. Where not (a ridge classifier),
  /// a threshold stands on the margin alone.
  bool probabilities = true;
};

/// Columns of scores that an evaluator writes: 1 for a binary classifier (probability of the last
/// class), the classes of a wider one, the outputs of a regressor.
inline std::size_t score_columns(const Model& model) noexcept {
  return model.classes.size() == 2 ? 1 : model.outputs;
}

}  // namespace weir::forest
