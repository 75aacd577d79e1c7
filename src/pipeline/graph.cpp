// SPDX-License-Identifier: BSD-2-Clause
/// The stages on a oneTBB flow graph; the only file that names oneTBB.
///
///   submit -> parse -> by ticket -> extract -> classify -> by ticket -> decide -> done
///             any n    sequencer    one        any n       sequencer    one
///
/// A serial node limits concurrency and keeps no order (oneTBB issue 829), so a sequencer stands
/// before each node that must see order, and the node checks the ticket in every build. Nothing
/// here limits how many batches travel: the pools do.
#include <fmt/format.h>
#include <oneapi/tbb/flow_graph.h>
#include <oneapi/tbb/global_control.h>
#include <oneapi/tbb/task_arena.h>
#include <oneapi/tbb/task_scheduler_observer.h>
#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <atomic>
#include <deque>
#include <exception>
#include <mutex>
#include <utility>

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

struct ByTicket {
  std::size_t operator()(Batch* const& batch) const noexcept { return batch->ticket; }
};

/// Says in every build that a serial node takes its batches one at a time and in ticket order, and
/// orders the memory that one turn leaves to the next.
class Turn {
 public:
  void begin(const Batch& batch, Batch::At at) noexcept {
    WEIR_CHECK(batch.place.load(std::memory_order_acquire) == at);
    ticket_ = next_.load(std::memory_order_acquire);
    WEIR_CHECK(batch.ticket == ticket_);
  }
  void end() noexcept { next_.store(ticket_ + 1, std::memory_order_release); }

 private:
  std::uint64_t ticket_ = 0;  // whose turn it is
  std::atomic<std::uint64_t> next_{0};
};

/// The evaluator of one slot of the arena: of one worker at a time, which is checked in every
/// build. The lock is for who exchanges it: a worker waits for that alone, a pointer's time.
class Seat {
 public:
  explicit Seat(std::unique_ptr<forest::Evaluator> evaluator) : evaluator_(std::move(evaluator)) {}
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
  std::atomic<bool> taken_{false};
};

class GraphEngine final : public Engine {
 public:
  GraphEngine(const EngineConfig& config, const Judge& judge, Done done)
      : judge_(judge),
        done_(std::move(done)),
        parallelism_(oneapi::tbb::global_control::max_allowed_parallelism, config.workers + 1),
        arena_(static_cast<int>(config.workers), 0) {
    // oneTBB gives an arena two slots even where one thread may be in it at a time.
    for (std::uint32_t i = 0; i < std::max(config.workers, 2U); ++i)
      seats_.emplace_back(judge.evaluator.clone());
    workers_ = std::make_unique<Workers>(arena_, config.worker_cpus);
    arena_.execute(
        [this] { nodes_ = std::make_unique<Nodes>(*this); });  // the graph is the arena's
  }

  ~GraphEngine() override {
    drain();
    nodes_.reset();
    workers_.reset();
  }
  GraphEngine(const GraphEngine&) = delete;
  GraphEngine& operator=(const GraphEngine&) = delete;

  void submit(Batch* batch) noexcept override {
    batch->enter(Batch::At::pool);
    batch->ticket = next_ticket_.fetch_add(1, std::memory_order_relaxed);
    batch->leave(Batch::At::submitted);
    WEIR_CHECK(nodes_->parse.try_put(batch));
  }

  void drain() noexcept override { nodes_->graph.wait_for_all(); }

  void use(const forest::Evaluator& evaluator) override {
    std::vector<std::unique_ptr<forest::Evaluator>> fresh;
    for (std::size_t i = 0; i < seats_.size(); ++i) fresh.push_back(evaluator.clone());
    for (std::size_t i = 0; i < seats_.size(); ++i)
      fresh[i] = seats_[i].exchange(std::move(fresh[i]));  // freed at the end, under no lock
  }

 private:
  Batch* run_parse(Batch* batch) noexcept {
    pipeline::parse(*batch);
    return batch;
  }
  Batch* run_extract(Batch* batch) noexcept {
    extracted_.begin(*batch, Batch::At::parsed);
    pipeline::extract(*batch, judge_.extractor);
    extracted_.end();
    return batch;
  }
  Batch* run_classify(Batch* batch) noexcept {
    const auto slot =
        static_cast<std::size_t>(oneapi::tbb::this_task_arena::current_thread_index());
    WEIR_CHECK(slot < seats_.size());
    seats_[slot].classify(*batch);
    return batch;
  }
  void run_decide(Batch* batch) noexcept {
    decided_.begin(*batch, Batch::At::classified);
    pipeline::decide(*batch, judge_.policy, judge_.sink, judge_.ledger);
    done_(batch);  // the batch may be on its way again
    decided_.end();
  }

  struct Nodes {
    explicit Nodes(GraphEngine& e)
        : parse(graph, flow::unlimited, [&e](Batch* b) noexcept { return e.run_parse(b); }),
          extract_order(graph, ByTicket{}),
          extract(graph, flow::serial, [&e](Batch* b) noexcept { return e.run_extract(b); }),
          classify(graph, flow::unlimited, [&e](Batch* b) noexcept { return e.run_classify(b); }),
          decide_order(graph, ByTicket{}),
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
    flow::graph graph;
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
  std::unique_ptr<Nodes> nodes_;
  Turn extracted_;
  Turn decided_;
  alignas(2 * kCacheLine_bytes) std::atomic<std::uint64_t> next_ticket_{0};
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
