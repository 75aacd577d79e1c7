// SPDX-License-Identifier: BSD-2-Clause
/// What is judged beside UDP, and by the score alone; and what nobody hears of behind a screen.
#include "box.h"
#include "detect/policy.h"

namespace weir::detect {
namespace {

TEST(AllIp, FlowsOfTheLanHaveTcpsPorts) {
  Box box;
  box.see(seconds(0), {Side::lan, kVictim, "203.0.113.9", 22, 700, "", true});
  EXPECT_TRUE(
      box.see(seconds(1), {Side::wan, "203.0.113.9", kVictim, 700, 22, "", true}).client_flow);
  EXPECT_FALSE(
      box.see(seconds(1), {Side::wan, "203.0.113.9", kVictim, 701, 22, "", true}).client_flow);
  EXPECT_EQ(box.value("dest_port"), 22);
  EXPECT_EQ(box.value("is_malformed"), 0);
}

TEST(AllIp, TheScoreAloneMakesNoBlock) {
  PolicyConfig config;
  config.suspects_max = 1'024;
  config.score_alone = true;
  config.allow = {*Prefix::parse("203.0.113.9")};
  Policy policy(config);
  Context context;
  context.source = *Address::parse("203.0.113.1");
  context.destination = *Address::parse(kVictim);
  context.method = packet::Method::reply;
  for (int i = 0; i < 500; ++i) {
    context.time = kBegin + milliseconds(10 * i);
    context.client_flow = i % 2 == 0;  // no rule forwards what the score drops
    const Decision made = policy.decide(context, 0.9F);
    EXPECT_EQ(made.verdict, Verdict::drop);
    EXPECT_FALSE(made.block);
  }
  // Ports of 0, which SSDP never has; and a score that is not above the threshold.
  EXPECT_EQ(policy.decide(context, config.threshold).verdict, Verdict::forward);
  EXPECT_EQ(policy.counters().suspects, 0U);
  context.source = *Address::parse("203.0.113.9");
  EXPECT_EQ(policy.decide(context, 0.9F).reason, Reason::allowed);
}

TEST(Blind, IsNoSearchOfTheLanWhereAScreenHidesTheDevicesOfTheWan) {
  for (const bool screened : {false, true}) {
    TableConfig config = Box::small();
    config.wan_screened = screened;
    Box box(config);
    EXPECT_EQ(box.see(seconds(1), search("203.0.113.7")).blind, !screened);
    EXPECT_TRUE(box.see(seconds(1), search("192.168.1.20", Side::wan, "203.0.113.1")).blind);
  }
}

}  // namespace
}  // namespace weir::detect
