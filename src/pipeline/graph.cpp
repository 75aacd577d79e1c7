// SPDX-License-Identifier: BSD-2-Clause
/// The stages on a oneTBB flow graph; the only file that names oneTBB.
///
///   submit -> parse -> in order -> extract -> classify -> in order -> decide -> done
///             any n    sequencer    one        any n       sequencer    one
///
///   submit -> parse, extract, classify, decide -> done      where there is one worker
///             one
///
/// A serial node keeps the order of each thread that puts, and no other (oneTBB issue 829). Behind a
/// node that works on several batches a sequencer restores it, and the node checks a batch's number
/// in every build. One worker has nothing to do at the same time: its one node, into which channels
/// put, needs none, and saves four hand-overs. Nothing here limits how many batches travel: the pools
/// do.
///
/// Light load goes past the graph: where no batch is in it and the new one is small, `submit` runs
/// the stages itself, for a hand-over costs more than they do. A channel that submits meanwhile
/// puts its batch into the graph, whose extract waits for the end of that one.
#include <fmt/format.h>
#include <oneapi/tbb/flow_graph.h>
#include <oneapi/tbb/global_control.h>
#include <oneapi/tbb/task_arena.h>
#include <oneapi/tbb/task_scheduler_observer.h>
#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <deque>
#include <exception>
#include <mutex>
#include <thread>
#include <utility>

#include "base/relax.h"
#include "pipeline/engine.h"

namespace weir::pipeline {
namespace {

namespace flow = oneapi::tbb::flow;

/// Names the workers, and pins them where the configuration says so.
class Workers final : public oneapi::tbb::task_scheduler_observer {
 public:
  Workers(oneapi::tbb::task_arena& arena, std::vector<std::uint32_t> cpus)
      : task_scheduler_observer(arena), cpus_(std::move(cpus)) {
    observe(true);
  }
  ~Workers() override { observe(false); }
  Workers(const Workers&) = delete;
  Workers& operator=(const Workers&) = delete;

  void on_scheduler_entry(bool is_worker) override {
    if (!is_worker) return;
    pthread_setname_np(pthread_self(), "weir-worker");
    if (cpus_.empty()) return;
    const int slot = oneapi::tbb::this_task_arena::current_thread_index();
    cpu_set_t cpus;
    CPU_ZERO(&cpus);
    CPU_SET(cpus_[static_cast<std::size_t>(std::max(slot, 0)) % cpus_.size()], &cpus);
    // A CPU that went offline since the configuration was checked: the worker runs where it may.
    pthread_setaffinity_np(pthread_self(), sizeof cpus, &cpus);
  }

 private:
  const std::vector<std::uint32_t> cpus_;
};

/// The largest batch that goes past the graph: its stages take about as long as the hand-overs of
/// several workers' graph, 30 us.
constexpr std::uint32_t kInlinePackets = 32;
constexpr unsigned kLooks = 4096;  // some 50 us
constexpr std::uint64_t kInline = std::uint64_t{1} << 32U;

struct InOrder {
  std::size_t operator()(Batch* const& batch) const noexcept { return batch->in_graph; }
};

/// Says in every build that a serial node takes its batches one at a time, and orders the memory that
/// one turn leaves to the next.
class Turn {
 public:
  /// The number of this turn, from 0.
  std::uint64_t begin(const Batch& batch, Batch::At at) noexcept {
    WEIR_CHECK(!taken_.exchange(true, std::memory_order_acquire));
    WEIR_CHECK(batch.place.load(std::memory_order_acquire) == at);
    return next_++;
  }
  void end() noexcept { taken_.store(false, std::memory_order_release); }

 private:
  std::uint64_t next_ = 0;  // of whose turn it is
  std::atomic<bool> taken_{false};
};

/// What the stages need of one slot of the arena, an evaluator and a cache of texts: of one worker
/// at a time, which is checked in every build. The lock is for who exchanges it: a worker waits for that alone, a pointer's time.
class Seat {
 public:
  explicit Seat(std::unique_ptr<forest::Evaluator> evaluator) : evaluator_(std::move(evaluator)) {}
  void parse(Batch& batch) noexcept {
    WEIR_CHECK(!taken_.exchange(true, std::memory_order_acquire));
    pipeline::parse(batch, texts_);
    taken_.store(false, std::memory_order_release);
  }
  void classify(Batch& batch) noexcept {
    WEIR_CHECK(!taken_.exchange(true, std::memory_order_acquire));
    {
      const std::lock_guard lock(mutex_);
      pipeline::classify(batch, *evaluator_);
    }
    taken_.store(false, std::memory_order_release);
  }
  /// Gives back the one before.
  std::unique_ptr<forest::Evaluator> exchange(
      std::unique_ptr<forest::Evaluator> evaluator) noexcept {
    const std::lock_guard lock(mutex_);
    evaluator_.swap(evaluator);
    return evaluator;
  }

 private:
  std::mutex mutex_;  // of evaluator_
  std::unique_ptr<forest::Evaluator> evaluator_;
  packet::SsdpCache texts_;
  std::atomic<bool> taken_{false};
};

class GraphEngine final : public Engine {
 public:
  GraphEngine(const EngineConfig& config, const Judge& judge, Done done)
      : judge_(judge),
        done_(std::move(done)),
        parallelism_(oneapi::tbb::global_control::max_allowed_parallelism, config.workers + 1),
        arena_(static_cast<int>(config.workers), 0) {
    // oneTBB gives an arena two slots even where one thread may be in it at a time. The last seat is
    // the submitting thread's.
    for (std::uint32_t i = 0; i < std::max(config.workers, 2U) + 1; ++i)
      seats_.emplace_back(judge.evaluator.clone());
    workers_ = std::make_unique<Workers>(arena_, config.worker_cpus);
    arena_.execute([&] {  // the graph is the arena's
      graph_ = std::make_unique<flow::graph>();
      if (config.workers == 1) {
        one_ = std::make_unique<OneNode>(*graph_, *this);
      } else {
        nodes_ = std::make_unique<Nodes>(*graph_, *this);
      }
    });
    entry_ = one_ ? static_cast<flow::receiver<Batch*>*>(&one_->all) : &nodes_->parse;
  }

  ~GraphEngine() override {
    drain();
    one_.reset();
    nodes_.reset();
    graph_.reset();
    workers_.reset();
  }
  GraphEngine(const GraphEngine&) = delete;
  GraphEngine& operator=(const GraphEngine&) = delete;

  void submit(Batch* batch) noexcept override {
    batch->enter(Batch::At::pool);
    std::uint64_t none = 0;
    if (batch->size <= kInlinePackets &&
        inside_.compare_exchange_strong(none, kInline, std::memory_order_acq_rel)) {
      run_inline(*batch);
      return;
    }
    inside_.fetch_add(1, std::memory_order_acq_rel);
    batch->in_graph = next_in_graph_.fetch_add(1, std::memory_order_relaxed);
    batch->leave(Batch::At::submitted);
    WEIR_CHECK(entry_->try_put(batch));
  }

  void drain() noexcept override { graph_->wait_for_all(); }

  void use(const forest::Evaluator& evaluator) override {
    std::vector<std::unique_ptr<forest::Evaluator>> fresh;
    for (std::size_t i = 0; i < seats_.size(); ++i) fresh.push_back(evaluator.clone());
    for (std::size_t i = 0; i < seats_.size(); ++i)
      fresh[i] = seats_[i].exchange(std::move(fresh[i]));  // freed at the end, under no lock
  }

 private:
  /// Alone: what was submitted before has left the graph, what comes now waits before its extract.
  void run_inline(Batch& batch) noexcept {
    batch.leave(Batch::At::submitted);
    seats_.back().parse(batch);
    batch.ticket = next_ticket_++;
    pipeline::extract(batch, judge_.extractor);
    seats_.back().classify(batch);
    pipeline::decide(batch, judge_.policy, judge_.sink, judge_.ledger);
    done_(&batch);
    inside_.fetch_sub(kInline, std::memory_order_acq_rel);
  }
  /// A small batch's time, unless its thread lost its CPU: then somebody else may have this one.
  void wait_for_inline() const noexcept {
    for (unsigned looks = 0; (inside_.load(std::memory_order_acquire) & kInline) != 0; ++looks) {
      if (looks < kLooks) {
        relax_cpu();
      } else {
        std::this_thread::yield();
      }
    }
  }
  /// Of the worker that runs.
  Seat& seat() noexcept {
    const auto slot =
        static_cast<std::size_t>(oneapi::tbb::this_task_arena::current_thread_index());
    WEIR_CHECK(slot + 1 < seats_.size());
    return seats_[slot];
  }
  void run_all(Batch& batch) noexcept {
    seat().parse(batch);
    wait_for_inline();
    judged_.begin(batch, Batch::At::parsed);
    // Two channels' numbers may change places between `submit` and here, one channel's may not.
    WEIR_CHECK(batch.channel < next_of_channel_.size());
    WEIR_CHECK(batch.in_graph >= next_of_channel_[batch.channel]);
    next_of_channel_[batch.channel] = batch.in_graph + 1;
    batch.ticket = next_ticket_++;
    pipeline::extract(batch, judge_.extractor);
    seat().classify(batch);
    pipeline::decide(batch, judge_.policy, judge_.sink, judge_.ledger);
    done_(&batch);  // the batch may be on its way again
    judged_.end();
    inside_.fetch_sub(1, std::memory_order_acq_rel);
  }
  Batch* run_parse(Batch* batch) noexcept {
    seat().parse(*batch);
    return batch;
  }
  Batch* run_extract(Batch* batch) noexcept {
    wait_for_inline();
    const std::uint64_t turn = extracted_.begin(*batch, Batch::At::parsed);
    WEIR_CHECK(batch->in_graph == turn);
    batch->ticket = next_ticket_++;
    pipeline::extract(*batch, judge_.extractor);
    extracted_.end();
    return batch;
  }
  Batch* run_classify(Batch* batch) noexcept {
    seat().classify(*batch);
    return batch;
  }
  void run_decide(Batch* batch) noexcept {
    const std::uint64_t turn = decided_.begin(*batch, Batch::At::classified);
    WEIR_CHECK(batch->in_graph == turn);
    pipeline::decide(*batch, judge_.policy, judge_.sink, judge_.ledger);
    done_(batch);  // the batch may be on its way again
    decided_.end();
    inside_.fetch_sub(1, std::memory_order_acq_rel);
  }

  struct OneNode {
    OneNode(flow::graph& graph, GraphEngine& e)
        : all(graph, flow::serial, [&e](Batch* b) noexcept {
            e.run_all(*b);
            return flow::continue_msg{};
          }) {}
    flow::function_node<Batch*> all;
  };
  struct Nodes {
    Nodes(flow::graph& graph, GraphEngine& e)
        : parse(graph, flow::unlimited, [&e](Batch* b) noexcept { return e.run_parse(b); }),
          extract_order(graph, InOrder{}),
          extract(graph, flow::serial, [&e](Batch* b) noexcept { return e.run_extract(b); }),
          classify(graph, flow::unlimited, [&e](Batch* b) noexcept { return e.run_classify(b); }),
          decide_order(graph, InOrder{}),
          decide(graph, flow::serial, [&e](Batch* b) noexcept {
            e.run_decide(b);
            return flow::continue_msg{};
          }) {
      flow::make_edge(parse, extract_order);
      flow::make_edge(extract_order, extract);
      flow::make_edge(extract, classify);
      flow::make_edge(classify, decide_order);
      flow::make_edge(decide_order, decide);
    }
    flow::function_node<Batch*, Batch*> parse;
    flow::sequencer_node<Batch*> extract_order;
    flow::function_node<Batch*, Batch*> extract;
    flow::function_node<Batch*, Batch*> classify;
    flow::sequencer_node<Batch*> decide_order;
    flow::function_node<Batch*> decide;
  };

  Judge judge_;
  Done done_;
  oneapi::tbb::global_control parallelism_;  // oneTBB would cap the workers at the CPUs
  oneapi::tbb::task_arena arena_;
  std::deque<Seat> seats_;  // by slot of the arena
  std::unique_ptr<Workers> workers_;
  std::unique_ptr<flow::graph> graph_;
  std::unique_ptr<OneNode> one_;  // or, where there are more workers:
  std::unique_ptr<Nodes> nodes_;
  flow::receiver<Batch*>* entry_ = nullptr;                         // of either
  std::array<std::uint64_t, WEIR_CHANNELS_MAX> next_of_channel_{};  // of whoever runs `one_`
  Turn judged_;                                                     // of `one_`
  Turn extracted_;
  Turn decided_;
  std::uint64_t next_ticket_ = 0;  // of whoever extracts
  alignas(2 * kCacheLine_bytes) std::atomic<std::uint64_t> next_in_graph_{0};
  /// Batches in the graph; plus kInline while a submitting thread runs one past it.
  std::atomic<std::uint64_t> inside_{0};
};

}  // namespace

Result<std::unique_ptr<Engine>> make_graph_engine(const EngineConfig& config, const Judge& judge,
                                                  Done done) {
  if (config.workers == 0 || config.workers > kWorkersMax)
    return fail(fmt::format("workers is {}: a graph takes 1 to {}, and 0 means no graph",
                            config.workers, kWorkersMax));
  for (const std::uint32_t cpu : config.worker_cpus)
    if (cpu >= CPU_SETSIZE)
      return fail(fmt::format("worker CPU {} is out of range: CPU numbers end at {}", cpu,
                              CPU_SETSIZE - 1));
  try {
    return std::make_unique<GraphEngine>(config, judge, std::move(done));
  } catch (const std::exception& e) {
    return fail(fmt::format("starting {} workers: {}", config.workers, e.what()));
  }
}

}  // namespace weir::pipeline
