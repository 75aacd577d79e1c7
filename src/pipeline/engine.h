// SPDX-License-Identifier: BSD-2-Clause
/// Runs batches through the stages: inline (serial.cpp, workers = 0) or on a oneTBB flow graph
/// (graph.cpp), which runs small batches inline too while there are no others.
///
/// Order     tickets are given in the order in which `submit` was called; extract and decide run in
///           ticket order; a channel gets its batches back in the order in which it submitted them.
/// Owner     a submitted batch belongs to the engine until `done` is called for it.
/// Threads   `submit` by each channel's thread; `done` is called from any thread, in ticket order,
///           one call at a time, and must be quick.
/// Bounds    as many batches are in flight as the channels' pools hold: the pools are the only
///           backpressure.
/// Errors    set-up only. Memory that runs out while a batch travels ends the program: half-judged
///           traffic has no safe way on.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "base/result.h"
#include "pipeline/stages.h"

namespace weir::pipeline {

inline constexpr std::uint32_t kWorkersMax = 256;

struct EngineConfig {
  std::uint32_t workers = 0;               ///< 0: the stages run on the submitting thread
  std::vector<std::uint32_t> worker_cpus;  ///< pin workers to these, round robin; empty: not pinned
};

/// What the stages work with; must outlive the engine.
struct Judge {
  detect::Extractor& extractor;
  detect::Policy& policy;
  forest::Evaluator& evaluator;  ///< cloned for each worker, until `use`
  BlockSink& sink;
  detect::Ledger* ledger = nullptr;  ///< notes what is dropped; none: nobody asks
};

class Engine {
 public:
  virtual ~Engine() = default;
  virtual void submit(Batch* batch) noexcept = 0;
  /// Waits until every submitted batch is done. Not concurrent with `submit`.
  virtual void drain() noexcept = 0;
  /// Clones of `evaluator` judge every batch whose classify begins after the return; what is being
  /// classified is finished by what it began with. No batch is lost, or judged by two. It must read
  /// the same columns as the one before. From any thread, one call at a time; waits for a batch at
  /// most. Throws std::bad_alloc where memory is out; then nothing has changed.
  virtual void use(const forest::Evaluator& evaluator) = 0;
};

using Done = std::function<void(Batch*)>;

/// Channels that share a serial engine take turns, a batch at a time, at all but parsing: for about
/// half of the work (README, "Figures") they wait for each other. Several busy channels want
/// workers.
std::unique_ptr<Engine> make_serial_engine(const Judge& judge, Done done);
Result<std::unique_ptr<Engine>> make_graph_engine(const EngineConfig& config, const Judge& judge,
                                                  Done done);
/// One or the other, by `config.workers`.
Result<std::unique_ptr<Engine>> make_engine(const EngineConfig& config, const Judge& judge,
                                            Done done);

}  // namespace weir::pipeline
