// SPDX-License-Identifier: BSD-2-Clause
// The I/O loop of a channel: every frame comes back once, in order, judged or shed as configured.
#include <gmock/gmock.h>

#include <algorithm>
#include <condition_variable>
#include <functional>
#include <numeric>
#include <random>
#include <set>
#include <thread>

#include "judge_doubles.h"
#include "memory_channel.h"
#include "pipeline/channel.h"

namespace weir::pipeline {
namespace {

using test::Doubles;
using test::MemoryChannel;

constexpr std::uint64_t kSeed = 417;

/// Heartbeats as the datapath would have them.
struct Beats {
  std::atomic<std::uint64_t> beats{0};
  std::atomic<std::uint64_t> withdrawals{0};
  Heartbeat heartbeat() {
    return [this](PacketTime time) { ++(time == PacketTime{} ? withdrawals : beats); };
  }
};

/// An engine that keeps what it gets until it is told to let it go: all is then forwarded.
class HoldingEngine final : public Engine {
 public:
  void submit(Batch* batch) noexcept override {
    const std::lock_guard lock(mutex_);
    batch->enter(Batch::At::pool);
    held_.push_back(batch);
    came_.notify_all();
  }
  void drain() noexcept override {}
  void use(const forest::Evaluator& /*evaluator*/) override {}
  void wait_for(std::size_t batches) {
    std::unique_lock lock(mutex_);
    came_.wait(lock, [&] { return held_.size() >= batches; });
  }
  void let_go(ChannelLoop& loop) {
    const std::lock_guard lock(mutex_);
    for (Batch* batch : held_) {
      batch->decisions.fill({});
      batch->leave(Batch::At::decided);
      loop.done(batch);
    }
    held_.clear();
  }

 private:
  std::mutex mutex_;
  std::condition_variable came_;
  std::vector<Batch*> held_;
};

/// A channel's loop on a thread of its own.
struct Running {
  Running(const ChannelConfig& config, MemoryChannel& io) {
    auto made = ChannelLoop::make(config, io, Columns::all_of(1), beats.heartbeat());
    EXPECT_TRUE(made.has_value());
    loop = std::move(*made);
  }
  ~Running() { stop(); }
  Running(const Running&) = delete;
  Running& operator=(const Running&) = delete;
  void start(Engine& engine) {
    thread = std::thread([this, &engine] { loop->run(engine); });
  }
  void stop() {
    if (!thread.joinable()) return;
    loop->request_stop();
    thread.join();
  }
  Beats beats;
  std::unique_ptr<ChannelLoop> loop;
  std::thread thread;
};

/// Waits for what must come; a test that waits in vain is ended by its runner.
void wait_until(const std::function<bool()>& holds) {
  while (!holds()) std::this_thread::yield();
}

std::vector<std::uint64_t> sent_by(const MemoryChannel& io, Side side) {
  std::vector<std::uint64_t> numbers;
  for (const auto& sent : io.sent())
    if (sent.side == side) numbers.push_back(sent.number);
  return numbers;
}

class ChannelOfWorkers : public testing::TestWithParam<std::uint32_t> {};
INSTANTIATE_TEST_SUITE_P(Workers, ChannelOfWorkers, testing::Values(0U, 1U, 2U));

TEST_P(ChannelOfWorkers, BringsEveryFrameToItsEndInOrder) {
  constexpr std::uint64_t kFrames = 20'000;
  MemoryChannel io(512);
  // Frames are numbered by arrival, which is what the channel numbers them by as well: one side.
  Doubles doubles(kSeed);
  ChannelConfig config;
  config.batches = 3;
  Running channel(config, io);
  EngineConfig engine_config;
  engine_config.workers = GetParam();
  auto engine =
      make_engine(engine_config, doubles.judge(), [&](Batch* batch) { channel.loop->done(batch); });
  ASSERT_TRUE(engine.has_value());
  channel.start(**engine);
  for (std::uint64_t n = 0; n < kFrames;)
    if (io.arrive(Side::wan, n)) ++n;
  wait_until([&] { return io.returned() == kFrames; });
  channel.stop();
  (*engine)->drain();

  EXPECT_EQ(io.free_frames(), 512U);
  EXPECT_TRUE(io.conserved());
  EXPECT_TRUE(sent_by(io, Side::wan).empty());
  const auto forwarded = sent_by(io, Side::lan);
  const auto dropped = io.released();
  EXPECT_TRUE(std::is_sorted(forwarded.begin(), forwarded.end()));
  EXPECT_TRUE(std::is_sorted(dropped.begin(), dropped.end()));
  EXPECT_EQ(std::set(forwarded.begin(), forwarded.end()).size() +
                std::set(dropped.begin(), dropped.end()).size(),
            kFrames);
  EXPECT_TRUE(std::none_of(forwarded.begin(), forwarded.end(), test::is_attack));
  const ChannelTally tally = channel.loop->tally();
  EXPECT_EQ(tally.received, kFrames);
  EXPECT_EQ(tally.forwarded, forwarded.size());
  EXPECT_EQ(tally.dropped, dropped.size());
  EXPECT_EQ(tally.shed_forwarded + tally.shed_dropped, 0U);
  EXPECT_EQ(std::accumulate(tally.reasons.begin(), tally.reasons.end(), std::uint64_t{0}), kFrames);
  EXPECT_EQ(std::accumulate(tally.fill.begin(), tally.fill.end(), std::uint64_t{0}), tally.batches);
  EXPECT_GT(channel.beats.beats, 0U);
}

TEST_P(ChannelOfWorkers, ShedsWhereARingIsNearlyFullAndKeepsOrder) {
  constexpr std::uint64_t kFrames = 20'000;
  constexpr std::uint32_t kRing = 32;
  for (const Overload overload : {Overload::forward, Overload::drop}) {
    MemoryChannel io(256);
    io.set_ring(kRing);
    Doubles doubles(kSeed);
    ChannelConfig config;
    config.overload = overload;
    config.batches = 2;
    config.batch_packets = 4;
    Running channel(config, io);
    EngineConfig engine_config;
    engine_config.workers = GetParam();
    auto engine = make_engine(engine_config, doubles.judge(),
                              [&](Batch* batch) { channel.loop->done(batch); });
    ASSERT_TRUE(engine.has_value());
    // The ring is full before the first turn: whoever judges, it has to shed.
    std::uint64_t n = 0;
    for (; n < kRing; ++n) ASSERT_TRUE(io.arrive(Side::wan, n));
    channel.start(**engine);
    std::mt19937_64 random(kSeed);
    while (n < kFrames)
      if (io.arrive(random() % 2 == 0 ? Side::wan : Side::lan, n)) ++n;
    wait_until([&] { return io.returned() == kFrames; });
    channel.stop();
    (*engine)->drain();

    EXPECT_EQ(io.free_frames(), 256U);
    EXPECT_TRUE(io.conserved());
    std::set<std::uint64_t> numbers;
    for (const Side side : {Side::wan, Side::lan}) {
      const auto forwarded = sent_by(io, side);
      EXPECT_TRUE(std::is_sorted(forwarded.begin(), forwarded.end()));
      numbers.insert(forwarded.begin(), forwarded.end());
    }
    const auto released = io.released();
    numbers.insert(released.begin(), released.end());
    EXPECT_EQ(numbers.size(), kFrames) << "each once";
    const ChannelTally tally = channel.loop->tally();
    EXPECT_EQ(tally.received, kFrames);
    EXPECT_EQ(tally.forwarded + tally.shed_forwarded, io.sent().size());
    EXPECT_EQ(tally.dropped + tally.shed_dropped, released.size());
    EXPECT_GT(tally.shed_forwarded + tally.shed_dropped, 0U);
    EXPECT_GT(tally.forwarded + tally.dropped, 0U) << "it judges meanwhile";
    EXPECT_EQ(overload == Overload::forward ? tally.shed_dropped : tally.shed_forwarded, 0U);
  }
}

TEST(ChannelLoop, WhatOverloadForwardsWaitsForWhatCameBefore) {
  for (const Overload overload : {Overload::forward, Overload::drop}) {
    MemoryChannel io(64);
    HoldingEngine engine;
    ChannelConfig config;
    config.overload = overload;
    config.batches = 2;
    Running channel(config, io);
    channel.start(engine);
    ASSERT_TRUE(io.arrive(Side::wan, 0));
    engine.wait_for(1);
    ASSERT_TRUE(io.arrive(Side::lan, 1));
    engine.wait_for(2);
    io.set_ring(1);  // a frame fills it
    ASSERT_TRUE(io.arrive(Side::wan, 2));
    ASSERT_TRUE(io.arrive(Side::lan, 3));
    wait_until([&] { return channel.loop->tally().received == 4; });
    if (overload == Overload::forward) {
      EXPECT_EQ(io.returned(), 0U);
    } else {
      wait_until([&] { return io.returned() == 2; });
      EXPECT_THAT(io.released(), testing::UnorderedElementsAre(2U, 3U));
    }
    engine.let_go(*channel.loop);
    wait_until([&] { return io.returned() == 4; });
    channel.stop();
    const ChannelTally tally = channel.loop->tally();
    EXPECT_EQ(tally.forwarded, 2U);
    if (overload == Overload::forward) {
      EXPECT_THAT(sent_by(io, Side::lan), testing::ElementsAre(0U, 2U));
      EXPECT_THAT(sent_by(io, Side::wan), testing::ElementsAre(1U, 3U));
      EXPECT_EQ(tally.shed_forwarded, 2U);
    } else {
      EXPECT_EQ(tally.shed_dropped, 2U);
    }
    EXPECT_EQ(io.free_frames(), 64U);
  }
}

TEST(ChannelLoop, OverloadLeavesAFullRingAlone) {
  MemoryChannel io(64);
  io.set_ring(4);
  HoldingEngine engine;
  ChannelConfig config;
  config.overload = Overload::leave;
  config.batches = 1;
  Running channel(config, io);
  channel.start(engine);
  ASSERT_TRUE(io.arrive(Side::wan, 0));
  engine.wait_for(1);
  std::uint64_t n = 1;
  while (io.arrive(Side::wan, n)) ++n;  // far beyond what any other action leaves in it
  const std::uint64_t turns = channel.loop->tally().pool_empty;
  wait_until([&] { return channel.loop->tally().pool_empty > turns + 2; });
  EXPECT_EQ(channel.loop->tally().received, 1U);
  while (io.returned() < n) engine.let_go(*channel.loop);
  channel.stop();
  const ChannelTally tally = channel.loop->tally();
  EXPECT_EQ(tally.forwarded, n);
  EXPECT_EQ(tally.shed_forwarded + tally.shed_dropped, 0U);
  std::vector<std::uint64_t> all(n);
  std::iota(all.begin(), all.end(), 0U);
  EXPECT_EQ(sent_by(io, Side::lan), all);
}

TEST(ChannelLoop, LeavesFramesInTheRingWhileItHasRoom) {
  MemoryChannel io(64);
  io.set_ring(16);
  HoldingEngine engine;
  ChannelConfig config;
  config.batches = 1;
  Running channel(config, io);
  channel.start(engine);
  ASSERT_TRUE(io.arrive(Side::wan, 0));
  engine.wait_for(1);
  for (std::uint64_t n = 1; n <= 12; ++n)
    ASSERT_TRUE(io.arrive(Side::wan, n));  // a quarter is left
  const std::uint64_t turns = channel.loop->tally().pool_empty;
  wait_until([&] { return channel.loop->tally().pool_empty > turns + 2; });
  EXPECT_EQ(channel.loop->tally().received, 1U);
  for (std::uint64_t n = 13; n <= 15; ++n) ASSERT_TRUE(io.arrive(Side::wan, n));
  wait_until([&] { return channel.loop->tally().received > 1; });
  // To the end, whichever of them are shed.
  while (io.returned() < 16) engine.let_go(*channel.loop);
  std::vector<std::uint64_t> all(16);
  std::iota(all.begin(), all.end(), 0U);
  EXPECT_EQ(sent_by(io, Side::lan), all);
}

TEST(ChannelLoop, APolledChannelNeverSleeps) {
  MemoryChannel io(64);
  io.set_busy_poll(true);
  HoldingEngine engine;
  Running channel({}, io);
  channel.start(engine);
  wait_until([&] { return io.services() > 1'000; });
  EXPECT_EQ(io.waits(), 0U);
  EXPECT_EQ(channel.loop->tally().sleeps, 0U);
  ASSERT_TRUE(io.arrive(Side::wan, 0));
  engine.wait_for(1);
  engine.let_go(*channel.loop);
  wait_until([&] { return io.returned() == 1; });
  channel.stop();
  EXPECT_EQ(io.waits(), 0U);
}

TEST(ChannelLoop, SeesOffWhatLiesInTheRingsWhenItStops) {
  MemoryChannel io(64);
  HoldingEngine engine;
  ChannelConfig config;
  config.batches = 1;
  config.batch_packets = 2;
  Running channel(config, io);
  channel.start(engine);
  ASSERT_TRUE(io.arrive(Side::lan, 0));
  engine.wait_for(1);
  for (std::uint64_t n = 1; n <= 9; ++n) ASSERT_TRUE(io.arrive(Side::lan, n));
  channel.loop->request_stop();
  while (io.returned() < 10) engine.let_go(*channel.loop);
  channel.stop();
  EXPECT_THAT(sent_by(io, Side::wan), testing::ElementsAre(0U, 1U, 2U, 3U, 4U, 5U, 6U, 7U, 8U, 9U));
  EXPECT_EQ(channel.loop->tally().received, channel.loop->tally().forwarded);
  EXPECT_EQ(io.free_frames(), 64U);
}

TEST(ChannelLoop, SeesOffWhatIsInFlightWhenItStops) {
  MemoryChannel io(64);
  HoldingEngine engine;
  Running channel({}, io);
  channel.start(engine);
  ASSERT_TRUE(io.arrive(Side::lan, 7));
  engine.wait_for(1);
  channel.loop->request_stop();
  engine.let_go(*channel.loop);
  channel.stop();
  EXPECT_THAT(sent_by(io, Side::wan), testing::ElementsAre(7U));
  EXPECT_EQ(io.free_frames(), 64U);
  EXPECT_GE(channel.beats.withdrawals, 1U);
}

TEST(ChannelLoop, BeatsWhileIdleAndWithdrawsWhileStarved) {
  MemoryChannel io(64);
  HoldingEngine engine;
  ChannelConfig config;
  config.sleep_max = std::chrono::milliseconds(2);
  Running channel(config, io);
  channel.start(engine);
  wait_until([&] { return channel.beats.beats >= 3; });
  EXPECT_EQ(channel.beats.withdrawals, 0U);
  io.set_headroom(0.01);
  wait_until([&] { return channel.beats.withdrawals == 1; });
  const std::uint64_t beats = channel.beats.beats;
  const std::uint64_t sleeps = channel.loop->tally().sleeps;
  wait_until([&] { return channel.loop->tally().sleeps > sleeps + 3; });
  EXPECT_EQ(channel.beats.beats, beats);
  EXPECT_EQ(channel.beats.withdrawals, 1U);  // said once
  io.set_headroom(1.0);
  wait_until([&] { return channel.beats.beats > beats; });
  EXPECT_EQ(channel.loop->tally().withdrawals, 1U);
}

TEST(ChannelLoop, DoesNotBeatWhileItsBatchesAreStuck) {
  MemoryChannel io(64);
  HoldingEngine engine;
  ChannelConfig config;
  config.sleep_max = std::chrono::milliseconds(2);
  Running channel(config, io);
  channel.start(engine);
  wait_until([&] { return channel.beats.beats >= 1; });
  ASSERT_TRUE(io.arrive(Side::wan, 0));
  engine.wait_for(1);
  const std::uint64_t sleeps = channel.loop->tally().sleeps;
  wait_until([&] { return channel.loop->tally().sleeps > sleeps + 2; });
  const std::uint64_t beats = channel.beats.beats;
  wait_until([&] { return channel.loop->tally().sleeps > sleeps + 6; });
  EXPECT_EQ(channel.beats.beats, beats);
  engine.let_go(*channel.loop);
  wait_until([&] { return channel.beats.beats > beats; });
}

// A wait of an hour between packets is "close" here, and none is: time itself is not measured.
TEST(ChannelLoop, LooksOnWherePacketsComeCloseTogetherAndSleepsWhereNot) {
  for (const Nanoseconds spin : {Nanoseconds{0}, Nanoseconds{std::chrono::hours(1)}}) {
    MemoryChannel io(64);
    Doubles doubles(kSeed);
    ChannelConfig config;
    config.spin = spin;
    config.sleep_max = std::chrono::milliseconds(1);
    Running channel(config, io);
    auto engine = make_engine({}, doubles.judge(), [&](Batch* b) { channel.loop->done(b); });
    ASSERT_TRUE(engine.has_value());
    channel.start(**engine);
    for (std::uint64_t n = 0; n < 20; ++n) {
      ASSERT_TRUE(io.arrive(Side::wan, n));
      wait_until([&] { return io.returned() == n + 1; });
    }
    const std::uint64_t sleeps = channel.loop->tally().sleeps;
    const std::uint64_t beats = channel.beats.beats;
    wait_until([&] { return channel.beats.beats > beats + 5; });  // it turns, either way
    if (spin.count() > 0) {
      EXPECT_EQ(channel.loop->tally().sleeps, sleeps);
    } else {
      EXPECT_GT(channel.loop->tally().sleeps, sleeps);
    }
  }
}

}  // namespace
}  // namespace weir::pipeline
