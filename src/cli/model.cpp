// SPDX-License-Identifier: BSD-2-Clause
#include "cli/model.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "cli/daemon.h"
#include "cli/rows.h"
#include "detect/extractor.h"
#include "forest/evaluate.h"
#include "forest/import.h"
#include "forest/paths.h"

namespace weir::cli {
namespace {

struct ModelOptions {
  std::string model, rows;
  std::size_t explain = 0;  // line of the rows, from 1; 0: none
  double tolerance = 1e-6;
  bool quiet = false;
  bool markdown = false;
};

void show_classes(const forest::Model& model) {
  double total = 0;
  for (const auto& share : model.classes) total += share.rows;
  for (const auto& share : model.classes) {
    if (total > 0) {
      fmt::print("  class     {}: {:.0f} training rows ({:.2f} %)\n", share.name, share.rows,
                 100 * share.rows / total);
    } else {
      fmt::print("  class     {}: training rows unknown\n", share.name);
    }
  }
  if (const auto warning = forest::one_sided(model); !warning.empty())
    fmt::print(stderr, "weir: warning: {}\n", warning);
}

void show_threshold(const forest::Model& model) {
  const forest::Decision& decision = model.decision;
  if (!model.probabilities)
    fmt::print("  its trainer gives no probabilities: scores are good to compare\n");
  if (decision.usual()) return;
  fmt::print("  threshold {} where the {} is above {}; the score is 0.5 there\n",
             model.classes.back().name,
             decision.on == forest::Decision::On::margin ? "margin" : "probability",
             decision.above);
}

void show_shape(const forest::Model& model) {
  if (model.kind == forest::Model::Kind::linear) {
    fmt::print("  shape     linear, {} outputs\n", model.outputs);
    return;
  }
  std::vector<std::size_t> depth(model.nodes.size(), 0);
  std::size_t leaves = 0, deepest = 0, deepest_sum = 0;
  for (std::size_t n = 0; n < model.nodes.size(); ++n) {
    const forest::Node& node = model.nodes[n];
    if (node.feature >= 0) {
      depth[node.left] = depth[node.right] = depth[n] + 1;
      continue;
    }
    ++leaves;
    deepest = std::max(deepest, depth[n]);
    deepest_sum += depth[n];
  }
  fmt::print("  shape     {} trees, {} nodes, {} leaves, depth {} at most, {:.1f} a leaf\n",
             model.trees.size(), model.nodes.size(), leaves, deepest,
             static_cast<double>(deepest_sum) / static_cast<double>(leaves));
  fmt::print("  score     {} of the trees{}\n", model.vote == forest::Vote::mean ? "mean" : "sum",
             model.link == forest::Link::sigmoid   ? ", sigmoid"
             : model.link == forest::Link::softmax ? ", softmax"
                                                   : "");
}

int show(const ModelOptions& options) {
  const auto model = forest::load_model(options.model);
  if (!model) return report(model.error(), kBadInput);
  const auto evaluator = forest::make_evaluator(*model);
  if (!evaluator) return report(evaluator.error(), kBadInput);
  fmt::print("{}\n  format    {}\n  sha256    {}\n", model->name, model->format, model->sha256);
  if (!model->provenance.empty()) fmt::print("  made by   {}\n", model->provenance);
  show_shape(*model);
  show_threshold(*model);
  fmt::print("  runs as   {}\n", (*evaluator)->describe());
  show_classes(*model);
  std::vector<std::size_t> splits(model->features.size(), 0);
  for (const auto& node : model->nodes)
    if (node.feature >= 0) ++splits[static_cast<std::size_t>(node.feature)];
  for (std::size_t f = 0; f < model->features.size(); ++f) {
    const std::string unit = model->units[f].empty() ? "" : " (" + model->units[f] + ")";
    if (model->kind == forest::Model::Kind::linear) {
      fmt::print("  feature   {}{}\n", model->features[f], unit);
    } else {
      fmt::print("  feature   {}{}: {} splits{}\n", model->features[f], unit, splits[f],
                 splits[f] == 0 ? ", never asked" : "");
    }
  }
  return kOk;
}

int features(const ModelOptions& options) {
  std::vector<std::vector<std::string>> rows{
      {"FEATURE", "GROUP", "SET BY", "COST", "UNIT", "MEANING"}};
  for (const detect::FeatureInfo& f : detect::all_features())
    rows.push_back({f.name, f.group, f.set_by_name, f.cost, f.unit, f.help});
  if (!options.markdown) {
    fmt::print("{}", columns(rows, {false, false, false, false, false, false}));
    return kOk;
  }
  fmt::print("{}", detect::feature_table());
  return kOk;
}

std::vector<float> scores_of(const forest::Model& model, forest::Evaluator& evaluator,
                             const Rows& rows) {
  const std::size_t columns = forest::score_columns(model);
  std::vector<float> result(rows.count * columns), batch(forest::kBatchMax * columns);
  constexpr std::size_t kStep = forest::kRowAlign;
  struct alignas(64) Line {
    float values[kStep];
  };
  std::vector<Line> lines(model.features.size());
  std::vector<const float*> pointers;
  pointers.reserve(lines.size());
  for (const Line& line : lines) pointers.push_back(line.values);
  for (std::size_t first = 0; first < rows.count; first += kStep) {
    const std::size_t count = std::min(kStep, rows.count - first);
    for (std::size_t f = 0; f < lines.size(); ++f)
      std::copy_n(rows.columns[f].begin() + static_cast<std::ptrdiff_t>(first), count,
                  lines[f].values);
    evaluator.evaluate(pointers.data(), count, batch.data());
    for (std::size_t c = 0; c < columns; ++c)
      std::copy_n(&batch[c * count], count, &result[c * rows.count + first]);
  }
  return result;
}

std::size_t class_of(const forest::Model& model, const std::vector<float>& scores,
                     std::size_t count, std::size_t r) {
  if (model.classes.size() == 2) return scores[r] > 0.5F ? 1 : 0;
  std::size_t best = 0;
  for (std::size_t c = 1; c < model.classes.size(); ++c)
    if (scores[c * count + r] > scores[best * count + r]) best = c;
  return best;
}

/// Expected is a class's name, or a number that the (first) score is compared to: a float32, so a
/// large one may differ by as much of itself as a probability may of one.
bool as_expected(const forest::Model& model, const std::vector<float>& scores, std::size_t count,
                 std::size_t r, const std::string& expected, double tolerance) {
  for (std::size_t c = 0; c < model.classes.size(); ++c)
    if (model.classes[c].name == expected) return class_of(model, scores, count, r) == c;
  char* end = nullptr;
  const double number = std::strtod(expected.c_str(), &end);
  if (expected.empty() || *end != '\0') return false;
  return std::abs(static_cast<double>(scores[r]) - number) <=
         tolerance * std::max(1.0, std::abs(number));
}

/// Of several classes, the one that was chosen is explained; of two, the last.
void explain(const forest::Model& model, const Rows& rows, std::size_t r, std::size_t chosen) {
  std::vector<float> row;
  for (const auto& column : rows.columns) row.push_back(column[r]);
  const bool wide = model.classes.size() > 2;
  const forest::Explainer explainer(model, wide ? chosen : model.outputs - 1);
  const forest::Explanation e = explainer.explain(row);
  if (wide) fmt::print("class {}: ", model.classes[chosen].name);
  fmt::print("row {}: margin {:.6g} = {:.6g} expected before any feature is known\n", r + 1,
             e.margin, e.bias);
  for (const std::size_t f : forest::strongest(e, 10)) {
    fmt::print("  {:+.6g}  {} = {}{}{}\n", e.contributions[f], model.features[f], row[f],
               model.units[f].empty() ? "" : " ", model.units[f]);
  }
  if (model.kind == forest::Model::Kind::linear) return;
  fmt::print("  votes: {} trees for, {} against\n", e.votes.for_it, e.votes.against);
  fmt::print("  deciding path (tree {}): {}\n", e.tree, e.path);
  if (!explainer.weighted())
    fmt::print("  (the model has no training rows a node: both sides of a split count alike)\n");
}

int test(const ModelOptions& options) {
  const auto model = forest::load_model(options.model);
  if (!model) return report(model.error(), kBadInput);
  const auto evaluator = forest::make_evaluator(*model);
  if (!evaluator) return report(evaluator.error(), kBadInput);
  const auto rows = read_rows(options.rows, model->features);
  if (!rows) return report(rows.error(), kBadInput);
  if (options.explain > rows->count)
    return report({fmt::format("{}: --explain {}: the file has {} rows", options.rows,
                               options.explain, rows->count)},
                  kBadInput);
  const std::vector<float> scores = scores_of(*model, **evaluator, *rows);
  const std::size_t columns = forest::score_columns(*model);
  std::size_t different = 0;
  for (std::size_t r = 0; r < rows->count; ++r) {
    std::string line = fmt::format("{}", r + 1);
    for (std::size_t c = 0; c < columns; ++c)
      line += fmt::format(",{}", scores[c * rows->count + r]);
    if (!model->classes.empty())
      line += "," + model->classes[class_of(*model, scores, rows->count, r)].name;
    if (!rows->expected.empty()) {
      const bool same =
          as_expected(*model, scores, rows->count, r, rows->expected[r], options.tolerance);
      if (!same) ++different;
      line += same ? ",as expected" : ",expected " + rows->expected[r];
    }
    if (!options.quiet) fmt::print("{}\n", line);
  }
  if (options.explain > 0) {
    const std::size_t r = options.explain - 1;
    explain(*model, *rows, r, class_of(*model, scores, rows->count, r));
  }
  fmt::print(stderr, "{} rows scored", rows->count);
  if (!rows->expected.empty()) fmt::print(stderr, ", {} not as expected", different);
  fmt::print(stderr, "\n");
  return different == 0 ? kOk : kFailure;
}

}  // namespace

void add_model(Command app, Run& run) {
  auto options = std::make_shared<ModelOptions>();
  Command command = app.add_subcommand("model", "Look into a model file, or try it on rows");
  command.require_subcommand(1);
  command.footer(help_footer(
      "  weir model show model.json\n  weir model test model.json rows.csv\n", {kOk, kBadInput}));
  Command shown = command.add_subcommand(
      "show", "Format, shape, class balance and features of a model, and how it will run");
  shown.add_option("MODEL", options->model, "Model file of any supported format").required();
  shown.footer(help_footer("  weir model show model.json\n", {kOk, kBadInput}));
  shown.callback([options, &run] { run = [options] { return show(*options); }; });
  Command listed = command.add_subcommand(
      "features",
      "Every feature that a model may ask for: group, who sets it, cost, unit, meaning");
  listed.add_flag("--markdown", options->markdown, "As the table in the README");
  listed.footer(help_footer("  weir model features\n", {kOk}));
  listed.callback([options, &run] { run = [options] { return features(*options); }; });
  Command tested = command.add_subcommand(
      "test", "Score the rows of a CSV file, and compare with its column 'expected' or 'label'");
  tested.add_option("MODEL", options->model, "Model file of any supported format").required();
  tested.add_option("ROWS", options->rows, "CSV with a header: one column a feature, by name")
      .required();
  tested
      .add_option("--tolerance", options->tolerance,
                  "Difference that a score may have, relative where it is above 1")
      .not_negative()
      .capture_default_str();
  tested.add_option("--explain", options->explain, "Say why row N has its score (1: the first)")
      .range(1, 1e12);
  tested.add_flag("-q,--quiet", options->quiet, "Print no line a row");
  tested.footer(
      help_footer("  weir model test model.json rows.csv\n"
                  "  weir model test model.json rows.csv -q --explain 3\n",
                  {kOk, kFailure, kBadInput}));
  tested.callback([options, &run] { run = [options] { return test(*options); }; });
}

}  // namespace weir::cli
