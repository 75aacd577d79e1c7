// SPDX-License-Identifier: BSD-2-Clause
#include "control/tables.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <unistd.h>

#include "base/fd.h"
#include "control/block_lines.h"
#include "datapath/native.h"
#include "detect/policy.h"

namespace weir::control {
namespace {

using ::testing::HasSubstr;

constexpr PacketTime kNow{1'000'000'000'000};

class Tables : public ::testing::Test {
 protected:
  Answer ask(const Json& request, PacketTime now = kNow) {
    auto answer = answer_tables(datapath_, request, now);
    EXPECT_TRUE(answer.has_value()) << "no such verb";
    return answer ? *answer : tl::unexpected(Refused{});
  }
  Json good(const Json& request, PacketTime now = kNow) {
    auto answer = ask(request, now);
    EXPECT_TRUE(answer) << answer.error().message;
    return answer ? *answer : Json{};
  }
  void refuses(const Json& request, const std::string& words) {
    const auto answer = ask(request);
    ASSERT_FALSE(answer) << request.dump();
    EXPECT_EQ(answer.error().kind, Refused::Kind::bad_request);
    EXPECT_THAT(answer.error().message, HasSubstr(words));
  }
  Json add(const std::string& address, const char* scope = "ssdp", std::uint64_t for_ms = 60'000) {
    return {{"verb", "block.add"}, {"address", address}, {"scope", scope}, {"for_ms", for_ms}};
  }
  Json blocks(PacketTime now = kNow) { return good({{"verb", "block.list"}}, now)["blocks"]; }

  datapath::Native datapath_{datapath::Config{}};
};

TEST(BlockLines, SayWhoForHowLongAndWhy) {
  datapath::Block block{.source = *Address::parse("203.0.113.7")};
  block.value.created_ns = 5'000'000'000;
  block.value.expires_ns = 605'000'000'000;
  block.value.scope = WEIR_SCOPE_ssdp;
  block.value.reason = static_cast<std::uint32_t>(detect::Reason::scored);
  EXPECT_EQ(block_line(block), "blocked 203.0.113.7 for 10m: scored as an attack\n");
  block.value.scope = WEIR_SCOPE_all;
  block.value.strikes = 2;
  EXPECT_EQ(
      block_line(block),
      "blocked 203.0.113.7, all of its traffic, for 10m, again (2 times before): scored as an "
      "attack\n");
  block.value.scope = WEIR_SCOPE_ssdp;
  block.value.strikes = 1;
  block.value.expires_ns = 0;
  block.source = *Address::parse("2001:db8::");
  block.target = WEIR_TARGET_network;
  EXPECT_EQ(
      block_line(block),
      "blocked 2001:db8::/64 until it is taken off, again (1 time before): scored as an attack\n");
}

TEST(BlockLines, NeverWaitForWhoDoesNotRead) {
  std::array<int, 2> ends{};
  ASSERT_EQ(pipe(ends.data()), 0);
  const Fd out(ends[0]), in(ends[1]);
  BlockLines lines(in.get());
  const datapath::Block block{.source = *Address::parse("203.0.113.7")};
  for (int i = 0; i < 3'000; ++i) lines.print({&block, 1});  // a pipe holds 64 KiB
  std::string said(1U << 20U, 0);
  const auto all = [&] { return read(out.get(), said.data(), said.size()); };
  EXPECT_GT(all(), 0);
  lines.print({&block, 1});
  said.resize(static_cast<std::size_t>(std::max<ssize_t>(all(), 0)));
  EXPECT_THAT(said, HasSubstr(" more, which nobody read\nblocked 203.0.113.7 until "));
}

TEST(BlockLines, OfABatchAreWholeAndAllThere) {
  std::array<int, 2> ends{};
  ASSERT_EQ(pipe(ends.data()), 0);
  const Fd out(ends[0]), in(ends[1]);
  std::vector<datapath::Block> blocks(500);
  std::string wanted;
  for (std::size_t i = 0; i < blocks.size(); ++i) {
    blocks[i].source = Address::v4(be32::from_host(0xcb007100U + static_cast<std::uint32_t>(i)));
    blocks[i].value.reason = static_cast<std::uint32_t>(detect::Reason::scored);
    wanted += block_line(blocks[i]);
  }
  BlockLines(in.get()).print(blocks);
  std::string said(1U << 20U, 0);
  said.resize(
      static_cast<std::size_t>(std::max<ssize_t>(read(out.get(), said.data(), said.size()), 0)));
  EXPECT_EQ(said, wanted);
}

TEST_F(Tables, ABlockIsListedAsItWasAdded) {
  good(add("192.0.2.1", "all", 90'000));
  good(add("2001:db8::1", "ssdp", 0));
  const Json list = blocks(kNow + std::chrono::seconds(30));
  ASSERT_EQ(list.size(), 2U);
  EXPECT_EQ(list[0]["address"], "192.0.2.1");
  EXPECT_EQ(list[0]["scope"], "all");
  EXPECT_EQ(list[0]["origin"], "manual");
  EXPECT_EQ(list[0]["age_ms"], 30'000);
  EXPECT_EQ(list[0]["expires_in_ms"], 60'000);
  EXPECT_EQ(list[1]["address"], "2001:db8::1");
  EXPECT_TRUE(list[1]["expires_in_ms"].is_null());
}

TEST_F(Tables, AnExpiredBlockIsNotListed) {
  good(add("192.0.2.1", "ssdp", 1'000));
  EXPECT_EQ(blocks(kNow + std::chrono::milliseconds(999)).size(), 1U);
  EXPECT_EQ(blocks(kNow + std::chrono::milliseconds(1'000)).size(), 0U);
}

TEST_F(Tables, AddThenDelWithTheSameWordsLeavesNothing) {
  for (const char* scope : {"ssdp", "all"}) {
    for (const char* address : {"192.0.2.1", "192.0.2.1/32", "2001:db8::1", "2001:db8::1/128"}) {
      good(add(address, scope));
      const Json removed = good({{"verb", "block.del"}, {"address", address}, {"scope", scope}});
      EXPECT_EQ(removed["removed"], 1) << address;
      EXPECT_TRUE(blocks().empty());
      EXPECT_EQ(good({{"verb", "block.del"}, {"address", address}})["removed"], 0);
    }
  }
}

TEST_F(Tables, ScopeIsASelectorOfDel) {
  good(add("192.0.2.1", "all"));
  refuses({{"verb", "block.del"}, {"address", "192.0.2.1"}, {"scope", "ssdp"}},
          "192.0.2.1 is blocked with scope all, not ssdp");
  EXPECT_EQ(blocks().size(), 1U);
}

TEST_F(Tables, WhatIsNoBlockIsRefused) {
  refuses(add("192.0.2.0/25"), "is a range; a block is of one address, or of a /24");
  refuses(add("192.0.2"), "'192.0.2' is not an address");
  refuses(add("239.255.255.250"), "is a multicast address");
  refuses(add("192.0.2.1", "udp"), "scope is 'udp'; allowed is ssdp or all");
  refuses({{"verb", "block.add"}, {"address", 7}}, "no text 'address'");
  refuses({{"verb", "block.add"}, {"address", "192.0.2.1"}}, "no text 'scope'");
  Json request = add("192.0.2.1");
  for (const Json& wrong : {Json(-1), Json("1h"), Json(1.5), Json(1ULL << 60U), Json(nullptr)}) {
    request["for_ms"] = wrong;
    refuses(request, "no number 'for_ms'");
  }
  request = add("192.0.2.1");
  for (const Json& wrong : {Json(5), Json(nullptr), Json::object()}) {
    request["target"] = wrong;
    refuses(request, "no text 'target'");
  }
  request["target"] = "everybody";
  refuses(request, "target is 'everybody'; allowed is victim");
  EXPECT_TRUE(blocks().empty());
}

TEST_F(Tables, TheAllowlistIsKeptAndHasTheLastWord) {
  good({{"verb", "allow.add"}, {"prefix", "192.0.2.0/24"}});
  good({{"verb", "allow.add"}, {"prefix", "2001:db8::1"}});
  EXPECT_EQ(good({{"verb", "allow.list"}})["prefixes"], (Json{"192.0.2.0/24", "2001:db8::1/128"}));
  refuses(add("192.0.2.9"), "192.0.2.9 is on the allowlist by 192.0.2.0/24");
  refuses({{"verb", "allow.add"}, {"prefix", "192.0.2.1/24"}}, "did you mean 192.0.2.0/24?");
  EXPECT_EQ(good({{"verb", "allow.del"}, {"prefix", "192.0.2.0/24"}})["removed"], 1);
  EXPECT_EQ(good({{"verb", "allow.del"}, {"prefix", "192.0.2.0/24"}})["removed"], 0);
  good(add("192.0.2.9"));
}

TEST_F(Tables, AnUnknownVerbIsNobodys) {
  EXPECT_FALSE(answer_tables(datapath_, {{"verb", "block.shout"}}, kNow).has_value());
  refuses({{"word", "block.list"}}, "no text 'verb'");
}

TEST(Change, IsWhatNeedsRoot) {
  for (const char* verb : {"block.add", "block.del", "allow.add", "allow.del", "stop", "reload"}) {
    EXPECT_TRUE(is_change(verb)) << verb;
  }
  for (const char* verb : {"block.list", "allow.list", "status", ""}) {
    EXPECT_FALSE(is_change(verb)) << verb;
  }
}

TEST(Duration, ReadsWhatPeopleWrite) {
  EXPECT_EQ(*parse_duration_ms("90s"), 90'000U);
  EXPECT_EQ(*parse_duration_ms("10m"), 600'000U);
  EXPECT_EQ(*parse_duration_ms("4h"), 14'400'000U);
  EXPECT_EQ(*parse_duration_ms("7d"), 604'800'000U);
  EXPECT_EQ(*parse_duration_ms("1h30m"), 5'400'000U);
  EXPECT_EQ(*parse_duration_ms("forever"), 0U);
  for (const char* wrong : {"", "10", "m", "0s", "-1s", "1.5h", "1h1h", "30m1h", "1w", "1 h",
                            "10ms", "99999999999999999999s", "3651d", "1hforever"}) {
    EXPECT_FALSE(parse_duration_ms(wrong)) << wrong;
  }
}

TEST(Duration, PrintsWhatItReads) {
  rc::check([] {
    const auto seconds = *rc::gen::inRange<std::uint64_t>(1, 3'650ULL * 86'400);
    RC_ASSERT(parse_duration_ms(duration_text(seconds * 1'000)).value() == seconds * 1'000);
  });
}

}  // namespace
}  // namespace weir::control
