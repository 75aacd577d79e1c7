// SPDX-License-Identifier: BSD-2-Clause
// `weir why` and `weir replay --report` on a flood, as a user asks them.
#include <gmock/gmock.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "support/process.h"
#include "synth/synth.h"

namespace weir {
namespace {

using nlohmann::json;
using testing::HasSubstr;

class WhyCommand : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ = std::filesystem::temp_directory_path() / ("weir-why-" + std::to_string(getpid()));
    std::filesystem::create_directory(folder_);
    synth::Options options;  // a reflection flood
    options.seconds = 2;
    options.attack_after_s = 0.1;
    ASSERT_TRUE(synth::write(options, capture(), io::CaptureFormat::pcapng).has_value());
    report_ = parsed(weir({"replay", capture(), "--model", WEIR_MODEL, "--report", "--json"}));
  }
  static void TearDownTestSuite() { std::filesystem::remove_all(folder_); }

  static std::string capture() { return folder_ / "flood.pcapng"; }
  static test::Ran weir(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), WEIR_PROGRAM);
    return test::run(arguments);
  }
  static json parsed(const test::Ran& ran) {
    EXPECT_EQ(ran.status, 0) << ran.err;
    return ran.status == 0 ? json::parse(ran.out) : json();
  }
  static test::Ran why(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), "why");
    arguments.insert(arguments.end(), {"--model", WEIR_MODEL});
    return weir(arguments);
  }

  static inline std::filesystem::path folder_;
  static inline json report_;
};

TEST_F(WhyCommand, TheReportAddsUpToWhatWasDropped) {
  std::uint64_t by_rule = 0;
  for (const json& rule : report_["report"]["rules"])
    by_rule += rule["packets"].get<std::uint64_t>();
  const std::uint64_t by_blocks = report_["report"]["blocks"]["hit_packets"];
  EXPECT_GT(by_rule, 0U);
  EXPECT_EQ(by_rule + by_blocks, report_["dropped"].get<std::uint64_t>());
  EXPECT_FALSE(report_["report"]["sources"].empty());
}

TEST_F(WhyCommand, ABlockedSourceIsExplained) {
  ASSERT_FALSE(report_["block_list"].empty());
  const std::string source = report_["block_list"][0]["source"];
  const json found = parsed(why({source, "--replay", capture(), "--json"}));
  EXPECT_EQ(found["state"], "blocked");
  EXPECT_EQ(found["model"]["sha256"].get<std::string>().size(), 64U);
  EXPECT_GE(found["score"].get<double>(), found["threshold"].get<double>());
  EXPECT_GT(found["features"].size(), 40U) << "all of them, not the model's alone";
  EXPECT_FALSE(found["trees"][0]["path"].get<std::string>().empty());
  const auto text = why({source, "--replay", capture()});
  for (const char* word : {"is blocked since", "rule      scored", "path      tree", "sha256"})
    EXPECT_THAT(text.out, HasSubstr(word));
}

TEST_F(WhyCommand, EachPacketOfACaptureIsExplained) {
  const std::uint64_t packets = report_["packets"];
  bool by_policy = false, by_datapath = false;
  for (const std::uint64_t number : {std::uint64_t{1}, packets / 2, packets}) {
    const json found = parsed(why({capture() + "#" + std::to_string(number), "--json"}));
    EXPECT_THAT(found["verdict"].get<std::string>(),
                HasSubstr("packet " + std::to_string(number) + " was "));
    by_policy = by_policy || found.contains("rule");
    by_datapath = by_datapath || found.contains("because");
  }
  EXPECT_TRUE(by_policy || by_datapath);
}

TEST_F(WhyCommand, AScreenedPacketIsSaidToBeOne) {
  const std::string screen = folder_ / "screen.json";
  std::ofstream(screen) << R"({"format": "weir-model", "version": 1, "kind": "trees",
    "features": [{"name": "ip_ttl"}], "classes": [{"name": "benign"}, {"name": "attack"}],
    "outputs": 1, "link": "identity", "vote": "mean", "compare": "<=", "trees": [{"feature": [-1],
    "threshold": [0], "left": [-1], "right": [-1], "values": [0.1]}]})";
  const json replayed = parsed(weir(
      {"replay", capture(), "--model", WEIR_MODEL, "--screen", screen, "--screen-ssdp", "--json"}));
  const std::uint64_t screened = replayed["outcomes"]["peer_screened"]["packets"];
  std::uint64_t by_label = 0;
  for (const json& label : replayed["labels"]) by_label += label["screened"].get<std::uint64_t>();
  EXPECT_GT(screened, 0U);
  EXPECT_THAT(replayed["screen"].get<std::string>(), HasSubstr("(1 trees, 0 splits)"));
  const auto text = weir({"replay", capture(), "--model", WEIR_MODEL, "--screen", screen});
  EXPECT_THAT(text.err, HasSubstr("finds every packet fine"));
  EXPECT_THAT(text.out, HasSubstr("\nscreen     "));
  EXPECT_THAT(weir({"replay", capture(), "--model", WEIR_MODEL, "--screen-ssdp"}).err,
              HasSubstr("name one by --screen"));
  EXPECT_EQ(by_label, screened);
  EXPECT_EQ(replayed["judged"].get<std::uint64_t>(),
            replayed["outcomes"]["socket_steered"]["packets"].get<std::uint64_t>());
  // The flood is the last of the capture, and everything of the WAN is fine to this screen.
  const auto ran = why({capture() + "#" + std::to_string(report_["packets"].get<std::uint64_t>()),
                        "--screen", screen, "--screen-ssdp"});
  EXPECT_THAT(ran.out, HasSubstr("peer_screened (steered, and found fine by the screen"));
}

TEST_F(WhyCommand, RefusesWhatIsNotThere) {
  const auto refused = [&](const std::vector<std::string>& arguments, const std::string& says) {
    const auto ran = why(arguments);
    EXPECT_EQ(ran.status, 2) << ran.out;
    EXPECT_THAT(ran.err, HasSubstr(says));
  };
  refused({capture() + "#99999999"}, "number 99999999 is not there");
  EXPECT_THAT(weir({"why", "somebody"}).err,
              HasSubstr("'somebody' is not an IPv4 or IPv6 address"));
  refused({"203.0.113.1", "--replay", folder_ / "none.pcap"}, "none.pcap");
  refused({capture() + "#1", "--replay", capture()}, "names its capture, and --replay another");
  refused({capture() + "#1", "--control-socket", "s"},
          "--control-socket has no effect on a replay");
  refused({capture() + "#1", "-c", "/etc/weir/weir.toml"}, "/etc/weir/weir.toml");
  for (const std::vector<std::string>& option : {std::vector<std::string>{"--model", "m.json"},
                                                 {"--screen", "s.json"},
                                                 {"--screen-ssdp"},
                                                 {"--lan-prefix", "10.0.0.0/8"}}) {
    std::vector<std::string> words = {"why", "203.0.113.1"};
    words.insert(words.end(), option.begin(), option.end());
    const auto ran = weir(words);
    EXPECT_EQ(ran.status, 2);
    EXPECT_THAT(ran.err, HasSubstr(option[0] + " has no effect without a replay"));
  }
  EXPECT_EQ(weir({"why", "203.0.113.1", "--control-socket", folder_ / "none.sock"}).status, 3);
}

}  // namespace
}  // namespace weir
