// SPDX-License-Identifier: BSD-2-Clause
/// A capture through weir as it runs live: datapath, stages, policy, and blocks back into the
/// datapath.
///
///   read -> side -> datapath -> peer or drop: counted
///                            -> steered: batch -> engine -> verdicts -> counted; blocks ->
///                            datapath
///
/// Repeatable  the verdict of every packet depends on the captures and the configuration, never on
///             workers, channels or batch size:
///             - batches take consecutive steered packets, so tickets are the capture's order;
///             - a block rules in the datapath from `kEnforceLag_packets` steered packets, or from
///               `kEnforceLag` of packet time after the packet that caused it, whichever comes
///               first; no packet older than either is in flight when the next one is judged.
///               (Until then, and live too, the policy itself drops what comes from that source.)
/// Digest      the sum, modulo 2^64, of mix(2 x number + (verdict is drop)) over all packets, where
///             mix is the finaliser of SplitMix64 and numbers count from 0 in replay order.
/// Time        packet time, the capture's own. Only `ReplayReport::speed` is a real clock's.
/// Loops       each further pass goes on in packet time where the one before ended, a mean gap
///             later.
/// Threads     `run` is one thread's, which reads, judges by the datapath and keeps the books; the
///             engine's workers do the rest.
/// Errors      a capture that is wrong or cut off, at that packet; a model that cannot be bound.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/histogram.h"
#include "datapath/datapath.h"
#include "detect/extractor.h"
#include "detect/ledger.h"
#include "detect/policy.h"
#include "forest/model.h"
#include "pipeline/bind.h"
#include "pipeline/engine.h"
#include "pipeline/replay_order.h"
#include "pipeline/replay_pace.h"
#include "pipeline/replay_source.h"
#include "pipeline/replay_timeline.h"

namespace weir::pipeline {

/// From a block's cause to its effect. Live that is the enforcer's delay, below a millisecond: at 4
/// Mpps, 4096 packets. Smaller would leave fewer batches to work on at once; a longer time would
/// let more through in a slow capture.
inline constexpr std::uint64_t kEnforceLag_packets = 4096;
inline constexpr Nanoseconds kEnforceLag = std::chrono::milliseconds(10);
/// Batches over all channels: full ones, with one to spare, stay below the lag.
inline constexpr std::uint32_t kReplayBatches = kEnforceLag_packets / kBatchPackets - 1;
inline constexpr std::uint32_t kReplayChannelsMax = kReplayBatches;

struct ReplayConfig {
  datapath::Config datapath;
  detect::TableConfig tables;
  detect::PolicyConfig policy;
  detect::LedgerConfig ledger;  ///< its columns are told by `extract`
  EngineConfig engine;
  std::uint32_t channels = 1;  ///< pools of batches, used in turn: 1 to kReplayChannelsMax
  std::uint32_t batch_packets = kBatchPackets;
  std::vector<Prefix> lan_prefixes = private_prefixes();  ///< where no capture tells the side
  Extract extract = Extract::model_features;
  Pace pace;
  std::uint32_t loops = 1;  ///< how often the captures are read, at least once
};

/// A block as policy asked for it.
struct ReplayBlock {
  datapath::Block block;
  PacketTime first_seen;
};

/// What became of the packets with one comment: "label=attack kind=reflection", as `weir synth`
/// writes them.
struct LabelTally {
  std::string label;
  std::string kind;
  std::uint64_t packets = 0;
  std::uint64_t judged = 0;            ///< by policy; the others end in the datapath
  std::uint64_t dropped_judged = 0;    ///< by policy
  std::uint64_t dropped_datapath = 0;  ///< by blocks
  std::uint64_t screened = 0;          ///< the screen let them go on
  [[nodiscard]] std::uint64_t dropped() const noexcept { return dropped_judged + dropped_datapath; }
};

/// How fast it went, by the machine's own clock. Times of stages are of one thread each: together
/// they are the work, not the time that passed.
struct ReplaySpeed {
  Nanoseconds elapsed{};
  Nanoseconds reader_waited{};  ///< for a batch to come back, or for the pace
  std::array<Nanoseconds, kStages> stages{};
  std::uint64_t batches = 0;
  DurationHistogram latency;  ///< by judged packet: from its batch's submission to its verdict
};

struct ReplayReport {
  std::uint64_t packets = 0;
  std::uint64_t bytes = 0;  ///< as they were on the wire
  std::uint64_t forwarded = 0;
  std::uint64_t dropped = 0;
  std::uint64_t judged = 0;  ///< steered to userspace
  std::uint64_t verdict_digest = 0;
  datapath::Counters outcomes;
  std::array<std::uint64_t, 16> reasons{};  ///< judged packets, by detect::Reason
  std::vector<ReplayBlock> blocks;          ///< in the order in which they were made
  std::uint64_t blocks_refused = 0;         ///< the blocklist was full
  std::vector<LabelTally> labels;           ///< by comment; empty where no packet has one
  PacketTime first, last;                   ///< the earliest and the latest packet's
  std::uint64_t steps_back = 0;             ///< packets from before the one in front of them
  Timeline timeline;
  std::unique_ptr<ReplaySpeed> speed = std::make_unique<ReplaySpeed>();
  std::string evaluator;
  detect::TableCounters tables;
  detect::PolicyCounters policy;
  std::shared_ptr<detect::Ledger> ledger;        ///< what was dropped, and why
  std::vector<datapath::Block> blocks_standing;  ///< in the datapath at the end, with their hits
};

/// Sees each judged batch once, in order; `labels[i]` is packet i's place in `labels` of the
/// tallies, or -1.
using ReplayObserver = std::function<void(const Batch& batch, const std::vector<LabelTally>& labels,
                                          std::span<const std::int32_t> label_of)>;

/// Who looks on. Each may be empty; all are called by the thread that runs the replay.
struct ReplayWatch {
  ReplayObserver batch;
  ReplayWatcher packet;                           ///< every packet, in order
  std::function<void(double fraction)> progress;  ///< now and then
};

class Replay {
 public:
  /// `model` may be nullptr (nothing is an attack then) and is not needed after this.
  static Result<std::unique_ptr<Replay>> make(const ReplayConfig& config,
                                              const forest::Model* model);
  virtual ~Replay() = default;
  /// Once.
  virtual Result<ReplayReport> run(ReplaySource& source, const ReplayWatch& watch) = 0;
};

}  // namespace weir::pipeline
