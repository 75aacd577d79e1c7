// SPDX-License-Identifier: BSD-2-Clause
// Times evaluators on one model file and rows from a raw file of float32, row by row:
//   forest_bench MODEL ROWS.f32 BATCH[,BATCH...] [ROUNDS] [WAY ...]
// WAY: default, a Highway target's name, walk (interleaved), nogroup, oracle, scalar
// (straightforward). One line of JSON for each batch and way: the median, least and greatest ns a
// row of the rounds. Time is CPU time of the thread. Each round runs every way once, so that a
// noisy machine is noisy to all of them.
#include <fmt/format.h>
#include <hwy/targets.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <fstream>
#include <iterator>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "forest/import.h"
#include "forest/lines.h"
#include "forest/tuning.h"

namespace {
using namespace weir::forest;

struct Rows {
  std::size_t count = 0, features = 0;
  std::vector<float> values;
};

/// A batch's columns, each on its own lines.
struct Batch {
  std::size_t rows;
  Lines storage;
  std::vector<const float*> columns;
  Batch(const Rows& from, std::size_t first, std::size_t size)
      : rows(size), storage(from.features * room(size) * sizeof(float)) {
    auto* at = reinterpret_cast<float*>(storage.data());
    for (std::size_t f = 0; f < from.features; ++f, at += room(size)) {
      for (std::size_t r = 0; r < size; ++r)
        at[r] = from.values[(first + r) % from.count * from.features + f];
      columns.push_back(at);
    }
  }
  static std::size_t room(std::size_t size) {
    return (size + kRowAlign - 1) / kRowAlign * kRowAlign;
  }
};

/// Time of this thread on a core: what others take of a shared machine does not count.
double cpu_ns() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e9 + static_cast<double>(now.tv_nsec);
}

double ns_a_row(Evaluator& evaluator, const std::vector<Batch>& batches,
                std::vector<float>& scores) {
  std::size_t rows = 0;
  const double start = cpu_ns();
  for (const Batch& batch : batches) {
    evaluator.evaluate(batch.columns.data(), batch.rows, scores.data());
    rows += batch.rows;
  }
  return (cpu_ns() - start) / static_cast<double>(rows);
}

/// What a good programmer writes first: 16-byte nodes, float32, one row and tree after another, a
/// branch a step. Binary and single-output models only.
class Straightforward final : public Evaluator {
 public:
  explicit Straightforward(const Model& model) : divisor_(static_cast<double>(model.trees.size())) {
    const std::size_t last = model.outputs - 1;
    for (const Node& node : model.nodes) {
      if (node.feature < 0) {
        nodes_.push_back({-1, static_cast<float>(model.values[node.value + last]), 0, 0});
      } else {
        nodes_.push_back(
            {node.feature, threshold32(node.threshold, model.compare), node.left, node.right});
      }
    }
    for (const Tree& tree : model.trees) roots_.push_back(tree.root);
  }
  void evaluate(const float* const* columns, std::size_t rows, float* scores) noexcept override {
    for (std::size_t r = 0; r < rows; ++r) {
      double sum = 0;
      for (const std::uint32_t root : roots_) {
        const Small* node = &nodes_[root];
        while (node->feature >= 0)
          node = &nodes_[columns[node->feature][r] <= node->value ? node->left : node->right];
        sum += static_cast<double>(node->value);
      }
      scores[r] = static_cast<float>(sum / divisor_);
    }
  }
  [[nodiscard]] std::unique_ptr<Evaluator> clone() const override {
    return std::make_unique<Straightforward>(*this);
  }
  [[nodiscard]] std::string describe() const override { return "straightforward scalar walk"; }

 private:
  struct Small {
    std::int32_t feature;
    float value;
    std::uint32_t left, right;
  };
  std::vector<Small> nodes_;
  std::vector<std::uint32_t> roots_;
  double divisor_;
};

struct Way {
  std::string name;
  std::unique_ptr<Evaluator> evaluator;
};

std::unique_ptr<Evaluator> make_way(const Model& model, const std::shared_ptr<const Plan>& plan,
                                    const std::string& name) {
  if (name == "oracle") return make_scalar_evaluator(model);
  if (name == "scalar") return std::make_unique<Straightforward>(model);
  Tuning tuning = default_tuning(*plan);
  if (name == "walk") tuning.sliced_rows_min = SIZE_MAX;
  if (name == "nogroup") tuning.group_equal_rows = false;
  const std::map<std::string, std::int64_t> targets = {
      {"AVX3_DL", HWY_AVX3_DL}, {"AVX3", HWY_AVX3}, {"AVX2", HWY_AVX2}, {"SSE4", HWY_SSE4}};
  const auto target = targets.find(name);
  if (target != targets.end()) {
    hwy::SetSupportedTargetsForTest(target->second);
    tuning.sliced_rows_min = 1;
  }
  auto evaluator = make_tuned_evaluator(plan, tuning);
  hwy::SetSupportedTargetsForTest(0);
  return evaluator;
}

int run(const std::string& model_path, const std::string& rows_path, const std::string& sizes,
        int rounds, const std::vector<std::string>& names) {
  const auto model = load_model(model_path);
  if (!model) {
    fmt::print(stderr, "{}\n", model.error().message);
    return 2;
  }
  Rows rows;
  rows.features = model->features.size();
  std::ifstream file(rows_path, std::ios::binary);
  const std::string bytes{std::istreambuf_iterator<char>(file), {}};
  rows.values.resize(bytes.size() / sizeof(float));
  std::memcpy(rows.values.data(), bytes.data(), rows.values.size() * sizeof(float));
  rows.count = rows.values.size() / rows.features;
  if (rows.count == 0) return 2;
  const auto plan = std::make_shared<const Plan>(make_plan(*model));
  std::vector<Way> ways;
  for (const std::string& name : names) ways.push_back({name, make_way(*model, plan, name)});
  std::vector<float> scores(kBatchMax * score_columns(*model));
  for (std::size_t at = 0; at != std::string::npos;) {
    const std::size_t size = std::strtoul(sizes.c_str() + at, nullptr, 10);
    at = sizes.find(',', at);
    if (at != std::string::npos) ++at;
    std::vector<Batch> batches;
    for (std::size_t first = 0; first < std::min<std::size_t>(rows.count, 20'000); first += size)
      batches.emplace_back(rows, first, size);
    std::map<std::string, std::vector<double>> times;
    for (int round = -1; round < rounds; ++round) {
      for (const Way& way : ways) {
        const double ns = ns_a_row(*way.evaluator, batches, scores);
        if (round >= 0) times[way.name].push_back(ns);
      }
    }
    for (const Way& way : ways) {
      std::vector<double>& list = times[way.name];
      std::sort(list.begin(), list.end());
      fmt::print(
          R"({{"way": "{}", "describe": "{}", "batch": {}, "ns": {:.2f}, "least": {:.2f}, "most": {:.2f}, "conditions": {}}})"
          "\n",
          way.name, way.evaluator->describe(), size, list[list.size() / 2], list.front(),
          list.back(), plan->conditions);
    }
  }
  return 0;
}
}  // namespace

int main(int argc, char** argv) {
  if (argc < 4) return 2;
  std::vector<std::string> names(argv + std::min(argc, 5), argv + argc);
  if (names.empty()) names = {"default"};
  return run(argv[1], argv[2], argv[3], argc > 4 ? std::atoi(argv[4]) : 7, names);
}
