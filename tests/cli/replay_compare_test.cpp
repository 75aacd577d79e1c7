// SPDX-License-Identifier: BSD-2-Clause
// `weir replay --compare skx`: frames made by hand, models written by hand, and what SkimXDP's
// program makes of them worked out here by the C++ compiler's own integers.
#include <gmock/gmock.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <random>
#include <sstream>

#include "io/capture.h"
#include "support/frame_generator.h"
#include "support/packet_builder.h"
#include "support/process.h"

namespace weir::compare {
namespace {

using nlohmann::json;
using test::Bytes;
using test::PacketBuilder;
using testing::HasSubstr;
using Row = std::map<std::string, std::string>;

constexpr std::uint8_t kSyn = 2, kAck = 16;

struct Tcp {
  std::uint8_t ttl = 64, flags = kAck;
  std::uint16_t window = 1000;
};

Bytes tcp4(const Tcp& tcp, PacketBuilder link = PacketBuilder()) {
  return link.ip4("203.0.113.9", "192.0.2.1", {.ttl = tcp.ttl})
      .tcp(4711, 443)
      .patch(13, {tcp.flags, static_cast<std::uint8_t>(tcp.window >> 8U),
                  static_cast<std::uint8_t>(tcp.window)})
      .build();
}

json classifier(const std::vector<std::string>& features) {
  json model = {{"format", "weir-model"},
                {"version", 1},
                {"classes", json::array({{{"name", "0"}}, {{"name", "1"}}})},
                {"outputs", 1}};
  for (const std::string& name : features) model["features"].push_back({{"name", name}});
  return model;
}

/// One split a tree; `values` to the left and right of it.
struct Stump {
  int feature;
  double threshold;
  std::array<double, 2> values;
};

json trees(const std::vector<std::string>& features, const std::vector<Stump>& stumps) {
  json model = classifier(features);
  model.update({{"kind", "trees"}, {"link", "identity"}, {"vote", "mean"}, {"compare", "<="}});
  for (const Stump& stump : stumps)
    model["trees"].push_back({{"feature", {stump.feature, -1, -1}},
                              {"threshold", {stump.threshold, 0, 0}},
                              {"left", {1, -1, -1}},
                              {"right", {2, -1, -1}},
                              {"values", stump.values}});
  return model;
}

json linear(const std::vector<std::string>& features, const std::vector<double>& weights,
            double bias) {
  json model = classifier(features);
  model.update({{"kind", "linear"},
                {"link", "sigmoid"},
                {"bias", {bias}},
                {"weights", weights},
                {"threshold", {{"on", "margin"}, {"above", 0}}}});
  return model;
}

class Compare : public testing::Test {
 protected:
  Compare()
      : folder_(std::filesystem::temp_directory_path() /
                ("weir-replay-compare-" + std::to_string(getpid()))) {
    std::filesystem::create_directory(folder_);
  }
  ~Compare() override { std::filesystem::remove_all(folder_); }

  [[nodiscard]] std::string path(const char* name) const { return folder_ / name; }

  void write(const std::vector<Bytes>& frames, const json& model) {
    auto writer = *io::CaptureWriter::create(path("c.pcap"), io::CaptureFormat::pcap, {});
    for (const Bytes& frame : frames) {
      io::CapturedPacket packet;
      packet.bytes = frame;
      packet.original_length = static_cast<std::uint32_t>(frame.size());
      packet.time = PacketTime{1};
      ASSERT_TRUE(writer->write(packet));
    }
    ASSERT_TRUE(writer->close());
    std::ofstream(path("m.json")) << model.dump();
  }
  test::Ran run(const std::vector<std::string>& more) {
    std::vector<std::string> arguments = {WEIR_PROGRAM,   "replay",    path("c.pcap"), "--model",
                                          path("m.json"), "--compare", "skx"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return test::run(arguments);
  }
  /// What is said of these frames by this model; `rows_` holds a row for each that was judged.
  json compare(const std::vector<Bytes>& frames, const json& model) {
    write(frames, model);
    const auto ran = run({"--json", "--features", path("rows.csv")});
    EXPECT_EQ(ran.status, 0) << ran.err;
    read_rows();
    return json::parse(ran.out);
  }
  void read_rows(const char* name = "rows.csv") {
    std::ifstream file(path(name));
    std::vector<std::vector<std::string>> lines;
    for (std::string line; std::getline(file, line);) {
      lines.emplace_back();
      std::stringstream cells(line);
      for (std::string cell; std::getline(cells, cell, ',');) lines.back().push_back(cell);
    }
    rows_.clear();
    for (std::size_t i = 1; i < lines.size(); ++i) {
      rows_.emplace_back();
      for (std::size_t c = 0; c < lines[i].size(); ++c) rows_.back()[lines[0][c]] = lines[i][c];
    }
  }

  const std::filesystem::path folder_;
  std::vector<Row> rows_;
};

TEST_F(Compare, NamesTheFeatureThatIsReadDifferently) {
  // Above 0.5 the flag is set in both readings; above 128 in SkimXDP's alone.
  const std::vector<Bytes> frames = {tcp4({.flags = kSyn}), tcp4({.flags = kAck})};
  const json same = compare(frames, trees({"tcp_syn_flag"}, {{0, 0.5, {0, 1}}}));
  EXPECT_EQ(same.at("dropped"), 1);
  EXPECT_EQ(same.at("dropped_by_skx"), 1);
  EXPECT_EQ(same.at("differ"), 0);
  EXPECT_TRUE(same.at("causes").empty());
  const json other =
      compare(frames, trees({"ip_ttl", "tcp_syn_flag"}, {{1, 128, {0, 1}}, {1, 128, {0, 1}}}));
  EXPECT_EQ(other.at("dropped"), 0);
  EXPECT_EQ(other.at("dropped_by_skx_alone"), 1);
  ASSERT_EQ(other.at("causes").size(), 1U);
  EXPECT_EQ(other.at("causes")[0].at("feature"), "tcp_syn_flag");
  EXPECT_EQ(other.at("read_differently")[0].at("feature"), "tcp_syn_flag");
  EXPECT_EQ(other.at("read_differently")[0].at("packets"), 1);
  ASSERT_EQ(rows_.size(), 2U);
  EXPECT_EQ(rows_[0].at("verdict"), "forward");
  EXPECT_EQ(rows_[0].at("skx_verdict"), "drop");
  EXPECT_EQ(rows_[0].at("cause"), "tcp_syn_flag");
  EXPECT_EQ(rows_[0].at("tcp_syn_flag"), "1");
  EXPECT_EQ(rows_[0].at("skx_tcp_syn_flag"), "256");
  EXPECT_EQ(rows_[1].at("skx_verdict"), "forward");
  EXPECT_EQ(rows_[1].at("cause"), "");
  EXPECT_EQ(rows_[1].at("skx_ip_version"), "67108864");
}

TEST_F(Compare, NamesTheVoteAndTheThresholds) {
  const std::vector<Bytes> frame = {tcp4({.ttl = 64})};
  // Two of three trees say drop, with a mean of 0.4.
  const json vote =
      compare(frame, trees({"ip_ttl"}, {{0, 9, {0, 0.6}}, {0, 9, {0, 0.6}}, {0, 9, {0, 0}}}));
  EXPECT_EQ(vote.at("causes")[0].at("cause"), "vote");
  EXPECT_EQ(vote.at("dropped_by_skx_alone"), 1);
  // One of two is no majority.
  const json tie = compare(frame, trees({"ip_ttl"}, {{0, 9, {0, 1}}, {0, 9, {0, 0.2}}}));
  EXPECT_EQ(tie.at("causes")[0].at("cause"), "vote");
  EXPECT_EQ(tie.at("dropped_alone"), 1);
  // No value is at or below -0.5; cut to 0 it is one that a fragment offset of 0 is at.
  const json cut = compare(frame, trees({"ip_frag_offset"}, {{0, -0.5, {0, 1}}}));
  EXPECT_EQ(cut.at("causes")[0].at("cause"), "threshold");
  EXPECT_EQ(cut.at("dropped_alone"), 1);
}

TEST_F(Compare, NamesWhatSkimXdpDoesNotLookAt) {
  const json all =
      compare({tcp4({}), tcp4({}, PacketBuilder().vlan(7)), tcp4({}, PacketBuilder().pppoe()),
               PacketBuilder().ip6("2001:db8::9", "2001:db8::1").tcp(1, 2).build(),
               PacketBuilder().ip4("203.0.113.9", "192.0.2.1").udp(53, 53).build(),
               PacketBuilder().type(0x0806).payload(Bytes(46)).build()},
              trees({"ip_ttl"}, {{0, 9, {0, 1}}}));
  EXPECT_EQ(all.at("packets"), 6);
  EXPECT_EQ(all.at("judged"), 5);
  EXPECT_EQ(all.at("judged_by_skx"), 1);
  EXPECT_EQ(all.at("dropped_alone"), 4);
  std::map<std::string, int> causes;
  for (const json& cause : all.at("causes")) causes[cause.at("cause")] = cause.at("packets");
  EXPECT_EQ(causes, (std::map<std::string, int>{{"not judged: IPv6", 1},
                                                {"not judged: tag or PPPoE", 2},
                                                {"not judged: short", 1}}));
}

/// 200 frames, judged by a linear model over window, TTL and one feature more, and by `expression`,
/// which is that model as SkimXDP writes it.
TEST_F(Compare, ComputesLinearModelsInCsOwnIntegers) {
  std::mt19937 random(7);
  std::vector<Tcp> packets(200);
  std::vector<Bytes> frames;
  for (Tcp& packet : packets) {
    packet = {static_cast<std::uint8_t>(random()),
              static_cast<std::uint8_t>(random() % 2 == 0 ? kSyn : kAck),
              static_cast<std::uint16_t>(random())};
    frames.push_back(tcp4(packet));
  }
  const auto syn = [](const Tcp& p) { return static_cast<int>((p.flags & kSyn) != 0 ? 256 : 0); };
  struct Case {
    const char* name;
    std::vector<std::string> features;
    std::vector<double> weights;
    double bias;
    std::function<bool(const Tcp&)> expression;
  };
  const std::vector<Case> cases = {
      {"int, coefficients cut",
       {"tcp_window_size", "ip_ttl", "tcp_syn_flag"},
       {-0.00019, 0.05559, 0.01},
       -2.00009,
       [&](const Tcp& p) {
         return (-20000 + (-1 * p.window) + (555 * p.ttl) + (100 * syn(p))) > 0;
       }},
      {"unsigned: everything but 0 is above 0",
       {"tcp_window_size", "ip_ttl", "ip_version"},
       {-1, 0.5, 0},
       -3,
       [](const Tcp& p) {
         const unsigned int version = 4U << 24U;
         return (-30000 + (-10000 * p.window) + (5000 * p.ttl) + (0 * version)) > 0U;
       }},
      {"int that overflows",
       {"tcp_window_size", "ip_ttl"},
       {6.5536, 1},
       0,
       [](const Tcp& p) {
         const auto wraps = static_cast<unsigned>(65536) * p.window + 10000U * p.ttl;
         return static_cast<int>(wraps) > 0;
       }},
      {"long, from a coefficient on",
       {"tcp_window_size", "ip_ttl"},
       {-300000, 1e8},
       0,
       [](const Tcp& p) { return (0 + (-3000000000 * p.window) + (1000000000000 * p.ttl)) > 0; }}};
  for (const Case& c : cases) {
    const json said = compare(frames, linear(c.features, c.weights, c.bias));
    ASSERT_EQ(rows_.size(), packets.size());
    std::size_t dropped = 0;
    for (std::size_t i = 0; i < packets.size(); ++i) {
      const bool drops = c.expression(packets[i]);
      EXPECT_EQ(rows_[i].at("skx_verdict"), drops ? "drop" : "forward") << c.name << ", " << i;
      dropped += drops ? 1 : 0;
    }
    EXPECT_GT(dropped, 20U) << c.name;
    EXPECT_EQ(said.at("dropped_by_skx"), dropped) << c.name;
  }
}

TEST_F(Compare, HeaderFeaturesOfEachIpPacketAreRows) {
  write({tcp4({.ttl = 9, .flags = kSyn}), PacketBuilder().type(0x0806).payload(Bytes(46)).build(),
         PacketBuilder().vlan(7).ip6("2001:db8::9", "2001:db8::1").udp(53, 4000).build()},
        {});
  const auto ran = test::run(
      {WEIR_PROGRAM, "replay", path("c.pcap"), "--header-features", path("headers.csv"), "--json"});
  EXPECT_EQ(ran.out, "{\"packets\":3,\"rows\":2}\n") << ran.err;
  read_rows("headers.csv");
  ASSERT_EQ(rows_.size(), 2U);
  EXPECT_EQ(rows_[0].at("source"), "203.0.113.9");
  EXPECT_EQ(rows_[0].at("ip_ttl"), "9");
  EXPECT_EQ(rows_[0].at("tcp_syn_flag"), "1");
  EXPECT_EQ(rows_[1].at("number"), "2");
  EXPECT_EQ(rows_[1].at("ip_version"), "6");
  EXPECT_EQ(rows_[1].at("dest_port"), "4000");
  EXPECT_EQ(rows_[1].at("tcp_fin_flag"), "0");
}

// Whatever a frame is of: TCP, ICMP, fragments, what is cut off; and a vote that is a tie.
TEST_F(Compare, ByTheScoreAloneUserspaceDropsWhatAKernelModelDrops) {
  test::FrameGenerator generator(5);
  std::vector<Bytes> frames;
  for (int i = 0; i < 4'000; ++i) frames.push_back(generator.next());
  write(frames, trees({"ip_protocol", "source_port", "ip_frag_offset", "ip_total_length"},
                      {{0, 16.5, {0, 1}}, {1, 1023.5, {1, 0}}, {2, 0.5, {0, 1}}, {3, 80, {1, 0}}}));
  std::ofstream(path("all.toml")) << "[steer]\nprotocols = \"all\"\n[policy]\nrules = false\n";
  const auto replayed = test::run({WEIR_PROGRAM, "replay", path("c.pcap"), "-m", path("m.json"),
                                   "-c", path("all.toml"), "--json"});
  const auto checked =
      test::run({WEIR_PROGRAM, "kernel-model", "check", path("m.json"), path("c.pcap"), "--json"});
  ASSERT_EQ(replayed.status + checked.status, 0) << replayed.err << checked.err;
  const json kernel = json::parse(checked.out), userspace = json::parse(replayed.out);
  EXPECT_EQ(userspace.at("dropped"), kernel.at("dropped"));
  EXPECT_EQ(kernel.at("not_as_userspace"), 0);
  EXPECT_EQ(userspace.at("judged"), kernel.at("packets"));
  EXPECT_EQ(userspace.at("blocks"), 0);
  EXPECT_GT(kernel.at("dropped"), 300);
  EXPECT_GT(kernel.at("not_ip"), 100);
}

TEST_F(Compare, RefusesModelsAndOptionsThatItCannotCompare) {
  const std::vector<Bytes> frame = {tcp4({})};
  const auto refuses = [&](const json& model, const std::vector<std::string>& more,
                           const std::string& says) {
    write(frame, model);
    const auto ran = run(more);
    EXPECT_EQ(ran.status, 2);
    EXPECT_THAT(ran.err, HasSubstr(says));
    EXPECT_TRUE(ran.out.empty()) << ran.out;
  };
  const json fine = trees({"ip_ttl"}, {{0, 9, {0, 1}}});
  refuses(trees({"ttl"}, {{0, 9, {0, 1}}}), {}, "asks for 'ttl'");
  refuses(fine, {"--report"}, "--compare and --report do not go together");
  json boosted = fine;
  boosted.update({{"vote", "sum"}, {"link", "sigmoid"}});
  refuses(boosted, {}, "boosting");
  refuses(linear({"ip_ttl"}, {1e30}, 0), {}, "would not compile");
  write(frame, fine);
  EXPECT_THAT(run({}).out, HasSubstr("0 verdicts (0.00 % of IP)"));
}

}  // namespace
}  // namespace weir::compare
