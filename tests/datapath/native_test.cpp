// SPDX-License-Identifier: BSD-2-Clause
#include "datapath/native.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <map>
#include <set>

#include "datapath/address_table.h"
#include "support/packet_builder.h"

namespace weir::datapath {
namespace {

using test::address;
using test::Bytes;
using test::PacketBuilder;

Block block(std::string_view source, weir_scope scope = WEIR_SCOPE_ssdp,
            std::uint64_t expires_ns = 0) {
  Block made;
  made.source = address(source);
  made.value.scope = scope;
  made.value.origin = WEIR_ORIGIN_manual;
  made.value.expires_ns = expires_ns;
  return made;
}

Prefix prefix(std::string_view text) { return *Prefix::parse(text); }

class NativeTest : public testing::Test {
 protected:
  Outcome judge(const Bytes& bytes, PacketTime time = {1'000'000}) {
    packet::Frame frame;
    frame.data = bytes.data();
    frame.length = static_cast<std::uint32_t>(bytes.size());
    frame.time = time;
    packet::Headers headers;
    return native_.judge(frame, headers);
  }
  static Bytes search(std::string_view source = "203.0.113.9") {
    return PacketBuilder().ip4(source, "192.0.2.1").udp(50'000, 1900).payload("M-SEARCH *").build();
  }

  Native native_{Config{}};
};

/// Whatever comes from port 4000 is fine; the program in the kernel is another test's.
class PortScreen final : public Screen {
 public:
  int judge(const weir_header_features& features) const noexcept override {
    return features.value[WEIR_HEADER_FEATURE_source_port] == 4'000 ? 0 : 1;
  }
  Result<std::vector<std::uint8_t>> link(std::span<const std::uint8_t>) const override {
    return fail("there is no kernel here");
  }
  std::string explain(std::string_view, int) const override { return {}; }
};

class NativeScreenTest : public testing::Test {
 protected:
  static Config config(bool ssdp) {
    Config config;
    config.screen = std::make_shared<PortScreen>();
    config.screen_ssdp = ssdp;
    return config;
  }
  static Outcome judge(Native& native, std::string_view payload, Side side = Side::wan,
                       std::uint16_t port = 4'000) {
    const Bytes bytes =
        PacketBuilder().ip4("203.0.113.9", "192.0.2.1").udp(port, 1900).payload(payload).build();
    packet::Frame frame;
    frame.data = bytes.data();
    frame.length = static_cast<std::uint32_t>(bytes.size());
    frame.side = side;
    frame.time = {1'000'000};
    packet::Headers headers;
    return native.judge(frame, headers);
  }
};

TEST_F(NativeScreenTest, PassesWhatItFindsFineAndNothingThatUserspaceMustKnowOf) {
  for (const bool ssdp : {false, true}) {
    Native native(config(ssdp));
    const Outcome other = ssdp ? Outcome::peer_screened : Outcome::socket_steered;
    EXPECT_EQ(judge(native, "QUIC"), Outcome::peer_screened);
    EXPECT_EQ(judge(native, ""), Outcome::peer_screened);
    EXPECT_EQ(judge(native, "QUIC", Side::wan, 4'001), Outcome::socket_steered);
    EXPECT_EQ(judge(native, "QUIC", Side::lan), Outcome::socket_steered);
    EXPECT_EQ(judge(native, "NOTIFY * HTTP/1.1\r\n"), other);
    EXPECT_EQ(judge(native, "HTTP/1.1 200 OK\r\n"), other);
    EXPECT_EQ(judge(native, "HTTP/1.1 200 OK\r\n", Side::wan, 4'001), Outcome::socket_steered);
    EXPECT_EQ(judge(native, "M-SEARCH * HTTP/1.1\r\n"), Outcome::socket_steered);
    EXPECT_EQ(judge(native, "m-search * http/1.1\r\n"), Outcome::socket_steered);
  }
}

TEST_F(NativeScreenTest, StandsBehindTheBlocksAndBeforeTheFailMode) {
  Native native(config(false));
  native.set_socket(Side::wan, 0, false);
  EXPECT_EQ(judge(native, "QUIC"), Outcome::peer_screened) << "it needs no userspace";
  EXPECT_EQ(judge(native, "QUIC", Side::wan, 4'001), Outcome::peer_no_socket);
  ASSERT_EQ(*native.add_blocks(std::array{block("203.0.113.9")}), 1U);
  EXPECT_EQ(judge(native, "QUIC"), Outcome::drop_block_ssdp);
  ASSERT_TRUE(native.add_allow(prefix("203.0.113.0/24")));
  EXPECT_EQ(judge(native, "QUIC"), Outcome::peer_screened);
}

TEST_F(NativeTest, BlocksHoldUntilTheyExpire) {
  EXPECT_EQ(judge(search()), Outcome::socket_steered);
  ASSERT_EQ(*native_.add_blocks(std::array{block("203.0.113.9", WEIR_SCOPE_ssdp, 2'000'000)}), 1U);
  EXPECT_EQ(judge(search(), {1'999'999}), Outcome::drop_block_ssdp);
  EXPECT_EQ(judge(search(), {2'000'000}), Outcome::socket_steered);
  EXPECT_EQ(judge(search("203.0.113.8")), Outcome::socket_steered);
  const auto list = *native_.list_blocks();
  ASSERT_EQ(list.size(), 1U) << "an expired block stays until it is swept";
  EXPECT_EQ(list[0].value.hit_packets, 1U);
  EXPECT_EQ(list[0].value.hit_bytes, search().size());
}

TEST_F(NativeTest, ABlockOfWhatAPacketSaysHoldsForThatPacketAlone) {
  // Addresses whose bytes could be taken for those of the other family.
  const char* const sources6[] = {"::",
                                  "::1",
                                  "::203.0.113.9",
                                  "2001:db8::",
                                  "2002:cb00::1",
                                  "::ffff:203.0.113.9",
                                  "cb00:7109::",
                                  "64:ff9b::203.0.113.9",
                                  "::ffff:0:cb00:7109"};
  std::vector<Bytes> frames{search("203.0.113.9"), search("0.0.0.0"), search("0.0.0.1")};
  for (const char* source : sources6)
    frames.push_back(
        PacketBuilder().ip6(source, "2001:db8::1").udp(50'000, 1900).payload("M-SEARCH *").build());
  for (const Bytes& blocked : frames) {
    Block made = block("192.0.2.1");
    made.source = packet::source(blocked, packet::parse(blocked));
    ASSERT_EQ(*native_.add_blocks(std::array{made}), 1U);
    for (const Bytes& frame : frames)
      EXPECT_EQ(judge(frame) == Outcome::drop_block_ssdp, &frame == &blocked)
          << packet::source(frame, packet::parse(frame)).text() << ", blocked was "
          << made.source.text();
    // What a person reads of it, typed again, is the same source.
    EXPECT_EQ(address(native_.list_blocks()->at(0).source.text()), made.source);
    EXPECT_EQ(*native_.remove_blocks(std::array{made.key()}), 1U);
  }
}

TEST_F(NativeTest, RemovedBlocksNoLongerHold) {
  ASSERT_EQ(*native_.add_blocks(std::array{block("203.0.113.9"), block("2001:db8::9")}), 2U);
  EXPECT_EQ(*native_.remove_blocks(
                std::array{BlockKey{address("203.0.113.9")}, BlockKey{address("203.0.113.7")}}),
            1U);
  EXPECT_EQ(judge(search()), Outcome::socket_steered);
  EXPECT_EQ(native_.list_blocks()->size(), 1U);
}

TEST_F(NativeTest, TargetsAreApart) {
  Block network = block("203.0.113.0");
  network.target = WEIR_TARGET_network;
  Block victim = block("192.0.2.1");
  victim.target = WEIR_TARGET_victim;
  ASSERT_EQ(*native_.add_blocks(std::array{block("203.0.113.9"), network, victim}), 3U);
  EXPECT_EQ(judge(search()), Outcome::drop_block_ssdp);
  ASSERT_EQ(*native_.remove_blocks(std::array{BlockKey{address("203.0.113.9")}}), 1U);
  EXPECT_EQ(judge(search()), Outcome::drop_block_network);
  EXPECT_EQ(*native_.remove_blocks(std::array{BlockKey{address("203.0.113.0")}}), 0U)
      << "no source is blocked by this address";
  ASSERT_EQ(*native_.remove_blocks(std::array{network.key()}), 1U);
  EXPECT_EQ(judge(search()), Outcome::drop_block_victim);
  ASSERT_EQ(*native_.remove_blocks(std::array{victim.key()}), 1U);
  EXPECT_EQ(judge(search()), Outcome::socket_steered);
}

TEST_F(NativeTest, ReplacingABlockChangesItsScope) {
  const Bytes other = PacketBuilder().ip4("203.0.113.9", "192.0.2.1").udp(53, 53).build();
  ASSERT_TRUE(native_.add_blocks(std::array{block("203.0.113.9", WEIR_SCOPE_all)}));
  EXPECT_EQ(judge(other), Outcome::drop_block_all);
  ASSERT_TRUE(native_.add_blocks(std::array{block("203.0.113.9", WEIR_SCOPE_ssdp)}));
  EXPECT_EQ(judge(other), Outcome::peer_not_steered);
  EXPECT_EQ(judge(search()), Outcome::drop_block_ssdp);
}

TEST_F(NativeTest, AllowedSourcesAreNotDropped) {
  ASSERT_TRUE(native_.add_blocks(std::array{block("203.0.113.9", WEIR_SCOPE_all)}));
  ASSERT_TRUE(native_.add_allow(prefix("203.0.113.0/24")));
  EXPECT_EQ(judge(search()), Outcome::socket_steered);
  EXPECT_TRUE(*native_.remove_allow(prefix("203.0.113.0/24")));
  EXPECT_FALSE(*native_.remove_allow(prefix("203.0.113.0/24")));
  EXPECT_EQ(judge(search()), Outcome::drop_block_all);
}

TEST_F(NativeTest, AFullTableTakesNoNewSourceButReplacesOldOnes) {
  Config small;
  small.blocks_max = 2;
  Native native(small);
  EXPECT_EQ(
      *native.add_blocks(std::array{block("192.0.2.1"), block("192.0.2.2"), block("192.0.2.3"),
                                    block("192.0.2.1", WEIR_SCOPE_all), block("2001:db8::1")}),
      4U);
  EXPECT_EQ(native.list_blocks()->size(), 3U) << "the families have a table each";
}

TEST_F(NativeTest, CountsEachPacketOnceOnItsSide) {
  const Bytes arp = PacketBuilder().type(0x0806).payload(Bytes(28)).build();
  judge(arp);
  judge(search());
  const auto counters = *native_.counters();
  std::uint64_t packets = 0;
  for (const auto& side : counters.outcomes)
    for (const Counter& counter : side) packets += counter.packets;
  EXPECT_EQ(packets, 2U);
  EXPECT_EQ(counters.outcomes[0][static_cast<std::size_t>(Outcome::peer_not_ip)].bytes, arp.size());
}

TEST(Outcomes, HaveNamesAndEffects) {
  EXPECT_STREQ(name(Outcome::drop_block_ssdp), "drop_block_ssdp");
  EXPECT_EQ(effect(Outcome::drop_block_ssdp), Effect::drop);
  EXPECT_EQ(effect(Outcome::socket_steered), Effect::socket);
  EXPECT_EQ(effect(Outcome::peer_not_udp), Effect::peer);
  EXPECT_STRNE(help(Outcome::peer_not_udp), "");
}

// Against std::map: whatever is inserted and erased, in tables small enough to collide.
TEST(AddressTable, BehavesLikeAMap) {
  EXPECT_TRUE(
      rc::check([](const std::vector<std::pair<std::uint8_t, bool>>& steps, std::uint64_t seed) {
        AddressTable<int> table(100, seed);
        std::map<Address, int> map;
        int value = 0;
        for (const auto& [key, insert] : steps) {
          const Address a = Address::v4(be32::from_host(key % 128U));
          if (insert) {
            const bool room = map.contains(a) || map.size() < 100;
            RC_ASSERT(table.insert(a, ++value) == room);
            if (room) map[a] = value;
          } else {
            RC_ASSERT(table.erase(a) == (map.erase(a) == 1));
          }
        }
        RC_ASSERT(table.size() == map.size());
        for (unsigned key = 0; key < 128; ++key) {
          const Address a = Address::v4(be32::from_host(key));
          const int* found = table.find(a);
          RC_ASSERT((found != nullptr) == map.contains(a));
          if (found != nullptr) RC_ASSERT(*found == map[a]);
        }
      }));
}

}  // namespace
}  // namespace weir::datapath
