// SPDX-License-Identifier: BSD-2-Clause
// Which blocks become rules of a NIC, and when they go; the NIC is the test's own.
#include "control/drop_mirror.h"

#include <gtest/gtest.h>

#include <map>

#include "datapath/native_shared.h"

namespace weir::control {
namespace {

using What = io::DropMatch::What;

/// Keeps rules, counts what the test says it dropped.
class Nic final : public io::PollDevices {
 public:
  struct Rule {
    io::DropMatch match;
    io::DropHits hits;
  };
  Status try_drop(Side side, const io::DropMatch& match) override {
    WEIR_CHECK(side == Side::wan);
    if (!able || (only_v4 && !match.source.address().is_v4())) return fail("not implemented");
    return {};
  }
  Result<io::DropRule> add_drop(Side, const io::DropMatch& match) override {
    if (rules.size() >= room) return fail("full");
    if (one_mask && !rules.empty() && rules.begin()->second.match.what != match.what)
      return fail("another mask");
    return io::DropRule{&rules.emplace(++last, Rule{match, {}}).first->second, counts};
  }
  Status remove_drop(Side, const io::DropRule& rule) override {
    if (stuck) return fail("busy");
    std::erase_if(rules, [&](const auto& one) { return &one.second == rule.handle; });
    return {};
  }
  std::optional<io::DropHits> drop_hits(Side, const io::DropRule& rule) override {
    if (!counts) return std::nullopt;
    return static_cast<Rule*>(rule.handle)->hits;
  }
  /// Hits of every rule for `source`, from now on.
  void hit(const Address& source, std::uint64_t packets) {
    for (auto& [number, rule] : rules) {
      if (!rule.match.source.contains(source)) continue;
      rule.hits.packets += packets;
      rule.hits.bytes += packets * 100;
      return;
    }
  }
  [[nodiscard]] std::size_t of(const Address& source) const {
    return static_cast<std::size_t>(std::count_if(rules.begin(), rules.end(), [&](const auto& one) {
      return one.second.match.source.contains(source);
    }));
  }

  std::size_t receive(Side, std::uint32_t, std::span<io::PollPacket>) noexcept override {
    return 0;
  }
  std::size_t transmit(Side, std::uint32_t, std::span<void* const>) noexcept override { return 0; }
  void release(std::span<void* const>) noexcept override {}
  std::size_t send_copies(Side, std::uint32_t,
                          std::span<const std::span<const std::uint8_t>>) noexcept override {
    return 0;
  }
  [[nodiscard]] std::uint32_t channels() const noexcept override { return 1; }
  [[nodiscard]] const io::PollFacts& facts(Side) const noexcept override { return facts_; }
  [[nodiscard]] io::PollCounters counters(Side) const noexcept override { return {}; }
  [[nodiscard]] bool is_up(Side) const noexcept override { return true; }
  [[nodiscard]] const std::vector<std::string>& notes() const noexcept override { return notes_; }

  bool able = true, only_v4 = false, counts = true, stuck = false, one_mask = false;
  std::size_t room = 1000;
  std::map<int, Rule> rules;
  int last = 0;

 private:
  io::PollFacts facts_;
  std::vector<std::string> notes_;
};

Address source(std::uint32_t number) { return Address::v4(be32::from_host(0xcb007100U + number)); }

class DropMirrorTest : public ::testing::Test {
 protected:
  void make(std::uint32_t rules_max = 100, bool all_ports = false) {
    mirror_.reset();
    mirror_ = std::make_unique<DropMirror>(
        tables_, nic_,
        DropMirrorConfig{.rules_max = rules_max,
                         .udp_ports = {1900},
                         .all_ports = all_ports,
                         .log = [this](const std::string& line) { said_.push_back(line); }});
  }
  /// A block that was hit so often in software. The tables take hits as they are given.
  void block(const Address& address, std::uint64_t hits, weir_target target = WEIR_TARGET_source,
             weir_scope scope = WEIR_SCOPE_ssdp, Nanoseconds lasts = std::chrono::hours(1)) {
    datapath::Block one{.source = address, .target = target};
    one.value.scope = scope;
    one.value.origin = WEIR_ORIGIN_policy;
    one.value.hit_packets = hits;
    one.value.expires_ns = (now_ + lasts).ns;
    ASSERT_EQ(mirror_->add_blocks({&one, 1}), 1U);
  }
  void pass(unsigned times = 1) {
    for (; times > 0; --times) mirror_->pass(now_ = now_ + DropMirror::kPass);
  }
  std::uint64_t told(const Address& address) {
    const auto blocks = mirror_->list_blocks();
    for (const auto& block : *blocks)
      if (block.source == address) return block.value.hit_packets;
    return 0;
  }

  PacketTime now_{1'000'000'000'000};
  Nic nic_;
  datapath::NativeShared tables_{datapath::Config{}, 1};
  std::vector<std::string> said_;
  std::unique_ptr<DropMirror> mirror_;
};

TEST_F(DropMirrorTest, ABusySourceHasARuleForEachWayOfItsPort) {
  make();
  EXPECT_EQ(mirror_->refusal(), "");
  block(source(1), DropMirror::kWorth);
  block(source(2), DropMirror::kWorth - 1);
  EXPECT_TRUE(nic_.rules.empty()) << "the enforcer waits for no NIC";
  pass();
  ASSERT_EQ(nic_.rules.size(), 2U);
  EXPECT_EQ(nic_.of(source(1)), 2U);
  std::vector<What> whats;
  for (const auto& [number, rule] : nic_.rules) {
    whats.push_back(rule.match.what);
    EXPECT_EQ(rule.match.port, 1900);
    EXPECT_EQ(rule.match.source.length(), 32U);
  }
  EXPECT_EQ(whats, (std::vector{What::udp_from_port, What::udp_to_port}));
  nic_.hit(source(1), 500);
  pass();
  EXPECT_EQ(told(source(1)), DropMirror::kWorth + 500);
  EXPECT_EQ(mirror_->nic_counters().hit_bytes, 50'000U);
  mirror_.reset();
  EXPECT_TRUE(nic_.rules.empty());
}

TEST_F(DropMirrorTest, AScopeIsWhatTheRuleDrops) {
  make();
  block(source(1), 100, WEIR_TARGET_source, WEIR_SCOPE_all);
  block(source(0), 100, WEIR_TARGET_network);
  block(source(3), 100, WEIR_TARGET_victim);
  pass();
  std::map<unsigned, std::vector<What>> by_length;
  for (const auto& [number, rule] : nic_.rules)
    by_length[rule.match.source.length()].push_back(rule.match.what);
  EXPECT_EQ(by_length[32], std::vector{What::all});
  EXPECT_EQ(by_length[24], (std::vector{What::udp_from_port, What::udp_to_port}));
  EXPECT_EQ(nic_.rules.size(), 3U) << "none for a victim: its ports change";
  make(100, true);
  block(source(4), 100);
  pass();
  const Prefix fourth(source(4), 32);
  EXPECT_EQ(std::count_if(nic_.rules.begin(), nic_.rules.end(),
                          [&](const auto& one) {
                            const io::DropMatch& match = one.second.match;
                            return match.source == fourth && match.what == What::udp;
                          }),
            1);
}

TEST_F(DropMirrorTest, NoRuleTouchesWhatIsAllowed) {
  make();
  block(source(1), 100);
  block(source(0), 100, WEIR_TARGET_network);
  pass();
  EXPECT_EQ(nic_.rules.size(), 4U);
  ASSERT_TRUE(mirror_->add_allow(*Prefix::parse("203.0.113.9")));
  EXPECT_EQ(nic_.rules.size(), 2U) << "the network's rules held the allowed address too";
  ASSERT_TRUE(mirror_->add_allow(*Prefix::parse("203.0.0.0/16")));
  EXPECT_TRUE(nic_.rules.empty());
  block(source(1), 200);
  block(source(0), 200, WEIR_TARGET_network);
  pass();
  EXPECT_TRUE(nic_.rules.empty());
  ASSERT_TRUE(mirror_->remove_allow(*Prefix::parse("203.0.0.0/16")));
  block(source(1), 300);
  pass();
  EXPECT_EQ(nic_.rules.size(), 2U);
}

TEST_F(DropMirrorTest, ARuleGoesWithItsBlockAndBeforeItExpires) {
  make();
  block(source(1), 100, WEIR_TARGET_source, WEIR_SCOPE_ssdp, std::chrono::seconds(6));
  block(source(2), 100);
  block(source(3), 100, WEIR_TARGET_source, WEIR_SCOPE_ssdp, std::chrono::seconds(2));
  pass();
  EXPECT_EQ(nic_.rules.size(), 4U) << "none for the one that ends soon";
  const datapath::BlockKey second{source(2), WEIR_TARGET_source};
  ASSERT_EQ(mirror_->remove_blocks({&second, 1}), 1U);
  EXPECT_EQ(nic_.of(source(2)), 0U);
  for (int i = 0; i < 3; ++i) {
    nic_.hit(source(1), 50);
    pass();
  }
  EXPECT_EQ(nic_.of(source(1)), 0U);
  EXPECT_EQ(told(source(1)), 250U) << "what the rules dropped is not forgotten";
}

TEST_F(DropMirrorTest, AMostHitSourceTakesThePlaceOfALessHitOne) {
  make(4);
  block(source(1), 100);
  block(source(2), 100);
  block(source(3), 50);
  pass();
  EXPECT_EQ(nic_.of(source(3)), 0U);
  for (const std::uint64_t hits : {50 + 79, 50 + 79 + 80}) {
    EXPECT_EQ(nic_.of(source(3)), 0U);
    nic_.hit(source(1), 100);
    nic_.hit(source(2), 40);
    block(source(3), hits);
    pass();
  }
  EXPECT_EQ(nic_.of(source(3)), 2U) << "twice as often as the second";
  EXPECT_EQ(nic_.of(source(1)), 2U);
  EXPECT_EQ(nic_.of(source(2)), 0U);
  EXPECT_LE(nic_.rules.size(), 4U);
}

TEST_F(DropMirrorTest, WhoFallsSilentLosesItsRuleAndWhoIsNotCountedIsLookedAtAgain) {
  for (const bool counts : {true, false}) {
    nic_.counts = counts;
    make();
    block(source(1), 100);
    block(source(2), 100);
    pass();
    for (unsigned i = 1; i <= DropMirror::kQuiet; ++i) {
      EXPECT_EQ(nic_.of(source(1)), 2U) << i;
      nic_.hit(source(2), 1);
      pass();
    }
    EXPECT_EQ(nic_.of(source(1)), 0U);
    EXPECT_EQ(nic_.of(source(2)), counts ? 2U : 0U);
    block(source(1), 200);
    pass();
    EXPECT_EQ(nic_.of(source(1)), 2U) << "it sends again";
  }
}

TEST_F(DropMirrorTest, ChangesOfTheNicAreBoundedAndRefusalsPause) {
  make(10'000);
  for (std::uint32_t i = 0; i < 200; ++i) block(source(i), 100);
  pass();
  EXPECT_EQ(nic_.rules.size(), DropMirror::kChanges);
  nic_.room = 300;
  for (std::uint32_t i = 0; i < 200; ++i) block(source(i), 200);
  pass();
  EXPECT_EQ(nic_.rules.size(), 300U);
  EXPECT_EQ(mirror_->nic_counters().refused, 1U);
  ASSERT_EQ(said_.size(), 1U);
  EXPECT_NE(said_[0].find("full"), std::string::npos);
  for (std::uint32_t i = 0; i < 200; ++i) block(source(i), 300);
  pass();
  EXPECT_EQ(mirror_->nic_counters().refused, 1U) << "not asked again at once";
}

TEST_F(DropMirrorTest, ARuleThatTheNicKeepsIsSaidAndTriedAgain) {
  make();
  block(source(1), 100);
  pass();
  nic_.stuck = true;
  const datapath::BlockKey first{source(1), WEIR_TARGET_source};
  ASSERT_EQ(mirror_->remove_blocks({&first, 1}), 1U);
  EXPECT_EQ(nic_.rules.size(), 2U);
  ASSERT_EQ(said_.size(), 1U);
  EXPECT_NE(said_[0].find("203.0.113.1"), std::string::npos);
  nic_.stuck = false;
  pass();
  EXPECT_TRUE(nic_.rules.empty());
}

TEST_F(DropMirrorTest, ANicOfOneMaskHasRulesOfOneKind) {
  nic_.one_mask = true;
  make();
  for (std::uint32_t i = 0; i < 10; ++i) block(source(i), 100);
  pass();
  EXPECT_EQ(nic_.rules.size(), 10U);
  EXPECT_EQ(mirror_->nic_counters().refused, 1U);
  EXPECT_EQ(nic_.rules.begin()->second.match.what, What::udp_from_port);
}

TEST_F(DropMirrorTest, ANicIsAskedWhatItTakes) {
  nic_.only_v4 = true;
  make();
  EXPECT_EQ(mirror_->kinds(), "sources and networks, IPv4");
  block(*Address::parse("2001:db8::1"), 100);
  block(source(1), 100);
  pass();
  EXPECT_EQ(nic_.rules.size(), 2U);
  nic_.able = false;
  make();
  EXPECT_EQ(mirror_->refusal(), "not implemented");
}

}  // namespace
}  // namespace weir::control
