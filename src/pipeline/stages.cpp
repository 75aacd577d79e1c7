// SPDX-License-Identifier: BSD-2-Clause
#include "pipeline/stages.h"

#include <algorithm>

namespace weir::pipeline {
namespace {

/// Packets ahead whose lines are asked for: 4 x about 80 ns of parsing covers misses to memory
/// (80-100 ns each), of which some go on at once.
constexpr std::size_t kPrefetchAhead = 4;
/// Most SSDP ends within these.
constexpr std::uint32_t kPrefetch_bytes = 448;

/// Times a stage, from its construction to its end, where the batch asks for it.
class StageTimer {
 public:
  StageTimer(Batch& batch, Stage stage) noexcept : batch_(batch), stage_(stage) {
    if (batch.timed) start_ = monotonic_now();
  }
  ~StageTimer() {
    if (!batch_.timed) return;
    batch_.stage_ns[static_cast<std::size_t>(stage_)] =
        static_cast<std::uint32_t>((monotonic_now() - start_).count());
  }
  StageTimer(const StageTimer&) = delete;
  StageTimer& operator=(const StageTimer&) = delete;

 private:
  Batch& batch_;
  const Stage stage_;
  PacketTime start_;
};

void prefetch(const packet::Frame& frame) noexcept {
  const std::uint32_t end = std::min(frame.length, kPrefetch_bytes);
  for (std::uint32_t at = 0; at < end; at += kCacheLine_bytes) __builtin_prefetch(frame.data + at);
}

}  // namespace

const char* name(Stage stage) noexcept {
  constexpr std::array<const char*, kStages> kNames = {"parse", "extract", "classify", "decide"};
  return kNames[static_cast<std::size_t>(stage)];
}

datapath::Block make_block(const detect::Context& context,
                           const detect::Decision& decision) noexcept {
  static_assert(static_cast<int>(detect::Target::network) == WEIR_TARGET_network &&
                static_cast<int>(detect::Target::victim) == WEIR_TARGET_victim &&
                detect::kOpenPorts == WEIR_OPEN_PORTS);
  datapath::Block block;
  block.source = detect::blocked_address(context, decision);
  block.target = static_cast<weir_target>(decision.target);
  block.value.expires_ns = decision.expires.ns;
  block.value.created_ns = context.time.ns;
  block.value.scope = decision.all ? WEIR_SCOPE_all : WEIR_SCOPE_ssdp;
  block.value.origin = WEIR_ORIGIN_policy;
  block.value.reason = static_cast<std::uint32_t>(decision.cause);
  block.value.strikes = decision.strikes;
  std::copy(decision.open_ports.begin(), decision.open_ports.end(), block.value.open_ports);
  return block;
}

void parse(Batch& batch, packet::SsdpCache& texts) noexcept {
  batch.enter(Batch::At::submitted);
  {
    const StageTimer timer(batch, Stage::parse);
    const std::size_t size = batch.size;
    for (std::size_t i = 0; i < size && i < kPrefetchAhead; ++i) prefetch(batch.frames[i]);
    for (std::size_t i = 0; i < size; ++i) {
      if (i + kPrefetchAhead < size) prefetch(batch.frames[i + kPrefetchAhead]);
      const auto bytes = batch.frames[i].bytes();
      if (!batch.headers_known) batch.headers[i] = packet::parse(bytes);
      batch.ssdp[i] = texts.parse(packet::payload(bytes, batch.headers[i]));
    }
  }
  batch.leave(Batch::At::parsed);
}

void extract(Batch& batch, detect::Extractor& extractor) noexcept {
  batch.enter(Batch::At::parsed);
  {
    const StageTimer timer(batch, Stage::extract);
    extractor.extract({.frames = {batch.frames.data(), batch.size},
                       .headers = batch.headers.data(),
                       .ssdp = batch.ssdp.data(),
                       .columns = batch.columns.data(),
                       .contexts = batch.contexts.data()});
  }
  batch.leave(Batch::At::extracted);
}

void classify(Batch& batch, forest::Evaluator& evaluator) noexcept {
  batch.enter(Batch::At::extracted);
  {
    const StageTimer timer(batch, Stage::classify);
    evaluator.evaluate(batch.model_columns.data(), batch.size, batch.scores.data());
  }
  batch.leave(Batch::At::classified);
}

void decide(Batch& batch, detect::Policy& policy, BlockSink& sink,
            detect::Ledger* ledger) noexcept {
  batch.enter(Batch::At::classified);
  sink.before(policy);
  {
    const StageTimer timer(batch, Stage::decide);
    const std::size_t size = batch.size;
    policy.decide({batch.contexts.data(), size}, batch.scores.data(), batch.decisions.data());
    for (std::size_t i = 0; i < size; ++i) {
      const detect::Decision& decision = batch.decisions[i];
      if (decision.block) sink.put(make_block(batch.contexts[i], decision), decision.first_seen);
    }
    if (ledger != nullptr)
      ledger->note({.contexts = {batch.contexts.data(), size},
                    .decisions = {batch.decisions.data(), size},
                    .scores = {batch.scores.data(), size},
                    .columns = batch.columns.data()},
                   [&](std::size_t i) { return batch.frames[i].number; });
  }
  batch.leave(Batch::At::decided);
}

}  // namespace weir::pipeline
