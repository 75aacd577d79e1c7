// SPDX-License-Identifier: BSD-2-Clause
// The engines' promises: every batch back once, in order, with the same decisions whatever runs it.
#include <gmock/gmock.h>
#include <sched.h>

#include <barrier>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <numeric>
#include <random>
#include <set>

#include "judge_doubles.h"

namespace weir::pipeline {
namespace {

using test::Doubles;

constexpr std::uint64_t kSeed = 20260131;
const Columns kOneColumn = Columns::all_of(1);

/// The batches of some channels, and the queues by which they come back.
class Channels {
 public:
  Channels(std::uint32_t channels, std::size_t batches) : returned_(channels) {
    for (std::uint32_t c = 0; c < channels; ++c) pools_.emplace_back(c, batches, kOneColumn);
  }
  Done done() {
    return [this](Batch* batch) {
      const std::lock_guard lock(mutex_);
      tickets_.push_back(batch->ticket);
      returned_[batch->channel].push_back(batch);
      came_.notify_all();
    };
  }
  Batch* take(std::uint32_t channel) { return pools_[channel].take(); }
  void give(Batch* batch) { pools_[batch->channel].give(batch); }
  Batch* wait(std::uint32_t channel) {
    std::unique_lock lock(mutex_);
    came_.wait(lock, [&] { return !returned_[channel].empty(); });
    Batch* batch = returned_[channel].front();
    returned_[channel].pop_front();
    return batch;
  }
  [[nodiscard]] std::size_t waiting(std::uint32_t channel) {
    const std::lock_guard lock(mutex_);
    return returned_[channel].size();
  }
  [[nodiscard]] bool all_in_pools() const {
    return std::all_of(pools_.begin(), pools_.end(),
                       [](const BatchPool& pool) { return pool.available() == pool.size(); });
  }
  [[nodiscard]] const std::vector<std::uint64_t>& tickets() const { return tickets_; }

 private:
  std::deque<BatchPool> pools_;
  std::mutex mutex_;
  std::condition_variable came_;
  std::vector<std::deque<Batch*>> returned_;
  std::vector<std::uint64_t> tickets_;  // in the order of `done`
};

void fill(Batch& batch, std::uint64_t first, std::size_t size) {
  static const std::array<std::uint8_t, 128> kBytes{};
  batch.size = static_cast<std::uint32_t>(size);
  for (std::size_t i = 0; i < size; ++i) {
    batch.frames[i] = {};
    batch.frames[i].data = kBytes.data();
    batch.frames[i].length = 60;
    batch.frames[i].number = first + i;
    batch.frames[i].time = PacketTime{1'000'000'000 + (first + i) * 1000};
  }
}

std::unique_ptr<Engine> engine_of(std::uint32_t workers, const Judge& judge, Done done) {
  EngineConfig config;
  config.workers = workers;
  auto engine = make_engine(config, judge, std::move(done));
  EXPECT_TRUE(engine.has_value()) << (engine ? "" : engine.error().message);
  return std::move(*engine);
}

/// Sends `packets` packets through one channel in batches of random sizes; returns all decisions.
std::vector<detect::Decision> run_one_channel(std::uint32_t workers, std::uint64_t packets,
                                              Doubles& doubles) {
  Channels channels(1, 12);
  auto engine = engine_of(workers, doubles.judge(), channels.done());
  std::mt19937_64 random(kSeed);
  std::vector<detect::Decision> decisions;
  std::uint64_t in_flight = 0;
  const auto collect = [&] {
    Batch* batch = channels.wait(0);
    EXPECT_EQ(batch->frames[0].number, decisions.size());
    decisions.insert(decisions.end(), batch->decisions.begin(),
                     batch->decisions.begin() + batch->size);
    channels.give(batch);
    --in_flight;
  };
  for (std::uint64_t sent = 0; sent < packets;) {
    Batch* batch = channels.take(0);
    if (batch == nullptr) {
      collect();
      continue;
    }
    const std::uint64_t size = std::min(packets - sent, random() % kBatchPackets + 1);
    fill(*batch, sent, size);
    sent += size;
    ++in_flight;
    engine->submit(batch);
  }
  engine->drain();
  while (in_flight > 0) collect();
  EXPECT_TRUE(channels.all_in_pools());
  return decisions;
}

class EngineOfWorkers : public testing::TestWithParam<std::uint32_t> {};
INSTANTIATE_TEST_SUITE_P(Workers, EngineOfWorkers, testing::Values(0U, 1U, 2U, 8U));

TEST_P(EngineOfWorkers, ExtractsAndReturnsInOrderUnderDelays) {
  Doubles doubles(kSeed);
  const auto decisions = run_one_channel(GetParam(), 40'000, doubles);
  ASSERT_EQ(decisions.size(), 40'000U);
  std::vector<std::uint64_t> in_order(40'000);
  std::iota(in_order.begin(), in_order.end(), 0U);
  EXPECT_EQ(doubles.extractor.seen, in_order);
}

TEST_P(EngineOfWorkers, DecidesAsTheStagesDoOneByOne) {
  Doubles doubles(kSeed);
  const auto decisions = run_one_channel(GetParam(), 20'000, doubles);
  ASSERT_EQ(decisions.size(), 20'000U);
  Doubles plain;
  float cell = 0;
  float* column = &cell;
  std::vector<datapath::Block> blocks;
  for (std::uint64_t n = 0; n < decisions.size(); ++n) {
    packet::Frame frame;
    frame.number = n;
    frame.time = PacketTime{1'000'000'000 + n * 1000};
    const auto context = plain.extractor.extract_one(frame, {}, {}, &column);
    const auto expected = plain.policy.decide(context, test::is_attack(n) ? 1.0F : 0.0F);
    ASSERT_EQ(decisions[n].verdict, expected.verdict) << "packet " << n;
    ASSERT_EQ(decisions[n].reason, expected.reason) << "packet " << n;
    ASSERT_EQ(decisions[n].block, expected.block) << "packet " << n;
    if (expected.block) blocks.push_back(make_block(context, expected));
  }
  ASSERT_FALSE(blocks.empty());
  ASSERT_EQ(doubles.sink.blocks.size(), blocks.size());
  for (std::size_t i = 0; i < blocks.size(); ++i) {
    EXPECT_EQ(doubles.sink.blocks[i].source, blocks[i].source);
    EXPECT_EQ(doubles.sink.blocks[i].value.expires_ns, blocks[i].value.expires_ns);
  }
}

TEST_P(EngineOfWorkers, ChannelsGetTheirOwnBatchesBackInOrder) {
  constexpr std::uint32_t kChannels = 4;
  constexpr std::uint64_t kBatches = 300;
  Doubles doubles(kSeed);
  Channels channels(kChannels, 3);
  auto engine = engine_of(GetParam(), doubles.judge(), channels.done());
  std::vector<std::thread> threads;
  for (std::uint32_t c = 0; c < kChannels; ++c)
    threads.emplace_back([&, c] {
      std::uint64_t next_back = 0;
      const auto collect = [&] {
        Batch* batch = channels.wait(c);
        EXPECT_EQ(batch->channel, c);
        EXPECT_EQ(batch->frames[0].number, next_back * 8 + c * 1'000'000);
        ++next_back;
        channels.give(batch);
      };
      for (std::uint64_t b = 0; b < kBatches; ++b) {
        Batch* batch = channels.take(c);
        while (batch == nullptr) {
          collect();
          batch = channels.take(c);
        }
        fill(*batch, b * 8 + c * 1'000'000, 8);
        engine->submit(batch);
      }
      while (next_back < kBatches) collect();
    });
  for (auto& thread : threads) thread.join();
  engine->drain();
  EXPECT_TRUE(channels.all_in_pools());
  std::vector<std::uint64_t> in_order(kChannels * kBatches);
  std::iota(in_order.begin(), in_order.end(), 0U);
  EXPECT_EQ(channels.tickets(), in_order);
  EXPECT_EQ(doubles.extractor.seen.size(), kChannels * kBatches * 8);
}

TEST_P(EngineOfWorkers, DrainWaitsForAll) {
  Doubles doubles(kSeed);
  Channels channels(1, 8);
  auto engine = engine_of(GetParam(), doubles.judge(), channels.done());
  for (int round = 0; round < 20; ++round) {
    std::vector<Batch*> batches;
    for (std::size_t b = 0; b < 8; ++b) {
      Batch* batch = channels.take(0);
      ASSERT_NE(batch, nullptr);
      fill(*batch, 0, 16);
      engine->submit(batch);
    }
    EXPECT_EQ(channels.take(0), nullptr);  // the pool bounds what is in flight
    engine->drain();
    ASSERT_EQ(channels.waiting(0), 8U);
    for (std::size_t b = 0; b < 8; ++b) channels.give(channels.wait(0));
  }
}

TEST(Engine, TakesAnEmptyBatch) {
  for (const std::uint32_t workers : {0U, 2U}) {
    Doubles doubles;
    Channels channels(1, 1);
    auto engine = engine_of(workers, doubles.judge(), channels.done());
    engine->submit(channels.take(0));
    engine->drain();
    channels.give(channels.wait(0));
    EXPECT_TRUE(doubles.extractor.seen.empty());
  }
}

/// Scores on whatever CPU it is called, and remembers which.
class CpuEvaluator final : public forest::Evaluator {
 public:
  explicit CpuEvaluator(std::atomic<std::uint64_t>& cpus) : cpus_(cpus) {}
  void evaluate(const float* const* /*columns*/, std::size_t rows,
                float* scores) noexcept override {
    cpus_ |= 1ULL << static_cast<unsigned>(sched_getcpu());
    std::fill_n(scores, rows, 0.0F);
  }
  [[nodiscard]] std::unique_ptr<Evaluator> clone() const override {
    return std::make_unique<CpuEvaluator>(cpus_);
  }
  [[nodiscard]] std::string describe() const override { return "cpu"; }

 private:
  std::atomic<std::uint64_t>& cpus_;
};

/// Scores only once `together` threads are in it at the same time; remembers the most there were.
class MeetingEvaluator final : public forest::Evaluator {
 public:
  struct Meeting {
    explicit Meeting(std::ptrdiff_t together) : all_here(together) {}
    std::barrier<> all_here;
    std::atomic<int> inside{0};
    std::atomic<int> most{0};
  };
  explicit MeetingEvaluator(Meeting& meeting) : meeting_(meeting) {}
  void evaluate(const float* const* /*columns*/, std::size_t rows,
                float* scores) noexcept override {
    const int inside = ++meeting_.inside;
    int most = meeting_.most;
    while (inside > most && !meeting_.most.compare_exchange_weak(most, inside)) continue;
    meeting_.all_here.arrive_and_wait();
    std::fill_n(scores, rows, 0.0F);
    --meeting_.inside;
  }
  [[nodiscard]] std::unique_ptr<Evaluator> clone() const override {
    return std::make_unique<MeetingEvaluator>(meeting_);
  }
  [[nodiscard]] std::string describe() const override { return "meeting"; }

 private:
  Meeting& meeting_;
};

/// The same score for every row, but after a while: a batch that two evaluators had to do with, or
/// one that is exchanged while it works, shows.
class ConstantEvaluator final : public forest::Evaluator {
 public:
  explicit ConstantEvaluator(float score) : score_(std::make_unique<float>(score)) {}
  void evaluate(const float* const* /*columns*/, std::size_t rows,
                float* scores) noexcept override {
    for (std::size_t i = 0; i < rows; ++i) {
      if (i == rows / 2) test::sometimes_delay(rows, kSeed);
      scores[i] = *score_;
    }
  }
  [[nodiscard]] std::unique_ptr<Evaluator> clone() const override {
    return std::make_unique<ConstantEvaluator>(*score_);
  }
  [[nodiscard]] std::string describe() const override { return "constant"; }

 private:
  std::unique_ptr<float> score_;  // on the heap, so that a use after its end is seen
};

TEST_P(EngineOfWorkers, ExchangesTheModelBetweenBatchesAndLosesNone) {
  constexpr int kExchanges = 50;
  Doubles doubles(kSeed);
  Channels channels(1, 12);
  const ConstantEvaluator first(0);
  const Judge judge{doubles.extractor, doubles.policy, const_cast<ConstantEvaluator&>(first),
                    doubles.sink};
  auto engine = engine_of(GetParam(), judge, channels.done());
  std::atomic<int> used{0};  // the latest that `use` has returned for
  std::thread exchanger([&] {
    for (int i = 1; i <= kExchanges; ++i) {
      engine->use(ConstantEvaluator(static_cast<float>(i)));  // gone when `use` returns
      used.store(i, std::memory_order_release);
      std::this_thread::sleep_for(std::chrono::microseconds(200));
    }
  });
  std::deque<int> least;  // of each batch in flight: what was in use when it was submitted
  std::uint64_t sent = 0, received = 0;
  const auto collect = [&] {
    Batch* batch = channels.wait(0);
    EXPECT_EQ(batch->frames[0].number, received);
    received += batch->size;
    const float score = batch->scores[0];
    for (std::size_t i = 0; i < batch->size; ++i) ASSERT_EQ(batch->scores[i], score);
    EXPECT_GE(score, static_cast<float>(least.front()));
    least.pop_front();
    channels.give(batch);
  };
  while (used.load(std::memory_order_acquire) < kExchanges || sent < 20'000) {
    Batch* batch = channels.take(0);
    if (batch == nullptr) {
      collect();
      continue;
    }
    fill(*batch, sent, sent % kBatchPackets + 1);
    sent += batch->size;
    least.push_back(used.load(std::memory_order_acquire));
    engine->submit(batch);
  }
  engine->drain();
  while (!least.empty()) collect();
  exchanger.join();
  EXPECT_EQ(received, sent);
  EXPECT_TRUE(channels.all_in_pools());
}

// Eight workers are eight threads, on however few CPUs; with fewer, this would wait for ever.
TEST(GraphEngine, RunsAsManyWorkersAsWereAskedFor) {
  for (const std::uint32_t workers : {1U, 2U, 8U}) {
    MeetingEvaluator::Meeting meeting(workers);
    MeetingEvaluator evaluator(meeting);
    Doubles doubles;
    Channels channels(1, 8);
    EngineConfig config;
    config.workers = workers;
    const Judge judge{doubles.extractor, doubles.policy, evaluator, doubles.sink};
    auto engine = make_engine(config, judge, channels.done());
    ASSERT_TRUE(engine.has_value());
    for (int round = 0; round < 10; ++round) {
      for (std::size_t b = 0; b < 8; ++b) {
        Batch* batch = channels.take(0);
        fill(*batch, 0, 64);
        (*engine)->submit(batch);
      }
      for (std::size_t b = 0; b < 8; ++b) channels.give(channels.wait(0));
    }
    EXPECT_EQ(meeting.most, static_cast<int>(workers));
  }
}

/// Scores wherever it is called, and notes by which threads.
class ThreadEvaluator final : public forest::Evaluator {
 public:
  explicit ThreadEvaluator(std::set<std::thread::id>& threads) : threads_(threads) {}
  void evaluate(const float* const* /*columns*/, std::size_t rows,
                float* scores) noexcept override {
    threads_.insert(std::this_thread::get_id());
    std::fill_n(scores, rows, 0.0F);
  }
  [[nodiscard]] std::unique_ptr<Evaluator> clone() const override {
    return std::make_unique<ThreadEvaluator>(threads_);
  }
  [[nodiscard]] std::string describe() const override { return "thread"; }

 private:
  std::set<std::thread::id>& threads_;  // one worker: one thread at a time
};

TEST(GraphEngine, RunsSmallBatchesOnTheirOwnThreadWhileThereAreNoOthers) {
  for (const std::size_t size : {1U, 32U, 33U, 256U}) {
    std::set<std::thread::id> threads;
    ThreadEvaluator evaluator(threads);
    Doubles doubles;
    Channels channels(1, 1);
    const Judge judge{doubles.extractor, doubles.policy, evaluator, doubles.sink};
    auto engine = engine_of(1, judge, channels.done());
    for (int b = 0; b < 20; ++b) {
      Batch* batch = channels.take(0);
      fill(*batch, 0, size);
      engine->submit(batch);
      channels.give(channels.wait(0));
      engine->drain();
    }
    EXPECT_EQ(threads.size(), 1U) << size;
    EXPECT_EQ(threads.count(std::this_thread::get_id()), size <= 32 ? 1U : 0U) << size;
  }
}

TEST(GraphEngine, PinsItsWorkers) {
  cpu_set_t allowed;
  ASSERT_EQ(sched_getaffinity(0, sizeof allowed, &allowed), 0);
  unsigned last = 0;
  for (unsigned cpu = 0; cpu < 64; ++cpu)
    if (CPU_ISSET(cpu, &allowed)) last = cpu;
  std::atomic<std::uint64_t> cpus{0};
  CpuEvaluator evaluator(cpus);
  Doubles doubles;
  Channels channels(1, 4);
  EngineConfig config;
  config.workers = 2;
  config.worker_cpus = {last};
  const Judge judge{doubles.extractor, doubles.policy, evaluator, doubles.sink};
  auto engine = make_engine(config, judge, channels.done());
  ASSERT_TRUE(engine.has_value());
  for (int b = 0; b < 200; ++b) {
    Batch* batch = channels.take(0);
    if (batch == nullptr) {
      batch = channels.wait(0);
      channels.give(batch);
      batch = channels.take(0);
    }
    fill(*batch, 0, 64);
    (*engine)->submit(batch);
  }
  while (!channels.all_in_pools()) channels.give(channels.wait(0));
  EXPECT_EQ(cpus.load(), 1ULL << last);
}

TEST(GraphEngine, RefusesWhatNoMachineHas) {
  Doubles doubles;
  EngineConfig config;
  config.workers = kWorkersMax + 1;
  const auto engine = make_engine(config, doubles.judge(), [](Batch*) {});
  ASSERT_FALSE(engine.has_value());
  EXPECT_THAT(engine.error().message, testing::HasSubstr("workers is 257"));
  config.workers = 1;
  config.worker_cpus = {100'000};
  EXPECT_FALSE(make_engine(config, doubles.judge(), [](Batch*) {}).has_value());
}

TEST(BatchDeathTest, IsInOneStageAtATime) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  BatchPool pool(0, 1, kOneColumn);
  Batch* batch = pool.take();
  batch->enter(Batch::At::pool);
  EXPECT_DEATH(batch->enter(Batch::At::pool), "place");
  EXPECT_DEATH(pool.give(batch), "place");
}

TEST(Batch, ColumnsStandOnLinesOfTheirOwn) {
  Columns columns;
  columns.extracted = 5;
  columns.model_features = {3, 0};
  BatchPool pool(7, 2, columns);
  Batch* batch = pool.take();
  EXPECT_EQ(batch->channel, 7U);
  ASSERT_EQ(batch->columns.size(), 5U);
  for (std::size_t c = 0; c < 5; ++c) {
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(batch->columns[c]) % kCacheLine_bytes, 0U);
    std::fill_n(batch->columns[c], kBatchPackets, static_cast<float>(c));
  }
  for (std::size_t c = 0; c < 5; ++c) EXPECT_EQ(batch->columns[c][255], static_cast<float>(c));
  ASSERT_EQ(batch->model_columns.size(), 2U);
  EXPECT_EQ(batch->model_columns[0], batch->columns[3]);
  EXPECT_EQ(batch->model_columns[1], batch->columns[0]);
}

}  // namespace
}  // namespace weir::pipeline
