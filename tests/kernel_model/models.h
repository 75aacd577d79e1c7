// SPDX-License-Identifier: BSD-2-Clause
/// Models over header features that need no trainer.
#pragma once

#include <random>
#include <string>
#include <vector>

#include "forest/model.h"

namespace weir::test {

using forest::Model;

inline Model two_classes(std::vector<std::string> features) {
  Model model;
  model.name = "test";
  model.sha256 = std::string(64, 'a');
  model.units.resize(features.size());
  model.features = std::move(features);
  model.classes = {{"fine", 0}, {"bad", 0}};
  model.bias = {0.0};
  return model;
}

inline std::uint32_t add_leaf(Model& model, double value) {
  forest::Node node;
  node.value = static_cast<std::uint32_t>(model.values.size());
  model.values.push_back(value);
  model.nodes.push_back(node);
  return static_cast<std::uint32_t>(model.nodes.size() - 1);
}

/// A balanced tree over feature 0 with 2^depth leaves over [from, from + 2^width).
template <typename Value>
std::uint32_t add_split(Model& model, unsigned depth, std::uint64_t from, unsigned width,
                        const Value& value) {
  if (depth == 0) return add_leaf(model, value());
  const auto at = static_cast<std::uint32_t>(model.nodes.size());
  model.nodes.emplace_back();
  model.nodes[at].feature = 0;
  model.nodes[at].threshold = static_cast<double>(from + (std::uint64_t{1} << (width - 1))) - 0.5;
  const std::uint32_t left = add_split(model, depth - 1, from, width - 1, value);
  const std::uint32_t right =
      add_split(model, depth - 1, from + (std::uint64_t{1} << (width - 1)), width - 1, value);
  model.nodes[at].left = left;
  model.nodes[at].right = right;
  return at;
}

template <typename Value>
void add_tree(Model& model, unsigned depth, unsigned width, const Value& value) {
  model.trees.push_back({static_cast<std::uint32_t>(model.nodes.size()), -1});
  add_split(model, depth, 0, width, value);
}

/// Leaves are bad and fine in turn.
inline Model deep_tree(unsigned depth) {
  Model model = two_classes({"tcp_sequence_num"});
  bool bad = false;
  add_tree(model, depth, 32, [&] { return (bad = !bad) ? 1.0 : 0.0; });
  return model;
}

inline Model forest_of(int trees, std::uint32_t outputs) {
  Model model = two_classes({"tcp_sequence_num"});
  model.outputs = outputs;
  model.bias.assign(outputs, 0.0);
  if (outputs > 2) model.classes.resize(outputs);
  std::mt19937 random(13);
  for (int t = 0; t < trees; ++t)
    add_tree(model, 5, 32 - static_cast<unsigned>(t % 3), [&] { return random() % 10 / 10.0; });
  if (outputs == 1) return model;
  for (forest::Node& node : model.nodes) node.value *= outputs;
  model.values.resize(model.values.size() * outputs);
  for (double& value : model.values) value = random() % 10 / 10.0;
  return model;
}

inline Model linear_model() {
  Model model = two_classes({"dest_port", "ip_ttl", "tcp_sequence_num"});
  model.kind = Model::Kind::linear;
  model.link = forest::Link::sigmoid;
  model.weights = {0.001, -0.05, 1e-9};
  model.bias = {0.1};
  return model;
}

/// A sum that is an int, unsigned and a long in turn where SkimXDP adds it up.
inline Model wide_sums() {
  Model model = two_classes({"dest_port", "tcp_sequence_num", "ip_ttl", "tcp_window_size"});
  model.kind = Model::Kind::linear;
  model.link = forest::Link::sigmoid;
  model.weights = {-7.31, 0.0011, -2.5e6, 91.7};
  model.bias = {-11};
  return model;
}

}  // namespace weir::test
