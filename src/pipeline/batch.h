// SPDX-License-Identifier: BSD-2-Clause
/// Up to 256 frames that travel together, by handle: never copied, one owner at a time.
///
/// Shape     arrays by packet; features by column, each column on its own 64-byte lines.
/// Owner     the channel whose pool it came from; while it travels, the stage that holds it.
/// Threads   hand-over by the graph or by a ring; no field is shared. `place` is the one atomic: it
///           says in every build that a batch is in one stage at a time, and orders the memory that
///           the stages hand over.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "detect/context.h"
#include "detect/policy.h"
#include "packet/frame.h"
#include "packet/headers.h"
#include "packet/ssdp.h"

namespace weir::pipeline {

/// A graph of several workers costs 1-4 ns a packet at 256, and 100 at 8; twice as many would leave
/// the L2 cache.
inline constexpr std::size_t kBatchPackets = 256;

/// The stages that a batch goes through, in this order.
enum class Stage : std::uint8_t { parse, extract, classify, decide };
inline constexpr std::size_t kStages = 4;
const char* name(Stage stage) noexcept;

struct alignas(kCacheLine_bytes) Batch {
  /// Where it is: a stage takes it from the place before, and leaves it in its own.
  enum class At : std::uint8_t {
    pool,
    submitted,
    in_stage,
    parsed,
    extracted,
    classified,
    decided
  };

  std::uint32_t channel = 0;
  std::uint32_t size = 0;
  std::uint64_t ticket = 0;    ///< place in the total order that extract and decide follow, from 0
  std::uint64_t in_graph = 0;  ///< the graph's own count, for batches that go through it
  bool headers_known = false;  ///< `headers` are filled already: the datapath ran natively
  std::atomic<At> place{At::pool};
  bool timed = false;  ///< whether the stages leave in `stage_ns` how long each took
  std::array<std::uint32_t, kStages> stage_ns{};

  std::array<packet::Frame, kBatchPackets> frames;
  std::array<packet::Headers, kBatchPackets> headers;
  std::array<packet::Ssdp, kBatchPackets> ssdp;
  std::array<detect::Context, kBatchPackets> contexts;
  alignas(kCacheLine_bytes) std::array<float, kBatchPackets> scores;
  std::array<detect::Decision, kBatchPackets> decisions;

  std::vector<float*> columns;              ///< by extracted feature, each kBatchPackets long
  std::vector<const float*> model_columns;  ///< by the model's feature: some of `columns`

  /// Columns for `features` extracted features; `model_features[i]` is the extracted feature that
  /// the model's feature i is. Called once, when the pool is made.
  void allocate_columns(std::size_t features, std::span<const std::uint32_t> model_features);

  /// A stage begins: aborts where the batch is not at `from`.
  void enter(At from) noexcept {
    WEIR_CHECK(place.exchange(At::in_stage, std::memory_order_acquire) == from);
  }
  /// The stage is over.
  void leave(At to) noexcept { place.store(to, std::memory_order_release); }

 private:
  std::vector<float> column_storage_;
};

/// What a batch's columns hold: the same for all batches of an engine.
struct Columns {
  std::size_t extracted = 0;                  ///< features that the extractor writes
  std::vector<std::uint32_t> model_features;  ///< by the model's feature: which of them it is

  /// The usual case: the extractor was made for exactly the model's features, in its order.
  static Columns all_of(std::size_t features);
};

/// The fixed batches of one channel, the latest used first: its lines are still in the cache.
///
/// Threads   the channel's own.
/// Errors    `take` gives nullptr where none is left: backpressure.
class BatchPool {
 public:
  BatchPool(std::uint32_t channel, std::size_t batches, const Columns& columns);
  [[nodiscard]] Batch* take() noexcept;
  void give(Batch* batch) noexcept;  ///< must be decided, or never have been submitted
  [[nodiscard]] std::size_t available() const noexcept { return free_.size(); }
  [[nodiscard]] std::size_t size() const noexcept { return batches_.size(); }

 private:
  std::vector<std::unique_ptr<Batch>> batches_;
  std::vector<Batch*> free_;
};

}  // namespace weir::pipeline
