// SPDX-License-Identifier: BSD-2-Clause
/// Models and rows for property tests: any shape, values that sit on thresholds and at the ends of
/// float32, all from one seed.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "forest/evaluate.h"
#include "forest/model.h"

namespace weir::forest::testing {

struct Shape {
  std::size_t trees = 10, features = 4, classes = 2, outputs = 1;
  std::uint32_t depth = 6;
  double leaf_chance = 0.1;       ///< of a node above the last level
  std::size_t thresholds = 1000;  ///< distinct ones a feature, at most
  bool missing_left = false, sum = false, per_class_trees = false, pure = false, less = false;
  bool float32_sums = false;
};

inline float special(std::mt19937_64& random) {
  constexpr float kInf = std::numeric_limits<float>::infinity();
  const float all[] = {0.0F,
                       -0.0F,
                       kInf,
                       -kInf,
                       std::nanf(""),
                       std::numeric_limits<float>::max(),
                       std::numeric_limits<float>::lowest(),
                       std::numeric_limits<float>::min(),
                       std::numeric_limits<float>::denorm_min(),
                       -1e-40F};
  return all[random() % std::size(all)];
}

class Maker {
 public:
  Maker(const Shape& shape, std::uint64_t seed) : shape_(shape), random_(seed) {}

  Model model() {
    Model m;
    for (std::size_t f = 0; f < shape_.features; ++f) m.features.push_back("f" + std::to_string(f));
    m.units.resize(shape_.features);
    for (std::size_t c = 0; c < shape_.classes; ++c) m.classes.push_back({std::to_string(c), 0});
    m.outputs = static_cast<std::uint32_t>(shape_.outputs);
    m.compare = shape_.less ? Compare::less : Compare::less_equal;
    m.sums = shape_.float32_sums ? Sums::float32 : Sums::float64;
    if (shape_.sum) {
      m.vote = Vote::sum;
      m.link = shape_.classes == 0 ? Link::identity
               : m.outputs == 1    ? Link::sigmoid
                                   : Link::softmax;
      m.bias.assign(m.outputs, 0.125);
    }
    if (shape_.classes == 2 && random_() % 4 == 0) {  // a threshold of its own
      const bool margin = m.link == Link::sigmoid && random_() % 2 == 0;
      m.decision = margin ? Decision{Decision::On::margin, 0.25}
                          : Decision{Decision::On::probability, random_() % 2 == 0 ? 0.25 : 0.9};
    }
    make_thresholds();
    for (std::size_t t = 0; t < shape_.trees; ++t) {
      const std::int32_t output = shape_.per_class_trees
                                      ? static_cast<std::int32_t>(t % shape_.outputs)
                                      : Tree::kAllOutputs;
      m.trees.push_back({static_cast<std::uint32_t>(m.nodes.size()), output});
      grow(m, output == Tree::kAllOutputs ? shape_.outputs : 1);
    }
    return m;
  }

  /// Columns of `rows` rows: half of the values on or next to a threshold, some special.
  std::vector<std::vector<float>> columns(std::size_t rows) {
    std::vector<std::vector<float>> result(shape_.features);
    const std::size_t room = (rows + kRowAlign - 1) / kRowAlign * kRowAlign;
    for (std::size_t f = 0; f < shape_.features; ++f) {
      result[f].resize(room, std::nanf(""));
      for (std::size_t r = 0; r < rows; ++r) result[f][r] = value(f);
    }
    return result;
  }

  std::mt19937_64& random() { return random_; }

 private:
  double uniform() { return std::uniform_real_distribution<double>(-2, 2)(random_); }

  void make_thresholds() {
    thresholds_.resize(shape_.features);
    for (auto& list : thresholds_) {
      for (std::size_t i = 0; i < shape_.thresholds; ++i) {
        const float x = random_() % 16 == 0 ? special(random_) : static_cast<float>(uniform());
        if (!std::isfinite(x)) continue;
        list.push_back(random_() % 2 == 0 ? static_cast<double>(x) : uniform());
      }
      list.push_back(0.5);
    }
  }

  float value(std::size_t f) {
    const auto kind = random_() % 8;
    if (kind == 0) return special(random_);
    if (kind < 4) return static_cast<float>(uniform());
    const auto t = static_cast<float>(thresholds_[f][random_() % thresholds_[f].size()]);
    if (kind == 4) return std::nextafter(t, 10.0F);
    if (kind == 5) return std::nextafter(t, -10.0F);
    return t;
  }

  void grow(Model& m, std::size_t width) {
    struct Open {
      std::uint32_t node, level;
    };
    std::vector<Open> open{{static_cast<std::uint32_t>(m.nodes.size()), 0}};
    m.nodes.emplace_back();
    while (!open.empty()) {
      const std::size_t pick = random_() % open.size();
      const Open at = open[pick];
      open.erase(open.begin() + static_cast<std::ptrdiff_t>(pick));
      const bool leaf =
          at.level >= shape_.depth || std::bernoulli_distribution(shape_.leaf_chance)(random_);
      if (leaf) {
        m.nodes[at.node].value = static_cast<std::uint32_t>(m.values.size());
        for (std::size_t o = 0; o < width; ++o) m.values.push_back(leaf_value());
        continue;
      }
      const std::size_t f = random_() % shape_.features;
      const auto left = static_cast<std::uint32_t>(m.nodes.size());
      Node& node = m.nodes[at.node];
      node.feature = static_cast<std::int32_t>(f);
      node.threshold = thresholds_[f][random_() % thresholds_[f].size()];
      node.missing_left = shape_.missing_left && random_() % 2 == 0;
      node.left = left;
      node.right = left + 1;
      m.nodes.resize(m.nodes.size() + 2);
      open.push_back({left, at.level + 1});
      open.push_back({left + 1, at.level + 1});
    }
  }

  double leaf_value() {
    if (shape_.pure) return static_cast<double>(random_() % 2);
    if (shape_.sum) return static_cast<double>(static_cast<float>(uniform()));
    const auto rows = static_cast<double>(1 + random_() % 50);
    return std::floor(std::uniform_real_distribution<double>(0, rows + 1)(random_)) / (rows + 1);
  }

  Shape shape_;
  std::mt19937_64 random_;
  std::vector<std::vector<double>> thresholds_;
};

/// Columns as `evaluate` wants them: each on its own 64-byte line.
class Aligned {
 public:
  explicit Aligned(const std::vector<std::vector<float>>& columns) {
    const std::size_t room = columns.empty() ? 0 : columns[0].size();
    storage_.resize(columns.size() * room + 16);
    auto address = reinterpret_cast<std::uintptr_t>(storage_.data());
    float* at = storage_.data() + ((64 - address % 64) % 64) / sizeof(float);
    for (const auto& column : columns) {
      std::copy(column.begin(), column.end(), at);
      pointers_.push_back(at);
      at += room;
    }
  }
  [[nodiscard]] const float* const* data() const { return pointers_.data(); }

 private:
  std::vector<float> storage_;
  std::vector<const float*> pointers_;
};

}  // namespace weir::forest::testing
