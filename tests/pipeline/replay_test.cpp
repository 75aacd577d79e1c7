// SPDX-License-Identifier: BSD-2-Clause
// Captures into a replay: sides, merging by time, labels, and captures that end badly.
#include "pipeline/replay.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <map>

#include "support/packet_builder.h"
#include "support/reply_model.h"

namespace weir::pipeline {
namespace {

using test::Bytes;
using test::PacketBuilder;
using testing::HasSubstr;

constexpr std::string_view kReply =
    "HTTP/1.1 200 OK\r\nST: upnp:rootdevice\r\nUSN: uuid:1\r\nLOCATION: http://192.0.2.1/\r\n\r\n";

Bytes reply_from(std::string_view source, std::string_view destination = "192.0.2.77") {
  return PacketBuilder().ip4(source, destination).udp(1900, 40'000).payload(kReply).build();
}

struct Written {
  Bytes bytes;
  std::uint64_t time_ns = 0;
  std::uint32_t interface = 0;
  std::string comment;
};

/// Captures in a folder that goes with the test.
/// Blocks on the third attack packet, however soon it comes.
ReplayConfig quick() {
  ReplayConfig config;
  config.policy.evidence_span_ms = 0;
  config.policy.late_answers = 0;  // these captures are short
  return config;
}

class ReplayCaptures : public testing::Test {
 protected:
  ReplayCaptures()
      : folder_(std::filesystem::temp_directory_path() /
                ("weir-replay-" + std::to_string(getpid()))) {
    std::filesystem::create_directory(folder_);
  }
  ~ReplayCaptures() override { std::filesystem::remove_all(folder_); }

  std::string write(const std::string& name, const std::vector<Written>& packets,
                    const std::vector<std::string>& interfaces = {"any"}) {
    const std::string path = folder_ / name;
    auto writer = io::CaptureWriter::create(path, io::CaptureFormat::pcapng, interfaces);
    EXPECT_TRUE(writer.has_value());
    for (const Written& packet : packets) {
      io::CapturedPacket captured;
      captured.bytes = packet.bytes;
      captured.original_length = static_cast<std::uint32_t>(packet.bytes.size());
      captured.interface = packet.interface;
      captured.time = PacketTime{packet.time_ns};
      captured.comment = packet.comment;
      EXPECT_TRUE((*writer)->write(captured).has_value());
    }
    EXPECT_TRUE((*writer)->close().has_value());
    return path;
  }

  static Result<ReplayReport> run(const std::vector<ReplayInput>& inputs,
                                  const ReplayConfig& config = quick(),
                                  const ReplayObserver& observer = {}) {
    const forest::Model model = test::reply_model();
    WEIR_ASSIGN(auto source, ReplaySource::open(inputs));
    WEIR_ASSIGN(auto replay, Replay::make(config, &model));
    return replay->run(source, {.batch = observer, .packet = {}, .progress = {}});
  }

  /// The number and side of every judged packet.
  static std::vector<std::pair<std::uint64_t, Side>> sides(const std::vector<ReplayInput>& inputs,
                                                           const ReplayConfig& config = quick()) {
    std::vector<std::pair<std::uint64_t, Side>> found;
    const auto report =
        run(inputs, config, [&](const Batch& batch, const auto& /*labels*/, auto /*label_of*/) {
          for (std::size_t i = 0; i < batch.size; ++i)
            found.emplace_back(batch.frames[i].number, batch.frames[i].side);
        });
    EXPECT_TRUE(report.has_value()) << (report ? "" : report.error().message);
    return found;
  }

  const std::filesystem::path folder_;
};

using Sides = std::vector<std::pair<std::uint64_t, Side>>;

TEST_F(ReplayCaptures, SideByPrivateSource) {
  const std::string path = write("a.pcapng", {{reply_from("203.0.113.9"), 1'000, 0, ""},
                                              {reply_from("192.168.1.9"), 2'000, 0, ""},
                                              {reply_from("198.51.100.9"), 3'000, 0, ""}});
  EXPECT_EQ(sides({{path, std::nullopt}}), (Sides{{0, Side::wan}, {1, Side::lan}, {2, Side::wan}}));
  ReplayConfig config = quick();
  config.lan_prefixes = {*Prefix::parse("198.51.100.0/24")};
  EXPECT_EQ(sides({{path, std::nullopt}}, config),
            (Sides{{0, Side::wan}, {1, Side::wan}, {2, Side::lan}}));
}

TEST_F(ReplayCaptures, SideByInterfaceName) {
  const std::string path = write("a.pcapng",
                                 {{reply_from("192.168.1.9"), 1'000, 0, ""},
                                  {reply_from("203.0.113.9"), 2'000, 1, ""},
                                  {reply_from("203.0.113.9"), 3'000, 2, ""}},
                                 {"wan", "lan", "other"});
  EXPECT_EQ(sides({{path, std::nullopt}}), (Sides{{0, Side::wan}, {1, Side::lan}, {2, Side::wan}}));
}

TEST_F(ReplayCaptures, OneFileASideIsMergedByTime) {
  const std::string wan = write("w.pcapng", {{reply_from("203.0.113.9"), 1'000, 0, ""},
                                             {reply_from("203.0.113.9"), 4'000, 0, ""},
                                             {reply_from("203.0.113.9"), 5'000, 0, ""}});
  const std::string lan = write("l.pcapng", {{reply_from("203.0.113.8"), 2'000, 0, ""},
                                             {reply_from("203.0.113.8"), 4'000, 0, ""}});
  EXPECT_EQ(
      sides({{wan, Side::wan}, {lan, Side::lan}}),
      (Sides{{0, Side::wan}, {1, Side::lan}, {2, Side::wan}, {3, Side::lan}, {4, Side::wan}}));
}

TEST_F(ReplayCaptures, CountsByLabel) {
  std::vector<Written> packets;
  for (std::uint64_t i = 0; i < 10; ++i)
    packets.push_back(
        {reply_from("203.0.113.9"), 1'000 + i * 1'000, 0, "label=attack kind=reflection seed=1"});
  packets.push_back({PacketBuilder().ip4("203.0.113.1", "192.0.2.1").udp(53, 53).build(), 20'000, 0,
                     "kind=dns label=benign"});
  packets.push_back({reply_from("203.0.113.1"), 21'000, 0, "nolabel=attack"});
  const auto report = run({{write("a.pcapng", packets), std::nullopt}});
  ASSERT_TRUE(report.has_value());
  ASSERT_EQ(report->labels.size(), 2U);
  EXPECT_EQ(report->labels[0].label, "attack");
  EXPECT_EQ(report->labels[0].kind, "reflection");
  EXPECT_EQ(report->labels[0].packets, 10U);
  EXPECT_EQ(report->labels[0].judged, 10U);
  EXPECT_EQ(report->labels[0].dropped(), report->dropped);
  EXPECT_GT(report->dropped, 5U);
  EXPECT_EQ(report->labels[1].label, "benign");
  EXPECT_EQ(report->labels[1].kind, "dns");
  EXPECT_EQ(report->labels[1].judged, 0U);
  ASSERT_EQ(report->blocks.size(), 1U);
  EXPECT_EQ(report->blocks[0].block.source.text(), "203.0.113.9");
  EXPECT_EQ(report->blocks[0].first_seen, PacketTime{1'000});
}

// Ten milliseconds after its cause a block rules in the datapath, however few packets there were.
TEST_F(ReplayCaptures, ABlockTakesEffectByTime) {
  std::vector<Written> packets;
  for (std::uint64_t i = 0; i < 5; ++i)
    packets.push_back({reply_from("203.0.113.9"), 1'000 + i, 0, ""});
  packets.push_back({reply_from("203.0.113.9"), 9'000'000, 0, ""});
  packets.push_back({reply_from("203.0.113.9"), 11'000'000, 0, ""});
  for (const std::uint32_t workers : {0U, 2U}) {
    ReplayConfig config = quick();
    config.engine.workers = workers;
    const auto report = run({{write("a.pcapng", packets), std::nullopt}}, config);
    ASSERT_TRUE(report.has_value());
    EXPECT_EQ(report->judged, 6U);
    EXPECT_EQ(report->outcomes.outcomes[0][WEIR_OUTCOME_drop_block_ssdp].packets, 1U);
  }
}

TEST_F(ReplayCaptures, ExtractsAllFeaturesAndScoresTheSame) {
  std::vector<Written> packets;
  for (std::uint64_t i = 0; i < 10; ++i)
    packets.push_back({reply_from("203.0.113.9"), 1'000 + i * 1'000, 0, ""});
  const std::string path = write("a.pcapng", packets);
  std::vector<float> scores[2];
  for (const Extract extract : {Extract::model_features, Extract::all_features}) {
    ReplayConfig config = quick();
    config.extract = extract;
    const bool all = extract == Extract::all_features;
    ASSERT_TRUE(run({{path, std::nullopt}}, config, [&](const Batch& batch, const auto&, auto) {
                  EXPECT_EQ(batch.columns.size(), all ? detect::all_features().size() : 2U);
                  scores[all ? 1 : 0].insert(scores[all ? 1 : 0].end(), batch.scores.begin(),
                                             batch.scores.begin() + batch.size);
                }).has_value());
  }
  EXPECT_EQ(scores[0].size(), 10U);
  EXPECT_EQ(scores[0], scores[1]);
  EXPECT_GT(scores[0].back(), 0.5F);
}

TEST_F(ReplayCaptures, ACaptureThatIsCutOffIsAnError) {
  std::vector<Written> packets;
  for (std::uint64_t i = 0; i < 1'000; ++i)
    packets.push_back({reply_from("203.0.113.9"), 1'000 + i, 0, ""});
  const std::string path = write("a.pcapng", packets);
  std::filesystem::resize_file(path, std::filesystem::file_size(path) - 7);
  for (const std::uint32_t workers : {0U, 2U}) {
    ReplayConfig config = quick();
    config.engine.workers = workers;
    const auto report = run({{path, std::nullopt}}, config);
    ASSERT_FALSE(report.has_value());
    EXPECT_THAT(report.error().message, HasSubstr("a.pcapng"));
    EXPECT_THAT(report.error().message, HasSubstr("1000"));
  }
}

/// A flood from three sources, and others' packets that are not steered in between.
std::vector<Written> flood_and_dns() {
  std::vector<Written> packets;
  for (std::uint64_t i = 0; i < 3'000; ++i) {
    packets.push_back(
        {reply_from(fmt::format("203.0.113.{}", 1 + i % 3)), 1'000 + i * 20'000, 0, ""});
    if (i % 5 == 0)
      packets.push_back({PacketBuilder().ip4("198.51.100.1", "192.0.2.1").udp(53, 53).build(),
                         2'000 + i * 20'000, 0, ""});
  }
  return packets;
}

TEST_F(ReplayCaptures, ShowsEveryPacketInOrderWithItsVerdict) {
  const auto packets = flood_and_dns();
  const std::string path = write("a.pcapng", packets);
  for (const std::uint32_t workers : {0U, 2U}) {
    const forest::Model model = test::reply_model();
    ReplayConfig config = quick();
    config.engine.workers = workers;
    auto source = ReplaySource::open({{path, std::nullopt}});
    ASSERT_TRUE(source);
    auto replay = Replay::make(config, &model);
    ASSERT_TRUE(replay);
    std::size_t next = 0;
    std::map<std::string, std::uint64_t> reasons;
    std::uint64_t dropped = 0;
    ReplayWatch watch;
    watch.packet = [&](const JudgedPacket& packet) {
      ASSERT_LT(next, packets.size());
      EXPECT_EQ(packet.captured.time.ns, packets[next].time_ns);
      ++next;
      ++reasons[fmt::format("{}/{}", packet.by, packet.reason)];
      dropped += packet.verdict == Verdict::drop ? 1 : 0;
    };
    const auto report = (*replay)->run(*source, watch);
    ASSERT_TRUE(report);
    EXPECT_EQ(next, packets.size());
    EXPECT_EQ(dropped, report->dropped);
    std::uint64_t by_datapath = 0;
    for (const auto& [reason, count] : reasons)
      if (reason.starts_with("datapath/")) by_datapath += count;
    EXPECT_EQ(by_datapath + report->judged, packets.size()) << "each is ended by one of both";
    EXPECT_GT(reasons["datapath/drop_block_ssdp"], 0U);
    EXPECT_GT(reasons["policy/scored"], 0U);

    // The timeline tells of the same packets.
    TimelineStep sum;
    for (const TimelineStep& step : report->timeline.steps()) {
      sum.packets += step.packets;
      sum.dropped_judged += step.dropped_judged;
      sum.dropped_datapath += step.dropped_datapath;
      sum.blocks += step.blocks;
    }
    EXPECT_EQ(sum.packets, report->packets);
    EXPECT_EQ(sum.dropped_judged + sum.dropped_datapath, report->dropped);
    EXPECT_EQ(sum.dropped_datapath, reasons["datapath/drop_block_ssdp"]);
    EXPECT_EQ(sum.blocks, report->blocks.size());

    const ReplaySpeed& speed = *report->speed;
    EXPECT_EQ(speed.latency.count(), report->judged);
    EXPECT_GE(speed.batches * kBatchPackets, report->judged);
    for (const Nanoseconds stage : speed.stages) EXPECT_GT(stage.count(), 0);
  }
}

TEST_F(ReplayCaptures, LoopsGoOnInTime) {
  const auto packets = flood_and_dns();
  // The same as one capture that holds them three times, each a mean gap after the one before.
  const std::uint64_t length = packets.back().time_ns - packets.front().time_ns;
  const std::uint64_t pass = length + length / packets.size();
  std::vector<Written> thrice;
  for (std::uint64_t loop = 0; loop < 3; ++loop)
    for (Written packet : packets) {
      packet.time_ns += loop * pass;
      thrice.push_back(std::move(packet));
    }
  const auto unrolled = run({{write("b.pcapng", thrice), std::nullopt}});
  ASSERT_TRUE(unrolled);
  for (const std::uint32_t workers : {0U, 2U}) {
    ReplayConfig config = quick();
    config.loops = 3;
    config.engine.workers = workers;
    const auto looped = run({{write("a.pcapng", packets), std::nullopt}}, config);
    ASSERT_TRUE(looped);
    EXPECT_EQ(looped->packets, 3 * packets.size());
    EXPECT_EQ(looped->verdict_digest, unrolled->verdict_digest);
    EXPECT_EQ(looped->last, unrolled->last);
  }
}

TEST_F(ReplayCaptures, TimeThatStepsBackIsCountedAndTheEarliestAndTheLatestAreFound) {
  std::vector<Written> packets;
  for (const std::uint64_t time : {5'000U, 9'000U, 3'000U, 7'000U})
    packets.push_back({reply_from("203.0.113.9"), time, 0, ""});
  const std::string path = write("a.pcapng", packets);
  const auto once = run({{path, std::nullopt}});
  ASSERT_TRUE(once);
  EXPECT_EQ(once->first, PacketTime{3'000});
  EXPECT_EQ(once->last, PacketTime{9'000});
  EXPECT_EQ(once->steps_back, 1U);
  ReplayConfig config = quick();
  config.loops = 2;  // 6,000 and a mean gap, 1,500, later
  const auto twice = run({{path, std::nullopt}}, config);
  ASSERT_TRUE(twice);
  EXPECT_EQ(twice->first, PacketTime{3'000});
  EXPECT_EQ(twice->last, PacketTime{16'500});
  EXPECT_EQ(twice->steps_back, 2U);
}

TEST_F(ReplayCaptures, NoPaceChangesAVerdict) {
  const std::string path = write("a.pcapng", flood_and_dns());
  const auto flat_out = run({{path, std::nullopt}});
  ASSERT_TRUE(flat_out);
  for (const Pace pace : {Pace{40'000, 0}, Pace{0, 1}}) {
    ReplayConfig config = quick();
    config.pace = pace;
    const auto paced = run({{path, std::nullopt}}, config);
    ASSERT_TRUE(paced);
    EXPECT_EQ(paced->verdict_digest, flat_out->verdict_digest);
    EXPECT_GT(paced->speed->reader_waited.count(), 0);
  }
}

TEST(Timeline, AnyLengthFits) {
  for (const std::uint64_t step_ns : {std::uint64_t{1'000}, std::uint64_t{1} << 33U}) {
    Timeline timeline;
    constexpr std::uint64_t kPackets = 10'000;
    for (std::uint64_t i = 0; i < kPackets; ++i) {
      ++timeline.at(PacketTime{5 + i * step_ns}).packets;
      if (i % 10 == 3) ++timeline.at(PacketTime{5 + (i - 3) * step_ns}).dropped_judged;  // late
    }
    ++timeline.at(PacketTime{1}).packets;  // from before the start
    std::uint64_t packets = 0;
    std::uint64_t dropped = 0;
    for (const TimelineStep& step : timeline.steps()) {
      packets += step.packets;
      dropped += step.dropped_judged;
    }
    EXPECT_EQ(packets, kPackets + 1);
    EXPECT_EQ(dropped, kPackets / 10);
    EXPECT_LE(timeline.steps().size(), Timeline::kStepsMax);
    const auto span_ns = static_cast<std::int64_t>((kPackets - 1) * step_ns);
    const auto end = timeline.step_length() * static_cast<std::int64_t>(timeline.steps().size());
    EXPECT_GT(end.count(), span_ns);
  }
}

TEST_F(ReplayCaptures, NoCaptureIsAnError) {
  const std::string path = folder_ / "text.pcap";
  std::ofstream(path) << "this is no capture\n";
  EXPECT_FALSE(ReplaySource::open({{path, std::nullopt}}).has_value());
  EXPECT_FALSE(ReplaySource::open({{folder_ / "missing.pcap", std::nullopt}}).has_value());
}

TEST(Replay, RefusesWhatCannotBe) {
  ReplayConfig config = quick();
  config.channels = kReplayChannelsMax + 1;
  EXPECT_THAT(Replay::make(config, nullptr).error().message, HasSubstr("16 channels: 1 to 15"));
  config.channels = kReplayChannelsMax;
  EXPECT_TRUE(Replay::make(config, nullptr).has_value());
  forest::Model model = test::reply_model();
  model.features[1] = "source_unsolicitd";
  EXPECT_THAT(Replay::make(config, &model).error().message,
              testing::AllOf(HasSubstr("model 'reply-model'"), HasSubstr("source_unsolicitd")));
  model = test::reply_model();
  model.classes.push_back({"third", 0});
  model.outputs = 3;
  EXPECT_THAT(Replay::make(config, &model).error().message, HasSubstr("has 3 classes"));
}

}  // namespace
}  // namespace weir::pipeline
