// SPDX-License-Identifier: BSD-2-Clause
// Workers 0 = n: a capture gets the same verdict for every packet whatever runs it, and that
// verdict is the one of the plain reading of the rules: one packet after another, no batch, no
// engine.
#include <gtest/gtest.h>
#include <unistd.h>

#include <deque>
#include <filesystem>
#include <limits>
#include <string>
#include <tuple>

#include "datapath/native.h"
#include "packet/ssdp.h"
#include "pipeline/replay.h"
#include "support/reply_model.h"
#include "synth/synth.h"

namespace weir::pipeline {
namespace {

constexpr std::uint64_t kSeed = 1900;

/// A labelled flood among benign traffic, in a file that goes with the process.
class Capture {
 public:
  explicit Capture(const synth::Options& options) {
    path_ = std::filesystem::temp_directory_path() /
            ("weir-workers-" + std::to_string(getpid()) + ".pcapng");
    const auto written = synth::write(options, path_, io::CaptureFormat::pcapng);
    EXPECT_TRUE(written.has_value()) << (written ? "" : written.error().message);
    attack_packets = written->attack_packets;
  }
  ~Capture() { std::filesystem::remove(path_); }
  Capture(const Capture&) = delete;
  Capture& operator=(const Capture&) = delete;
  [[nodiscard]] ReplaySource open() const {
    auto source = ReplaySource::open({{path_, std::nullopt}});
    EXPECT_TRUE(source.has_value()) << (source ? "" : source.error().message);
    return std::move(*source);
  }
  std::uint64_t attack_packets = 0;

 private:
  std::string path_;
};

synth::Options flood(double rate_pps) {
  synth::Options options;
  options.seed = kSeed;
  options.seconds = 4;
  options.rate_pps = rate_pps;
  options.attackers = 300;
  options.scenarios = {"devices", "discovery", "clients", "reflection"};
  return options;
}

ReplayReport replay(const Capture& capture, const ReplayConfig& config) {
  const forest::Model model = test::reply_model();
  auto made = Replay::make(config, &model);
  EXPECT_TRUE(made.has_value()) << (made ? "" : made.error().message);
  auto source = capture.open();
  auto report = (*made)->run(source, {});
  EXPECT_TRUE(report.has_value()) << (report ? "" : report.error().message);
  return std::move(*report);
}

/// What the plain reading comes to.
struct Plain {
  std::uint64_t packets = 0, dropped = 0, digest = 0, blocks = 0, dropped_by_blocks = 0;
};

std::uint64_t mixed(std::uint64_t x) {  // as replay.h says: SplitMix64's finaliser
  x += 0x9e3779b97f4a7c15ULL;
  x = (x ^ (x >> 30U)) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ (x >> 27U)) * 0x94d049bb133111ebULL;
  return x ^ (x >> 31U);
}

class PlainReading {
 public:
  explicit PlainReading(const ReplayConfig& config)
      : model_(test::reply_model()),
        evaluator_(forest::make_scalar_evaluator(model_)),
        extractor_(*detect::Extractor::make(config.tables, model_.features)),
        datapath_(config.datapath),
        policy_(config.policy) {}

  Plain read(ReplaySource source) {
    ReplayPacket packet;
    while (source.next(packet) == io::Step::packet) {
      const bool drop = verdict(packet) == Verdict::drop;
      plain_.digest += mixed(2 * plain_.packets + (drop ? 1 : 0));
      plain_.dropped += drop ? 1 : 0;
      ++plain_.packets;
    }
    return plain_;
  }

 private:
  Verdict verdict(const ReplayPacket& packet) {
    packet::Frame frame;
    frame.data = packet.captured.bytes.data();
    frame.length = static_cast<std::uint32_t>(packet.captured.bytes.size());
    frame.time = packet.captured.time;
    frame.side = packet.side.value();
    while (!pending_.empty() &&
           (pending_.front().first + kEnforceLag_packets <= steered_ ||
            frame.time - PacketTime{pending_.front().second.value.created_ns} >= kEnforceLag)) {
      EXPECT_TRUE(datapath_.add_blocks({&pending_.front().second, 1}).has_value());
      pending_.pop_front();
    }
    packet::Headers headers;
    switch (datapath::effect(datapath_.judge(frame, headers))) {
      case datapath::Effect::peer:
        return Verdict::forward;
      case datapath::Effect::drop:
        ++plain_.dropped_by_blocks;
        return Verdict::drop;
      case datapath::Effect::socket:
        break;
    }
    return judge(frame, headers);
  }

  Verdict judge(const packet::Frame& frame, const packet::Headers& headers) {
    const auto ssdp = packet::parse_ssdp(packet::payload(frame.bytes(), headers));
    const auto context = extractor_->extract_one(frame, headers, ssdp, columns_.data());
    alignas(64) float score[forest::kRowAlign];
    evaluator_->evaluate(columns_.data(), 1, score);
    const auto decision = policy_.decide(context, score[0]);
    if (decision.block) {
      pending_.emplace_back(steered_, make_block(context, decision));
      plain_.blocks += decision.reason == detect::Reason::scored ? 1 : 0;
    }
    ++steered_;
    return decision.verdict;
  }

  const forest::Model model_;
  std::unique_ptr<forest::Evaluator> evaluator_;
  std::unique_ptr<detect::Extractor> extractor_;
  datapath::Native datapath_;
  detect::Policy policy_;
  alignas(64) std::array<std::array<float, forest::kRowAlign>, 2> rows_{};
  std::array<float*, 2> columns_{rows_[0].data(), rows_[1].data()};
  std::deque<std::pair<std::uint64_t, datapath::Block>> pending_;
  std::uint64_t steered_ = 0;
  Plain plain_;
};

std::uint64_t dropped_by_blocks(const ReplayReport& report) {
  std::uint64_t packets = 0;
  for (const auto& side : report.outcomes.outcomes)
    for (std::size_t o = 0; o < side.size(); ++o)
      if (side[o].packets > 0 &&
          datapath::effect(static_cast<datapath::Outcome>(o)) == datapath::Effect::drop)
        packets += side[o].packets;
  return packets;
}

void all_ways_agree(const Capture& capture, const ReplayConfig& base) {
  const Plain plain = PlainReading(base).read(capture.open());
  ASSERT_GT(plain.packets, 10'000U);
  ASSERT_GT(plain.blocks, 50U) << "this capture does not try the blocks";
  ASSERT_GT(plain.dropped_by_blocks, 1'000U) << "this capture does not try the blocks";
  for (const std::uint32_t workers : {0U, 1U, 2U, 8U})
    for (const std::uint32_t channels : {1U, 2U, 4U}) {
      SCOPED_TRACE(testing::Message() << "workers " << workers << ", channels " << channels);
      ReplayConfig config = base;
      config.engine.workers = workers;
      config.channels = channels;
      const ReplayReport report = replay(capture, config);
      EXPECT_EQ(report.packets, plain.packets);
      EXPECT_EQ(report.verdict_digest, plain.digest);
      EXPECT_EQ(report.dropped, plain.dropped);
      EXPECT_EQ(report.forwarded, plain.packets - plain.dropped);
      EXPECT_EQ(report.blocks.size(), plain.blocks);
      EXPECT_EQ(dropped_by_blocks(report), plain.dropped_by_blocks);
    }
}

TEST(WorkersEqual, FastFlood) {  // blocks become due by packets
  SCOPED_TRACE(testing::Message() << "seed " << kSeed);
  ReplayConfig config;
  config.datapath.blocks_max = 4096;
  all_ways_agree(Capture(flood(60'000)), config);
}

TEST(WorkersEqual, SlowFlood) {  // blocks become due by time
  SCOPED_TRACE(testing::Message() << "seed " << kSeed);
  ReplayConfig config;
  config.datapath.blocks_max = 4096;
  all_ways_agree(Capture(flood(6'000)), config);
}

TEST(WorkersEqual, AnyBatchSize) {
  const Capture capture(flood(6'000));
  ReplayConfig config;
  const std::uint64_t expected = replay(capture, config).verdict_digest;
  for (const std::uint32_t packets : {1U, 7U, 64U})
    for (const std::uint32_t workers : {0U, 2U}) {
      config.batch_packets = packets;
      config.engine.workers = workers;
      EXPECT_EQ(replay(capture, config).verdict_digest, expected)
          << "batches of " << packets << ", workers " << workers;
    }
}

TEST(WorkersEqual, AFullBlocklistToo) {
  const Capture capture(flood(20'000));
  ReplayConfig config;
  config.datapath.blocks_max = 64;
  const ReplayReport expected = replay(capture, config);
  EXPECT_GT(expected.blocks_refused, 0U);
  config.engine.workers = 2;
  config.channels = 2;
  EXPECT_EQ(replay(capture, config).verdict_digest, expected.verdict_digest);
}

TEST(WorkersEqual, LabelsAndOutcomesAddUp) {
  const Capture capture(flood(20'000));
  const ReplayReport report = replay(capture, ReplayConfig());
  std::uint64_t attack = 0;
  std::uint64_t labelled = 0;
  std::uint64_t dropped = 0;
  std::uint64_t judged = 0;
  for (const LabelTally& tally : report.labels) {
    EXPECT_FALSE(tally.kind.empty());
    labelled += tally.packets;
    dropped += tally.dropped();
    judged += tally.judged;
    if (tally.label == "attack") attack += tally.packets;
  }
  EXPECT_EQ(labelled, report.packets);
  EXPECT_EQ(dropped, report.dropped);
  EXPECT_EQ(judged, report.judged);
  EXPECT_EQ(attack, capture.attack_packets);
  std::uint64_t outcomes = 0;
  for (const auto& side : report.outcomes.outcomes)
    for (const auto& counter : side) outcomes += counter.packets;
  EXPECT_EQ(outcomes, report.packets);
  std::uint64_t reasons = 0;
  for (const std::uint64_t packets : report.reasons) reasons += packets;
  EXPECT_EQ(reasons, report.judged);
}

}  // namespace
}  // namespace weir::pipeline
