// SPDX-License-Identifier: BSD-2-Clause
// What an engine costs a batch, and what a packet costs from a mapped capture to its verdict.
//
//   pipeline_bench --benchmark_min_time=2
//   WEIR_MODEL=config/model.json pipeline_bench --benchmark_filter=Replay
//
// Without WEIR_MODEL every score is 0: the figures are then those of all stages but the forest.
#include <benchmark/benchmark.h>
#include <unistd.h>

#include <cstdlib>
#include <deque>
#include <filesystem>
#include <map>
#include <thread>

#include "base/relax.h"
#include "base/ring.h"
#include "forest/import.h"
#include "pipeline/replay.h"
#include "synth/synth.h"

namespace weir::pipeline {
namespace {

/// Stages that do nothing: what remains is the engine.
class NoExtractor final : public detect::Extractor {
 public:
  void extract(const detect::Packets& packets) noexcept override {
    std::fill_n(packets.contexts, packets.frames.size(), detect::Context{});
  }
  [[nodiscard]] detect::TableCounters counters() const noexcept override { return {}; }
};

class NoSink final : public BlockSink {
 public:
  bool put(const datapath::Block& /*block*/, PacketTime /*first_seen*/) noexcept override {
    return true;
  }
};

/// The least that an engine with a thread of its own can be: it takes batches from a ring and runs the
/// same stages, one after the other.
class RingEngine final : public Engine {
 public:
  RingEngine(const Judge& judge, Done done)
      : stages_(make_serial_engine(judge, std::move(done))), thread_([this] { run(); }) {}
  ~RingEngine() override {
    stop_.store(true, std::memory_order_release);
    thread_.join();
  }
  void submit(Batch* batch) noexcept override {
    ++submitted_;
    while (!ring_.push(batch)) relax_cpu();
  }
  void drain() noexcept override {
    while (judged_.load(std::memory_order_acquire) != submitted_) relax_cpu();
  }
  void use(const forest::Evaluator& evaluator) override { stages_->use(evaluator); }

 private:
  void run() noexcept {
    while (!stop_.load(std::memory_order_acquire)) {
      Batch* batch = nullptr;
      if (!ring_.pop(batch)) {
        relax_cpu();
        continue;
      }
      stages_->submit(batch);
      judged_.fetch_add(1, std::memory_order_release);
    }
  }

  std::unique_ptr<Engine> stages_;
  SpscRing<Batch*> ring_{64};
  std::uint64_t submitted_ = 0;
  std::atomic<std::uint64_t> judged_{0};
  std::atomic<bool> stop_{false};
  std::thread thread_;  // last: it uses all of the above
};

/// No number of workers: a `RingEngine`.
constexpr std::int64_t kRing = -1;

/// Batches of empty frames through an engine, 12 in turn, so that any engine works on the same memory.
/// What a packet takes above the same with no workers is what the graph and the way of the batch to
/// another core cost; above the same by a ring (workers: -1), what the graph alone does. Batches of up
/// to 32 go past the graph while it is empty.
void engine_alone(benchmark::State& state) {
  NoExtractor extractor;
  NoSink sink;
  detect::Policy policy{detect::PolicyConfig{}};
  auto bound = bind(nullptr, {}, Extract::model_features);
  constexpr std::uint32_t kBatches = 12;
  std::deque<BatchPool> pools;  // of one each
  for (std::uint32_t i = 0; i < kBatches; ++i) pools.emplace_back(i, 1, Columns{});
  SpscRing<Batch*> returned(kBatches);
  const Judge judge{extractor, policy, *bound->evaluator, sink};
  const Done done = [&](Batch* batch) { returned.push(batch); };
  std::unique_ptr<Engine> engine;
  if (state.range(0) == kRing) {
    engine = std::make_unique<RingEngine>(judge, done);
  } else {
    EngineConfig config;
    config.workers = static_cast<std::uint32_t>(state.range(0));
    engine = std::move(*make_engine(config, judge, done));
  }
  std::uint32_t turn = 0;
  Batch* batch = nullptr;
  for (auto _ : state) {
    while ((batch = pools[turn].take()) ==
           nullptr) {  // as a channel does: it looks, and never sleeps
      for (Batch* back = nullptr; returned.pop(back);) pools[back->channel].give(back);
      relax_cpu();
    }
    turn = (turn + 1) % kBatches;
    batch->size = static_cast<std::uint32_t>(state.range(1));
    engine->submit(batch);
  }
  engine->drain();
  state.counters["packet"] =
      benchmark::Counter(static_cast<double>(state.iterations() * state.range(1)),
                         benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}
BENCHMARK(engine_alone)
    ->ArgNames({"workers", "packets"})
    ->ArgsProduct({{0, kRing, 1, 2}, {1, 64, 256}})
    ->UseRealTime();

/// A capture of one kind of traffic, made once.
const std::string& capture(const std::string& kind) {
  static std::map<std::string, std::string> made;
  std::string& path = made[kind];
  if (!path.empty()) return path;
  path = std::filesystem::temp_directory_path() /
         ("weir-bench-" + std::to_string(getpid()) + "-" + kind + ".pcapng");
  synth::Options options;
  options.seconds = 1000;
  options.packets = 1'000'000;
  options.rate_pps = 400'000;
  options.attack_after_s = 0.1;
  if (kind == "clients") {
    options.scenarios = {"clients"};
  } else {
    options.scenarios = {"devices", "discovery", "clients", kind};
  }
  const auto written = synth::write(options, path, io::CaptureFormat::pcapng);
  if (!written) {
    std::fprintf(stderr, "%s\n", written.error().message.c_str());
    std::exit(1);
  }
  return path;
}

void remove_captures() {
  for (const char* kind : {"reflection", "clients"})
    std::filesystem::remove(std::filesystem::temp_directory_path() /
                            ("weir-bench-" + std::to_string(getpid()) + "-" + kind + ".pcapng"));
}

/// `no_blocks`: every packet of the flood is judged, as on the first packets of many sources.
void replay(benchmark::State& state, const char* kind, bool steer, bool blocks) {
  const char* path = std::getenv("WEIR_MODEL");
  std::optional<forest::Model> model;
  if (path != nullptr) {
    auto loaded = forest::load_model(path);
    if (!loaded) return state.SkipWithError(loaded.error().message.c_str());
    model = std::move(*loaded);
  }
  ReplayConfig config;
  config.engine.workers = static_cast<std::uint32_t>(state.range(0));
  if (!blocks) config.policy.shadow = true;
  if (!steer) {
    config.datapath.udp_ports = {9};
    config.datapath.ssdp_payload = false;
  }
  std::uint64_t packets = 0;
  std::uint64_t judged = 0;
  for (auto _ : state) {
    state.PauseTiming();
    auto run = Replay::make(config, model ? &*model : nullptr);
    auto source = ReplaySource::open({{capture(kind), std::nullopt}});
    state.ResumeTiming();
    auto report = (*run)->run(*source, {});
    packets += report->packets;
    judged += report->judged;
    benchmark::DoNotOptimize(report->verdict_digest);
    state.PauseTiming();
    run->reset();
    state.ResumeTiming();
  }
  state.SetItemsProcessed(static_cast<std::int64_t>(packets));
  state.counters["judged"] = static_cast<double>(judged) / static_cast<double>(packets);
}
BENCHMARK_CAPTURE(replay, flood_all_judged, "reflection", true, false)
    ->Arg(0)
    ->Arg(1)
    ->Arg(2)
    ->ArgName("workers")
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(replay, flood_blocked, "reflection", true, true)
    ->Arg(0)
    ->ArgName("workers")
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(replay, nothing_steered, "reflection", false, true)
    ->Arg(0)
    ->ArgName("workers")
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace weir::pipeline

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  benchmark::RunSpecifiedBenchmarks();
  weir::pipeline::remove_captures();
  return 0;
}
