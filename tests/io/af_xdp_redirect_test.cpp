// SPDX-License-Identifier: BSD-2-Clause
// Privileged: frames that leave past the sockets, on veth pairs in network namespaces of the test's own.
#include "io/af_xdp_redirect.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/time.h>

#include <chrono>
#include <csignal>
#include <optional>
#include <thread>
#include <tuple>
#include <vector>

#include "../../bpf/abi.h"
#include "box.h"

namespace weir::io {
namespace {

using test::Box;
using test::frame_of;
using test::number_of;
using testing::HasSubstr;
using Bytes = std::vector<std::uint8_t>;

class RedirectTxTest : public testing::Test {
 protected:
  void SetUp() override {
    if (const Status privilege = weir::test::own_mounts(); !privilege)
      GTEST_SKIP() << privilege.error().message;
    box_.emplace(kQueues);
    for (const auto& [where, far, near] :
         {std::tuple(&box_->wire.wan, "wan0", "wan"), std::tuple(&box_->wire.lan, "lan0", "lan")}) {
      // A veth takes redirected frames where its peer has NAPI; and room for the longest.
      where->must("sysctl -q -w net.ipv6.conf.all.disable_ipv6=1");  // nothing said unasked
      where->must(std::string("ethtool -K ") + far + " gro on");
      where->must(std::string("ip link set ") + far + " mtu 3498");
      box_->wire.box.must(std::string("ip link set ") + near + " mtu 3498");
    }
    inside_.emplace(box_->wire.box);
    auto made = RedirectTx::make({"wan", "lan"}, kQueues);
    ASSERT_TRUE(made) << made.error().message;
    redirect_ = std::move(*made);
    channel_ = box_->open({}, 0, redirect_.get());
  }

  /// Sends frames into the box at `from` and waits until its channel has all of them.
  std::vector<packet::Frame> received(Side from, const std::vector<Bytes>& frames) {
    std::vector<packet::Frame> got;
    std::array<packet::Frame, 256> in;
    box_->far_end(from).send(frames);
    const auto give_up = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    while (got.size() < frames.size() && std::chrono::steady_clock::now() < give_up) {
      const std::size_t n = channel_->receive(from, in, monotonic_now());
      got.insert(got.end(), in.begin(), in.begin() + static_cast<std::ptrdiff_t>(n));
      channel_->service();
    }
    EXPECT_EQ(got.size(), frames.size());
    return got;
  }

  /// What arrives at `to`, until there are as many as `wanted`, which it must be.
  void expect_at(Side to, const std::vector<Bytes>& wanted) {
    const auto give_up = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    std::size_t arrived = 0;
    while (arrived < wanted.size() && std::chrono::steady_clock::now() < give_up) {
      channel_->service();
      while (const auto got = box_->far_end(to).receive()) {
        ASSERT_LT(arrived, wanted.size()) << "more than was sent";
        ASSERT_EQ(*got, wanted[arrived]) << "frame " << arrived;
        ++arrived;
      }
    }
    EXPECT_EQ(arrived, wanted.size());
  }

  [[nodiscard]] std::uint64_t redirected(Side side) const {
    return channel_->counters(side).tx_redirected;
  }

  static constexpr unsigned kQueues = 2;
  std::optional<Box> box_;
  std::optional<weir::test::Inside> inside_;  // where its interfaces are
  std::unique_ptr<RedirectTx> redirect_;
  std::unique_ptr<Channel> channel_;
};

TEST_F(RedirectTxTest, BatchesCrossBothWaysByteForByteAndInOrder) {
  std::uint64_t number = 0;
  std::uint64_t expected = 0;
  for (const std::size_t batch : {1U, 31U, 32U, 33U, 63U, 64U, 65U, 200U, 250U}) {
    for (const Side from : {Side::wan, Side::lan}) {
      const Side to = opposite(from);
      std::vector<Bytes> frames;
      for (std::size_t i = 0; i < batch; ++i, ++number)
        frames.push_back(frame_of(60 + number * 37 % 1455, number));
      const auto got = received(from, frames);
      EXPECT_EQ(channel_->transmit(to, got), batch);
      expect_at(to, frames);
      if (from == Side::wan && batch >= RedirectTx::kLeast_frames) expected += batch;
      EXPECT_EQ(redirected(Side::lan), expected) << batch;
    }
  }
  EXPECT_EQ(redirected(Side::wan), expected);
  const ChannelCounters lan = channel_->counters(Side::lan);
  EXPECT_EQ(lan.tx_packets, channel_->counters(Side::wan).rx_packets);
  EXPECT_EQ(lan.tx_bytes, channel_->counters(Side::wan).rx_bytes);
  EXPECT_EQ(lan.tx_lost + lan.tx_full, 0U);
  channel_->service();
  EXPECT_TRUE(channel_->conserved());
}

TEST_F(RedirectTxTest, TheLongestGoAndWhatIsLongerTakesTheSocketInItsTurn) {
  std::vector<Bytes> frames;
  for (std::uint64_t i = 0; i < 40; ++i) frames.push_back(frame_of(WEIR_SEND_MOST_BYTES, i));
  EXPECT_EQ(channel_->transmit(Side::lan, received(Side::wan, frames)), 40U);
  expect_at(Side::lan, frames);
  EXPECT_EQ(redirected(Side::lan), 40U);

  frames[20] = frame_of(WEIR_SEND_MOST_BYTES + 1, 20);
  EXPECT_EQ(channel_->transmit(Side::lan, received(Side::wan, frames)), 40U);
  expect_at(Side::lan, frames);
  EXPECT_EQ(redirected(Side::lan), 40U + 20U);

  frames[0] = frame_of(WEIR_SEND_MOST_BYTES + 1, 0);
  EXPECT_EQ(channel_->transmit(Side::lan, received(Side::wan, frames)), 40U);
  expect_at(Side::lan, frames);
  EXPECT_EQ(redirected(Side::lan), 40U + 20U);
  EXPECT_EQ(channel_->counters(Side::lan).wakeup_errors, 0U) << "nothing was tried";
}

TEST_F(RedirectTxTest, EachChannelHasItsOwn) {
  std::vector<Bytes> bytes;
  for (std::uint64_t i = 0; i < 100; ++i) bytes.push_back(frame_of(100, i));
  std::vector<packet::Frame> frames(bytes.size());
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    frames[i].data = bytes[i].data();
    frames[i].length = static_cast<std::uint32_t>(bytes[i].size());
  }
  for (std::uint32_t channel = 0; channel < kQueues; ++channel) {
    const RedirectTx::Sent sent = redirect_->send(channel, Side::lan, frames);
    EXPECT_EQ(sent.frames, frames.size()) << channel;
    EXPECT_EQ(sent.refused, 0U) << channel;
    expect_at(Side::lan, bytes);
  }
}

// What a driver or a tunnel does to the room in front of a frame must not change whose the next one
// is, which gets the same page.
TEST_F(RedirectTxTest, ChannelsThatSendAtOnceMixNothing) {
  constexpr std::uint64_t kBatches = 200;
  constexpr std::uint64_t kEach = 100;
  const auto send = [&](std::uint32_t channel, Side side) {
    const weir::test::Inside inside(box_->wire.box);
    for (std::uint64_t batch = 0; batch < kBatches; ++batch) {
      std::vector<Bytes> bytes;
      std::vector<packet::Frame> frames(kEach);
      for (std::uint64_t i = 0; i < kEach; ++i) {
        bytes.push_back(frame_of(80 + 40 * channel, (batch * kEach + i) * kQueues + channel));
        frames[i].data = bytes[i].data();
        frames[i].length = static_cast<std::uint32_t>(bytes[i].size());
      }
      const RedirectTx::Sent sent = redirect_->send(channel, side, frames);
      EXPECT_EQ(sent.frames, kEach);
      EXPECT_EQ(sent.refused, 0U);
      // A veth's ring has 256 places: what reads it has its turn.
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  };
  std::thread first([&] { send(0, Side::lan); });
  std::thread second([&] { send(1, Side::wan); });
  first.join();
  second.join();
  for (const Side side : {Side::lan, Side::wan}) {
    const std::uint64_t channel = side == Side::lan ? 0 : 1;
    std::uint64_t arrived = 0;
    while (const auto got = box_->far_end(side).receive()) {
      ASSERT_EQ(number_of(*got), arrived * kQueues + channel);
      ASSERT_EQ(*got, frame_of(80 + 40 * channel, number_of(*got)));
      ++arrived;
    }
    EXPECT_EQ(arrived, kBatches * kEach);
  }
}

TEST_F(RedirectTxTest, SignalsTakeNothingAway) {
  struct sigaction nothing {};
  struct sigaction before {};
  nothing.sa_handler = [](int) {};
  ASSERT_EQ(sigaction(SIGALRM, &nothing, &before), 0);
  const itimerval often{{0, 200}, {0, 200}};
  const itimerval never{};
  for (std::uint64_t batch = 0; batch < 100; ++batch) {
    std::vector<Bytes> frames;
    for (std::uint64_t i = 0; i < 250; ++i) frames.push_back(frame_of(200, batch * 250 + i));
    const auto got = received(Side::wan, frames);
    ASSERT_EQ(setitimer(ITIMER_REAL, &often, nullptr), 0);
    EXPECT_EQ(channel_->transmit(Side::lan, got), frames.size());
    ASSERT_EQ(setitimer(ITIMER_REAL, &never, nullptr), 0);
    expect_at(Side::lan, frames);
  }
  EXPECT_EQ(redirected(Side::lan), 25'000U);
  ASSERT_EQ(sigaction(SIGALRM, &before, nullptr), 0);
}

TEST_F(RedirectTxTest, AnInterfaceThatGoesAwayIsSurvivedAndItsFramesAreCounted) {
  std::vector<Bytes> frames(64, frame_of(60, 1));
  const auto got = received(Side::wan, frames);
  box_->wire.box.must("ip link del lan");
  channel_->transmit(Side::lan, got);
  channel_->service();
  EXPECT_TRUE(channel_->conserved());
  EXPECT_EQ(channel_->counters(Side::lan).tx_lost, 64U);
  received(Side::wan, frames);
}

TEST_F(RedirectTxTest, WithoutTheInterfaceThatFramesCameInByTheSocketsCarryOn) {
  std::vector<Bytes> frames;
  for (std::uint64_t i = 0; i < 64; ++i) frames.push_back(frame_of(60, i));
  const auto got = received(Side::wan, frames);
  box_->wire.box.must("ip link del wan");
  EXPECT_EQ(channel_->transmit(Side::lan, got), 64U);
  expect_at(Side::lan, frames);
  EXPECT_EQ(redirected(Side::lan), 0U);
  EXPECT_EQ(channel_->counters(Side::lan).wakeup_errors, 1U);
}

TEST_F(RedirectTxTest, WhatCannotBeIsSaid) {
  const auto made = RedirectTx::make({"wan", "nope"}, 1);
  ASSERT_FALSE(made);
  EXPECT_THAT(made.error().message, HasSubstr("interface 'nope': No such device"));
}

}  // namespace
}  // namespace weir::io
