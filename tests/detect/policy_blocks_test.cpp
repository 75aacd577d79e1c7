// SPDX-License-Identifier: BSD-2-Clause
/// What blocks are made of, and what no forged packet can do.
#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <map>
#include <set>

#include "detect/extractor.h"
#include "detect/ledger.h"
#include "detect/network_table.h"
#include "detect/policy.h"
#include "detect/prefix_set.h"
#include "detect/scope.h"

namespace weir::detect {
namespace {

using packet::Method;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

constexpr PacketTime kBegin{1'767'225'600'000'000'000ULL};
constexpr float kAttack = 0.9F;
constexpr float kClean = 0.1F;

Address v4(std::uint32_t number) { return Address::v4(be32::from_host(number)); }
Address stranger(std::uint32_t number) { return v4(0xcb007100U + number); }
const Address kVictim = *Address::parse("192.168.1.10");

Context reply(const Address& source, Nanoseconds at) {
  Context context;
  context.source = source;
  context.destination = kVictim;
  context.time = kBegin + at;
  context.method = Method::reply;
  context.first_seen = kBegin;
  context.awaited = true;
  context.destination_unsolicited = 1'000;  // it is under attack
  context.source_port = 1900;
  context.destination_port = 50'000;
  return context;
}

Context search_of_victim(std::uint16_t port, Nanoseconds at) {
  Context context = reply(kVictim, at);
  context.destination = *Address::parse("239.255.255.250");
  context.side = Side::lan;
  context.method = Method::search;
  context.multicast = true;
  context.source_port = port;
  return context;
}

PolicyConfig config() {
  PolicyConfig c;
  c.suspects_max = 4'096;
  return c;
}

TEST(PolicyOthers, WhatIsNoSsdpIsJudgedAsConfigured) {
  // A resolver's client, and a flood of the same.
  Context query = reply(stranger(1), milliseconds(0));
  query.method = Method::none;
  query.awaited = false;
  query.source_port = 40'000;
  query.destination_port = 53;
  query.destination_packets = 10;
  Context flood = query;
  flood.destination_packets = 500;
  Context on_1900 = flood;
  on_1900.destination_port = 1900;
  const auto reasons = [&](Others others) {
    PolicyConfig c = config();
    c.others = others;
    Policy policy(c);
    std::vector<Reason> found;
    for (const Context& context : {query, flood, on_1900})
      found.push_back(policy.decide(context, kAttack).reason);
    return found;
  };
  using R = std::vector<Reason>;
  EXPECT_EQ(reasons(Others::floods), (R{Reason::clean, Reason::scored, Reason::scored}));
  EXPECT_EQ(reasons(Others::pass), (R{Reason::clean, Reason::clean, Reason::scored}));
  EXPECT_EQ(reasons(Others::model)[0], Reason::scored);
  query.client_flow = true;  // this side opened it
  EXPECT_EQ(reasons(Others::model)[0], Reason::client_flow);
}

TEST(PolicyBlocks, ABlockOfAllTrafficIsOfASourceAlone) {
  PolicyConfig c = config();
  c.block_all = true;
  c.evidence_span_ms = 0;
  c.network_sources = 2;
  Policy policy(c);
  for (std::uint32_t source = 1; source <= 4; ++source) {
    Decision d;
    for (int i = 0; i < 3; ++i)
      d = policy.decide(reply(stranger(source), milliseconds(i)), kAttack);
    EXPECT_TRUE(d.block && d.all);
    EXPECT_EQ(d.target, Target::source) << "a /24 is more than one source";
  }
}

TEST(PolicyEvidence, ABurstOfADeviceBlocksNobody) {
  Policy policy(config());
  for (int i = 0; i < 52; ++i)
    EXPECT_FALSE(policy.decide(reply(stranger(1), milliseconds(i)), kAttack).block) << i;
  EXPECT_TRUE(policy.decide(reply(stranger(1), milliseconds(1'001)), kAttack).block)
      << "it goes on after a second";
}

TEST(PolicyEvidence, AFloodIsBlockedAtOnce) {
  Policy policy(config());
  int packets = 0;
  while (!policy.decide(reply(stranger(1), milliseconds(packets / 10)), kAttack).block) ++packets;
  EXPECT_EQ(packets, 63);
}

TEST(PolicyEvidence, WhoAnswersWhatItIsAskedNeedsMore) {
  Policy policy(config());
  for (int i = 0; i < 29; ++i) {
    Context context = reply(stranger(1), milliseconds(100 * i));
    context.source_wanted = 1;
    EXPECT_FALSE(policy.decide(context, kAttack).block) << i;
  }
  Context context = reply(stranger(1), seconds(3));
  context.source_wanted = 1;
  EXPECT_TRUE(policy.decide(context, kAttack).block);
}

TEST(PolicyEvidence, OnlyContextAndTimeClear) {
  Policy policy(config());
  for (int i = 0; i < 2; ++i) policy.decide(reply(stranger(1), seconds(0)), kAttack);
  for (int i = 0; i < 1'000; ++i)
    EXPECT_EQ(policy.decide(reply(stranger(1), milliseconds(i)), kClean).reason, Reason::clean);
  EXPECT_TRUE(policy.decide(reply(stranger(1), seconds(2)), kAttack).block)
      << "clean packets in between clear nothing";
}

TEST(PolicyEvidence, LanAndOwnAddressesAreImmune) {
  PolicyConfig c = config();
  c.immune = {*Prefix::parse("203.0.113.7/32")};
  Policy policy(c);
  for (int i = 0; i < 500; ++i) {
    Context own = reply(*Address::parse("203.0.113.7"), milliseconds(10 * i));
    Context lan = reply(kVictim, milliseconds(10 * i));
    lan.side = Side::lan;
    lan.method = Method::search;
    for (const Context& context : {own, lan}) {
      const Decision d = policy.decide(context, kAttack);
      ASSERT_EQ(d.verdict, Verdict::drop) << "judged all the same";
      ASSERT_FALSE(d.block);
    }
  }
}

/// Drives the policy with attackers 0 to n - 1, each until it is blocked.
std::vector<Decision> block_each(Policy& policy, std::uint32_t first, std::uint32_t n,
                                 Nanoseconds at) {
  std::vector<Decision> blocks;
  for (std::uint32_t s = first; s < first + n; ++s)
    for (int i = 0; i < 64; ++i)
      if (const Decision d = policy.decide(reply(stranger(s), at), kAttack); d.block)
        blocks.push_back(d);
  return blocks;
}

TEST(PolicyNetwork, TakesTheSourcesPlace) {
  PolicyConfig c = config();
  c.network_sources = 8;
  c.victim_sources = 0;
  Policy policy(c);
  const auto blocks = block_each(policy, 1, 8, seconds(0));
  ASSERT_EQ(blocks.size(), 8U);
  EXPECT_EQ(blocks[6].target, Target::source);
  EXPECT_EQ(blocks[7].target, Target::network);
  const Context other = reply(stranger(200), seconds(1));
  const Decision d = policy.decide(other, kClean);
  EXPECT_EQ(d.reason, Reason::network);
  EXPECT_EQ(blocked_address(other, d).text(), "203.0.113.0");
  EXPECT_EQ(policy.decide(reply(stranger(256), seconds(1)), kClean).reason, Reason::clean);
  EXPECT_EQ(policy.counters().networks, 1U);
  policy.forgive(*Address::parse("203.0.113.0"));
  EXPECT_EQ(policy.decide(other, kClean).reason, Reason::clean);
}

TEST(PolicyNetwork, NeverOneWithFriends) {
  PolicyConfig c = config();
  c.network_sources = 4;
  c.victim_sources = 0;
  const auto network_blocks = [](Policy& policy, Nanoseconds at) {
    unsigned n = 0;
    for (const Decision& d : block_each(policy, 1, 30, at))
      n += d.target == Target::network ? 1U : 0U;
    return n;
  };
  for (const char* allowed : {"203.0.113.200/32", "203.0.112.0/20", "203.0.113.128/25"}) {
    c.allow = {*Prefix::parse(allowed)};
    Policy policy(c);
    EXPECT_EQ(network_blocks(policy, seconds(0)), 0U) << allowed;
  }
  c.allow = {};
  Policy policy(c);
  block_each(policy, 1, 1, seconds(0));
  Context friendly = reply(stranger(99), seconds(1));
  friendly.solicited = true;
  policy.decide(friendly, kClean);
  EXPECT_EQ(network_blocks(policy, minutes(20)), 0U) << "one of it answered what it was asked";
  EXPECT_GT(network_blocks(policy, minutes(90)), 0U);
}

TEST(PolicyVictim, ManySourcesMakeOneBlock) {
  PolicyConfig c = config();
  c.victim_sources = 200;
  Policy policy(c);
  policy.decide(search_of_victim(50'000, seconds(0)), kClean);
  unsigned blocks = 0;
  Decision made;
  for (std::uint32_t s = 0; s < 20'000; ++s) {
    const Decision d =
        policy.decide(reply(v4(0x2d000000U + s * 77), milliseconds(s / 100)), kAttack);
    ASSERT_EQ(d.verdict, Verdict::drop);
    if (!d.block) continue;
    ++blocks;
    made = d;
  }
  EXPECT_EQ(blocks, 1U);
  EXPECT_EQ(made.target, Target::victim);
  EXPECT_EQ(made.open_ports[0], 50'000) << "what it searched from stays open";
  EXPECT_EQ(policy.counters().victims, 1U);
  EXPECT_LT(policy.counters().suspects, 600U) << "behind the block nobody is suspected any more";
  Context clean = reply(stranger(1), seconds(1));
  EXPECT_EQ(policy.decide(clean, kClean).reason, Reason::victim) << "unasked";
  clean.solicited = true;
  EXPECT_EQ(policy.decide(clean, kClean).reason, Reason::solicited);
  Context elsewhere = reply(stranger(1), seconds(1));
  elsewhere.destination = *Address::parse("192.168.1.11");
  EXPECT_EQ(policy.decide(elsewhere, kClean).reason, Reason::clean);
}

TEST(PolicyVictim, ANewSearchOpensItsPort) {
  PolicyConfig c = config();
  c.victim_sources = 50;
  Policy policy(c);
  for (std::uint32_t s = 0; s < 200; ++s) policy.decide(reply(stranger(s), seconds(0)), kAttack);
  const Context search = search_of_victim(40'001, seconds(1));
  const Decision d = policy.decide(search, kClean);
  EXPECT_EQ(d.verdict, Verdict::forward);
  EXPECT_TRUE(d.block) << "the kernel has to know the port";
  EXPECT_EQ(d.target, Target::victim);
  EXPECT_EQ(blocked_address(search, d), kVictim);
  EXPECT_EQ(d.open_ports[0], 40'001);
  EXPECT_FALSE(policy.decide(search_of_victim(40'001, seconds(2)), kClean).block) << "known";
  for (std::uint16_t port = 1; port <= 9; ++port)
    policy.decide(search_of_victim(port, seconds(3)), kClean);
  const Decision last = policy.decide(search_of_victim(77, seconds(4)), kClean);
  EXPECT_EQ(last.open_ports, (std::array<std::uint16_t, 8>{77, 9, 8, 7, 6, 5, 4, 3}));
}

TEST(PolicyShadow, SaysWhatItWouldDo) {
  PolicyConfig c = config();
  c.shadow = true;
  Policy policy(c);
  bool would_block = false;
  for (int i = 0; i < 80; ++i) {
    const Decision d = policy.decide(reply(stranger(1), milliseconds(i)), kAttack);
    EXPECT_EQ(d.verdict, Verdict::forward);
    EXPECT_EQ(d.reason, Reason::shadow);
    EXPECT_EQ(d.rule, would_block ? Reason::blocked : Reason::scored);
    EXPECT_FALSE(d.block);
    would_block = would_block || d.would_block;
  }
  EXPECT_TRUE(would_block);
}

TEST(Scope, WhatSsdpNeverIs) {
  const auto impossible = [](const char* source, Method method, bool multicast) {
    Context context = reply(*Address::parse(source), seconds(0));
    context.method = method;
    context.multicast = multicast;
    return is_impossible(context);
  };
  EXPECT_FALSE(impossible("198.51.100.1", Method::reply, false));
  EXPECT_TRUE(impossible("198.51.100.1", Method::reply, true));
  EXPECT_TRUE(impossible("198.51.100.1", Method::malformed, true));
  EXPECT_FALSE(impossible("198.51.100.1", Method::search, true));
  EXPECT_FALSE(impossible("fe80::1", Method::notify, true));
  for (const char* source : {"0.0.0.0", "127.0.0.1", "239.255.255.250", "255.255.255.255",
                             "::", "::1", "ff02::c", "240.0.0.1"})
    EXPECT_TRUE(impossible(source, Method::search, false)) << source;
  EXPECT_FALSE(impossible("127.0.0.1", Method::none, false)) << "no SSDP: not asked";
  Context no_port = reply(stranger(1), seconds(0));
  no_port.destination_port = 0;
  EXPECT_TRUE(is_impossible(no_port));
}

TEST(Scope, EachRuleDropsItsOwnAndNothingElse) {
  struct Case {
    const char* what;
    bool ScopeRules::*rule;
    Context context;
  };
  Context wan_search = reply(stranger(1), seconds(0));
  wan_search.method = Method::search;
  Context group = wan_search;
  group.multicast = true;
  Context lan = reply(kVictim, seconds(0));
  lan.side = Side::lan;
  lan.destination = stranger(1);
  const Context unasked = reply(stranger(1), seconds(0));
  Context inside = reply(*Address::parse("10.9.9.9"), seconds(0));
  const std::vector<Case> cases = {{"search", &ScopeRules::wan_search, wan_search},
                                   {"group", &ScopeRules::wan_multicast, group},
                                   {"unasked", &ScopeRules::wan_unasked, unasked},
                                   {"lan", &ScopeRules::lan_unasked, lan}};
  for (const Case& given : cases) {
    for (const Case& rule : cases) {
      ScopeRules rules;
      rules.*(rule.rule) = true;
      EXPECT_EQ(is_out_of_scope(given.context, rules), given.rule == rule.rule)
          << given.what << " by " << rule.what;
      PolicyConfig c = config();
      c.scope = rules;
      Policy policy(c);
      EXPECT_EQ(policy.decide(given.context, kClean).reason,
                given.rule == rule.rule ? Reason::scope : Reason::clean);
      Context asked = given.context;
      asked.solicited = true;
      EXPECT_EQ(policy.decide(asked, kClean).verdict, Verdict::forward);
    }
  }
  ScopeRules rules;
  rules.wan_private = true;
  EXPECT_TRUE(is_out_of_scope(inside, rules));
  EXPECT_FALSE(is_out_of_scope(unasked, rules));
}

TEST(PolicyOther, WhatIsNoSsdpIsDroppedInAFloodOnly) {
  Policy policy(config());
  Context flow = reply(stranger(1), seconds(0));
  flow.method = Method::none;
  flow.source_packets = flow.destination_packets = 99;
  EXPECT_EQ(policy.decide(flow, kAttack).reason, Reason::clean);
  flow.destination_packets = 100;
  EXPECT_EQ(policy.decide(flow, kAttack).reason, Reason::scored);
}

/// A packet that anybody may have forged, and the score that it got.
struct Forged {
  Context context;
  float score = 0;
};

rc::Gen<Forged> forged() {
  return rc::gen::map(
      rc::gen::tuple(rc::gen::inRange(0U, 40U), rc::gen::inRange(0U, 4U), rc::gen::inRange(0, 5),
                     rc::gen::inRange(0, 2), rc::gen::inRange(0, 16), rc::gen::arbitrary<bool>()),
      [](const auto& t) {
        const auto& [source, destination, method, side, flags, attack] = t;
        Forged f;
        f.context = reply(stranger(source), Nanoseconds{});
        f.context.destination = v4(0xc0a80100U + destination);
        f.context.method = static_cast<Method>(method);
        f.context.side = static_cast<Side>(side);
        f.context.multicast = flags == 1;
        f.context.wrong_side = flags == 2;
        f.context.solicited = flags == 3;
        f.context.asked_same_side = flags == 4;
        f.context.source_port = flags == 5 ? 0 : 1900;
        f.score = attack ? kAttack : kClean;
        return f;
      });
}

RC_GTEST_PROP(PolicyForgery, BlocksNeedMoreThanOnePacketAndSpareAllButSsdp, ()) {
  PolicyConfig c = config();
  c.evidence_packets = *rc::gen::inRange(0U, 4U);
  c.evidence_span_ms = *rc::gen::element(0U, 500U);
  c.burst_packets = *rc::gen::inRange(0U, 8U);
  c.network_sources = *rc::gen::inRange(0U, 4U);
  c.victim_sources = *rc::gen::element(0U, 2U, 8U);
  c.immune_lan = *rc::gen::arbitrary<bool>();
  const bool internet = *rc::gen::arbitrary<bool>();
  c.scope = {internet, internet, internet, internet, internet};
  Policy policy(c);
  std::map<Address, unsigned> packets;  // by source
  std::map<Address, std::set<Address>> attackers, in_network;
  Nanoseconds at{};
  const auto traffic = *rc::gen::container<std::vector<Forged>>(forged());
  for (const Forged& packet : traffic) {
    Forged f = packet;
    at += milliseconds(*rc::gen::inRange(0, 400));
    f.context.time = kBegin + at;
    ++packets[f.context.source];
    attackers[f.context.destination].insert(f.context.source);
    in_network[network_of(f.context.source)].insert(f.context.source);
    const Decision d = policy.decide(f.context, f.score);
    if (!d.block || d.again) continue;  // what stands already may be ordered by any packet
    const Address blocked = blocked_address(f.context, d);
    switch (d.target) {
      case Target::source:
        RC_ASSERT(packets[blocked] >= 2);
        RC_ASSERT(!f.context.wrong_side);
        RC_ASSERT(f.context.side == Side::wan || !c.immune_lan);
        break;
      case Target::network:
        RC_ASSERT(blocked == network_of(f.context.source));
        RC_ASSERT(c.network_sources > 0);
        break;
      case Target::victim:
        RC_ASSERT(c.victim_sources > 0);
        RC_ASSERT(attackers[blocked].size() >= 2);
        break;
    }
  }
}

TEST(PrefixSet, FindsWhatALinearSearchFinds) {
  std::vector<Prefix> prefixes;
  for (std::uint32_t i = 0; i < 300; ++i) prefixes.emplace_back(v4(i * 0x01234567U), 8 + i % 25);
  for (const char* text :
       {"2001:db8::/32", "fe80::/10", "2001:db8:1:2::3/128", "96.0.0.0/6", "4000::/3"})
    prefixes.push_back(*Prefix::parse(text));
  const PrefixSet set(prefixes);
  std::size_t held = 0;
  for (std::uint32_t i = 0; i < 20'000; ++i) {
    const Address address = v4(i * 0x9e3779b9U);
    const bool any = std::any_of(prefixes.begin(), prefixes.end(),
                                 [&](const Prefix& p) { return p.contains(address); });
    ASSERT_EQ(set.contains(address), any) << address.text();
    held += any ? 1 : 0;
  }
  EXPECT_GT(held, 1'000U);
  EXPECT_LT(held, 19'000U);
  for (const char* inside : {"96.0.0.0", "99.255.255.255", "4000::", "5fff::1"})
    EXPECT_TRUE(set.contains(*Address::parse(inside))) << inside;
  for (const char* outside : {"3fff::1", "6000::", "::"})
    EXPECT_FALSE(set.contains(*Address::parse(outside))) << outside;
  EXPECT_TRUE(PrefixSet({*Prefix::parse("0.0.0.0/0")}).contains(v4(0xffffffffU)));
  EXPECT_TRUE(PrefixSet({*Prefix::parse("::/0")}).contains(*Address::parse("ffff::")));
  EXPECT_FALSE(PrefixSet({*Prefix::parse("::/0")}).contains(v4(1)));
  EXPECT_TRUE(set.contains(*Address::parse("2001:db8:1:2::3")));
  EXPECT_FALSE(set.contains(*Address::parse("2001:db9::1")));
  EXPECT_FALSE(PrefixSet().contains(v4(1)));
  EXPECT_TRUE(set.overlaps(*Prefix::parse("2001:db8:1:2::/64")));
  EXPECT_FALSE(set.overlaps(*Prefix::parse("2001:db9::/64")));
}

TEST(Ledger, CountsByRuleAndSourceAndKeepsWhatDecided) {
  Policy policy(config());
  Ledger ledger({.columns = 2, .sources_max = 64, .blocks_max = 2, .hash_seed = 1});
  std::uint64_t number = 0;
  const auto see = [&](const Context& context, float score) {
    const Decision decision = policy.decide(context, score);
    const float first = static_cast<float>(number), second = score;
    const float* columns[] = {&first, &second};
    ledger.note({{&context, 1}, {&decision, 1}, {&score, 1}, columns},
                [&](std::size_t) { return number; });
    ++number;
    return decision;
  };
  for (int i = 0; i < 64; ++i) see(reply(stranger(1), milliseconds(i)), kAttack);
  Context asked = reply(stranger(1), milliseconds(100));
  asked.solicited = true;
  EXPECT_EQ(see(asked, kClean).reason, Reason::blocked);
  see(reply(stranger(2), milliseconds(101)), kAttack);
  see(reply(stranger(3), milliseconds(102)), kClean);

  const auto snapshot = ledger.snapshot();
  EXPECT_EQ(snapshot.rules[static_cast<std::size_t>(Reason::scored)].packets, 65U);
  EXPECT_EQ(snapshot.rules[static_cast<std::size_t>(Reason::blocked)].packets, 1U);
  EXPECT_EQ(snapshot.rules[static_cast<std::size_t>(Reason::blocked)].asked_for, 1U);
  EXPECT_EQ(snapshot.blocks, 1U);
  ASSERT_EQ(snapshot.sources.size(), 2U);
  EXPECT_EQ(snapshot.sources[0].key, stranger(1));
  EXPECT_EQ(snapshot.sources[0].total, 65U);
  EXPECT_EQ(snapshot.sources[0].asked_for, 1U);
  const auto evidence = ledger.find(stranger(1));
  ASSERT_TRUE(evidence);
  EXPECT_EQ(evidence->packet, 63U);
  EXPECT_EQ(evidence->row, (std::vector<float>{63, kAttack}));
  EXPECT_FALSE(ledger.find(stranger(2)));
  EXPECT_TRUE(ledger.tally(stranger(2)));
  EXPECT_FALSE(ledger.tally(stranger(3)));
  for (std::uint32_t s = 4; s < 6; ++s)
    for (int i = 0; i < 64; ++i) see(reply(stranger(s), seconds(1)), kAttack);
  EXPECT_FALSE(ledger.find(stranger(1))) << "two others were blocked since";
  EXPECT_TRUE(ledger.find(stranger(5)));
}

}  // namespace
}  // namespace weir::detect
