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
    if (c.written + c.refused + c.lost + c.skipped >= c.put) return;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

/// A datapath that counts what is asked of it.
class Counted final : public datapath::Datapath {
 public:
  explicit Counted(const datapath::Config& config) : native_(config) {}
  Result<std::size_t> add_blocks(std::span<const datapath::Block> added) override {
    blocks += added.size();
    return native_.add_blocks(added);
  }
  Result<std::size_t> remove_blocks(std::span<const datapath::BlockKey> removed) override {
    return native_.remove_blocks(removed);
  }
  [[nodiscard]] Result<std::vector<datapath::Block>> list_blocks() const override {
    ++lists;
    return native_.list_blocks();
  }
  Status add_allow(const Prefix& prefix) override { return native_.add_allow(prefix); }
  Result<bool> remove_allow(const Prefix& prefix) override { return native_.remove_allow(prefix); }
  [[nodiscard]] Result<std::vector<Prefix>> list_allow() const override {
    ++allow_lists;
    return native_.list_allow();
  }
  [[nodiscard]] Result<datapath::Counters> counters() const override { return native_.counters(); }

  std::atomic<std::size_t> blocks{0};
  mutable std::atomic<std::size_t> lists{0};
  mutable std::atomic<std::size_t> allow_lists{0};

 private:
  datapath::Native native_;
};

class EnforcerTest : public ::testing::Test {
 protected:
  void start(std::uint32_t blocks_max) {
    counted_ = std::make_unique<Counted>(datapath::Config{.blocks_max = blocks_max});
    auto started = Enforcer::start(*counted_);
    ASSERT_TRUE(started) << started.error().message;
    enforcer_ = std::move(*started);
  }
  std::vector<datapath::Block> listed() {
    std::vector<datapath::Block> blocks;
    enforcer_->call([&](auto& tables) { blocks = *tables.list_blocks(); });
    return blocks;
  }
  std::unique_ptr<Counted> counted_;
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
  EXPECT_EQ(c.written, 10'000U);
  EXPECT_EQ(c.skipped, 10'000U) << "what stands is not written again: its hits would be lost";
  EXPECT_EQ(c.sources, 10'000U) << "what stands already is no new source";
  EXPECT_EQ(c.standing, 10'000U);
  EXPECT_EQ(enforcer_->time_to_block().count(), 10'000U);
  EXPECT_EQ(listed().size(), 10'000U);
}

TEST_F(EnforcerTest, AFullTableTakesWhatFitsAndThenCostsNothing) {
  start(1'024);
  constexpr std::uint32_t kSources = 50'000;
  for (int round = 0; round < 2; ++round) {
    for (std::uint32_t i = 0; i < kSources; ++i) {
      while (!enforcer_->put(block_of(i), {})) std::this_thread::yield();
    }
    settle(*enforcer_);
  }
  const auto c = enforcer_->counters();
  EXPECT_EQ(c.put, c.lost + c.skipped + c.written + c.refused);
  EXPECT_EQ(c.standing, listed().size());
  EXPECT_EQ(c.standing, c.written);
  EXPECT_GE(c.standing, 1'024U);
  // Once to know what stands at the start, and once more for `listed`; the batch that fills the
  // table is written singly, and no order after it reaches the datapath.
  EXPECT_EQ(counted_->lists, 2U);
  EXPECT_LE(counted_->blocks, c.standing + 2 * Enforcer::kBatch);
}

TEST_F(EnforcerTest, ExpiredBlocksMakeRoom) {
  start(1'024);
  std::uint32_t kept = 0;
  for (; enforcer_->counters().refused == 0; ++kept) {
    datapath::Block old = block_of(kept);
    old.value.expires_ns = 1;
    enforcer_->put(old, {});
    settle(*enforcer_);
  }
  // As the policy does: a block that found no room is ordered again.
  while (enforcer_->counters().sources < kept) {
    enforcer_->put(block_of(1'000'000), {});
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  EXPECT_EQ(enforcer_->counters().expired, kept - 1);
  EXPECT_EQ(listed().size(), 1U);
}

TEST_F(EnforcerTest, WhatAPersonTakesOffStaysOffUntilThePolicyKnows) {
  start(1'024);
  detect::Policy policy{detect::PolicyConfig{}};
  const auto order = [&](std::uint32_t number, std::uint64_t expires_ns) {
    datapath::Block block = block_of(number);
    block.value.expires_ns = expires_ns;
    enforcer_->put(block, {});
  };
  const std::uint64_t later = (monotonic_now() + std::chrono::hours(1)).ns;
  const std::uint64_t latest = later + 1;
  enforcer_->before(policy);
  order(7, later);
  settle(*enforcer_);
  const datapath::BlockKey source = block_of(7).key();
  enforcer_->call([&](auto& tables) {
    order(7, latest);  // ordered in the same moment: it waits behind the removal
    EXPECT_EQ(*tables.remove_blocks({&source, 1}), 1U);
  });
  order(7, later);  // and one more: the policy has not heard of it yet
  order(8, later);
  settle(*enforcer_);
  ASSERT_EQ(listed().size(), 1U);
  EXPECT_NE(listed()[0].source, source.address);
  // The policy hears of it; what it orders then is a new judgement, which has to get through.
  enforcer_->before(policy);
  for (int i = 0; i < 10'000 && listed().size() < 2; ++i) {
    order(7, later);
    settle(*enforcer_);
  }
  EXPECT_EQ(listed().size(), 2U);
  EXPECT_EQ(enforcer_->time_to_block().count(), 2U) << "its first block only, and that of 8";
}

TEST_F(EnforcerTest, ThePolicyNeverReplacesAManualBlock) {
  start(1'024);
  enforcer_->call([&](auto& tables) {
    const datapath::Block manual = block_of(7, WEIR_ORIGIN_manual);
    EXPECT_EQ(*tables.add_blocks({&manual, 1}), 1U);
  });
  enforcer_->put(block_of(7), {});
  enforcer_->put(block_of(8), {});
  while (enforcer_->counters().written == 0) std::this_thread::yield();
  for (const auto& block : listed()) {
    EXPECT_EQ(block.value.origin,
              block.source == block_of(7).source ? WEIR_ORIGIN_manual : WEIR_ORIGIN_policy);
  }
  EXPECT_EQ(enforcer_->counters().written, 1U);
}

TEST_F(EnforcerTest, WhatACallThrowsIsItsCallersAndTheThreadGoesOn) {
  start(1'024);
  EXPECT_THROW(enforcer_->call([](datapath::Datapath&) { throw std::runtime_error("thrown"); }),
               std::runtime_error);
  bool called = false;
  enforcer_->call([&](datapath::Datapath&) { called = true; });
  EXPECT_TRUE(called);
}

TEST_F(EnforcerTest, ManyPrefixesAreAddedInOneGoAndToldOnce) {
  start(1'024);
  enforcer_->call([](auto& tables) {
    for (std::uint32_t i = 0; i < 4'000; ++i) {
      const Prefix prefix(Address::v4(be32::from_host(10U << 24U | i << 8U)), 24);
      ASSERT_TRUE(tables.add_allow(prefix));
    }
  });
  EXPECT_EQ(counted_->allow_lists, 1U);
  EXPECT_EQ(counted_->list_allow()->size(), 4'000U);
}

TEST_F(EnforcerTest, WhatWaitsAtTheEndIsWritten) {
  start(65'536);
  for (std::uint32_t i = 0; i < 30'000; ++i) enforcer_->put(block_of(i), {});
  enforcer_.reset();
  EXPECT_EQ(counted_->list_blocks()->size(), 30'000U);
}

TEST_F(EnforcerTest, AFullQueueRefusesAndCounts) {
  start(131'072);
  std::mutex gate;
  gate.lock();
  std::thread holder([&] { enforcer_->call([&](auto&) { const std::lock_guard wait(gate); }); });
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
