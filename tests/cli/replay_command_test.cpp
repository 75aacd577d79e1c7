// SPDX-License-Identifier: BSD-2-Clause
// `weir replay` as a user meets it: what it prints, what it refuses, what it leaves behind.
#include <gmock/gmock.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>

#include "support/process.h"
#include "synth/synth.h"

namespace weir {
namespace {

using testing::HasSubstr;

class ReplayCommand : public testing::Test {
 protected:
  ReplayCommand()
      : folder_(std::filesystem::temp_directory_path() /
                ("weir-replay-command-" + std::to_string(getpid()))) {
    std::filesystem::create_directory(folder_);
    synth::Options options;
    options.seconds = 1;
    options.attack_after_s = 0.1;
    const auto written = synth::write(options, capture(), io::CaptureFormat::pcapng);
    EXPECT_TRUE(written.has_value());
    packets_ = written->packets;
  }
  ~ReplayCommand() override { std::filesystem::remove_all(folder_); }

  [[nodiscard]] std::string capture() const { return folder_ / "synth.pcapng"; }
  /// Without a model: `--features` needs none.
  [[nodiscard]] std::string rows() const { return folder_ / "rows.csv"; }
  static test::Ran weir(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {WEIR_PROGRAM, "replay"});
    return test::run(arguments);
  }
  static void expect_refusal(const test::Ran& ran, const std::string& says) {
    EXPECT_EQ(ran.status, 2);
    EXPECT_TRUE(ran.out.empty()) << ran.out;
    EXPECT_THAT(ran.err, HasSubstr(says));
    EXPECT_TRUE(ran.err.starts_with("weir: "));
    EXPECT_EQ(std::count(ran.err.begin(), ran.err.end(), '\n'), 1) << ran.err;
  }

  const std::filesystem::path folder_;
  std::uint64_t packets_ = 0;
};

TEST_F(ReplayCommand, PrintsOneJsonObject) {
  std::string digest;
  for (const char* workers : {"0", "2"}) {
    const auto ran =
        weir({capture(), "--features", rows(), "--json", "--workers", workers, "--channels", "2"});
    ASSERT_EQ(ran.status, 0) << ran.err;
    const auto json = nlohmann::json::parse(ran.out);
    EXPECT_EQ(json.at("packets"), packets_);
    EXPECT_EQ(json.at("forwarded").get<std::uint64_t>() + json.at("dropped").get<std::uint64_t>(),
              packets_);
    EXPECT_EQ(json.at("blocks"), json.at("block_list").size());
    EXPECT_GT(json.at("packets_per_s"), 0);
    const auto found = json.at("verdict_digest").get<std::string>();
    EXPECT_EQ(found.size(), 16U);
    if (digest.empty()) digest = found;
    EXPECT_EQ(found, digest);
  }
}

TEST_F(ReplayCommand, PrintsAReportForPeople) {
  const auto ran = weir({"--lan-prefix", "10.0.0.0/8,fd00::/8", capture(), "--features", rows()});
  ASSERT_EQ(ran.status, 0) << ran.err;
  for (const char* word :
       {"packets", "forwarded", "digest", "Mpps", "socket_steered", "reflection"})
    EXPECT_THAT(ran.out, HasSubstr(word));
}

TEST_F(ReplayCommand, WritesARowForEachJudgedPacket) {
  const auto ran = weir({capture(), "--features", rows(), "--json"});
  ASSERT_EQ(ran.status, 0) << ran.err;
  const auto judged = nlohmann::json::parse(ran.out).at("judged").get<std::int64_t>();
  std::ifstream file(rows());
  std::string header;
  std::getline(file, header);
  EXPECT_TRUE(header.starts_with(
      "number,time_ns,side,source,destination,label,kind,source_port,destination_port,verdict,"
      "solicited,client_flow,reason,score,"))
      << header;
  const auto commas = std::count(header.begin(), header.end(), ',');
  std::int64_t lines = 0;
  for (std::string line; std::getline(file, line); ++lines)
    ASSERT_EQ(std::count(line.begin(), line.end(), ','), commas) << line;
  EXPECT_GT(lines, 1'000);
  EXPECT_EQ(lines, judged);
}

TEST_F(ReplayCommand, SweepsASetting) {
  const auto ran =
      weir({capture(), "-m", WEIR_MODEL, "--sweep", "workers=0,2", "--repeat", "2", "--json"});
  ASSERT_EQ(ran.status, 0) << ran.err;
  const auto json = nlohmann::json::parse(ran.out);
  EXPECT_EQ(json.at("setting"), "workers");
  ASSERT_EQ(json.at("results").size(), 2U);
  EXPECT_EQ(json.at("results")[1].at("value"), 2);
  for (const auto& result : json.at("results")) {
    EXPECT_EQ(result.at("runs").size(), 2U);
    const auto& rate = result.at("packets_per_s");
    EXPECT_LE(rate.at("min"), rate.at("median"));
    EXPECT_LE(rate.at("median"), rate.at("max"));
  }
  const auto text = weir({capture(), "-m", WEIR_MODEL, "--repeat", "3"});
  ASSERT_EQ(text.status, 0) << text.err;
  EXPECT_THAT(text.out, HasSubstr("Medians of 3 alternating runs"));
  EXPECT_THAT(text.out, HasSubstr(json.at("verdict_digest").get<std::string>()));
}

TEST_F(ReplayCommand, WritesWhatBecameOfEachPacket) {
  const std::string forwarded = folder_ / "forwarded.pcapng";
  const std::string dropped = folder_ / "dropped.pcapng";
  const std::string plot = folder_ / "plot.html";
  const auto ran = weir({capture(), "-m", WEIR_MODEL, "--write-forwarded", forwarded,
                         "--write-dropped", dropped, "--plot", plot, "--json"});
  ASSERT_EQ(ran.status, 0) << ran.err;
  const auto json = nlohmann::json::parse(ran.out);
  const auto read = [](const std::string& path, const std::string& verdict) {
    auto reader = io::CaptureReader::open(path);
    EXPECT_TRUE(reader.has_value());
    io::CapturedPacket packet;
    while ((*reader)->next(packet) == io::Step::packet) {
      EXPECT_THAT(std::string(packet.comment), HasSubstr("label="));
      EXPECT_THAT(std::string(packet.comment), HasSubstr(" weir=" + verdict + " by="));
    }
    return (*reader)->packets();
  };
  EXPECT_EQ(read(forwarded, "forward"), json.at("forwarded"));
  EXPECT_EQ(read(dropped, "drop"), json.at("dropped"));
  std::ifstream html(plot);
  const std::string drawn((std::istreambuf_iterator<char>(html)), std::istreambuf_iterator<char>());
  EXPECT_THAT(drawn, HasSubstr("</svg>"));
  EXPECT_THAT(drawn, HasSubstr(json.at("verdict_digest").get<std::string>()));
  EXPECT_THAT(drawn, testing::Not(HasSubstr("nan")));
  // What was forwarded can be replayed: it names its sides.
  EXPECT_EQ(weir({forwarded, "-m", WEIR_MODEL}).status, 0);
}

TEST_F(ReplayCommand, SpeedIsANumberWithItsUnitOrWithout) {
  for (const char* speed : {"1000000", "1000000x", "1e6x"})
    EXPECT_EQ(weir({capture(), "-m", WEIR_MODEL, "--speed", speed}).status, 0) << speed;
  for (const char* speed : {"x", "1xx", "1 x", "x1"})
    expect_refusal(weir({capture(), "--speed", speed}), "is no number");
  for (const char* speed : {"0x", "-1x"})
    expect_refusal(weir({capture(), "--speed", speed}), "more than 0 is expected");
}

TEST_F(ReplayCommand, RefusesInOneLine) {
  for (const char* sweep : {"workers", "threads=1", "workers=", "workers=1,", "workers=a"})
    expect_refusal(weir({capture(), "-m", WEIR_MODEL, "--sweep", sweep}), "--sweep");
  expect_refusal(weir({capture(), "-m", WEIR_MODEL, "--sweep", "channels=0"}), "0 channels");
  expect_refusal(weir({capture(), "-m", WEIR_MODEL, "--sweep", "batch=0"}), "batch");
  expect_refusal(weir({capture(), "--repeat", "2", "--features", rows()}), "--repeat");
  expect_refusal(weir({capture(), "--rate", "1", "--speed", "1"}), "--speed");
  expect_refusal(weir({capture(), "--rate", "-1"}), "--rate: it is -1: more than 0 is expected");
  for (const char* rate : {"nan", "inf", "", "1x"})
    expect_refusal(weir({capture(), "--rate", rate}), std::string("'") + rate + "' is no number");
  expect_refusal(weir({capture(), "--loops", "0"}), "--loops");
  expect_refusal(weir({capture(), "-m", WEIR_MODEL, "--plot", folder_ / "no" / "p.html"}),
                 "p.html");
  expect_refusal(
      weir({capture(), "-m", WEIR_MODEL, "--write-dropped", folder_ / "no" / "d.pcapng"}),
      "d.pcapng");

  expect_refusal(weir({capture(), "--wan", capture()}), "is given twice; --loops");
  expect_refusal(weir({capture(), "-m", "a", "-m", "b"}), "--model is given 2 times");
  const std::string pipe = folder_ / "pipe";
  ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
  expect_refusal(weir({pipe, "-m", WEIR_MODEL}), "pipe' is no regular file");
  expect_refusal(weir({}), "no capture was given");
  expect_refusal(weir({folder_ / "missing.pcap", "--features", rows()}), "missing.pcap");
  const std::string text = folder_ / "text.pcap";
  std::ofstream(text) << "this is no capture\n";
  expect_refusal(weir({text, "--features", rows()}), "text.pcap");
  expect_refusal(weir({capture(), "--model", text}), "text.pcap");
  expect_refusal(weir({capture(), "--lan-prefix", "10.0.0.1/8"}), "10.0.0.1/8");
  expect_refusal(weir({capture(), "--channels", "0", "--features", rows(), "-c", text}),
                 "text.pcap");
}

TEST_F(ReplayCommand, WritesOverNothingThatItReads) {
  const std::string link = folder_ / "link.csv";
  std::filesystem::create_symlink(capture(), link);
  const std::string model = folder_ / "model.json";
  std::filesystem::copy_file(WEIR_MODEL, model);
  const auto size = std::filesystem::file_size(capture());
  for (const char* option : {"--features", "--plot", "--write-forwarded", "--write-dropped"})
    for (const std::string& path : {capture(), link, model})
      expect_refusal(weir({capture(), "-m", model, option, path}), "would write over");
  for (const std::string& path : {capture(), link})
    expect_refusal(weir({capture(), "--header-features", path}), "would write over");
  expect_refusal(weir({capture(), "-m", model, "--features", rows(), "--plot", rows()}),
                 "both name");
  EXPECT_FALSE(std::filesystem::exists(rows()));
  EXPECT_EQ(std::filesystem::file_size(capture()), size);
  EXPECT_EQ(std::filesystem::file_size(model), std::filesystem::file_size(WEIR_MODEL));
}

TEST_F(ReplayCommand, LeavesNoRowsOfACaptureThatIsCutOff) {
  std::filesystem::resize_file(capture(), std::filesystem::file_size(capture()) - 5);
  expect_refusal(weir({capture(), "--features", rows()}), "synth.pcapng");
  EXPECT_FALSE(std::filesystem::exists(rows()));
  std::ofstream(rows()) << "of the run before\n";
  expect_refusal(weir({capture(), "--header-features", rows()}), "synth.pcapng");
  std::ifstream before(rows());
  std::string line;
  std::getline(before, line);
  EXPECT_EQ(line, "of the run before");
  const auto files = std::filesystem::directory_iterator(folder_);
  EXPECT_EQ(std::distance(begin(files), end(files)), 2) << "the capture and the rows";
}

TEST_F(ReplayCommand, RefusesOptionsThatWouldHaveNoEffect) {
  struct Case {
    std::vector<std::string> words;
    const char* says;
  };
  for (const Case& c : std::vector<Case>{
           {{"--live", "lo", "--screen", "s"}, "--live and --screen do not go together: it sends"},
           {{"--live", "lo", "--report"}, "--live and --report do"},
           {{"--live", "lo", "-m", "m"}, "--live and --model do"},
           {{"--header-features", rows(), "-c", "c"}, "--header-features and --config do"},
           {{"--header-features", rows(), "--compare", "skx"},
            "--header-features and --compare do"},
           {{"--compare", "skx", "--screen-ssdp"}, "--compare and --screen-ssdp do"},
           {{"--compare", "skx", "--lan-prefix", "10.0.0.0/8"}, "--compare and --lan-prefix do"},
           {{"--repeat", "2", "--report"}, "--repeat and --report do not go together: it measures"},
           {{"--sweep", "workers=0,1", "--plot", "p"}, "--sweep and --plot do"},
           {{"-m", WEIR_MODEL, "--sweep", "workers=0", "-w", "1"}, "--sweep sets workers"},
           {{"--dpdk"}, "--dpdk has no effect without --live"},
           {{"--live", "lo", "--eal", "-v"}, "--eal has no effect without --dpdk"}}) {
    std::vector<std::string> words = {capture()};
    words.insert(words.end(), c.words.begin(), c.words.end());
    expect_refusal(weir(words), c.says);
  }
}

TEST_F(ReplayCommand, SaysWhatAConfigurationMayNotMean) {
  const std::string config = folder_ / "w.toml";
  std::ofstream(config) << "[policy]\nrules = false\nblock_ms = 5000\n[steer]\nudp_ports = []\n";
  const auto ran = weir({capture(), "-m", WEIR_MODEL, "-c", config, "--json"});
  ASSERT_EQ(ran.status, 0) << ran.err;
  EXPECT_TRUE(nlohmann::json::accept(ran.out));
  const std::string says = "policy.block_ms has no effect";
  const auto first = ran.err.find(says);
  ASSERT_NE(first, std::string::npos) << ran.err;
  EXPECT_EQ(ran.err.find(says, first + 1), std::string::npos) << "once: " << ran.err;
}

TEST_F(ReplayCommand, TimeThatGoesBackIsSaidAndNotCounted) {
  const std::string back = folder_ / "back.pcap";
  auto writer = io::CaptureWriter::create(back, io::CaptureFormat::pcap, {});
  ASSERT_TRUE(writer);
  const std::vector<std::uint8_t> frame(60);
  for (const std::uint64_t s : {9U, 5U, 7U})
    ASSERT_TRUE((*writer)->write({.bytes = frame,
                                  .original_length = 60,
                                  .interface = 0,
                                  .time = {s * 1'000'000'000U},
                                  .comment = {}}));
  ASSERT_TRUE((*writer)->close());
  const auto ran = weir({back, "-m", WEIR_MODEL});
  ASSERT_EQ(ran.status, 0) << ran.err;
  EXPECT_THAT(ran.out, HasSubstr("180 bytes in 4.00 s of traffic"));
  EXPECT_THAT(ran.out, HasSubstr("1  packets are from before the one in front of them"));
  EXPECT_THAT(ran.out, HasSubstr("no packet was judged: none is steered"));
}

}  // namespace
}  // namespace weir
