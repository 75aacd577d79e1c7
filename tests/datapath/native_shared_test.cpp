// SPDX-License-Identifier: BSD-2-Clause
#include "datapath/native_shared.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "datapath/native.h"
#include "support/packet_builder.h"

namespace weir::datapath {
namespace {

using test::address;
using test::Bytes;
using test::PacketBuilder;

Bytes search_from(const Address& source) {
  return PacketBuilder()
      .ip4(source, address("192.0.2.1"))
      .udp(50'000, 1900)
      .payload("M-SEARCH *")
      .build();
}

Block block_of(const Address& source, std::uint64_t hits = 0) {
  Block block{.source = source};
  block.value.scope = WEIR_SCOPE_ssdp;
  block.value.hit_packets = hits;
  return block;
}

class AllFine final : public Screen {
 public:
  int judge(const weir_header_features&) const noexcept override { return 0; }
  Result<std::vector<std::uint8_t>> link(std::span<const std::uint8_t>) const override {
    return fail("there is no kernel here");
  }
  std::string explain(std::string_view, int) const override { return {}; }
};

class NativeSharedTest : public testing::Test {
 protected:
  NativeSharedTest() {
    shared_.connect(true);
    for (std::uint32_t i = 0; i < kChannels; ++i) shared_.judge(i).heartbeat({1'000'000});
  }

  Outcome judge(std::uint32_t channel, const Bytes& bytes, std::uint64_t time_ns = 1'000'000,
                std::uint32_t continues = 0) {
    packet::Frame frame;
    frame.data = bytes.data();
    frame.length = static_cast<std::uint32_t>(bytes.size());
    frame.time = {time_ns};
    auto& own = shared_.judge(channel);
    own.begin();
    const Outcome outcome = own.judge(frame, continues);
    own.end();
    return outcome;
  }

  static constexpr std::uint32_t kChannels = 3;
  const Address source_ = address("203.0.113.9");
  NativeShared shared_{Config{}, kChannels};
};

TEST_F(NativeSharedTest, EveryChannelSeesAChangeAndItsHitsAreOneSum) {
  const Bytes search = search_from(source_);
  for (std::uint32_t i = 0; i < kChannels; ++i)
    EXPECT_EQ(judge(i, search), Outcome::socket_steered);
  ASSERT_EQ(*shared_.add_blocks(std::array{block_of(source_, 7)}), 1U);
  for (std::uint32_t i = 0; i < kChannels; ++i)
    EXPECT_EQ(judge(i, search), Outcome::drop_block_ssdp);
  // A change makes the other copy current: hits go on there.
  ASSERT_EQ(*shared_.add_blocks(std::array{block_of(address("203.0.113.10"))}), 1U);
  EXPECT_EQ(judge(1, search), Outcome::drop_block_ssdp);
  const auto blocks = *shared_.list_blocks();
  ASSERT_EQ(blocks.size(), 2U);
  const Block& block = blocks[0].source == source_ ? blocks[0] : blocks[1];
  EXPECT_EQ(block.value.hit_packets, 7U + kChannels + 1);
  EXPECT_EQ(block.value.hit_bytes, (kChannels + 1) * search.size());
  const Counters counters = *shared_.counters();
  const auto& wan = counters.outcomes[index(Side::wan)];
  EXPECT_EQ(wan[WEIR_OUTCOME_drop_block_ssdp].packets, kChannels + 1);
  EXPECT_EQ(wan[WEIR_OUTCOME_socket_steered].packets, kChannels);

  ASSERT_TRUE(shared_.add_allow(*Prefix::parse("203.0.113.0/24")));
  EXPECT_EQ(judge(2, search), Outcome::socket_steered);
  EXPECT_EQ(shared_.list_allow()->size(), 1U);
  EXPECT_TRUE(*shared_.remove_allow(*Prefix::parse("203.0.113.0/24")));
  EXPECT_EQ(judge(2, search), Outcome::drop_block_ssdp);
  EXPECT_EQ(*shared_.remove_blocks(std::array{block_of(source_).key()}), 1U);
  EXPECT_EQ(judge(0, search), Outcome::socket_steered);
}

TEST_F(NativeSharedTest, EveryChannelJudgesByTheScreenThatIsInUseAndLetsGoOfTheOneBefore) {
  const Bytes flow = PacketBuilder().ip4(source_, address("192.0.2.1")).udp(443, 1900).build();
  EXPECT_EQ(judge(0, flow), Outcome::socket_steered);
  auto screen = std::make_shared<const AllFine>();
  const std::weak_ptr<const Screen> held = screen;
  shared_.use_screen(std::move(screen));
  for (std::uint32_t i = 0; i < kChannels; ++i) EXPECT_EQ(judge(i, flow), Outcome::peer_screened);
  shared_.use_screen(nullptr);
  for (std::uint32_t i = 0; i < kChannels; ++i) EXPECT_EQ(judge(i, flow), Outcome::socket_steered);
  EXPECT_TRUE(held.expired());
}

TEST_F(NativeSharedTest, TheFailModeRulesWhereAChannelIsAbsentOrStuck) {
  const Bytes search = search_from(source_);
  EXPECT_EQ(judge(0, search, 200'000'000), Outcome::socket_steered);
  EXPECT_EQ(judge(0, search, 202'000'000), Outcome::peer_stalled);
  shared_.judge(0).heartbeat({202'000'000});
  EXPECT_EQ(judge(0, search, 202'000'000), Outcome::socket_steered);
  shared_.judge(0).heartbeat({});
  EXPECT_EQ(judge(0, search, 202'000'000), Outcome::peer_stalled);
  EXPECT_EQ(judge(1, search), Outcome::socket_steered) << "another channel's heartbeat is its own";
  EXPECT_EQ(judge(1, search, 1'000'000, 100), Outcome::peer_no_socket) << "not all of it is there";
  shared_.connect(false);
  EXPECT_EQ(judge(1, search), Outcome::peer_no_socket);
}

// Judges on two threads, and a changer: at any time the blocks are all or none of a set that is
// added and removed at once, and the set's own hits are never lost.
TEST_F(NativeSharedTest, AJudgeSeesAChangeWholeOrNotAtAll) {
  constexpr unsigned kSet = 64;
  std::vector<Block> set;
  std::vector<Bytes> frames;
  for (unsigned i = 0; i < kSet; ++i) {
    const Address source = Address::v4(be32::from_host(0xcb007100U + i));
    set.push_back(block_of(source));
    frames.push_back(search_from(source));
  }
  const Address always = address("203.0.114.1");
  const Bytes always_frame = search_from(always);
  ASSERT_EQ(*shared_.add_blocks(std::array{block_of(always)}), 1U);
  std::atomic<bool> stop{false};
  std::atomic<std::uint64_t> mixed{0}, bursts{0}, let_through{0};
  const auto judge_on = [&](std::uint32_t channel) {
    auto& own = shared_.judge(channel);
    const auto is_dropped = [&](const Bytes& bytes) {
      const packet::Frame frame{
          bytes.data(), static_cast<std::uint32_t>(bytes.size()), 0, 0, {1'000'000}, Side::wan};
      return own.judge(frame, 0) == Outcome::drop_block_ssdp;
    };
    while (!stop) {
      own.begin();
      unsigned dropped = 0;
      for (const Bytes& frame : frames) dropped += is_dropped(frame) ? 1 : 0;
      if (!is_dropped(always_frame)) ++let_through;
      own.end();
      if (dropped != 0 && dropped != kSet) ++mixed;
      ++bursts;
    }
  };
  std::thread one(judge_on, 0), two(judge_on, 1);
  std::vector<BlockKey> keys;
  for (const Block& block : set) keys.push_back(block.key());
  for (unsigned round = 0; round < 100 || bursts < 500; ++round) {
    ASSERT_EQ(*shared_.add_blocks(set), kSet);
    ASSERT_EQ(shared_.list_blocks()->size(), kSet + 1);
    ASSERT_EQ(*shared_.remove_blocks(keys), kSet);
  }
  stop = true;
  one.join();
  two.join();
  EXPECT_EQ(mixed, 0U);
  EXPECT_EQ(let_through, 0U);
  EXPECT_EQ(shared_.list_blocks()->at(0).value.hit_packets, bursts);
}

}  // namespace
}  // namespace weir::datapath
