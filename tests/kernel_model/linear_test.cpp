// SPDX-License-Identifier: BSD-2-Clause
// Linear plans are off by no more than they say; and what judges as SkimXDP does, held against cli/skx.h, which judges so by
// itself.
#include <gmock/gmock.h>

#include <bit>
#include <cmath>
#include <random>

#include "cli/skx.h"
#include "in_kernel.h"
#include "models.h"

namespace weir::kernel_model {
namespace {

using forest::Model;
using test::add_tree;
using test::deep_tree;
using test::forest_of;
using test::linear_model;
using test::two_classes;
using testing::HasSubstr;

/// By how much a linear plan's sum is off at most, over values of its features.
long double worst_of(const Model& model, const Plan& plan, std::mt19937& random) {
  long double worst = 0;
  for (int row = 0; row < 500; ++row) {
    long double exact = static_cast<long double>(model.bias[0]);
    std::int64_t sum = plan.start[0];
    for (std::size_t f = 0; f < model.features.size(); ++f) {
      int slot = 0;
      while (feature_name(slot) != model.features[f]) ++slot;
      const std::uint32_t most = largest(slot, WEIR_READING_exact);
      const auto drawn = static_cast<std::uint32_t>(random());
      const std::uint64_t x = as_row(drawn % 4 == 0   ? 0
                                     : drawn % 4 == 1 ? most
                                                      : drawn >> std::countl_zero(most));
      exact += static_cast<long double>(model.weights[f]) * static_cast<long double>(x);
      for (const Term& term : plan.terms) {
        if (term.feature != slot) continue;
        const std::uint64_t part = term.part == Term::Part::low    ? x & 0xffffU
                                   : term.part == Term::Part::high ? x >> 16U
                                                                   : x;
        const std::int64_t product = term.weight * static_cast<std::int64_t>(part);
        EXPECT_LT(std::abs(product), (std::int64_t{1} << 62) + 1);
        sum += product >> term.shift;
      }
    }
    worst =
        std::max(worst, std::abs(std::ldexp(static_cast<long double>(sum), -plan.shift) - exact));
  }
  return worst;
}

// A feature of 32 bits beside one of a bit: each has its own fixed point, so that the wide one does
// not rule the error. With one for all it would be 1e-8 for the first of these.
TEST(Linear, EachFeatureHasItsOwnFixedPoint) {
  std::mt19937 random(29);
  Model model = two_classes({"tcp_sequence_num", "ip_ttl", "tcp_syn_flag", "tcp_ack_flag"});
  model.kind = Model::Kind::linear;
  model.link = forest::Link::sigmoid;
  for (int round = 0; round < 40; ++round) {
    model.weights = {7e-10, -0.031, 1.7, -0.9};
    model.bias = {0.35};
    if (round > 0)
      for (double& weight : model.weights)
        weight =
            std::ldexp(static_cast<double>(random()) - 0x1p31, -static_cast<int>(random() % 60U));
    const Plan plan = plan_of(model);
    double most = 0;
    for (std::size_t f = 0; f < 4; ++f)
      most = std::max(most, std::abs(model.weights[f]) * (f == 0 ? 0x1p32 : f == 1 ? 255 : 1));
    EXPECT_LT(plan.error, most * 0x1p-43) << "round " << round;
    const double own = most * 0x1p-61;  // of the test's long doubles
    EXPECT_LE(worst_of(model, plan, random), static_cast<long double>(plan.error + own));
    const Plan coarse = plan_of(model, {.precision = most / 1000});
    EXPECT_LE(coarse.error, most / 1000);
    EXPECT_LE(worst_of(model, coarse, random), static_cast<long double>(coarse.error + own));
  }
}

/// Models of every kind that SkimXDP knows, at numbers where C's types decide.
Model skx_model(std::mt19937_64& random) {
  const auto below = [&](std::uint64_t bound) { return random() % bound; };
  Model model = two_classes({});
  for (int f = 0; f < WEIR_HEADER_FEATURE_COUNT; ++f)
    if (below(4) == 0 || (f + 1 == WEIR_HEADER_FEATURE_COUNT && model.features.empty()))
      model.features.emplace_back(feature_name(f));
  model.units.resize(model.features.size());
  const auto number = [&](unsigned bits) {
    const double drawn =
        std::ldexp(static_cast<double>(random() >> 11U) * 0x1p-53, static_cast<int>(below(bits)));
    return below(3) == 0 ? -drawn : drawn;
  };
  if (below(2) == 0) {
    model.kind = Model::Kind::linear;
    model.link = forest::Link::sigmoid;
    const unsigned bits = below(2) == 0 ? 12 : 49;
    for (std::size_t f = 0; f < model.features.size(); ++f)
      model.weights.push_back(below(5) == 0 ? 0 : number(bits) / (below(2) == 0 ? 1 : 5e4));
    model.bias = {number(below(2) == 0 ? 8 : 48)};
    if (below(3) == 0) model.decision = {forest::Decision::On::margin, number(20)};
    if (below(3) == 0) model.decision = {forest::Decision::On::probability, 0.8};
    return model;
  }
  model.outputs = below(2) == 0 ? 1 : 2;
  model.bias.assign(model.outputs, 0.0);
  for (std::size_t trees = 1 + below(6); trees > 0; --trees) {
    add_tree(model, 4, 32, [&] { return static_cast<double>(below(9)) / 8; });
    while (model.values.size() % model.outputs != 0) model.values.push_back(0);
  }
  if (model.outputs == 2) {  // as many leaves, each with a value for either class
    for (forest::Node& node : model.nodes) node.value *= 2;
    model.values.resize(model.nodes.size() * 2);
    for (double& value : model.values) value = static_cast<double>(below(9)) / 8;
  }
  for (forest::Node& node : model.nodes) {
    if (node.feature < 0) continue;
    node.feature = static_cast<std::int32_t>(below(model.features.size()));
    node.threshold = below(8) == 0   ? std::ldexp(number(3), 62)
                     : below(4) == 0 ? number(34)
                                     : number(17);
  }
  return model;
}

cli::Skx skx_of(const Model& model) {
  std::vector<weir_header_feature> places;
  for (const std::string& name : model.features) {
    int slot = 0;
    while (feature_name(slot) != name) ++slot;
    places.push_back(static_cast<weir_header_feature>(slot));
  }
  auto made = cli::Skx::make(model, places);
  WEIR_CHECK(made.has_value());
  return std::move(*made);
}

bool skx_drops(const cli::Skx& skx, const Values& values) {
  packet::HeaderFeatures features{};
  std::copy(values.begin(), values.end(), features.value);
  return skx.drops(features);
}

TEST(Skx, JudgesAsSkimXdp) {
  std::mt19937_64 random(41);
  std::size_t drops = 0, rows = 0;
  for (int round = 0; round < 400; ++round) {
    const Model model = skx_model(random);
    const cli::Skx skx = skx_of(model);
    const Plan plan = plan_of(model, {.reading = WEIR_READING_skx});
    for (int row = 0; row < 100; ++row) {
      Values values{};
      for (int f = 0; f < WEIR_HEADER_FEATURE_COUNT; ++f) {
        const std::uint32_t most = largest(f, WEIR_READING_skx);
        const auto drawn = static_cast<std::uint32_t>(random());
        values[static_cast<std::size_t>(f)] =
            std::min(most, random() % 4 == 0 ? most - drawn % 2 : drawn >> (random() % 32U));
      }
      const bool wanted = skx_drops(skx, values);
      ASSERT_EQ(judge(plan, values), wanted ? 1 : 0) << "model " << round << " row " << row;
      drops += wanted ? 1 : 0;
      ++rows;
    }
  }
  EXPECT_GT(drops, rows / 5);
  EXPECT_LT(drops, rows - rows / 5);
}

TEST(Skx, SaysWhatSkimXdpDoesNotHave) {
  const Options skx{.reading = WEIR_READING_skx};
  Options with = skx;
  with.threshold = 0.7;
  EXPECT_THAT(error_of(deep_tree(2), with), HasSubstr("SkimXDP's trees have none"));
  with = skx;
  with.precision = 0.1;
  EXPECT_THAT(error_of(linear_model(), with), HasSubstr("four digits"));
  Model boosted = forest_of(3, 1);
  boosted.vote = forest::Vote::sum;
  EXPECT_THAT(error_of(boosted, skx), HasSubstr("adds its trees up (boosting)"));
  EXPECT_THAT(error_of(forest_of(3, 3), skx), HasSubstr("no classifier of two classes"));
}

class SkxInKernel : public InKernel {};

TEST_F(SkxInKernel, JudgesAsSkimXdp) {
  std::mt19937_64 random(43);
  std::size_t drops = 0, packets = 0;
  for (int round = 0; round < 16; ++round) {
    const Model model = skx_model(random);
    const cli::Skx skx = skx_of(model);
    const Plan plan = plan_of(model, {.reading = WEIR_READING_skx});
    const auto program = Program::load(plan);
    ASSERT_TRUE(program) << program.error().message;
    test::PacketsAtCuts at_cuts(static_cast<std::uint64_t>(round), &plan);
    Values values;
    for (int i = 0; i < 500; ++i, ++packets) {
      const test::Bytes& frame = at_cuts.next(values);
      const bool wanted = skx_drops(skx, values);
      ASSERT_EQ(run(*program, frame), wanted ? 1 : 0) << "model " << round << " packet " << i;
      drops += wanted ? 1 : 0;
    }
  }
  EXPECT_GT(drops, packets / 5);
  EXPECT_LT(drops, packets - packets / 5);
}

}  // namespace
}  // namespace weir::kernel_model
