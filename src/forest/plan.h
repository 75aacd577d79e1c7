// SPDX-License-Identifier: BSD-2-Clause
/// A model laid out for evaluation: what is computed once at load and read by every batch.
///
/// Ranks     a feature's thresholds are sorted and made distinct; the rank of a value is how many
///           of them it exceeds. `value <= threshold[i]` is `rank <= i`, exactly: a value is a
///           float32, so a float64 threshold is first rounded down to the next float32, and
///           `value < t` becomes `value <= predecessor(t)`. Ranks have as many bits as they need.
/// Condition "goes right": rank > i. Not kept one by one, for those of a large forest leave every
///           cache: a rank is cut into a high and a low field, and of each field f the vectors
///           "f > j" are kept, for every j. Then rank > i is `high > i.high or (high >= i.high and
///           low > i.low)`: three loads and one operation where a node asks, and for n thresholds
///           about 2 sqrt(n) vectors instead of n. Where NaN goes left, the two vectors of the high
///           field come without the rows that are NaN.
/// Sliced    trees of at most kSlicedDepth levels, completed to full binary trees: a leaf above the
///           last level repeats below. Nodes in pre-order; slots left to right.
/// Walked    deeper trees, and every tree for small batches: nodes in an array, children adjacent.
/// Threads   immutable after `make_plan`; shared by all clones.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "forest/fixed.h"
#include "forest/lines.h"
#include "forest/model.h"

namespace weir::forest {

/// 2^8 slots are four 64-byte tables a digit; the next level would double nodes and tables both.
inline constexpr int kSlicedDepth = 8;
inline constexpr int kDigitBits = 7;  ///< two digits add in a byte without overflow
inline constexpr int kDigits = kFixedBits / kDigitBits;
/// Trees whose leaf numbers are kept before they are looked up: 64 x 256 rows = 16 KB of the L1.
inline constexpr std::size_t kGroupTrees = 64;

/// Many classes times many trees can ask for gigabytes of tables: trees beyond this are walked.
inline constexpr std::size_t kTablesMax_bytes = 64U << 20U;

struct RankedFeature {
  std::uint32_t feature = 0;
  std::uint32_t bits = 0;        ///< of a rank: 2^bits > thresholds
  std::uint32_t low_bits = 0;    ///< of them, in the low field
  std::uint32_t thresholds = 0;  ///< distinct ones
  std::uint32_t first_plane = 0;
  std::int32_t nan_plane = -1;  ///< -1: NaN needs no plane of its own
  /// Level k's 2^k thresholds begin at `levels + 2^k - 1` in `Plan::levels`, padded with +inf, in
  /// the order of the bits found before: the first one counts 1, the second 2, and so on.
  std::uint32_t levels = 0;
  // First of its vectors: "low > j", 2^low_bits of them; "high >= j", one more than high has
  // values; the same without NaN, where there is a plane for that.
  std::uint32_t low = 0, high = 0, high_not_nan = 0;
};

/// Where a node's condition is computed from: indices of vectors, times 16.
struct Condition {
  std::uint32_t high16 = 0;  ///< "high >= i.high"; the next vector is "high > i.high"
  std::uint32_t low16 = 0;   ///< "low > i.low"
};

struct SlicedTree {
  std::uint32_t depth = 0;  ///< 1 to kSlicedDepth
  std::uint32_t nodes = 0;  ///< its first in `Plan::nodes`
};

/// A tree's leaf values for one output, as digits: `digits` tables of 2^depth bytes, each padded to
/// 64, the least significant first.
struct Lookup {
  std::uint32_t slot = 0;  ///< the tree's place in its group
  std::uint32_t depth = 0;
  std::uint32_t tables = 0;  ///< first byte in `Plan::tables`
};

struct Group {
  std::uint32_t first_tree = 0, trees = 0;
  std::vector<std::vector<Lookup>> lookups;  ///< by output, in pairs (an even number)
};

/// 8 bytes: a step of the walk is one load.
struct WalkNode {
  float threshold = 0;
  std::uint32_t feature_and_left = 0;  ///< feature << 20 | left child, relative to the tree's root
};
inline constexpr std::uint32_t kWalkLeft_bits = 20;
static_assert((1U << kWalkLeft_bits) > 2 * 65'535);

struct WalkTree {
  std::uint32_t root = 0;
  std::uint32_t depth = 0;
  std::int32_t output = Tree::kAllOutputs;
};

struct Plan {
  Model model;
  Fixed fixed;
  std::vector<int> digits;  ///< by output: 7-bit digits that its q need; 0 where all are zero

  std::vector<RankedFeature> ranked;
  std::vector<float> levels;
  std::uint32_t planes = 0;
  std::uint32_t vectors = 2;     ///< of fields: the first two are "never"
  std::uint32_t conditions = 0;  ///< distinct (feature, threshold) pairs, for people
  std::vector<SlicedTree> sliced;
  std::vector<Condition> nodes;  ///< of sliced trees, in pre-order
  Lines tables;
  std::vector<Group> groups;

  std::vector<WalkNode> walk_nodes;
  std::vector<std::uint8_t> walk_missing_left;  ///< by walk node; empty where no node has it
  std::vector<std::uint32_t> walk_q;            ///< by walk node: first of its values in Fixed::q
  std::vector<WalkTree> walk_trees;             ///< all trees; the sliced ones first
  std::size_t walk_only = 0;                    ///< trees from here on are too deep to be sliced
};

Plan make_plan(const Model& model);

/// The largest float32 x with `x <= threshold` (or `x < threshold`), so that `value <= x` decides
/// the same for every float32 value.
float threshold32(double threshold, Compare compare) noexcept;

}  // namespace weir::forest
