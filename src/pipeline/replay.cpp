// SPDX-License-Identifier: BSD-2-Clause
#include "pipeline/replay.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <deque>
#include <limits>
#include <optional>
#include <string_view>
#include <thread>
#include <utility>

#include "base/ring.h"
#include "datapath/native.h"
#include "detect/prefix_set.h"
#include "pipeline/replay_labels.h"

namespace weir::pipeline {
namespace {

constexpr std::uint64_t mix(std::uint64_t x) noexcept {
  x += 0x9e3779b97f4a7c15ULL;
  x = (x ^ (x >> 30U)) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ (x >> 27U)) * 0x94d049bb133111ebULL;
  return x ^ (x >> 31U);
}

constexpr PacketTime kNever{std::numeric_limits<std::uint64_t>::max()};

/// Blocks come out of the batches themselves, in order: nothing to keep here.
class NoSink final : public BlockSink {
 public:
  bool put(const datapath::Block& /*block*/, PacketTime /*first_seen*/) noexcept override {
    return true;
  }
};

/// A pace is kept by sleeping: less than this ahead is not worth it.
constexpr Nanoseconds kAhead = std::chrono::microseconds(50);
/// Packets between two looks at how far it is.
constexpr std::uint64_t kProgress_packets = 16'384;

/// What the replay keeps of a batch while it travels.
struct Travelling {
  std::uint64_t first_steered = 0;  // its first packet's number among the steered ones
  PacketTime submitted, judged;     // on the machine's clock
  PacketTime oldest;                // of its packets
  std::array<std::int32_t, kBatchPackets> labels;
};

detect::LedgerConfig ledger_config(const ReplayConfig& config, const Bound& bound) {
  detect::LedgerConfig ledger = config.ledger;
  ledger.columns = bound.columns.extracted;
  return ledger;
}

class ReplayRun final : public Replay {
 public:
  ReplayRun(const ReplayConfig& config, Bound bound)
      : config_(config),
        bound_(std::move(bound)),
        datapath_(config.datapath),
        policy_(config.policy),
        ledger_(std::make_shared<detect::Ledger>(ledger_config(config, bound_))),
        lan_(config.lan_prefixes),
        pacer_(config.pace),
        returned_(kReplayBatches) {
    for (std::uint32_t c = 0; c < config.channels; ++c)
      pools_.emplace_back(c, kReplayBatches / config.channels, bound_.columns);
    report_.evaluator = bound_.evaluator->describe();
  }

  Status start() {
    for (const Prefix& prefix : config_.policy.allow) WEIR_TRY(datapath_.add_allow(prefix));
    const Judge judge{*bound_.extractor, policy_, *bound_.evaluator, sink_, ledger_.get()};
    WEIR_ASSIGN(engine_, make_engine(config_.engine, judge, [this](Batch* batch) { done(batch); }));
    return {};
  }

  Result<ReplayReport> run(ReplaySource& source, const ReplayWatch& watch) override {
    watch_ = &watch;
    if (watch.packet) order_.emplace(watch.packet);
    const PacketTime start = monotonic_now();
    for (std::uint32_t loop = 0; loop < config_.loops; ++loop) {
      if (loop > 0 && report_.packets == 0) break;  // there is nothing to loop over
      if (loop > 0) again(source);
      if (pass(source, loop) == io::Step::error) return tl::unexpected<Error>(source.error());
    }
    report_.speed->elapsed = monotonic_now() - start;
    WEIR_ASSIGN(report_.outcomes, datapath_.counters());
    report_.labels = std::move(labels_).tallies();
    report_.tables = bound_.extractor->counters();
    report_.policy = policy_.counters();
    report_.ledger = ledger_;
    WEIR_ASSIGN(report_.blocks_standing, datapath_.list_blocks());
    return std::move(report_);
  }

 private:
  /// Once through the captures, until all of it is judged.
  io::Step pass(ReplaySource& source, std::uint32_t loop) {
    ReplayPacket packet;
    io::Step step = source.next(packet);
    for (; step == io::Step::packet; step = source.next(packet)) {
      packet.captured.time = packet.captured.time + shift_;
      if (report_.packets == 0) report_.first = packet.captured.time;
      const bool waited = pacer_.limited() && wait(packet.captured.time);
      take(packet);
      if ((waited || report_.packets % kProgress_packets == 0) && watch_->progress)
        watch_->progress((loop + source.fraction()) / config_.loops);
    }
    report_.last = std::max(report_.last, previous_);
    submit();
    engine_->drain();
    while (collected_ < submitted_) collect();
    return step;
  }

  /// Back to the start of the captures, and on in time.
  void again(ReplaySource& source) {
    source.rewind();
    if (pass_length_ == Nanoseconds{}) {
      const Nanoseconds length = report_.last - report_.first;
      pass_length_ =
          length + std::max(length / static_cast<std::int64_t>(report_.packets), Nanoseconds{1});
    }
    shift_ += pass_length_;
  }

  /// Sleeps until the packet is due; what is there by then is judged meanwhile, as it is live.
  bool wait(PacketTime time) {
    const Nanoseconds early = pacer_.early(report_.packets, time);
    if (early < kAhead) return false;
    submit();
    const PacketTime before = monotonic_now();
    std::this_thread::sleep_for(early);
    report_.speed->reader_waited += monotonic_now() - before;
    return true;
  }

  /// One packet through the datapath, and into a batch where that steers it.
  void take(const ReplayPacket& packet) {
    const PacketTime time = packet.captured.time;
    const std::uint64_t number = report_.packets++;
    report_.bytes += packet.captured.original_length;
    if (time < previous_) [[unlikely]] {
      ++report_.steps_back;
      report_.first = std::min(report_.first, time);
      report_.last = std::max(report_.last, previous_);
    }
    previous_ = time;
    ++report_.timeline.at(time).packets;
    const std::int32_t label = labels_.of(packet.captured.comment);
    settle(time);
    enforce(time);
    const std::span<const std::uint8_t> bytes = packet.captured.bytes;
    if (const std::optional<datapath::Glance> glanced = datapath_.glance(bytes)) {
      WEIR_DCHECK(datapath::effect(glanced->outcome) != datapath::Effect::socket);
      const Side side = packet.side ? *packet.side : side_of(glanced->source(bytes));
      ended(packet.captured, side, number, label,
            datapath_.count(side, bytes.size(), glanced->outcome));
      return;
    }
    const packet::Headers headers = packet::parse(bytes);
    packet::Frame frame;
    frame.data = bytes.data();
    frame.length = static_cast<std::uint32_t>(bytes.size());
    frame.number = number;
    frame.time = time;
    frame.side = packet.side ? *packet.side : side_of(packet::source(bytes, headers));
    const datapath::Outcome outcome = datapath_.judge_parsed(frame, headers);
    if (datapath::effect(outcome) == datapath::Effect::socket) {
      if (order_) order_->travels(packet.captured, frame.side);
      steer(frame, headers, label);
    } else {
      ended(packet.captured, frame.side, number, label, outcome);
    }
  }

  /// A packet that ends in the datapath.
  void ended(const io::CapturedPacket& captured, Side side, std::uint64_t number,
             std::int32_t label, datapath::Outcome outcome) {
    const Verdict verdict =
        datapath::effect(outcome) == datapath::Effect::drop ? Verdict::drop : Verdict::forward;
    if (verdict == Verdict::drop) ++report_.timeline.at(captured.time).dropped_datapath;
    if (order_) order_->ended({captured, side, verdict, "datapath", datapath::name(outcome)});
    count(number, verdict, label, &LabelTally::dropped_datapath);
    if (label >= 0 && outcome == datapath::Outcome::peer_screened) ++labels_[label].screened;
  }

  /// No capture says it: what comes from a LAN address comes from the LAN.
  [[nodiscard]] Side side_of(const Address& source) const noexcept {
    return lan_.contains(source) ? Side::lan : Side::wan;
  }

  void steer(const packet::Frame& frame, const packet::Headers& headers, std::int32_t label) {
    while (batch_ == nullptr) {
      batch_ = pools_[channel_].take();
      if (batch_ == nullptr) {
        collect();
        continue;
      }
      batch_->headers_known = true;
      batch_->timed = true;
      travelling().first_steered = steered_;
      travelling().oldest = frame.time;
    }
    travelling().oldest = std::min(travelling().oldest, frame.time);
    oldest_ = std::min(oldest_, frame.time);
    const std::uint32_t i = batch_->size++;
    batch_->frames[i] = frame;
    batch_->headers[i] = headers;
    travelling().labels[i] = label;
    ++steered_;
    if (batch_->size == config_.batch_packets) submit();
  }

  Travelling& travelling() noexcept { return travelling_[submitted_ % kReplayBatches]; }

  void submit() {
    if (batch_ == nullptr) return;
    channel_ = (channel_ + 1) % pools_.size();
    travelling().submitted = monotonic_now();
    ++submitted_;
    engine_->submit(std::exchange(batch_, nullptr));
    Batch* batch = nullptr;
    while (returned_.pop(batch)) account(*batch);
  }

  void done(Batch* batch) noexcept {
    // Batches are done in the order in which they were submitted, one at a time.
    travelling_[judged_++ % kReplayBatches].judged = monotonic_now();
    WEIR_CHECK(returned_.push(batch));
    done_.fetch_add(1, std::memory_order_release);
    done_.notify_one();
  }

  /// Waits for a batch to come back.
  void collect() {
    Batch* batch = nullptr;
    if (!returned_.pop(batch)) {
      const PacketTime before = monotonic_now();
      while (!returned_.pop(batch)) done_.wait(collected_, std::memory_order_acquire);
      report_.speed->reader_waited += monotonic_now() - before;
    }
    account(*batch);
  }

  void account(Batch& batch) {
    const Travelling& travelled = travelling_[collected_++ % kReplayBatches];
    report_.judged += batch.size;
    ReplaySpeed& speed = *report_.speed;
    ++speed.batches;
    for (std::size_t stage = 0; stage < kStages; ++stage)
      speed.stages[stage] += Nanoseconds{batch.stage_ns[stage]};
    speed.latency.add(travelled.judged - travelled.submitted, batch.size);
    for (std::size_t i = 0; i < batch.size; ++i) {
      const detect::Decision& decision = batch.decisions[i];
      ++report_.reasons[static_cast<std::size_t>(decision.reason) % report_.reasons.size()];
      const std::int32_t label = travelled.labels[i];
      count(batch.frames[i].number, decision.verdict, label, &LabelTally::dropped_judged);
      if (label >= 0) ++labels_[label].judged;
      if (order_) order_->judged(decision.verdict, detect::name(decision.reason));
      if (decision.verdict == Verdict::drop)
        ++report_.timeline.at(batch.frames[i].time).dropped_judged;
      if (!decision.block) continue;
      const auto block = make_block(batch.contexts[i], decision);
      if (!decision.again) {
        report_.blocks.push_back({block, decision.first_seen});
        ++report_.timeline.at(batch.frames[i].time).blocks;
      }
      pending_.emplace_back(travelled.first_steered + i, block);
    }
    if (watch_->batch)
      watch_->batch(batch, labels_.tallies(), {travelled.labels.data(), batch.size});
    pools_[batch.channel].give(&batch);
    oldest_ = kNever;
    const std::uint32_t end = submitted_ + (batch_ != nullptr ? 1U : 0U);
    for (std::uint32_t i = collected_; i != end; ++i)
      oldest_ = std::min(oldest_, travelling_[i % kReplayBatches].oldest);
  }

  /// Waits until nothing is in flight that is so old that a block out of it would be due by now.
  void settle(PacketTime now) {
    while (oldest_ <= now && now - oldest_ >= kEnforceLag) {
      if (collected_ == submitted_)
        submit();
      else
        collect();
    }
  }

  void count(std::uint64_t number, Verdict verdict, std::int32_t label,
             std::uint64_t LabelTally::*dropped) noexcept {
    const bool drop = verdict == Verdict::drop;
    report_.verdict_digest += mix(2 * number + (drop ? 1U : 0U));
    ++(drop ? report_.dropped : report_.forwarded);
    if (label < 0) return;
    ++labels_[label].packets;
    if (drop) ++(labels_[label].*dropped);
  }

  /// Blocks whose time has come take effect. All decisions that can be due are known: what is in
  /// flight is younger than the lag.
  void enforce(PacketTime now) {
    while (!pending_.empty()) {
      const auto& [cause, block] = pending_.front();
      const bool due = cause + kEnforceLag_packets <= steered_ ||
                       now - PacketTime{block.value.created_ns} >= kEnforceLag;
      if (!due) return;
      if (!add(block)) {
        sweep(now);
        if (!add(block)) ++report_.blocks_refused;
      }
      pending_.pop_front();
    }
  }

  bool add(const datapath::Block& block) {
    const auto added = datapath_.add_blocks({&block, 1});
    return added && *added == 1;
  }

  /// Makes room, as the live enforcer does: at most once a second of packet time.
  void sweep(PacketTime now) {
    if (swept_ != PacketTime{} && now - swept_ < std::chrono::seconds(1)) return;
    swept_ = now;
    const auto blocks = datapath_.list_blocks();
    if (!blocks) return;
    std::vector<datapath::BlockKey> expired;
    for (const datapath::Block& block : *blocks)
      if (block.value.expires_ns != 0 && block.value.expires_ns <= now.ns)
        expired.push_back(block.key());
    static_cast<void>(datapath_.remove_blocks(expired));
  }

  const ReplayConfig config_;
  Bound bound_;
  datapath::Native datapath_;
  detect::Policy policy_;
  std::shared_ptr<detect::Ledger> ledger_;
  NoSink sink_;
  std::deque<BatchPool> pools_;
  const detect::PrefixSet lan_;
  const ReplayWatch* watch_ = nullptr;
  std::optional<ReplayOrder> order_;  // where somebody watches
  Pacer pacer_;
  ReplayReport report_;
  ReplayLabels labels_;
  std::size_t channel_ = 0;  // whose batch is next
  Batch* batch_ = nullptr;   // being filled
  std::uint64_t steered_ = 0;
  std::uint32_t submitted_ = 0;
  std::uint32_t collected_ = 0;
  std::uint32_t judged_ = 0;                           // the engine's: batches that are done
  PacketTime previous_;                                // of the packet before
  Nanoseconds pass_length_{};                          // of the captures, with a gap behind
  Nanoseconds shift_{};                                // of this pass
  std::array<Travelling, kReplayBatches> travelling_;  // by submission, which is ticket order
  std::deque<std::pair<std::uint64_t, datapath::Block>> pending_;  // by steered packet
  PacketTime oldest_ = kNever;                                     // of all packets in flight
  PacketTime swept_;
  SpscRing<Batch*> returned_;  // from the engine's decide to this thread
  std::atomic<std::uint32_t> done_{0};
  std::unique_ptr<Engine> engine_;  // goes first: it holds batches
};

}  // namespace

Result<std::unique_ptr<Replay>> Replay::make(const ReplayConfig& config,
                                             const forest::Model* model) {
  if (config.channels < 1 || config.channels > kReplayChannelsMax)
    return fail(fmt::format("a replay with {} channels: 1 to {} are possible", config.channels,
                            kReplayChannelsMax));
  if (config.batch_packets < 1 || config.batch_packets > kBatchPackets)
    return fail(fmt::format("a batch of {} packets: 1 to {} are possible", config.batch_packets,
                            kBatchPackets));
  WEIR_ASSIGN(Bound bound, bind(model, config.tables, config.extract, scores_of(config.policy)));
  auto replay = std::make_unique<ReplayRun>(config, std::move(bound));
  WEIR_TRY(replay->start());
  return replay;
}

}  // namespace weir::pipeline
