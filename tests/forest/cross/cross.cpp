// SPDX-License-Identifier: BSD-2-Clause
// The evaluators of one instruction set against the plain walk, bit for bit, on models and rows of
// every kind: a plain program, so that a cross compiler needs neither GoogleTest nor Highway's
// library. Prints the target, how many scores agreed, and a hash of those that come of sums and
// comparisons alone: equal on every machine (an exponential's last bit is its C library's).
#include <cstdio>
#include <cstring>
#include <memory>

#include "forest/evaluate_sliced.h"
#include "forest/tuning.h"
#include "tests/forest/random_model.h"

namespace weir::forest {
namespace {

using testing::Aligned;
using testing::Maker;
using testing::Shape;

struct Tally {
  std::size_t scores = 0, wrong = 0;
  std::uint64_t hash = 0xcbf29ce484222325ULL;  // FNV-1a

  void take(float score) {
    std::uint32_t bits = 0;
    std::memcpy(&bits, &score, sizeof bits);
    for (int i = 0; i < 4; ++i) hash = (hash ^ (bits >> (8 * i) & 0xffU)) * 0x100000001b3ULL;
  }
};

void compare(const Model& model, Evaluator& evaluator, const std::vector<float>& expected,
             const Aligned& columns, std::size_t rows, std::uint64_t seed, Tally& tally) {
  std::vector<float> found(expected.size(), -8);
  evaluator.evaluate(columns.data(), rows, found.data());
  for (std::size_t i = 0; i < expected.size(); ++i) {
    ++tally.scores;
    if (std::memcmp(&expected[i], &found[i], sizeof(float)) == 0) continue;
    if (tally.wrong++ == 0)
      std::printf("seed %llu: %s: score %zu of %zu is %.9g, plain %.9g (%zu trees)\n",
                  static_cast<unsigned long long>(seed), evaluator.describe().c_str(), i,
                  expected.size(), static_cast<double>(found[i]), static_cast<double>(expected[i]),
                  model.trees.size());
  }
}

void check(const Shape& shape, std::uint64_t seed, std::size_t rows, bool repeat, Tally& tally) {
  Maker maker(shape, seed);
  const Model model = maker.model();
  auto values = maker.columns(rows);
  if (repeat)  // a flood: three kinds of row
    for (auto& column : values)
      for (std::size_t r = 3; r < rows; ++r) column[r] = column[r * r % 3];
  const Aligned columns(values);
  std::vector<float> expected(rows * score_columns(model), -7);
  make_scalar_evaluator(model)->evaluate(columns.data(), rows, expected.data());
  const auto plan = std::make_shared<const Plan>(make_plan(model));
  for (const std::size_t least : {std::size_t{0}, std::size_t{1} << 20U}) {
    Tuning tuning = default_tuning(*plan);
    tuning.sliced_rows_min = least;
    compare(model, *make_tuned_evaluator(plan, tuning), expected, columns, rows, seed, tally);
  }
  if (model.link == Link::identity)
    for (const float score : expected) tally.take(score);
}

int run() {
  Tally tally;
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    Shape shape;
    shape.trees = 1 + seed * 7 % 90;
    shape.features = 1 + seed * 5 % 29;
    shape.depth = static_cast<std::uint32_t>(seed % 10);
    const std::size_t kinds[] = {2, 0, 2, 3, 5};
    shape.classes = kinds[seed % 5];
    shape.sum = seed % 3 == 0;
    shape.outputs = shape.classes > 2 ? shape.classes : 1 + seed % 2;
    shape.per_class_trees = shape.sum && seed % 2 == 0;
    shape.missing_left = seed % 4 < 2;
    shape.less = seed % 7 < 3;
    shape.pure = seed % 11 == 0;
    shape.float32_sums = seed % 6 == 0;
    const std::size_t thresholds[] = {3, 20, 300, 2000};
    shape.thresholds = thresholds[seed % 4];
    const std::size_t rows[] = {1, 7, 64, 129, 300, 513};
    check(shape, seed, rows[seed % 6], seed % 8 == 0, tally);
  }
  std::printf("target %s: %zu scores agree, %zu differ, hash %016llx\n", sliced_kernel().target,
              tally.scores - tally.wrong, tally.wrong, static_cast<unsigned long long>(tally.hash));
  return tally.wrong == 0 && tally.scores > 10'000 ? 0 : 1;
}

}  // namespace
}  // namespace weir::forest

int main() { return weir::forest::run(); }
