// SPDX-License-Identifier: BSD-2-Clause
#include "io/poll_channel.h"

#include <gtest/gtest.h>

#include <deque>
#include <set>
#include <thread>

#include "support/packet_builder.h"

namespace weir::io {
namespace {

using test::Bytes;
using test::PacketBuilder;

/// Two devices in memory: what arrives is put in by the test, what is sent is kept for it.
class MemoryDevices final : public PollDevices {
 public:
  std::size_t receive(Side side, std::uint32_t, std::span<PollPacket> out) noexcept override {
    auto& queue = arriving_[index(side)];
    std::size_t n = 0;
    for (; n < out.size() && !queue.empty(); ++n) {
      Bytes* bytes = queue.front();
      queue.pop_front();
      outside_.insert(bytes);
      out[n] = {bytes->data(), static_cast<std::uint32_t>(bytes->size()), continues, bytes};
    }
    return n;
  }
  std::size_t transmit(Side side, std::uint32_t, std::span<void* const> handles) noexcept override {
    std::size_t n = 0;
    for (; n < handles.size() && sent_[index(side)].size() < room; ++n)
      sent_[index(side)].push_back(*take_back(handles[n]));
    return n;
  }
  void release(std::span<void* const> handles) noexcept override {
    for (void* handle : handles) take_back(handle);
    released += handles.size();
  }
  std::size_t send_copies(Side, std::uint32_t,
                          std::span<const std::span<const std::uint8_t>>) noexcept override {
    return 0;
  }
  Status try_drop(Side, const DropMatch&) override { return fail("it has no rules"); }
  Result<DropRule> add_drop(Side, const DropMatch&) override { return fail("it has no rules"); }
  Status remove_drop(Side, const DropRule&) override { return fail("it has no rules"); }
  std::optional<DropHits> drop_hits(Side, const DropRule&) override { return std::nullopt; }
  [[nodiscard]] std::uint32_t channels() const noexcept override { return 1; }
  [[nodiscard]] const PollFacts& facts(Side) const noexcept override { return facts_; }
  [[nodiscard]] PollCounters counters(Side) const noexcept override { return {}; }
  [[nodiscard]] bool is_up(Side) const noexcept override { return true; }
  [[nodiscard]] const std::vector<std::string>& notes() const noexcept override { return notes_; }

  void arrive(Side side, Bytes bytes) {
    memory_.push_back(std::move(bytes));
    arriving_[index(side)].push_back(&memory_.back());
  }
  [[nodiscard]] const std::vector<Bytes>& sent(Side side) const { return sent_[index(side)]; }
  [[nodiscard]] std::size_t outside() const { return outside_.size(); }

  std::size_t room = 1'000'000;
  std::size_t released = 0;
  std::uint32_t continues = 0;

 private:
  Bytes* take_back(void* handle) {
    auto* bytes = static_cast<Bytes*>(handle);
    WEIR_CHECK(outside_.erase(bytes) == 1);  // one that is given back twice, or never was out
    return bytes;
  }
  std::deque<Bytes> memory_;
  std::array<std::deque<Bytes*>, kSides> arriving_;
  std::array<std::vector<Bytes>, kSides> sent_;
  std::set<Bytes*> outside_;
  PollFacts facts_;
  std::vector<std::string> notes_;
};

Bytes plain(unsigned number) {
  return PacketBuilder()
      .ip4("203.0.113.9", "192.0.2.1")
      .udp(443, 51820)
      .payload(std::to_string(number))
      .build();
}
Bytes steered(unsigned number) {
  return PacketBuilder()
      .ip4("203.0.113.9", "192.0.2.1")
      .udp(1900, 51820)
      .payload(std::to_string(number))
      .build();
}

class PollChannelTest : public testing::Test {
 protected:
  static constexpr std::uint32_t kFrames = 256, kRing = 64;

  void SetUp() override {
    datapath_.connect(true);
    beat();
    channel_->service();  // from the next one on the devices are polled
  }
  void beat() { datapath_.judge(0).heartbeat(monotonic_now()); }
  std::vector<packet::Frame> receive(Side side, std::size_t most = 256) {
    std::vector<packet::Frame> frames(most);
    frames.resize(channel_->receive(side, frames, monotonic_now()));
    return frames;
  }
  std::uint64_t lost(weir_redirect_error error) {
    return datapath_.counters()->redirect_errors[error].packets;
  }

  MemoryDevices devices_;
  datapath::NativeShared datapath_{datapath::Config{}, 1};
  std::unique_ptr<Channel> channel_ = make_poll_channel(
      {.frames = kFrames, .ring = kRing, .sleep_us = 50}, devices_, datapath_.judge(0), 0);
};

TEST_F(PollChannelTest, PlainTrafficCrossesAtOnceAndInOrder) {
  std::vector<Bytes> frames;
  for (unsigned i = 0; i < 500; ++i) {
    frames.push_back(plain(i));
    devices_.arrive(Side::wan, frames.back());
    devices_.arrive(Side::lan, frames.back());
  }
  channel_->service();
  EXPECT_EQ(devices_.sent(Side::lan), frames);
  EXPECT_EQ(devices_.sent(Side::wan), frames);
  EXPECT_EQ(devices_.outside(), 0U);
  EXPECT_EQ(channel_->waiting(Side::wan), 0U);
}

TEST_F(PollChannelTest, SteeredPacketsWaitForAVerdict) {
  for (unsigned i = 0; i < 40; ++i) devices_.arrive(Side::wan, i % 2 == 0 ? steered(i) : plain(i));
  channel_->service();
  EXPECT_EQ(devices_.sent(Side::lan).size(), 20U);
  EXPECT_EQ(channel_->waiting(Side::wan), 20U);
  const auto frames = receive(Side::wan);
  ASSERT_EQ(frames.size(), 20U);
  EXPECT_EQ(channel_->waiting(Side::wan), 0U);
  for (unsigned i = 0; i < 20; ++i) {
    EXPECT_EQ(Bytes(frames[i].data, frames[i].data + frames[i].length), steered(2 * i));
    EXPECT_EQ(frames[i].side, Side::wan);
  }
  EXPECT_EQ(channel_->transmit(Side::lan, std::span(frames).first(5)), 5U);
  channel_->release(std::span(frames).subspan(5));
  channel_->service();
  EXPECT_EQ(devices_.sent(Side::lan).size(), 25U);
  EXPECT_EQ(devices_.sent(Side::lan)[20], steered(0));
  EXPECT_EQ(devices_.released, 15U);
  EXPECT_EQ(devices_.outside(), 0U);
  EXPECT_TRUE(channel_->conserved());
  EXPECT_EQ(channel_->headroom(), 1.0);
  const ChannelCounters counters = channel_->counters(Side::wan);
  EXPECT_EQ(counters.rx_packets, 20U);
  EXPECT_EQ(counters.released, 15U);
  EXPECT_EQ(channel_->counters(Side::lan).tx_packets, 5U);
}

TEST_F(PollChannelTest, AFullRingLosesWhatIsSteeredAndNothingElse) {
  for (unsigned i = 0; i < 100; ++i) {
    devices_.arrive(Side::wan, steered(i));
    devices_.arrive(Side::wan, plain(i));
  }
  channel_->service();
  EXPECT_EQ(channel_->waiting(Side::wan), kRing);
  EXPECT_EQ(channel_->room(Side::wan), 0.0);
  EXPECT_EQ(channel_->room(Side::lan), 1.0);
  EXPECT_EQ(lost(WEIR_REDIRECT_ERROR_socket), 100U - kRing);
  EXPECT_EQ(devices_.sent(Side::lan).size(), 100U);
  EXPECT_EQ(receive(Side::wan).size(), kRing) << "the oldest are kept";
  EXPECT_TRUE(channel_->conserved());
}

TEST_F(PollChannelTest, WithoutFreeFramesWhatIsSteeredIsLostAndCounted) {
  std::vector<packet::Frame> held;
  for (unsigned round = 0; held.size() < kFrames; ++round) {
    for (unsigned i = 0; i < kRing; ++i) devices_.arrive(Side::wan, steered(i));
    channel_->service();
    for (const auto& frame : receive(Side::wan)) held.push_back(frame);
  }
  EXPECT_EQ(channel_->room(Side::lan), 0.0);
  devices_.arrive(Side::lan, steered(1));
  devices_.arrive(Side::lan, plain(1));
  channel_->service();
  EXPECT_EQ(channel_->headroom(), 0.0);
  EXPECT_EQ(lost(WEIR_REDIRECT_ERROR_socket), 1U);
  EXPECT_EQ(channel_->counters(Side::lan).fill_short, 1U);
  EXPECT_EQ(devices_.sent(Side::wan).size(), 1U);
  channel_->release(held);
  channel_->service();
  EXPECT_EQ(channel_->headroom(), 1.0);
  EXPECT_EQ(devices_.outside(), 0U);
}

TEST_F(PollChannelTest, ADeviceThatTakesNoMoreLosesTheRest) {
  devices_.room = 10;
  for (unsigned i = 0; i < 25; ++i) devices_.arrive(Side::wan, plain(i));
  channel_->service();
  EXPECT_EQ(devices_.sent(Side::lan).size(), 10U);
  EXPECT_EQ(lost(WEIR_REDIRECT_ERROR_peer), 15U);
  for (unsigned i = 0; i < 5; ++i) devices_.arrive(Side::wan, steered(i));
  channel_->service();
  EXPECT_EQ(channel_->transmit(Side::lan, receive(Side::wan)), 0U);
  EXPECT_EQ(channel_->counters(Side::lan).tx_full, 5U);
  EXPECT_EQ(devices_.outside(), 0U);
}

TEST_F(PollChannelTest, WhatNobodyCanTakeFollowsTheFailMode) {
  datapath_.judge(0).heartbeat({});
  devices_.arrive(Side::wan, steered(1));
  channel_->service();
  EXPECT_EQ(devices_.sent(Side::lan).size(), 1U);
  beat();
  devices_.continues = 500;  // a packet in several pieces
  devices_.arrive(Side::wan, steered(2));
  channel_->service();
  EXPECT_EQ(devices_.sent(Side::lan).size(), 2U);
  EXPECT_EQ(channel_->waiting(Side::wan), 0U);
}

TEST_F(PollChannelTest, AThreadThatWasKeptFromRunningIsNoStall) {
  std::this_thread::sleep_for(std::chrono::milliseconds(250));  // more than the heartbeat's limit
  devices_.arrive(Side::wan, steered(1));
  channel_->service();
  EXPECT_EQ(channel_->waiting(Side::wan), 1U);
}

TEST_F(PollChannelTest, NothingIsTakenFromTheDevicesBeforeTheStart) {
  MemoryDevices devices;
  datapath::NativeShared datapath(datapath::Config{}, 1);
  const auto channel =
      make_poll_channel({.frames = 256, .ring = 64, .sleep_us = 50}, devices, datapath.judge(0), 0);
  devices.arrive(Side::wan, plain(1));
  for (int i = 0; i < 3; ++i) channel->service();
  EXPECT_TRUE(devices.sent(Side::lan).empty());
  datapath.connect(true);
  for (int i = 0; i < 2; ++i) channel->service();
  EXPECT_EQ(devices.sent(Side::lan).size(), 1U);
}

TEST_F(PollChannelTest, GivesBackWhatItStillHolds) {
  for (unsigned i = 0; i < 9; ++i) devices_.arrive(Side::wan, steered(i));
  channel_->service();
  EXPECT_EQ(devices_.outside(), 9U);
  channel_.reset();
  EXPECT_EQ(devices_.outside(), 0U);
}

}  // namespace
}  // namespace weir::io
