// SPDX-License-Identifier: BSD-2-Clause
/// A trained ensemble of decision trees, or a linear model, as it was trained: exact, format-blind,
/// immutable.
///
/// Shape     structure of arrays a node list, trees one behind the other, roots in `Tree::root`;
/// children always stand
///           behind their parent (child index > parent index), so that no cycle is possible.
/// Owner     whoever holds the value; evaluators copy what they need.
/// Threads   immutable after load.
/// Errors    `import.h` checks everything once; a `Model` that exists is consistent.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace weir::forest {

/// How a node's condition sends a value to the left child.
enum class Compare : std::uint8_t { less_equal, less };
/// How the trees' outputs become a score.
enum class Vote : std::uint8_t { mean, sum };
enum class Link : std::uint8_t { identity, sigmoid, softmax };

struct Node {
  double threshold = 0;  ///< exact as trained: a float32 value where `Model::float32_thresholds`
  std::int32_t feature = -1;  ///< index into `Model::features`; -1: leaf
  std::uint32_t left = 0;     ///< node indices in the same array
  std::uint32_t right = 0;
  std::uint32_t leaf = 0;     ///< leaf: index of its first value in `Model::values`
  bool missing_left = false;  ///< where NaN goes
  double cover = 0;           ///< training rows that came here (for explanations); 0 where unknown
};

struct Tree {
  std::uint32_t root = 0;
  std::uint32_t output =
      0;  ///< the output it adds to (boosted multi-class); mean votes fill all outputs from a leaf
};

struct ClassShare {
  std::string name;
  double rows = 0;  ///< training rows; 0 where unknown
};

struct Model {
  enum class Kind : std::uint8_t { trees, linear };
  Kind kind = Kind::trees;
  std::string name;
  std::string sha256;      ///< of the file it came from
  std::string provenance;  ///< what made it, in words
  std::vector<std::string> features;
  std::vector<std::string> units;   ///< same length as `features`; "" where unknown
  std::vector<ClassShare> classes;  ///< two or more for a classifier; empty for a regressor
  std::uint32_t outputs =
      1;  ///< values a leaf holds / margins a row has: 1 for binary (the last class)
  std::vector<Tree> trees;
  std::vector<Node> nodes;
  std::vector<double> values;
  std::vector<double> bias;     ///< one an output, added before the link
  std::vector<double> weights;  ///< linear: outputs x features
  Compare compare = Compare::less_equal;
  bool float32_inputs = true;  ///< features are rounded to float32 before the compare
  Vote vote = Vote::mean;
  Link link = Link::identity;
};

}  // namespace weir::forest
