// SPDX-License-Identifier: BSD-2-Clause
#include "forest/fixed.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>
#include <utility>

#include "forest/import.h"

namespace weir::forest {
namespace {

struct Range {
  double low = 0, high = 0;
};

/// Calls `visit(output, value index)` for each value of each leaf of tree `t`.
template <typename Visit>
void for_values(const Model& model, std::size_t t, Visit visit) {
  const Tree& tree = model.trees[t];
  const std::size_t end = t + 1 < model.trees.size() ? model.trees[t + 1].root : model.nodes.size();
  for (std::size_t n = tree.root; n < end; ++n) {
    const Node& node = model.nodes[n];
    if (node.feature >= 0) continue;
    if (tree.output != Tree::kAllOutputs) {
      visit(static_cast<std::size_t>(tree.output), std::size_t{node.value});
    } else {
      for (std::size_t o = 0; o < model.outputs; ++o) visit(o, node.value + o);
    }
  }
}

std::vector<Range> ranges_of(const Model& model, std::size_t t) {
  constexpr double kInf = std::numeric_limits<double>::infinity();
  std::vector<Range> ranges(model.outputs, Range{kInf, -kInf});
  for_values(model, t, [&](std::size_t o, std::size_t v) {
    ranges[o].low = std::min(ranges[o].low, model.values[v]);
    ranges[o].high = std::max(ranges[o].high, model.values[v]);
  });
  for (Range& range : ranges)
    if (range.low > range.high) range = {};
  return ranges;
}

/// The least power of two of which `width` is at most 2^kFixedBits - 1, rounded.
double unit_for(double width) {
  if (width <= 0) return 1.0;
  int exponent = 0;
  std::frexp(width, &exponent);  // width < 2^exponent
  const double unit = std::ldexp(1.0, exponent - kFixedBits);
  return std::nearbyint(width / unit) < std::ldexp(1.0, kFixedBits) ? unit : unit * 2;
}

/// Fewer bits are fewer table lookups: low bits that no q of an output uses go into its unit.
void drop_zero_bits(const Model& model, const std::vector<std::uint32_t>& bits, Fixed& fixed) {
  std::vector<int> shift(model.outputs, 0);
  for (std::size_t o = 0; o < model.outputs; ++o) {
    if (bits[o] != 0) shift[o] = std::countr_zero(bits[o]);
    fixed.unit[o] = std::ldexp(fixed.unit[o], shift[o]);
  }
  std::vector<char> shifted(fixed.q.size(), 0);  // two leaves may share a value
  for (std::size_t t = 0; t < model.trees.size(); ++t) {
    for_values(model, t, [&](std::size_t o, std::size_t v) {
      if (std::exchange(shifted[v], 1) == 0) fixed.q[v] >>= shift[o];
    });
  }
}

/// Whether the first value of each leaf is one minus the second, but for rounding.
bool complementary(const Model& model) {
  if (model.vote != Vote::mean || model.classes.size() != 2 || model.outputs != 2) return false;
  bool all = true;
  for (std::size_t t = 0; t < model.trees.size(); ++t) {
    if (model.trees[t].output != Tree::kAllOutputs) return false;
    for_values(model, t, [&](std::size_t o, std::size_t v) {
      if (o == 0 && std::abs(model.values[v] + model.values[v + 1] - 1.0) > 1e-15) all = false;
    });
  }
  return all;
}

/// The margins of row `r` as the trainer's library adds them.
template <typename Real>
void add_as_trained(const Model& model, const float* const* columns, std::size_t r,
                    double* margins) noexcept {
  std::array<Real, kClassesMax> sum;
  std::fill_n(sum.begin(), model.outputs, Real{0});
  if (model.vote == Vote::sum)
    for (std::size_t o = 0; o < model.outputs; ++o) sum[o] = static_cast<Real>(model.bias[o]);
  for (const Tree& tree : model.trees) {
    const double* values = &model.values[walk(model, tree, columns, r).value];
    if (tree.output != Tree::kAllOutputs) {
      sum[static_cast<std::size_t>(tree.output)] += static_cast<Real>(values[0]);
    } else {
      for (std::size_t o = 0; o < model.outputs; ++o) sum[o] += static_cast<Real>(values[o]);
    }
  }
  const auto trees = static_cast<Real>(model.trees.size());
  for (std::size_t o = 0; o < model.outputs; ++o)
    margins[o] = static_cast<double>(model.vote == Vote::mean ? sum[o] / trees : sum[o]);
}

/// True where a change of `bound` in each margin could change the class.
bool near_decision(const Model& model, const Fixed& fixed, const double* margins) noexcept {
  if (model.classes.empty()) return false;
  if (!model.decision.usual())
    return model.link != Link::identity ||
           std::abs(margins[1] - model.decision.above) <= fixed.bound[1];
  std::size_t best = 0;
  for (std::size_t o = 1; o < model.outputs; ++o)
    if (margins[o] > margins[best]) best = o;
  for (std::size_t o = 0; o < model.outputs; ++o) {
    if (o != best && margins[best] - margins[o] <= fixed.bound[best] + fixed.bound[o]) return true;
  }
  return false;
}

/// `p` as float32, on the side of one half where the class says it is.
float keep_side(double p, bool last_class) noexcept {
  const auto f = static_cast<float>(p);
  if (last_class) return f > 0.5F ? f : std::nextafter(0.5F, 1.0F);
  return f > 0.5F ? 0.5F : f;
}

float sigmoid32(float x) noexcept {
  // XGBoost's own (common/math.h): the minimum keeps expf finite.
  return 1.0F / (std::exp(std::min(-x, 88.7F)) + 1.0F + 1e-16F);
}

void softmax(const Model& model, const double* margins, double* p) noexcept {
  const double top = *std::max_element(margins, margins + model.outputs);
  double total = 0;
  if (model.sums == Sums::float32) {
    for (std::size_t o = 0; o < model.outputs; ++o)
      total += p[o] = std::exp(static_cast<float>(margins[o]) - static_cast<float>(top));
    for (std::size_t o = 0; o < model.outputs; ++o)
      p[o] = static_cast<float>(p[o]) / static_cast<float>(total);
    return;
  }
  for (std::size_t o = 0; o < model.outputs; ++o) total += p[o] = std::exp(margins[o] - top);
  for (std::size_t o = 0; o < model.outputs; ++o) p[o] /= total;
}

double sigmoid(double x) noexcept { return 1.0 / (1.0 + std::exp(-x)); }

/// The score of a binary classifier whose threshold is not the usual one, from the last class's
/// probability and margin.
float at_threshold(const Decision& decision, double p, double margin) noexcept {
  if (decision.on == Decision::On::margin)
    return keep_side(sigmoid(margin - decision.above), margin > decision.above);
  const double for_it = std::clamp(p, 0.0, 1.0) * (1.0 - decision.above);
  const double against = std::clamp(1.0 - p, 0.0, 1.0) * decision.above;
  return keep_side(for_it / (for_it + against), p > decision.above);
}

float link_single(const Model& model, double margin) noexcept {
  if (!model.classes.empty() && !model.decision.usual()) {
    const double p = model.link == Link::identity ? margin
                     : model.sums == Sums::float32
                         ? static_cast<double>(sigmoid32(static_cast<float>(margin)))
                         : sigmoid(margin);
    return at_threshold(model.decision, p, margin);
  }
  if (model.link == Link::identity)
    return model.classes.empty() ? static_cast<float>(margin) : keep_side(margin, margin > 0.5);
  if (model.sums == Sums::float32) return sigmoid32(static_cast<float>(margin));
  const double p = sigmoid(margin);
  return model.classes.empty() ? static_cast<float>(p) : keep_side(p, p > 0.5);
}

}  // namespace

const Node& walk(const Model& model, const Tree& tree, const float* const* columns,
                 std::size_t r) noexcept {
  const Node* node = &model.nodes[tree.root];
  while (node->feature >= 0) {
    const double x = static_cast<double>(columns[node->feature][r]);
    bool left = model.compare == Compare::less_equal ? x <= node->threshold : x < node->threshold;
    if (std::isnan(x)) left = node->missing_left;
    node = &model.nodes[left ? node->left : node->right];
  }
  return *node;
}

Fixed make_fixed(const Model& model) {
  Fixed fixed;
  fixed.outputs = model.outputs;
  fixed.trees = model.trees.size();
  fixed.first = complementary(model) ? 1 : 0;
  fixed.q.assign(model.values.size(), 0);
  fixed.base.assign(model.outputs, 0.0);
  std::vector<double> widest(model.outputs, 0.0), largest(model.outputs, 0.0);
  if (model.vote == Vote::sum) fixed.base = model.bias;
  for (std::size_t o = 0; o < model.outputs; ++o) largest[o] = std::abs(fixed.base[o]);
  for (std::size_t t = 0; t < model.trees.size(); ++t) {
    const std::vector<Range> ranges = ranges_of(model, t);
    for (std::size_t o = 0; o < model.outputs; ++o) {
      widest[o] = std::max(widest[o], ranges[o].high - ranges[o].low);
      largest[o] += std::max(std::abs(ranges[o].low), std::abs(ranges[o].high));
      fixed.base[o] += ranges[o].low;
    }
  }
  for (const double width : widest) fixed.unit.push_back(unit_for(width));
  std::vector<double> worst(model.outputs, 0.0);
  std::vector<char> whole(model.outputs, 1);
  std::vector<std::uint32_t> bits(model.outputs, 0);
  for (std::size_t t = 0; t < model.trees.size(); ++t) {
    const std::vector<Range> ranges = ranges_of(model, t);
    for_values(model, t, [&](std::size_t o, std::size_t v) {
      const double exact = (model.values[v] - ranges[o].low) / fixed.unit[o];
      const double rounded = std::nearbyint(exact);
      fixed.q[v] = static_cast<std::uint32_t>(rounded);
      bits[o] |= fixed.q[v];
      const double multiple = model.values[v] / fixed.unit[o];
      if (multiple != std::nearbyint(multiple)) whole[o] = 0;
      worst[o] = std::max(worst[o], std::abs(exact - rounded) * fixed.unit[o]);
    });
  }
  drop_zero_bits(model, bits, fixed);
  const double n = static_cast<double>(model.trees.size());
  const bool wide = model.sums == Sums::float64;
  for (std::size_t o = 0; o < model.outputs; ++o) {
    // A partial sum is at most `largest`; each addition rounds it by half a step, both here (base,
    // float64) and in the library. Sums of whole units that fit the significand round nowhere.
    const double step = std::ldexp(1.0, wide ? -53 : -24);
    const double significand = std::ldexp(1.0, wide ? 52 : 23);
    const double bias = model.vote == Vote::sum ? model.bias[o] / fixed.unit[o] : 0;
    const bool exact =
        whole[o] != 0 && bias == std::nearbyint(bias) && largest[o] / fixed.unit[o] < significand;
    double bound = n * worst[o] + (n + 2) * largest[o] * (step + std::ldexp(1.0, -52));
    if (model.vote == Vote::mean) bound /= n;
    fixed.bound.push_back(exact ? -1.0 : bound);
  }
  return fixed;
}

void link_row(const Model& model, const double* margins, float* scores, std::size_t step) noexcept {
  if (model.outputs == 1) {
    scores[0] = link_single(model, margins[0]);
    return;
  }
  std::array<double, kClassesMax> p;
  if (model.link == Link::softmax) {
    softmax(model, margins, p.data());
  } else {
    for (std::size_t o = 0; o < model.outputs; ++o)
      p[o] = model.link == Link::sigmoid ? sigmoid(margins[o]) : margins[o];
  }
  if (model.classes.size() == 2 && !model.decision.usual()) {
    scores[0] = at_threshold(model.decision, p[1], margins[1]);
    return;
  }
  if (model.classes.size() == 2) {
    scores[0] = keep_side(p[1], margins[1] > margins[0]);
    return;
  }
  for (std::size_t o = 0; o < model.outputs; ++o) scores[o * step] = static_cast<float>(p[o]);
  if (model.classes.empty()) return;
  // Rounding to float32 can make two classes equal; the first of the highest must stay the class.
  const std::size_t best =
      static_cast<std::size_t>(std::max_element(margins, margins + model.outputs) - margins);
  for (std::size_t o = 0; o < best; ++o) {
    if (scores[o * step] >= scores[best * step])
      scores[best * step] =
          std::nextafter(scores[o * step], std::numeric_limits<float>::infinity());
  }
}

namespace {

/// Rows whose numbers stand side by side, so that the compiler can work on several at once.
constexpr std::size_t kStride = 64;

/// e^x for x from -80 to 700, 2^-31 of it off at most. A fixed order of plain operations: the same
/// bits from every compiler and instruction set, unlike a C library's.
inline double exp_fixed(double x) noexcept {
  constexpr double kShift = 0x1.8p52;  // what is added to it loses its fraction
  const double z = x * 1.4426950408889634;
  const double shifted = z + kShift;
  const double f = (z - (shifted - kShift)) * 0.6931471805599453;  // |f| <= ln 2 / 2
  const double high = ((f * (1.0 / 40320) + 1.0 / 5040) * f + 1.0 / 720) * f + 1.0 / 120;
  const double p = ((((high * f + 1.0 / 24) * f + 1.0 / 6) * f + 0.5) * f + 1.0) * f + 1.0;
  const std::uint64_t power = std::bit_cast<std::uint64_t>(shifted) << 52U;
  return std::bit_cast<double>(std::bit_cast<std::uint64_t>(p) + power);
}

constexpr float kAboveHalf = 0x1.000002p-1F;  // the next float

/// link_single for `rows` margins, at most kStride.
void link_rows(const Model& model, const double* margins, std::size_t rows,
               float* scores) noexcept {
  if (!model.classes.empty() && !model.decision.usual()) {
    for (std::size_t i = 0; i < rows; ++i) scores[i] = link_single(model, margins[i]);
  } else if (model.link == Link::sigmoid && model.sums == Sums::float32) {
    for (std::size_t i = 0; i < rows; ++i) {
      // Below -80 the one swallows the power.
      float x = -static_cast<float>(margins[i]);
      x = x < 88.7F ? x : 88.7F;
      x = x > -80.0F ? x : -80.0F;
      scores[i] = 1.0F / (static_cast<float>(exp_fixed(static_cast<double>(x))) + 1.0F);
    }
  } else if (model.link == Link::sigmoid && !model.classes.empty()) {
    for (std::size_t i = 0; i < rows; ++i) {
      double x = -margins[i];
      x = x < 700.0 ? x : 700.0;  // its power's inverse is a float's zero already
      x = x > -80.0 ? x : -80.0;
      const double p = 1.0 / (1.0 + exp_fixed(x));
      const auto f = static_cast<float>(p);
      scores[i] = p > 0.5 ? std::max(f, kAboveHalf) : std::min(f, 0.5F);
    }
  } else if (model.link == Link::identity && !model.classes.empty()) {
    for (std::size_t i = 0; i < rows; ++i) {
      const auto p = static_cast<float>(margins[i]);
      scores[i] = margins[i] > 0.5 ? std::max(p, kAboveHalf) : std::min(p, 0.5F);
    }
  } else {
    for (std::size_t i = 0; i < rows; ++i) scores[i] = link_single(model, margins[i]);
  }
}

/// The margin at which the class changes.
double decision_margin(const Model& model) noexcept {
  const double above = model.decision.above;
  if (model.decision.on == Decision::On::margin || model.link == Link::identity) return above;
  return above == 0.5 ? 0.0 : std::log(above / (1.0 - above));
}

/// `finish` where one margin makes the score.
void finish_single(const Model& model, const Fixed& fixed, const float* const* columns,
                   const std::uint64_t* sums, std::size_t first, std::size_t rows,
                   std::size_t batch_rows, float* scores) noexcept {
  const std::size_t o = fixed.first;
  const double base = fixed.base[o], unit = fixed.unit[o];
  const auto divisor = static_cast<double>(fixed.trees);
  const double decision = decision_margin(model);
  double bound = model.classes.empty() ? -1.0 : fixed.bound[o];
  if (o == 1) bound += fixed.bound[0];
  // Next to the threshold the class is a rounding of the library's exponential: link_row asks that
  // one.
  if (!model.classes.empty() && model.link == Link::sigmoid) bound = std::max(bound, 0x1p-20);
  for (std::size_t from = 0; from < rows; from += kStride) {
    const std::size_t count = std::min(kStride, rows - from);
    std::array<double, kStride> margins;
    int near = 0;
    for (std::size_t i = 0; i < count; ++i) {
      // A sum is below 2^52: as the fraction of a number in [2^52, 2^53) it is exact.
      const double sum = std::bit_cast<double>(sums[from + i] | 0x4330000000000000ULL) - 0x1p52;
      margins[i] = base + unit * sum;
    }
    if (model.vote == Vote::mean)
      for (std::size_t i = 0; i < count; ++i) margins[i] /= divisor;
    for (std::size_t i = 0; i < count; ++i)
      near |= std::abs(margins[i] - decision) <= bound ? 1 : 0;
    link_rows(model, margins.data(), count, scores + first + from);
    if (near == 0) continue;
    for (std::size_t i = 0; i < count; ++i) {
      if (std::abs(margins[i] - decision) > bound) continue;
      const std::size_t row = first + from + i;
      std::array<double, 2> again{};
      if (model.sums == Sums::float64) {
        add_as_trained<double>(model, columns, row, again.data());
      } else {
        add_as_trained<float>(model, columns, row, again.data());
      }
      link_row(model, again.data(), scores + row, batch_rows);
    }
  }
}

}  // namespace

void finish(const Model& model, const Fixed& fixed, const float* const* columns,
            const std::uint64_t* sums, std::size_t stride, std::size_t first, std::size_t rows,
            std::size_t batch_rows, float* scores) noexcept {
  if (model.outputs == 1 || fixed.first == 1) {
    finish_single(model, fixed, columns, sums + fixed.first * stride, first, rows, batch_rows,
                  scores);
    return;
  }
  std::array<double, kClassesMax> margins;
  const double divisor = model.vote == Vote::mean ? static_cast<double>(fixed.trees) : 1.0;
  for (std::size_t r = 0; r < rows; ++r) {
    for (std::size_t o = 0; o < fixed.outputs; ++o) {
      const auto sum = static_cast<double>(static_cast<std::int64_t>(sums[o * stride + r]));
      margins[o] = (fixed.base[o] + fixed.unit[o] * sum) / divisor;
    }
    if (near_decision(model, fixed, margins.data())) {
      if (model.sums == Sums::float64) {
        add_as_trained<double>(model, columns, first + r, margins.data());
      } else {
        add_as_trained<float>(model, columns, first + r, margins.data());
      }
    }
    link_row(model, margins.data(), scores + first + r, batch_rows);
  }
}

}  // namespace weir::forest
