// SPDX-License-Identifier: BSD-2-Clause
/// A model of one tree that a test can follow by hand: a reply whose source sent two or more
/// unsolicited packets lately is an attack (0.9), everything else is not (0.1 or 0.2).
#pragma once

#include "forest/model.h"

namespace weir::test {

inline forest::Model reply_model() {
  forest::Model model;
  model.name = "reply-model";
  model.features = {"is_reply", "source_unsolicited"};
  model.units = {"", ""};
  model.classes = {{"benign", 0}, {"attack", 0}};
  const auto split = [&model](std::int32_t feature, double threshold, std::uint32_t left,
                              std::uint32_t right) {
    forest::Node node;
    node.feature = feature;
    node.threshold = threshold;
    node.left = left;
    node.right = right;
    model.nodes.push_back(node);
  };
  const auto leaf = [&model](double value) {
    forest::Node node;
    node.value = static_cast<std::uint32_t>(model.values.size());
    model.values.push_back(value);
    model.nodes.push_back(node);
  };
  split(0, 0.5, 1, 2);
  leaf(0.1);
  split(1, 1.5, 3, 4);
  leaf(0.2);
  leaf(0.9);
  model.trees.resize(1);
  model.bias = {0.0};
  return model;
}

}  // namespace weir::test
