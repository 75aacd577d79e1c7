// SPDX-License-Identifier: BSD-2-Clause
/// A model over header features in whole numbers: what the BPF instructions and the C are written
/// from, and what they must give.
///
/// Trees     a feature is a 32-bit number x, a row of the forest module the float nearest to it:
///           `cut` is the largest x that goes left, found by asking that very comparison.
/// Vote      of one tree the leaf is the verdict. Several are added as whole numbers, as
///           forest/fixed.h has it; a sum that stands so near the decision that rounding could
///           choose the class is added once more, from the trained values, in the arithmetic of the
///           trainer's library, float by float (`Exact`): the class is the library's own, always.
/// Linear    each product with a fixed point of its own, as fine as 64 bits allow for what its feature
///           can be (features above 16 bits are two, their halves), then brought to the sum's, of
///           rows of floats; `error` is by how much a decision may be off, at most. What stands
///           nearer to the decision may change its class.
/// SkimXDP   with its reading of headers goes all else of it: plan_skx.h.
/// Errors    one sentence: what of a model the kernel cannot compute, and what to do.
/// Threads   immutable after `make_plan`.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "../../bpf/header_features.h"
#include "base/result.h"
#include "forest/model.h"

namespace weir::kernel_model {

inline constexpr std::uint32_t kOutputsMax = 16;
inline constexpr std::size_t kFunctionsMax = 240;                ///< the kernel has room for 256
inline constexpr std::size_t kFunctionInstructionsMax = 30'000;  ///< a jump reaches 32,767
inline constexpr int kCallsDeepMax = 5;  ///< functions within each other; the kernel has room for 8

/// What the caller calls these options, in errors.
struct Words {
  std::string_view dropped = "dropped";
  std::string_view drop = "--drop";
  std::string_view threshold = "--threshold";
  std::string_view other_threshold = "; --decision is for the decision function";
  std::string_view names = {};  ///< where features are named; empty: nowhere
};

struct Options {
  /// Drop what is above: of the last class's probability or, with `on_decision`, of the decision
  /// function. Without, what the model itself would call its class, by the threshold in its file
  /// where that has one. A regressor needs one.
  std::optional<double> threshold = std::nullopt;
  bool on_decision = false;
  /// Linear: how far a decision may be from the exact one; less than the decision function is ever
  /// away from where it decides. Without, as near as 64 bits allow.
  std::optional<double> precision = std::nullopt;
  /// Classes whose packets are dropped; none: the last.
  std::vector<std::string> drop = {};
  weir_reading reading = WEIR_READING_exact;  ///< skx: all as that program judges
  Words words = {};
};

using Values = std::array<std::uint32_t, WEIR_HEADER_SLOTS>;  ///< by enum weir_header_feature

struct Node {
  static constexpr std::int32_t kLeaf = -1, kCall = -2;
  std::int32_t feature = kLeaf;
  std::uint32_t cut = 0;              ///< a value up to this goes left
  std::uint32_t left = 0, right = 0;  ///< places in `Function::nodes`, behind this one
  std::uint64_t value = 0;            ///< of a leaf; kCall: the function that goes on
};

/// One function of the program: a tree, a part of one, or several that `which` chooses from.
struct Function {
  std::string name;
  std::vector<std::uint32_t> roots;
  std::vector<Node> nodes;
};

/// A tree of the model, as `weir_model` calls it.
struct Call {
  std::uint32_t function = 0;
  std::uint32_t which = 0;
  std::int32_t output = forest::Tree::kAllOutputs;
};

/// The sum in the library's own arithmetic.
struct Exact {
  bool needed = false;
  int significand_bits = 53;   ///< 53 of float64, 24 of float32
  std::uint32_t divisor = 1;   ///< a mean's
  std::vector<double> start;   ///< by output
  std::vector<double> values;  ///< a row a leaf, `outputs` each
};

/// One product of a linear model's sums.
struct Term {
  enum class Part : std::uint8_t { whole, low, high };      ///< of the feature; low: 16 bits
  enum class Wrap : std::uint8_t { int64, int32, uint32 };  ///< the type that a number is kept in
  std::uint32_t output = 0;
  std::int32_t feature = 0;
  Part part = Part::whole;
  std::int64_t weight = 0;
  int shift = 0;  ///< the product goes to the right by this
  Wrap product = Wrap::int64, sum = Wrap::int64;
};

struct Plan {
  enum class Kind : std::uint8_t {
    verdict,  ///< one tree: a leaf's value is 1, drop, or 0
    sum,      ///< a leaf's value is q, and its row << kRowShift where `exact` is needed
    sums,     ///< several outputs: a leaf's value is its row in `addends` and `Exact::values`
    linear
  };
  static constexpr unsigned kRowShift = 40;

  Kind kind = Kind::verdict;
  std::uint32_t outputs = 1;
  std::vector<Function> functions;
  std::vector<Call> calls;  ///< in the trainer's order

  /// sum: from here on it is the last class, up to there it is not; between them `exact` decides.
  std::uint64_t last_from = 0;
  std::int64_t other_to = -1;
  /// sums: a row a leaf, in one unit; an output that is up to `near` below the best asks `exact`.
  std::vector<std::int64_t> addends;
  std::vector<std::int64_t> start;  ///< by output; linear: the bias
  std::int64_t near = 0;
  Exact exact;

  std::vector<Term> terms;  ///< linear: added up in this order, without a care for overflow
  std::int64_t above = 0;   ///< linear, one output: the last class where the sum is above
  int shift = 0;            ///< the sums are times 2^shift
  double error = 0;

  /// One output: the last class where its margin is above; two margins of two classes: where the
  /// last's is above the first's, or, with a threshold, above this.
  double cut = 0;
  bool against_first = false;
  std::uint64_t drop = 0;  ///< by class: 1 << class

  weir_reading reading = WEIR_READING_exact;
  std::string model_name, model_sha256;
  std::size_t splits = 0, leaves = 0;  ///< of all functions
};

Result<Plan> make_plan(const forest::Model& model, const Options& options);
/// The part of it that says whether the threshold of the options means anything for this model,
/// whoever judges by it.
Status check_threshold(const forest::Model& model, const Options& options);

/// What the program will say of a packet with these features: 1 drop, 0 pass. `was_exact` is set
/// where the sum stood so near the decision that it was added once more.
int judge(const Plan& plan, const Values& values, bool* was_exact = nullptr);

/// The largest value of a feature in this reading.
std::uint32_t largest(int feature, weir_reading reading) noexcept;
const char* feature_name(int feature) noexcept;

/// x as a row of the forest module has it: the nearest float, again as a whole number.
std::uint64_t as_row(std::uint32_t x) noexcept;
/// Features of which that is not always x itself, and which are therefore rounded before a product;
/// SkimXDP knows no rows.
bool is_rounded(int feature, weir_reading reading) noexcept;

/// Instructions of BPF that a node takes.
std::size_t instructions(const Node& node) noexcept;

}  // namespace weir::kernel_model
