// SPDX-License-Identifier: BSD-2-Clause
#include "control/enforcer.h"

#include <gtest/gtest.h>

#include <mutex>

#include "datapath/native.h"

namespace weir::control {
namespace {

datapath::Block block_of(std::uint32_t number, weir_origin origin = WEIR_ORIGIN_policy) {
  datapath::Block block{.source = Address::v4(be32::from_host(0x0b000000U + number))};
  block.value.expires_ns = 0;
  block.value.scope = WEIR_SCOPE_ssdp;
  block.value.origin = origin;
  return block;
}

/// Waits for the enforcer to have taken all that was put before.
void settle(Enforcer& enforcer) {
  for (int i = 0; i < 10'000; ++i) {
    const auto c = enforcer.counters();
    if (c.written + c.refused + c.lost >= c.put) return;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

class EnforcerTest : public ::testing::Test {
 protected:
  void start(std::uint32_t blocks_max) {
    datapath_ = std::make_unique<datapath::Native>(datapath::Config{.blocks_max = blocks_max});
    auto started = Enforcer::start(*datapath_);
    ASSERT_TRUE(started) << started.error().message;
    enforcer_ = std::move(*started);
  }
  std::vector<datapath::Block> listed() {
    std::vector<datapath::Block> blocks;
    enforcer_->call([&] { blocks = *datapath_->list_blocks(); }, false);
    return blocks;
  }
  std::unique_ptr<datapath::Native> datapath_;
  std::unique_ptr<Enforcer> enforcer_;
};

TEST_F(EnforcerTest, EveryBlockReachesTheTableAndIsTimedOnce) {
  start(16'384);
  const PacketTime before = monotonic_now();
  for (int round = 0; round < 2; ++round) {
    for (std::uint32_t i = 0; i < 10'000; ++i) EXPECT_TRUE(enforcer_->put(block_of(i), before));
    settle(*enforcer_);
  }
  const auto c = enforcer_->counters();
  EXPECT_EQ(c.put, 20'000U);
  EXPECT_EQ(c.written, 20'000U);
  EXPECT_EQ(c.sources, 10'000U) << "what stands already is no new source";
  EXPECT_EQ(c.standing, 10'000U);
  EXPECT_EQ(enforcer_->time_to_block().count(), 10'000U);
  EXPECT_EQ(listed().size(), 10'000U);
}

TEST_F(EnforcerTest, AFullTableIsCountedAndForgetsNothing) {
  start(1'024);
  for (std::uint32_t i = 0; i < 5'000; ++i) enforcer_->put(block_of(i), {});
  settle(*enforcer_);
  const auto c = enforcer_->counters();
  EXPECT_EQ(c.written + c.refused, 5'000U);
  EXPECT_GE(c.refused, 5'000U - 2 * 1'024U);
  EXPECT_EQ(listed().size(), c.standing);
}

TEST_F(EnforcerTest, ExpiredBlocksMakeRoom) {
  start(1'024);
  for (std::uint32_t i = 0; i < 1'024; ++i) {
    datapath::Block old = block_of(i);
    old.value.expires_ns = 1;
    enforcer_->put(old, {});
  }
  settle(*enforcer_);
  for (std::uint32_t i = 0; i < 500; ++i) enforcer_->put(block_of(100'000 + i), {});
  settle(*enforcer_);
  EXPECT_EQ(enforcer_->counters().refused, 0U);
  enforcer_->call([] {}, true);
  EXPECT_EQ(enforcer_->counters().expired, 1'024U);
  EXPECT_EQ(listed().size(), 500U);
}

TEST_F(EnforcerTest, ThePolicyNeverReplacesAManualBlock) {
  start(1'024);
  enforcer_->call(
      [&] {
        const datapath::Block manual = block_of(7, WEIR_ORIGIN_manual);
        EXPECT_EQ(*datapath_->add_blocks({&manual, 1}), 1U);
      },
      true);
  enforcer_->put(block_of(7), {});
  enforcer_->put(block_of(8), {});
  while (enforcer_->counters().written == 0) std::this_thread::yield();
  for (const auto& block : listed()) {
    EXPECT_EQ(block.value.origin,
              block.source == block_of(7).source ? WEIR_ORIGIN_manual : WEIR_ORIGIN_policy);
  }
  EXPECT_EQ(enforcer_->counters().written, 1U);
}

TEST_F(EnforcerTest, WhatWaitsAtTheEndIsWritten) {
  start(65'536);
  for (std::uint32_t i = 0; i < 30'000; ++i) enforcer_->put(block_of(i), {});
  enforcer_.reset();
  EXPECT_EQ(datapath_->list_blocks()->size(), 30'000U);
}

TEST_F(EnforcerTest, AFullQueueRefusesAndCounts) {
  start(131'072);
  std::mutex gate;
  gate.lock();
  std::thread holder([&] { enforcer_->call([&] { const std::lock_guard wait(gate); }, false); });
  // The thread waits in the request sooner or later, and then nothing takes from the queue.
  std::uint64_t refused = 0;
  for (std::uint32_t i = 0; i < 4 * Enforcer::kQueue && refused < 10; ++i) {
    if (!enforcer_->put(block_of(i % 100'000), {})) ++refused;
  }
  gate.unlock();
  holder.join();
  EXPECT_EQ(refused, 10U);
  EXPECT_EQ(enforcer_->counters().lost, refused);
}

}  // namespace
}  // namespace weir::control
