// SPDX-License-Identifier: BSD-2-Clause
#include "control/why.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "../support/reply_model.h"
#include "control/own_addresses.h"
#include "control/report.h"

namespace weir::control {
namespace {

using detect::Context;
using detect::Decision;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr PacketTime kBegin{1'000'000'000'000ULL};
const Address kSource = *Address::parse("203.0.113.7");

Context context_at(Nanoseconds at) {
  Context context;
  context.source = kSource;
  context.destination = *Address::parse("192.168.1.10");
  context.time = context.first_seen = kBegin + at;
  context.method = packet::Method::reply;
  context.destination_unsolicited = 1'000;  // it is under attack
  context.source_port = 1900;
  context.destination_port = 50'000;
  return context;
}

/// A ledger that saw a source sending attack packets until it was blocked, and the policy behind
/// it.
class Box {
 public:
  explicit Box(bool shadow = false) : policy_(config(shadow)), shadow_(shadow) {
    for (int i = 0; i < 64; ++i) see(milliseconds(i), false);
  }
  static detect::PolicyConfig config(bool shadow) {
    detect::PolicyConfig c;
    c.suspects_max = 1'024;
    c.shadow = shadow;
    return c;
  }
  void see(Nanoseconds at, bool solicited) {
    Context context = context_at(at);
    context.solicited = solicited;
    const float score = 0.9F;
    const Decision decision = policy_.decide(context, score);
    const float is_reply = 1, unsolicited = static_cast<float>(number_);
    const float* columns[] = {&is_reply, &unsolicited};
    ledger.note({{&context, 1}, {&decision, 1}, {&score, 1}, columns},
                [&](std::size_t) { return number_; });
    ++number_;
  }
  [[nodiscard]] WhySources sources() const {
    return {.model = &model_, .columns = model_.features, .threshold = 0.5F, .shadow = shadow_};
  }

  detect::Ledger ledger{{.columns = 2, .sources_max = 64, .blocks_max = 16}};

 private:
  forest::Model model_ = test::reply_model();
  detect::Policy policy_;
  bool shadow_;
  std::uint64_t number_ = 0;
};

TEST(Why, TellsOfABlockWithItsRowAndPath) {
  const Box box;
  const Json why = why_address(box.sources(), kSource, box.ledger, kBegin + seconds(10));
  EXPECT_EQ(why["state"], "blocked");
  EXPECT_EQ(why["block"]["target"], "source");
  EXPECT_EQ(why["block"]["strikes"], 0);
  EXPECT_EQ(why["block"]["age_ms"], 9'937);
  EXPECT_EQ(why["block"]["expires_in_ms"], 600'063 - 10'000);
  EXPECT_EQ(why["rule"], "scored");
  EXPECT_EQ(why["model"]["name"], "reply-model");
  EXPECT_EQ(why["packet"]["number"], 63);
  EXPECT_EQ(why["packet"]["destination_port"], 50'000);
  EXPECT_EQ(why["dropped"]["scored"], 64);
  ASSERT_EQ(why["features"].size(), 2U);
  double added = why["expected"].get<double>();
  for (const Json& feature : why["features"]) {
    added += feature["adds"].get<double>();
    if (feature["name"] == "source_unsolicited") {
      EXPECT_EQ(feature["value"], 63);
    }
  }
  EXPECT_NEAR(added, why["margin"].get<double>(), 1e-9) << "what features add is all there is";
  EXPECT_EQ(why["trees"][0]["path"], "is_reply > 0.5, source_unsolicited > 1.5");
  EXPECT_EQ(why["votes"]["for"], 1);
}

TEST(Why, AlsoWhenItHasExpiredOrWasNone) {
  const Box box;
  EXPECT_EQ(why_address(box.sources(), kSource, box.ledger, kBegin + seconds(700))["state"],
            "expired");
  const Json other = why_address(box.sources(), *Address::parse("203.0.113.8"), box.ledger, kBegin);
  EXPECT_EQ(other["state"], "not_blocked");
  EXPECT_FALSE(other.contains("rule"));
  EXPECT_FALSE(other.contains("dropped"));
}

TEST(Why, InShadowNothingIsBlocked) {
  const Box box(true);
  const Json why = why_address(box.sources(), kSource, box.ledger, kBegin + seconds(1));
  EXPECT_EQ(why["state"], "would_be_blocked");
  EXPECT_EQ(why["rule"], "scored");
}

TEST(Why, WithoutAModelTheRowStands) {
  const Box box;
  WhySources sources = box.sources();
  sources.model = nullptr;
  const Json why = why_address(sources, kSource, box.ledger, kBegin + seconds(1));
  EXPECT_TRUE(why["model"].is_null());
  EXPECT_EQ(why["features"].size(), 2U);
  EXPECT_FALSE(why.contains("trees"));
}

TEST(Report, SaysWhatWasDroppedAndWhatOfItWasAskedFor) {
  for (const bool shadow : {false, true}) {
    Box box(shadow);
    box.see(seconds(1), true);
    box.see(seconds(1), false);
    datapath::Block block;
    block.source = kSource;
    block.value.hit_packets = 1'000;
    const Json report = report_document({.ledger = box.ledger.snapshot(),
                                         .blocks = {&block, 1},
                                         .shadow = shadow,
                                         .since = kBegin,
                                         .now = kBegin + seconds(2)});
    EXPECT_EQ(report["mode"], shadow ? "shadow" : "active");
    ASSERT_EQ(report["rules"].size(), 2U);
    EXPECT_EQ(report["rules"][0]["rule"], "scored");
    EXPECT_EQ(report["rules"][0]["packets"], 64);
    EXPECT_EQ(report["rules"][1]["rule"], "blocked");
    EXPECT_EQ(report["rules"][1]["packets"], 2);
    EXPECT_EQ(report["rules"][1]["asked_for"], 1);
    EXPECT_EQ(report["blocks"]["made"], 1);
    ASSERT_EQ(report["sources"].size(), 1U);
    EXPECT_EQ(report["sources"][0]["hit_packets"], 1'000);
    EXPECT_EQ(report["sources"][0]["packets"], 66);
    EXPECT_EQ(report["sources"][0]["last_ago_ms"], 1'000);
  }
}

TEST(OwnAddresses, ReadsTheKernelsRoutes) {
  // An address as the number that its bytes are on this machine.
  const auto hex = [](std::uint32_t address) { return be32::from_host(address).wire(); };
  const auto four =
      gateways4(fmt::format("Iface\tDestination\tGateway \tFlags\n"
                            "eth0\t00000000\t{:08X}\t0003\t0\n"
                            "eth0\t{:08X}\t00000000\t0001\t0\n"
                            "eth0\tbroken\n",
                            hex(0xc0000201U), hex(0xc0000200U)));
  ASSERT_EQ(four.size(), 1U);
  EXPECT_EQ(four[0].text(), "192.0.2.1/32");
  const auto six = gateways6(
      "00000000000000000000000000000000 00 00000000000000000000000000000000 00 "
      "fe800000000000000000000000000001 00000400 eth0\n"
      "fe800000000000000000000000000000 40 00000000000000000000000000000000 00 "
      "00000000000000000000000000000000 00000100 eth0\n");
  ASSERT_EQ(six.size(), 1U);
  EXPECT_EQ(six[0].text(), "fe80::1/128");
  bool loopback = false;
  for (const Prefix& own : own_addresses()) loopback = loopback || own.text() == "127.0.0.1/32";
  EXPECT_TRUE(loopback);
}

TEST(Why, AgreesWithTheBlocksThatStand) {
  Box box;
  const auto told = [&](const Json& blocks) {
    Json why = why_address(box.sources(), kSource, box.ledger, kBegin + seconds(10));
    agree_with(why, kSource, blocks);
    return why;
  };
  const auto block = [](const char* address, const char* origin) {
    return Json{{"address", address}, {"origin", origin}, {"target", "source"}};
  };
  const Json others =
      Json::array({block("203.0.113.8", "policy"), block("2001:db8::/64", "policy")});
  EXPECT_EQ(told(others)["state"], "removed");
  const Json own = told(Json::array({block("203.0.113.7", "policy")}));
  EXPECT_EQ(own["state"], "blocked");
  EXPECT_EQ(own["rule"], "scored");
  for (const char* address : {"203.0.113.7", "203.0.113.0/24"}) {
    const Json by_hand = told(Json::array({block(address, "manual")}));
    EXPECT_EQ(by_hand["state"], "blocked");
    EXPECT_EQ(by_hand["block"]["address"], address);
    EXPECT_EQ(by_hand["dropped"]["scored"], 64);
    EXPECT_FALSE(by_hand.contains("rule")) << "that one is not why";
  }
}

}  // namespace
}  // namespace weir::control
