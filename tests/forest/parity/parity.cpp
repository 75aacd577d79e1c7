// SPDX-License-Identifier: BSD-2-Clause
/// Compares what weir's evaluator says with what a trainer's library said.
///
///   parity FOLDER
///
/// `FOLDER/cases.tsv` has a line a case: model file, rows, features, score columns, bound. Beside
/// each MODEL stand MODEL.rows (float32, column by column), MODEL.scores (float32, column by
/// column: probabilities of all classes, or a regressor's outputs) and, for a classifier,
/// MODEL.classes (int32 indices). A score may differ by `bound` * max(1, |expected|); a class may
/// not differ at all.
#include <fmt/format.h>

#include <cmath>
#include <cstring>
#include <fstream>
#include <iterator>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "forest/evaluate.h"
#include "forest/import.h"

namespace weir::forest {
namespace {

struct Case {
  std::string model;
  std::size_t rows = 0, features = 0, columns = 0;
  double bound = 0;
};

template <typename T>
std::vector<T> read_all(const std::string& path, std::size_t count) {
  std::ifstream in(path, std::ios::binary);
  std::vector<T> values(count);
  in.read(reinterpret_cast<char*>(values.data()), static_cast<std::streamsize>(count * sizeof(T)));
  if (static_cast<std::size_t>(in.gcount()) != count * sizeof(T) || in.peek() != EOF)
    values.clear();
  return values;
}

/// The class as evaluate.h reads it from the scores of row `r` of a batch of `rows`.
std::size_t class_of(const Model& model, const float* scores, std::size_t r, std::size_t rows) {
  if (model.classes.size() == 2) return scores[r] > 0.5F ? 1 : 0;
  std::size_t best = 0;
  for (std::size_t c = 1; c < model.classes.size(); ++c)
    if (scores[c * rows + r] > scores[best * rows + r]) best = c;
  return best;
}

struct Tally {
  std::size_t rows = 0, classes = 0, scores = 0;
  double worst = 0;
  std::string first;
};

struct Expected {
  std::vector<float> rows, scores;
  std::vector<std::int32_t> classes;
};

void compare(const Case& c, const Model& model, const Expected& expected, Evaluator& evaluator,
             Tally& tally) {
  constexpr std::size_t kBatch = 1000;  // no multiple of a vector
  std::vector<std::vector<float>> storage(c.features);
  std::vector<float> scores(kBatch * c.columns + kRowAlign);
  for (std::vector<float>& column : storage) column.resize(kBatch + 2 * kRowAlign);
  std::vector<float*> columns(c.features);
  for (std::size_t f = 0; f < c.features; ++f) {
    void* start = storage[f].data();
    std::size_t space = storage[f].size() * sizeof(float);
    columns[f] =
        static_cast<float*>(std::align(64, (kBatch + kRowAlign) * sizeof(float), start, space));
  }
  const bool binary = model.classes.size() == 2;
  for (std::size_t first = 0; first < c.rows; first += kBatch) {
    const std::size_t count = std::min(kBatch, c.rows - first);
    for (std::size_t f = 0; f < c.features; ++f)
      std::memcpy(columns[f], &expected.rows[f * c.rows + first], count * sizeof(float));
    evaluator.evaluate(columns.data(), count, scores.data());
    for (std::size_t r = 0; r < count; ++r) {
      for (std::size_t o = 0; o < score_columns(model); ++o) {
        const double want =
            static_cast<double>(expected.scores[(binary ? 1 : o) * c.rows + first + r]);
        const auto got = static_cast<double>(scores[o * count + r]);
        const double error =
            got == want ? 0.0 : std::abs(got - want) / std::max(1.0, std::abs(want));
        tally.worst = std::max(tally.worst, error);
        if (error <= c.bound) continue;
        if (tally.scores++ == 0)
          tally.first = fmt::format("row {}: score {} is {}, expected {}", first + r, o,
                                    scores[o * count + r], want);
      }
      if (model.classes.empty()) continue;
      const std::size_t found = class_of(model, scores.data(), r, count);
      if (found == static_cast<std::size_t>(expected.classes[first + r])) continue;
      if (tally.classes++ == 0)
        tally.first = fmt::format("row {}: class {}, expected {}, score {:.9g}, expected {:.9g}",
                                  first + r, found, expected.classes[first + r], scores[r],
                                  expected.scores[(binary ? c.rows : 0) + first + r]);
    }
    tally.rows += count;
  }
}

std::string check(const std::string& folder, const Case& c, Tally& tally) {
  const std::string path = folder + '/' + c.model;
  const auto model = load_model(path);
  if (!model) return model.error().message;
  if (model->features.size() != c.features)
    return fmt::format("{} features, expected {}", model->features.size(), c.features);
  const std::size_t wanted = model->classes.size() == 2 ? 2 : score_columns(*model);
  if (wanted != c.columns) return fmt::format("{} scores a row, expected {}", wanted, c.columns);
  Expected expected{read_all<float>(path + ".rows", c.rows * c.features),
                    read_all<float>(path + ".scores", c.rows * c.columns),
                    {}};
  if (!model->classes.empty()) expected.classes = read_all<std::int32_t>(path + ".classes", c.rows);
  if (expected.rows.empty() || expected.scores.empty() ||
      expected.classes.empty() != model->classes.empty())
    return "the files with rows, scores and classes do not fit the case";
  auto evaluator = make_evaluator(*model);
  if (!evaluator) return evaluator.error().message;
  compare(c, *model, expected, **evaluator, tally);
  return tally.first;
}

int run(const std::string& folder) {
  std::ifstream list(folder + "/cases.tsv");
  std::string line;
  std::size_t rows = 0, cases = 0, failed = 0;
  while (std::getline(list, line)) {
    Case c;
    std::istringstream in(line);
    if (!(in >> c.model >> c.rows >> c.features >> c.columns >> c.bound)) {
      fmt::print("cases.tsv: this line is not a case: {}\n", line);
      return 1;
    }
    Tally tally;
    const std::string fault = check(folder, c, tally);
    fmt::print("{:<44} {:>7} rows  worst difference {:.2e} of {:.2e} allowed{}{}\n", c.model,
               tally.rows, tally.worst, c.bound, fault.empty() ? "" : "  FAILED: ", fault);
    if (!fault.empty())
      fmt::print("    {} scores and {} classes differ\n", tally.scores, tally.classes);
    failed += fault.empty() ? 0 : 1;
    rows += tally.rows;
    ++cases;
  }
  fmt::print("{} rows in {} cases, {} cases differ\n", rows, cases, failed);
  return failed == 0 && cases != 0 ? 0 : 1;
}

}  // namespace
}  // namespace weir::forest

int main(int argc, char** argv) {
  if (argc != 2) {
    fmt::print(stderr, "usage: parity FOLDER\n");
    return 2;
  }
  return weir::forest::run(argv[1]);
}
