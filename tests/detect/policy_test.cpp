// SPDX-License-Identifier: BSD-2-Clause
#include "detect/policy.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <map>
#include <set>
#include <string>

namespace weir::detect {
namespace {

constexpr PacketTime kBegin{1'767'225'600'000'000'000ULL};

Address address(std::uint32_t number) { return Address::v4(be32::from_host(0xcb007100U + number)); }

Context reply_from(const Address& source, Nanoseconds at) {
  Context context;
  context.source = source;
  context.destination = *Address::parse("192.168.1.10");
  context.time = kBegin + at;
  context.method = packet::Method::reply;
  context.first_seen = kBegin;
  context.awaited = true;
  context.destination_unsolicited = 1'000;  // of a host under attack
  context.source_port = 1900;
  context.destination_port = 50'000;
  return context;
}

PolicyConfig config() {
  PolicyConfig c;
  c.suspects_max = 1'024;
  c.evidence_span_ms = 0;  // policy_blocks_test.cpp spreads its evidence
  c.network_sources = 0;
  return c;
}

constexpr float kAttack = 0.9F;
constexpr float kClean = 0.1F;
using std::chrono::milliseconds;
using std::chrono::seconds;

TEST(Policy, BlocksOnRepeatedEvidence) {
  Policy policy(config());
  for (int i = 0; i < 2; ++i) {
    const Decision d = policy.decide(reply_from(address(1), milliseconds(i)), kAttack);
    EXPECT_EQ(d.verdict, Verdict::drop);
    EXPECT_EQ(d.reason, Reason::scored);
    EXPECT_FALSE(d.block);
  }
  const Decision d = policy.decide(reply_from(address(1), milliseconds(2)), kAttack);
  EXPECT_TRUE(d.block);
  EXPECT_EQ(d.strikes, 0U);
  EXPECT_EQ(d.first_seen, kBegin);
  EXPECT_EQ(d.expires, kBegin + milliseconds(2) + seconds(600));
  EXPECT_EQ(policy.decide(reply_from(address(1), milliseconds(3)), kClean).reason, Reason::blocked);
  EXPECT_EQ(policy.decide(reply_from(address(2), milliseconds(3)), kClean).reason, Reason::clean);
  EXPECT_EQ(policy.counters().blocks, 1U);
}

TEST(Policy, EvidenceThatIsFarApartDoesNotAddUp) {
  Policy policy(config());
  for (int i = 0; i < 50; ++i) {
    EXPECT_FALSE(policy.decide(reply_from(address(1), seconds(6 * i)), kAttack).block) << i;
  }
}

TEST(Policy, BlocksExpireAndDouble) {
  PolicyConfig c = config();
  c.block_ms = 1'000;
  c.block_max_ms = 3'000;
  Policy policy(c);
  Nanoseconds at{0};
  for (const int expected_s : {1, 2, 3, 3}) {
    Decision d;
    for (int i = 0; i < 3; ++i) d = policy.decide(reply_from(address(1), at), kAttack);
    ASSERT_TRUE(d.block);
    EXPECT_EQ(d.expires - (kBegin + at), seconds(expected_s));
    at += seconds(expected_s);
    EXPECT_EQ(policy.decide(reply_from(address(1), at), kClean).reason, Reason::clean);
  }
}

TEST(Policy, OrdersABlockAgainThatDidNotTake) {
  Policy policy(config());
  for (int i = 0; i < 2; ++i) policy.decide(reply_from(address(1), milliseconds(0)), kAttack);
  const Decision first = policy.decide(reply_from(address(1), milliseconds(0)), kAttack);
  EXPECT_TRUE(first.block);
  EXPECT_FALSE(first.again);
  EXPECT_EQ(first.cause, Reason::scored);
  EXPECT_FALSE(policy.decide(reply_from(address(1), milliseconds(249)), kAttack).block);
  const Decision d = policy.decide(reply_from(address(1), milliseconds(250)), kAttack);
  EXPECT_TRUE(d.block);
  EXPECT_TRUE(d.again);
  EXPECT_EQ(d.rule, Reason::blocked);
  EXPECT_EQ(d.cause, Reason::scored) << "the block's reason, not this packet's";
  EXPECT_EQ(d.strikes, 0U);
  EXPECT_EQ(d.expires, kBegin + seconds(600));
  EXPECT_FALSE(policy.decide(reply_from(address(1), milliseconds(251)), kAttack).block);
  EXPECT_EQ(policy.counters().blocks, 1U) << "the same block, not another one";
}

TEST(Policy, KeepsWithinItsBudget) {
  PolicyConfig c = config();
  c.blocks_per_s = 10;
  Policy policy(c);
  const auto blocks_at = [&](Nanoseconds at, std::uint32_t first) {
    int blocks = 0;
    for (std::uint32_t s = first; s < first + 40; ++s) {
      for (int i = 0; i < 3; ++i)
        blocks += policy.decide(reply_from(address(s), at), kAttack).block ? 1 : 0;
    }
    return blocks;
  };
  EXPECT_EQ(blocks_at(seconds(0), 0), 10);
  EXPECT_EQ(blocks_at(milliseconds(500), 100), 0);
  EXPECT_EQ(policy.counters().blocks_over_budget, 70U);
  EXPECT_EQ(blocks_at(seconds(1), 200), 10);
}

TEST(Policy, WhatTheLanAskedForIsForwardedAndNoEvidence) {
  Policy policy(config());
  for (int i = 0; i < 20; ++i) {
    Context solicited = reply_from(address(1), milliseconds(i));
    solicited.solicited = true;
    EXPECT_EQ(policy.decide(solicited, kAttack).reason, Reason::solicited);
    Context flow = reply_from(address(2), milliseconds(i));
    flow.client_flow = true;
    flow.method = packet::Method::none;
    EXPECT_EQ(policy.decide(flow, kAttack).reason, Reason::client_flow);
  }
  EXPECT_EQ(policy.counters().suspects, 0U);
}

TEST(Policy, BlocksNobodyWhoCannotHelpIt) {
  PolicyConfig c = config();
  c.immune_lan = false;
  Policy policy(c);
  for (int i = 0; i < 20; ++i) {
    Context forged = reply_from(address(1), milliseconds(i));
    forged.wrong_side = true;
    Context segment = reply_from(address(2), milliseconds(i));
    segment.asked_same_side = true;
    segment.destination_packets = 1'000;
    Context device = reply_from(address(3), milliseconds(i));
    device.side = Side::lan;
    for (const Context& context : {forged, segment, device}) {
      const Decision d = policy.decide(context, kAttack);
      EXPECT_EQ(d.verdict, Verdict::drop);
      EXPECT_FALSE(d.block);
    }
  }
  Context bot = reply_from(address(4), milliseconds(0));
  bot.side = Side::lan;
  bot.method = packet::Method::search;
  for (int i = 0; i < 2; ++i) policy.decide(bot, kAttack);
  EXPECT_TRUE(policy.decide(bot, kAttack).block) << "a LAN host that floods is blocked";
}

TEST(Policy, ShadowDropsAndBlocksNothing) {
  PolicyConfig c = config();
  c.shadow = true;
  Policy policy(c);
  for (int i = 0; i < 20; ++i) {
    const Decision d = policy.decide(reply_from(address(1), milliseconds(i)), kAttack);
    EXPECT_EQ(d.verdict, Verdict::forward);
    EXPECT_EQ(d.reason, Reason::shadow);
    EXPECT_FALSE(d.block);
  }
  EXPECT_EQ(policy.counters().blocks, 0U);
}

TEST(Policy, ForgivesWhomAnAdministratorUnblocks) {
  Policy policy(config());
  for (int i = 0; i < 3; ++i) policy.decide(reply_from(address(1), milliseconds(0)), kAttack);
  policy.forgive(address(1));
  EXPECT_EQ(policy.decide(reply_from(address(1), milliseconds(1)), kClean).reason, Reason::clean);
  EXPECT_FALSE(policy.decide(reply_from(address(1), milliseconds(2)), kAttack).block);
}

/// What a stranger may send, in any order: (source, ms after the last packet, attack or not).
using Step = std::tuple<std::uint32_t, std::uint32_t, bool>;
rc::Gen<std::vector<Step>> steps() {
  return rc::gen::container<std::vector<Step>>(rc::gen::tuple(
      rc::gen::inRange(0U, 6U), rc::gen::inRange(0U, 4'000U), rc::gen::arbitrary<bool>()));
}

RC_GTEST_PROP(PolicyProperty, FewerPacketsThanTheEvidenceNeverBlock, ()) {
  PolicyConfig c = config();
  c.evidence_packets = *rc::gen::inRange(0U, 8U);
  const std::uint32_t least = std::max(c.evidence_packets, 2U);
  Policy policy(c);
  std::map<std::uint32_t, std::vector<PacketTime>> attacks;
  std::map<std::uint32_t, PacketTime> blocked_until;
  Nanoseconds at{0};
  for (const auto& [source, gap_ms, attack] : *steps()) {
    at += milliseconds(gap_ms);
    const Decision d = policy.decide(reply_from(address(source), at), attack ? kAttack : kClean);
    const PacketTime now = kBegin + at;
    const bool was_blocked = blocked_until.count(source) != 0U && now < blocked_until[source];
    RC_ASSERT((d.reason == Reason::blocked) == was_blocked);
    if (was_blocked) continue;
    if (attack) attacks[source].push_back(now);
    if (!d.block) continue;
    std::uint32_t recent = 0;
    for (const PacketTime t : attacks[source]) recent += now - t <= seconds(10) ? 1 : 0;
    RC_ASSERT(recent >= least);
    attacks[source].clear();
    blocked_until[source] = d.expires;
  }
}

RC_GTEST_PROP(PolicyProperty, AllowlistedSourcesAreNeverDropped, ()) {
  PolicyConfig c = config();
  c.allow = {*Prefix::parse("203.0.113.0/30")};
  Policy policy(c);
  Nanoseconds at{0};
  for (const auto& [source, gap_ms, attack] : *steps()) {
    at += milliseconds(gap_ms);
    const Decision d = policy.decide(reply_from(address(source), at), attack ? kAttack : kClean);
    if (source >= 4) continue;
    RC_ASSERT(d.verdict == Verdict::forward);
    RC_ASSERT(d.reason == Reason::allowed);
    RC_ASSERT(!d.block);
  }
}

TEST(Reasons, HaveNamesAndHelpWithoutGaps) {
  std::set<std::string> names;
  for (const ReasonInfo& info : all_reasons()) {
    EXPECT_STREQ(name(info.reason), info.name);
    EXPECT_STREQ(help(info.reason), info.help);
    EXPECT_TRUE(names.insert(info.name).second) << info.name;
  }
  EXPECT_EQ(names.count("solicited"), 1U);
}

Context to_group(packet::Method method, const Address& source, Nanoseconds at) {
  Context context = reply_from(source, at);
  context.destination = *Address::parse("239.255.255.250");
  context.destination_port = 1900;
  context.method = method;
  context.multicast = true;
  context.awaited = false;
  return context;
}

TEST(Limits, OfWhatOneSourceSendsToAGroup) {
  using packet::Method;
  Policy policy(config());
  Context search = to_group(Method::search, address(1), seconds(60));
  Context notify = to_group(Method::notify, address(2), seconds(60));
  search.source_alike = 60;
  notify.source_alike = 400;
  EXPECT_EQ(policy.decide(search, kClean).reason, Reason::clean);
  EXPECT_EQ(policy.decide(notify, kClean).reason, Reason::clean);
  search.source_alike = 61;
  notify.source_alike = 401;
  EXPECT_EQ(policy.decide(search, kClean).reason, Reason::limit);
  EXPECT_EQ(policy.decide(notify, kClean).reason, Reason::limit);
  EXPECT_FALSE(policy.decide(search, kClean).block) << "never on two";
  const Decision third = policy.decide(search, kClean);
  EXPECT_TRUE(third.block);
  EXPECT_EQ(third.cause, Reason::limit);
  notify.multicast = false;
  EXPECT_EQ(policy.decide(notify, kClean).reason, Reason::clean) << "to one host: the forest's";
}

TEST(Limits, OfHowOftenOneSourceAsksTheSameAddress) {
  Policy policy(config());
  Context search = reply_from(address(1), seconds(60));
  search.method = packet::Method::search;
  search.searches_each = 30;
  EXPECT_EQ(policy.decide(search, kClean).reason, Reason::clean);
  search.searches_each = 31;
  EXPECT_EQ(policy.decide(search, kClean).reason, Reason::limit);
  search.multicast = true;
  EXPECT_EQ(policy.decide(search, kClean).reason, Reason::clean) << "to a group: another limit";
}

TEST(Policy, LeavesAnAnswerThatIsDueToNumbers) {
  Policy policy(config());
  policy.decide(reply_from(address(2), seconds(0)), kClean);  // the box runs since then
  Context answer = reply_from(address(1), seconds(60));
  answer.due = true;
  EXPECT_EQ(policy.decide(answer, kAttack).reason, Reason::clean);
  answer.flooding = true;
  EXPECT_EQ(policy.decide(answer, kAttack).reason, Reason::crowd);
  answer.due = false;
  EXPECT_EQ(policy.decide(answer, kAttack).reason, Reason::scored);
}

TEST(Limits, OfSearchesToWhereNoDeviceWasHeard) {
  Policy policy(config());
  Context search = reply_from(address(1), seconds(0));
  search.method = packet::Method::search;
  search.blind = true;
  const auto passed = [&](Nanoseconds from, int packets) {
    int count = 0;
    for (int i = 0; i < packets; ++i) {
      search.time = kBegin + from + milliseconds(500 * i);
      search.source = address(static_cast<std::uint32_t>(i));
      const Decision d = policy.decide(search, kClean);
      EXPECT_FALSE(d.block) << "its senders may be anybody";
      count += d.reason == Reason::clean ? 1 : 0;
      EXPECT_TRUE(d.reason == Reason::clean || d.reason == Reason::blind);
    }
    return count;
  };
  EXPECT_EQ(passed(seconds(0), 100), 8);
  EXPECT_EQ(passed(seconds(400), 100), 8) << "it fades";
  search.blind = false;
  EXPECT_EQ(policy.decide(search, kClean).reason, Reason::clean) << "a device was heard there";
  search.blind = true;
  EXPECT_EQ(policy.decide(search, kClean).reason, Reason::blind);
  search.side = Side::lan;
  EXPECT_EQ(policy.decide(search, kClean).reason, Reason::clean) << "sides count apart";
}

class Crowds : public testing::Test {
 protected:
  void SetUp() override {  // the box has run for a while when they come
    policy_.decide(reply_from(address(900'000), Nanoseconds{0}), kClean);
  }
  /// A packet of a stranger that nobody saw before, or of who was first seen at `known`.
  Decision send(packet::Method method, Nanoseconds at, bool multicast = true,
                Nanoseconds known = Nanoseconds::max()) {
    Context context = to_group(method, address(next_++), at);
    context.multicast = multicast;
    context.first_seen = known == Nanoseconds::max() ? context.time : kBegin + known;
    return policy_.decide(context, kClean);
  }
  /// Of `packets` strangers, a millisecond apart.
  int passed(packet::Method method, Nanoseconds from, int packets, bool multicast = true) {
    int count = 0;
    for (int i = 0; i < packets; ++i) {
      const Decision d = send(method, from + milliseconds(i), multicast);
      count += d.verdict == Verdict::forward ? 1 : 0;
      EXPECT_FALSE(d.block);
      EXPECT_TRUE(d.reason == Reason::clean || d.reason == Reason::crowd);
    }
    return count;
  }
  Policy policy_{config()};
  std::uint32_t next_ = 0;
};

TEST_F(Crowds, OfStrangersAreStoppedAndKnownDevicesAreNot) {
  const int passed_all = passed(packet::Method::notify, seconds(60), 5'000);
  EXPECT_GE(passed_all, 400);
  EXPECT_LE(passed_all, 470) << "they fade while they come";
  EXPECT_EQ(send(packet::Method::notify, seconds(65), true, seconds(50)).reason, Reason::clean);
  EXPECT_EQ(send(packet::Method::notify, seconds(65), true, seconds(58)).reason, Reason::crowd)
      << "a crowd is not known for having begun early";
  EXPECT_EQ(send(packet::Method::search, seconds(65)).reason, Reason::clean) << "of its sort alone";
  EXPECT_EQ(passed(packet::Method::notify, seconds(75), 300), 300) << "it ends";
}

TEST_F(Crowds, OfAnswersToHostsThatDidNotAsk) {
  EXPECT_LE(passed(packet::Method::reply, seconds(60), 5'000, false), 470);
  Context awaited = reply_from(address(1), seconds(65));
  awaited.first_seen = awaited.time;
  awaited.awaited = true;
  EXPECT_EQ(policy_.decide(awaited, kClean).reason, Reason::clean) << "it asked";
  awaited.flooding = true;
  EXPECT_EQ(policy_.decide(awaited, kClean).reason, Reason::crowd) << "but it is flooded";
  awaited.solicited = true;
  EXPECT_EQ(policy_.decide(awaited, kClean).reason, Reason::solicited);
}

TEST_F(Crowds, AreCountedWhateverTheForestStops) {
  for (int i = 0; i < 2'000; ++i) {
    Context context =
        to_group(packet::Method::notify, address(next_++), seconds(60) + milliseconds(i));
    context.first_seen = context.time;
    policy_.decide(context, i % 10 == 0 ? kClean : kAttack);
  }
  EXPECT_EQ(send(packet::Method::notify, seconds(62)).reason, Reason::crowd);
}

TEST_F(Crowds, AForgedAddressOfTheOtherSideIsAStranger) {
  passed(packet::Method::notify, seconds(60), 1'000);
  Context forged = to_group(packet::Method::notify, address(7), seconds(61));
  forged.wrong_side = true;
  EXPECT_EQ(policy_.decide(forged, kClean).reason, Reason::crowd);
}

TEST_F(Crowds, WhoAnsweredWhatItWasAskedIsNoStranger) {
  passed(packet::Method::notify, seconds(60), 1'000);
  Context asked = to_group(packet::Method::notify, address(7), seconds(61));
  asked.first_seen = asked.time;
  asked.source_wanted = 0.6F;
  EXPECT_EQ(policy_.decide(asked, kClean).reason, Reason::clean);
  asked.source_wanted = 0.4F;  // longer ago
  EXPECT_EQ(policy_.decide(asked, kClean).reason, Reason::crowd);
  asked.source_wanted = 1;
  asked.wrong_side = true;
  EXPECT_EQ(policy_.decide(asked, kClean).reason, Reason::crowd);
}

TEST(Crowd, IsNoneBeforeTheBoxCanKnowAnybody) {
  Policy policy(config());
  for (int i = 0; i < 6'999; ++i) {
    Context context =
        to_group(packet::Method::notify, address(static_cast<std::uint32_t>(i)), milliseconds(i));
    context.first_seen = context.time;
    ASSERT_EQ(policy.decide(context, kClean).reason, Reason::clean) << i;
  }
  Context context = to_group(packet::Method::notify, address(8'000), seconds(7));
  context.first_seen = context.time;
  EXPECT_EQ(policy.decide(context, kClean).reason, Reason::crowd);
}

/// An answer to a search that the box did not see, of `already` unasked ones to its host.
Context late_answer(std::uint32_t source, Nanoseconds at, float already) {
  Context context = reply_from(address(source), at);
  context.awaited = false;
  context.destination_unsolicited = already;
  return context;
}

TEST(LateAnswers, AreSparedWhileTheyAreFew) {
  Policy policy(config());
  for (int i = 0; i < 200; ++i) {  // as many as come in half a minute, each second one
    const Decision d = policy.decide(late_answer(1, seconds(i), 40), kAttack);
    ASSERT_EQ(d.verdict, Verdict::forward);
    ASSERT_EQ(d.reason, Reason::spared);
    ASSERT_FALSE(d.block);
  }
  EXPECT_EQ(policy.decide(late_answer(1, seconds(200), 41), kAttack).reason, Reason::scored);
  EXPECT_EQ(policy.counters().blocks, 0U);
}

TEST(LateAnswers, AreNotSparedInACarpet) {
  Policy policy(config());
  int spared = 0;
  for (int i = 0; i < 1'000; ++i) {  // each to a host of its own
    Context context = late_answer(static_cast<std::uint32_t>(i), milliseconds(i), 1);
    context.destination = address(5'000 + static_cast<std::uint32_t>(i));
    spared += policy.decide(context, kAttack).reason == Reason::spared ? 1 : 0;
  }
  EXPECT_GE(spared, 40);
  EXPECT_LE(spared, 45) << "they fade while they come";
}

TEST(LateAnswers, OfOneSegmentAreSparedUntilTheyAreACrowd) {
  Policy policy(config());
  Context near = late_answer(1, seconds(1), 1'000);
  near.asked_same_side = true;
  near.destination_packets = 400;
  EXPECT_EQ(policy.decide(near, kAttack).reason, Reason::spared);
  near.destination_packets = 401;
  EXPECT_EQ(policy.decide(near, kAttack).reason, Reason::scored);
}

TEST(LateAnswers, OfAForgedAddressOrNoAnswerAreNot) {
  Policy policy(config());
  Context forged = late_answer(1, seconds(1), 1);
  forged.wrong_side = true;
  EXPECT_EQ(policy.decide(forged, kAttack).reason, Reason::scored);
  for (const auto method :
       {packet::Method::search, packet::Method::notify, packet::Method::malformed}) {
    Context other = late_answer(2, seconds(2), 1);
    other.method = method;
    EXPECT_EQ(policy.decide(other, kAttack).reason, Reason::scored);
  }
  PolicyConfig none = config();
  none.late_answers = 0;
  EXPECT_EQ(Policy(none).decide(late_answer(1, seconds(1), 0), kAttack).reason, Reason::scored);
}

TEST(Limits, CanBeTurnedOff) {
  PolicyConfig c = config();
  c.group_searches = c.group_notifies = c.blind_searches = c.crowd_packets = 0;
  c.repeated_searches = 0;
  Policy policy(c);
  for (std::uint32_t i = 0; i < 3'000; ++i) {
    Context context = to_group(packet::Method::search, address(i), milliseconds(i));
    context.first_seen = context.time;
    context.source_alike = 1e6F;
    context.blind = true;
    context.multicast = i % 2 == 0;
    context.flooding = true;
    context.searches_each = 1e6F;
    ASSERT_EQ(policy.decide(context, kClean).reason, Reason::clean);
    context.method = packet::Method::reply;
    context.multicast = false;
    ASSERT_EQ(policy.decide(context, kClean).reason, Reason::clean);
  }
}

}  // namespace
}  // namespace weir::detect
