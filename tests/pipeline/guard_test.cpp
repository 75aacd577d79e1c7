// SPDX-License-Identifier: BSD-2-Clause
#include "pipeline/guard.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <array>
#include <vector>

#include "detect/extractor.h"
#include "pipeline/bind.h"
#include "pipeline/stages.h"

namespace weir::pipeline {
namespace {

const std::vector<std::string> kNames = {"ttl", "destination_sources", "payload_bytes", "is_reply"};

/// Any forest of stumps over pairs of features: it may use what senders set as it likes.
forest::Model any_model() {
  forest::Model model;
  model.name = "any";
  model.features = kNames;
  model.units.resize(kNames.size());
  model.classes = {{"benign", 0}, {"attack", 0}};
  model.bias = {0.0};
  const auto trees = *rc::gen::inRange<std::size_t>(1, 8);
  for (std::size_t t = 0; t < trees; ++t) {
    const auto root = static_cast<std::uint32_t>(model.nodes.size());
    for (const unsigned place : {0U, 1U, 2U}) {  // a root and two splits below it
      forest::Node node;
      node.feature = *rc::gen::inRange(0, static_cast<int>(kNames.size()));
      node.threshold = *rc::gen::inRange(0, 400);
      node.left = root + (place == 0 ? 1 : 2 * place + 1);
      node.right = root + (place == 0 ? 2 : 2 * place + 2);
      model.nodes.push_back(node);
    }
    for (unsigned leaf = 0; leaf < 4; ++leaf) {
      forest::Node node;
      node.value = static_cast<std::uint32_t>(model.values.size());
      model.values.push_back(*rc::gen::inRange(0, 101) / 100.0);
      model.nodes.push_back(node);
    }
    model.trees.push_back({});
    model.trees.back().root = root;
  }
  return model;
}

float score(forest::Evaluator& evaluator, const std::vector<float>& row) {
  struct alignas(64) Line {
    std::array<float, forest::kRowAlign> values{};
  };
  std::vector<Line> lines(row.size());
  std::vector<const float*> columns;
  for (std::size_t f = 0; f < row.size(); ++f) {
    lines[f].values[0] = row[f];
    columns.push_back(lines[f].values.data());
  }
  float result = -1;
  evaluator.evaluate(columns.data(), 1, &result);
  return result;
}

RC_GTEST_PROP(Guard, WhatSendersSetNeverClears, ()) {
  const forest::Model model = any_model();
  const auto plain = forest::make_scalar_evaluator(model);
  const auto guarded = guard(forest::make_scalar_evaluator(model), model);
  std::vector<float> row;
  for (std::size_t f = 0; f < kNames.size(); ++f)
    row.push_back(static_cast<float>(*rc::gen::inRange(0, 400)));
  const float least = score(*plain, neutral_row(model, row));
  for (int change = 0; change < 8; ++change) {
    row[0] = static_cast<float>(*rc::gen::inRange(0, 256));
    row[2] = static_cast<float>(*rc::gen::inRange(0, 1'500));
    const float now = score(*guarded, row);
    RC_ASSERT(now >= least);
    RC_ASSERT(now >= score(*plain, row));
    RC_ASSERT(now == score(*guarded->clone(), row));
  }
}

TEST(Guard, CostsNothingWhereItIsNotNeeded) {
  forest::Model model;
  model.features = {"is_reply", "ttl"};
  model.units.resize(2);
  model.bias = {0.0};
  model.values = {0.1, 0.9};
  model.nodes.resize(3);
  model.nodes[0].feature = 0;
  model.nodes[0].threshold = 0.5;
  model.nodes[0].left = 1;
  model.nodes[0].right = 2;
  model.nodes[2].value = 1;
  model.trees.resize(1);
  EXPECT_TRUE(sender_features(model).empty()) << "it lists the TTL and never asks for it";
  auto evaluator = forest::make_scalar_evaluator(model);
  const forest::Evaluator* const same = evaluator.get();
  EXPECT_EQ(guard(std::move(evaluator), model).get(), same);
  model.nodes[0].feature = 1;
  EXPECT_EQ(sender_features(model), std::vector<std::uint32_t>{1});
}

TEST(Guard, ManyRowsAreRowByRow) {
  forest::Model model;
  model.features = {"ttl"};
  model.units.resize(1);
  model.bias = {0.0};
  model.values = {0.25, 0.75};
  model.nodes.resize(3);
  model.nodes[0].feature = 0;
  model.nodes[0].threshold = 100;
  model.nodes[0].left = 1;
  model.nodes[0].right = 2;
  model.nodes[2].value = 1;
  model.trees.resize(1);
  const auto guarded = guard(forest::make_scalar_evaluator(model), model);
  constexpr std::size_t kRows = 1'000;
  std::vector<float> column(1'024);
  for (std::size_t r = 0; r < kRows; ++r) column[r] = static_cast<float>(r % 256);
  const float* columns[] = {column.data()};
  std::vector<float> scores(kRows);
  guarded->evaluate(columns, kRows, scores.data());
  for (std::size_t r = 0; r < kRows; ++r) ASSERT_EQ(scores[r], r % 256 > 100 ? 0.75F : 0.25F) << r;
}

TEST(Guard, AModelOfHeadersAloneIsTakenAsItIs) {
  forest::Model model;
  model.features = {"ip_ttl", "dest_port", "source_seconds"};
  model.units.resize(3);
  model.nodes.resize(5);
  model.nodes[0].feature = 0;
  model.nodes[1].feature = 1;
  EXPECT_TRUE(sender_features(model).empty());
  auto evaluator = forest::make_scalar_evaluator(model);
  const forest::Evaluator* const same = evaluator.get();
  EXPECT_EQ(guard(std::move(evaluator), model).get(), same);
  model.nodes[1].feature = 2;  // now there is something of the box's to lean on
  EXPECT_EQ(sender_features(model), std::vector<std::uint32_t>{0});
}

// Without the policy's rules a packet is judged by the model's score, which is what the kernel would
// say: a port's neutral value that the model knows as an attack's made all of a host's traffic one.
TEST(Guard, NothingIsGuardedWhereTheScoreAloneJudges) {
  forest::Model model;
  model.features = {"dest_port", "payload_bytes"};
  model.classes = {{"fine"}, {"bad"}};
  model.units.resize(2);
  model.bias = {0.0};
  model.values = {0.0, 1.0};
  model.nodes.resize(7);
  const auto split = [&model](std::size_t n, std::int32_t feature, double threshold,
                              std::uint32_t left, std::uint32_t right) {
    model.nodes[n].feature = feature;
    model.nodes[n].threshold = threshold;
    model.nodes[n].left = left;
    model.nodes[n].right = right;
  };
  split(0, 0, 1900.5, 1, 2);
  split(1, 0, 1899.5, 3, 4);
  split(3, 1, 60'000, 5, 6);
  model.nodes[4].value = model.nodes[6].value = 1;
  model.trees.resize(1);
  detect::PolicyConfig policy;
  for (const bool alone : {false, true}) {
    policy.score_alone = alone;
    auto bound = bind(&model, {}, Extract::model_features, scores_of(policy));
    ASSERT_TRUE(bound) << bound.error().message;
    auto again = rebind(model, bound->model_columns, scores_of(policy));
    ASSERT_TRUE(again) << again.error().message;
    EXPECT_EQ(score(*bound->evaluator, {22, 100}), alone ? 0.0F : 1.0F);
    EXPECT_EQ(score(**again, {22, 100}), alone ? 0.0F : 1.0F);
    EXPECT_EQ(score(*bound->evaluator, {1900, 100}), 1.0F);
  }
}

/// Whatever decided: packets that make a block may be forged.
TEST(MakeBlock, IsOfSsdpAlone) {
  detect::Context context;
  context.source = *Address::parse("203.0.113.9");
  context.destination = *Address::parse("192.168.1.10");
  for (const detect::ReasonInfo& info : detect::all_reasons()) {
    for (const auto target :
         {detect::Target::source, detect::Target::network, detect::Target::victim}) {
      detect::Decision decision;
      decision.block = true;
      decision.rule = decision.reason = detect::Reason::blocked;  // as where it is ordered again
      decision.cause = info.reason;
      decision.target = target;
      decision.open_ports[1] = 50'000;
      const datapath::Block block = make_block(context, decision);
      EXPECT_EQ(block.value.scope, static_cast<std::uint32_t>(WEIR_SCOPE_ssdp)) << info.name;
      EXPECT_EQ(block.value.origin, static_cast<std::uint32_t>(WEIR_ORIGIN_policy));
      EXPECT_EQ(block.value.reason, static_cast<std::uint32_t>(info.reason));
      EXPECT_EQ(block.value.open_ports[1], 50'000);
      EXPECT_EQ(block.source.text(), target == detect::Target::source    ? "203.0.113.9"
                                     : target == detect::Target::network ? "203.0.113.0"
                                                                         : "192.168.1.10");
    }
  }
}

}  // namespace
}  // namespace weir::pipeline
