// SPDX-License-Identifier: BSD-2-Clause
// The program as a user meets it: what it says, where, and the status it ends with.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>

#include "support/process.h"

namespace weir::test {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

Ran weir(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), WEIR_PROGRAM);
  return run(arguments);
}

class CommandLine : public ::testing::Test {
 protected:
  void SetUp() override {
    char folder[] = "/tmp/weir-cli-XXXXXX";
    ASSERT_NE(mkdtemp(folder), nullptr);
    folder_ = folder;
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::string file(const std::string& name, const std::string& text) {
    const std::string path = folder_ + "/" + name;
    std::ofstream(path) << text;
    return path;
  }
  /// A configuration whose sockets, locks and pins are nowhere and nobody's.
  std::string nowhere(const std::string& more = "") {
    return file("w.toml", "[control]\nrun_dir = \"" + folder_ + "\"\nsocket = \"" + folder_ +
                              "/s\"\npin_directory = \"/sys/fs/bpf/weir-cli-test-" +
                              std::to_string(getpid()) + "\"\n" + more);
  }
  static void refuses(const Ran& ran, int status, const std::string& line) {
    EXPECT_EQ(ran.status, status) << ran.err;
    EXPECT_EQ(ran.err, line + "\n");
    EXPECT_EQ(ran.out, "");
  }

  std::string folder_;
};

const std::vector<std::vector<std::string>> kCommands = {{},
                                                         {"block"},
                                                         {"allow"},
                                                         {"model"},
                                                         {"run"},
                                                         {"check"},
                                                         {"status"},
                                                         {"block", "list"},
                                                         {"block", "add"},
                                                         {"block", "del"},
                                                         {"allow", "list"},
                                                         {"allow", "add"},
                                                         {"allow", "del"},
                                                         {"detach"},
                                                         {"reload"},
                                                         {"synth"},
                                                         {"replay"},
                                                         {"model", "show"},
                                                         {"model", "test"},
                                                         {"version"}};

TEST_F(CommandLine, EveryCommandHasHelpWithAnExampleAndItsStatuses) {
  for (auto command : kCommands) {
    std::string name = "weir";
    for (const auto& word : command) name += " " + word;
    command.emplace_back("--help");
    const Ran ran = weir(command);
    EXPECT_EQ(ran.status, 0) << name;
    EXPECT_EQ(ran.err, "");
    EXPECT_THAT(ran.out, HasSubstr("Usage: " + name)) << name;
    EXPECT_THAT(ran.out, HasSubstr("xample")) << name;
    EXPECT_THAT(ran.out, HasSubstr("xit status")) << name;
  }
  EXPECT_EQ(weir({}).out, weir({"--help"}).out);
}

TEST_F(CommandLine, AWordThatIsUnknownIsAnsweredWithTheNearest) {
  refuses(weir({"chekc"}), 2,
          "weir: 'weir' knows no command 'chekc'; did you mean check? (see weir --help)");
  refuses(weir({"explode"}), 2, "weir: 'weir' knows no command 'explode' (see weir --help)");
  refuses(weir({"check", "--dfaults"}), 2,
          "weir: 'weir check' knows no option '--dfaults'; did you mean --defaults? (see weir "
          "check --help)");
  refuses(weir({"check", "more"}), 2,
          "weir: 'weir check' knows no further argument 'more' (see weir check --help)");
}

TEST_F(CommandLine, UsageThatIsWrongIsOneLineAndStatus2) {
  for (const std::vector<std::string>& words : {std::vector<std::string>{"block"},
                                                {"block", "add"},
                                                {"allow", "add"},
                                                {"check", "-c"},
                                                {"block", "add", "192.0.2.1", "--scope", "tcp"},
                                                {"synth", "--scenario", "peace"},
                                                {"synth", "--seconds", "-1", "-o", "x"},
                                                {"synth", "--devices", "4294967295", "-o", "x"},
                                                {"blast", "send", "a", "--dpdk", "--eal", "--bad"},
                                                {"model", "test", "m", "r", "--explain", "0"},
                                                {"why", "192.0.2.1", "--trees", "-1"},
                                                {"status", "extra"}}) {
    const Ran ran = weir(words);
    EXPECT_EQ(ran.status, 2) << words[0] << ": " << ran.err;
    EXPECT_EQ(std::count(ran.err.begin(), ran.err.end(), '\n'), 1) << ran.err;
    EXPECT_THAT(ran.err, StartsWith("weir: "));
  }
  refuses(weir({"check", "-c"}), 2, "weir: --config: its value is missing (see weir check --help)");
  refuses(weir({"run", "-i", "lo", "--judge", "guart"}), 2,
          "weir: --judge: 'guart' is none of observe, guard; did you mean guard? (see weir run "
          "--help)");
  for (const char* wrong : {"-1", "x", "1.5", "99999999999999999999"}) {
    refuses(weir({"replay", "x.pcap", "--workers", wrong}), 2,
            std::string("weir: --workers: '") + wrong +
                "' is no whole number from 0 to 4294967295 (see weir replay --help)");
  }
  for (const char* wrong : {"++5", "+-5", "+", "0x5", "5 "})
    EXPECT_THAT(weir({"synth", "--seconds", wrong}).err, HasSubstr("' is no number (see"));
}

TEST_F(CommandLine, ANumberIsDecimalWithASignOrWithout) {
  const std::string path = folder_ + "/n.pcapng";
  for (const char* ten : {"10", "+10", "010"}) {
    const Ran ran = weir({"synth", "--packets", ten, "--seconds", "+1e2", "-o", path});
    EXPECT_EQ(ran.status, 0) << ran.err;
    EXPECT_THAT(ran.out, HasSubstr(": 10 packets")) << ten;
  }
}

TEST_F(CommandLine, AnEmptyWordIsNoValue) {
  struct Case {
    std::vector<std::string> words;
    const char* option;
  };
  for (const Case& c : std::vector<Case>{{{"run", "--screen", ""}, "--screen"},
                                         {{"run", "-i", "lo", "-m", ""}, "--model"},
                                         {{"check", "-c", ""}, "--config"},
                                         {{"status", "--control-socket="}, "--control-socket"},
                                         {{"replay", "x", "--features", ""}, "--features"},
                                         {{"replay", "x", "--lan-prefix", ""}, "--lan-prefix"},
                                         {{"replay", ""}, "captures"},
                                         {{"why", ""}, "WHAT"},
                                         {{"synth", "-o", ""}, "--output"},
                                         {{"doctor", "--wan", ""}, "--wan"},
                                         {{"model", "show", ""}, "MODEL"}}) {
    const Ran ran = weir(c.words);
    EXPECT_EQ(ran.status, 2) << c.option << ": " << ran.err;
    EXPECT_THAT(ran.err, StartsWith("weir: " + std::string(c.option) + ": its value is "));
    EXPECT_EQ(std::count(ran.err.begin(), ran.err.end(), '\n'), 1) << ran.err;
  }
}

TEST_F(CommandLine, OptionsThatDoNotGoTogetherAreRefused) {
  struct Case {
    std::vector<std::string> words;
    const char* says;
  };
  for (const Case& c : std::vector<Case>{
           {{"run", "--interface", "lo", "-c", "w"}, "--interface and --config do not go together"},
           {{"run", "--judge", "guard"}, "--judge has no effect without --interface; in a conf"},
           {{"run", "-i", "lo", "--all-ip", "--ports", "all"}, "--all-ip and --ports do not"},
           {{"run", "-i", "nowhere0", "--screen-ssdp"}, "--screen-ssdp has no effect without a"},
           {{"check", "--defaults", "--file-only"}, "--defaults and --file-only do not"},
           {{"synth", "--list", "--seed", "3"}, "--list and --seed do not go together"},
           {{"blast", "send", "lo", "--eal", "-v"}, "--eal has no effect without --dpdk"}}) {
    const Ran ran = weir(c.words);
    EXPECT_EQ(ran.status, 2) << ran.err;
    EXPECT_THAT(ran.err, HasSubstr(c.says));
    EXPECT_EQ(std::count(ran.err.begin(), ran.err.end(), '\n'), 1) << ran.err;
  }
}

TEST_F(CommandLine, DoctorLooksAtTheConfigurationsDevices) {
  const auto findings = [&](const std::string& dpdk) {
    const Ran ran = weir(
        {"doctor", "--json", "-c", nowhere("[interfaces]\nbackend = \"dpdk\"\n[dpdk]\n" + dpdk)});
    EXPECT_EQ(ran.status, 1) << ran.err;
    const auto found = nlohmann::json::parse(ran.out);
    std::map<std::string, std::string> by_subject;
    for (const auto& finding : found) by_subject[finding["subject"]] = finding["found"];
    return by_subject;
  };
  auto found = findings(
      "wan = \"03:00.0\"\nlan = \"0000:03:00.0\"\nhugepages = false\nmemory_mb = 64\n"
      "eal = [\"--no-such-argument\"]\n[channels]\ncount = 3\n");
  EXPECT_THAT(found["configuration"], HasSubstr("allowed are two devices"));
  EXPECT_THAT(found["memory"], HasSubstr("64 MiB for packets, which take at least"));
  EXPECT_THAT(found["0000:03:00.0"], HasSubstr("no such PCI device"));
  if (found["DPDK"].find("built without") == std::string::npos) {
    EXPECT_THAT(found["DPDK: start"], HasSubstr("--no-such-argument"));
  }
  found = findings("wan = \"eth0\"\n");
  EXPECT_THAT(found["configuration"], HasSubstr("dpdk.lan is missing"));
  EXPECT_EQ(found.count("eth0"), 1U);
}

TEST_F(CommandLine, DoctorLooksAtTheInterfaceThatRunIsToldOf) {
  const Ran ran = weir({"doctor", "--json", "-i", "nowhere0", "--judge", "guard", "--all-ip"});
  EXPECT_EQ(ran.status, 1) << ran.err;
  EXPECT_THAT(ran.out, HasSubstr("\"subject\": \"nowhere0\""));
  EXPECT_THAT(weir({"doctor", "--all-ip"}).err, HasSubstr("no effect without --interface"));
}

TEST_F(CommandLine, OutputThatCannotBeWrittenIsAFailure) {
  for (const std::string words : {"version", "--help", "check --defaults", "synth --list"}) {
    const Ran ran = run({"sh", "-c", std::string(WEIR_PROGRAM) + " " + words + " > /dev/full"});
    EXPECT_EQ(ran.status, 1) << words;
    EXPECT_EQ(ran.err, "weir: cannot write to stdout: No space left on device\n") << words;
  }
}

TEST_F(CommandLine, CheckPrintsTheShippedFileAndTakesIt) {
  const Ran defaults = weir({"check", "--defaults"});
  EXPECT_EQ(defaults.status, 0);
  const Ran ran = weir({"check", "--file-only", "-c", file("w.toml", defaults.out)});
  EXPECT_EQ(ran.status, 0) << ran.err;
  EXPECT_THAT(ran.out, HasSubstr("w.toml: good"));
}

TEST_F(CommandLine, CheckNamesThePlaceAndTheRemedy) {
  const std::string path =
      file("w.toml", "[interfaces]\nwan = \"a\"\nlan = \"b\"\n[fail]\nmode = 1\n");
  refuses(weir({"check", "-c", path}), 2,
          "weir: " + path +
              ":5:1: [fail] has no key 'mode'; its keys are fail_mode, heartbeat_limit_ms");
  refuses(weir({"check", "-c", folder_ + "/none"}), 2,
          "weir: cannot read the configuration " + folder_ +
              "/none: No such file or directory; name another by -c, or write one by `weir check "
              "--defaults`");
}

TEST_F(CommandLine, CheckFindsAModelThatIsNotThere) {
  const std::string path =
      file("w.toml", "[interfaces]\nwan = \"a\"\nlan = \"b\"\n[model]\npath = \"no.json\"\n");
  const Ran ran = weir({"check", "-c", path});
  EXPECT_EQ(ran.status, 2);
  EXPECT_THAT(ran.err, HasSubstr(folder_ + "/no.json"));
}

TEST_F(CommandLine, NobodyToAskIsStatus3) {
  const std::string config = nowhere();
  refuses(weir({"status", "-c", config}), 3,
          "weir: no weir is running: nothing answers at " + folder_ + "/s; start it by `weir run`");
  const Ran other = weir({"status", "-c", config, "--control-socket", "/tmp/no-such-socket"});
  EXPECT_THAT(other.err, HasSubstr("/tmp/no-such-socket"));
  if (geteuid() != 0) GTEST_SKIP() << "needs root, to be allowed to look for pinned tables";
  for (const std::vector<std::string>& words : {std::vector<std::string>{"block", "list"},
                                                {"block", "add", "192.0.2.1"},
                                                {"block", "del", "192.0.2.1"},
                                                {"allow", "list"},
                                                {"allow", "add", "192.0.2.0/24"},
                                                {"detach"}}) {
    auto command = words;
    command.insert(command.end(), {"-c", config});
    const Ran ran = weir(command);
    EXPECT_EQ(ran.status, 3) << words[0] << ": " << ran.err;
    EXPECT_EQ(std::count(ran.err.begin(), ran.err.end(), '\n'), 1) << ran.err;
  }
}

TEST_F(CommandLine, OneBadAddressAmongSeveralIsRefusedBeforeAnyIsActedOn) {
  for (const std::string list : {"block", "allow"}) {
    const Ran ran = weir({list, "add", "192.0.2.1", "192.0.2", "-c", nowhere()});
    EXPECT_EQ(ran.status, 2) << ran.err;
    EXPECT_THAT(ran.err, HasSubstr("'192.0.2' is not"));
  }
}

TEST_F(CommandLine, RunRefusesWhatIsWrongBeforeItTouchesAnything) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root, to get past the check of privileges";
  const std::string config = nowhere(
      "[interfaces]\nwan = \"nosuch0\"\nlan = \"nosuch1\"\n[model]\npath = \"broken.json\"\n");
  file("broken.json", "{\"trees\": ");
  const Ran model = weir({"run", "-c", config});
  EXPECT_EQ(model.status, 2) << model.err;
  EXPECT_THAT(model.err, HasSubstr("broken.json"));
  EXPECT_EQ(std::count(model.err.begin(), model.err.end(), '\n'), 1) << model.err;
  EXPECT_FALSE(std::filesystem::exists("/sys/fs/bpf/weir-cli-test-" + std::to_string(getpid())));
  for (const auto& left : std::filesystem::directory_iterator(folder_)) {
    EXPECT_THAT((std::vector<std::string>{"w.toml", "broken.json"}),
                ::testing::Contains(left.path().filename().string()));
  }
}

TEST_F(CommandLine, RunWithoutRightsIsStatus4) {
  const std::string config = nowhere("[interfaces]\nwan = \"a\"\nlan = \"b\"\n");
  ASSERT_EQ(chmod(folder_.c_str(), 0755), 0);
  std::vector<std::string> command{WEIR_PROGRAM, "run", "-c", config};
  if (geteuid() == 0) {
    command.insert(command.begin(), {"setpriv", "--bounding-set=-all", "--inh-caps=-all"});
  }
  const Ran ran = run(command);
  EXPECT_EQ(ran.status, 4) << ran.err;
  EXPECT_THAT(ran.err, StartsWith("weir: not permitted: CAP_NET_ADMIN"));
}

TEST_F(CommandLine, SynthWritesTheSameBytesAgainAndSaysWhat) {
  std::vector<std::string> contents;
  for (const char* name : {"a.pcapng", "b.pcapng"}) {
    const std::string path = folder_ + "/" + name;
    const Ran ran = weir({"synth", "--scenario", "reflection", "--packets", "500", "--seed", "9",
                          "--json", "-o", path});
    EXPECT_EQ(ran.status, 0) << ran.err;
    const auto said = nlohmann::json::parse(ran.out, nullptr, false);
    ASSERT_TRUE(said.is_object()) << ran.out;
    EXPECT_EQ(said["file"], path);
    EXPECT_EQ(said["packets"], 500);
    std::ifstream in(path, std::ios::binary);
    contents.emplace_back(std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>());
  }
  EXPECT_GT(contents[0].size(), 10'000U);
  EXPECT_EQ(contents[0], contents[1]);
  EXPECT_THAT(weir({"synth", "--list"}).out, HasSubstr("reflection"));
  const Ran nothing =
      weir({"synth", "--scenario", "reflection", "--seconds", "1", "-o", folder_ + "/c.pcapng"});
  EXPECT_EQ(nothing.status, 0) << "a capture without a packet is one";
  EXPECT_THAT(nothing.err,
              HasSubstr("has no packet: none falls into 1 s; attacks begin at second 1 "
                        "(--attack-after)"));
  refuses(weir({"synth"}), 2, "weir: no file was named; give one by -o, as -o flood.pcapng");
}

TEST_F(CommandLine, VersionIsOneLine) {
  for (const char* word : {"version", "--version", "-V"}) {
    const Ran ran = weir({word});
    EXPECT_EQ(ran.status, 0) << word;
    EXPECT_THAT(ran.out, StartsWith("weir 0."));
    EXPECT_EQ(std::count(ran.out.begin(), ran.out.end(), '\n'), 1);
  }
  EXPECT_EQ(weir({"help", "block", "add"}).out, weir({"block", "add", "-h"}).out);
  EXPECT_EQ(weir({"help"}).out, weir({}).out);
}

TEST_F(CommandLine, AFallbackThatCouldNotJudgeTheSameIsRefusedBeforeAnythingIsLoaded) {
  for (const auto& option : {std::pair{"--compat", "skx"}, {"--drop", "attack"}}) {
    const Ran ran = weir({"kernel-model", "load", "nowhere.json", "--interface", "lo", "--fallback",
                          "sockets", option.first, option.second});
    EXPECT_EQ(ran.status, 2);
    EXPECT_THAT(ran.err, StartsWith("weir: --fallback sockets was given with --drop or --compat"));
  }
  EXPECT_EQ(
      weir({"kernel-model", "load", "m.json", "--interface", "lo", "--fallback", "no"}).status, 2);
  const auto load = [&](const std::string& model, std::vector<std::string> more) {
    more.insert(more.begin(), {"kernel-model", "load", model, "--interface", "nowhere0"});
    more.insert(more.end(), {"--fallback", "sockets"});
    return weir(more);
  };
  refuses(load("m.json", {"--pins", "/sys/fs/bpf/x"}), 2,
          "weir: --fallback sockets was given with --pins, and userspace pins where `weir detach` "
          "looks: leave one of the two");
  const auto tree = [&](const std::string& feature, const std::string& classes, int outputs) {
    return file("m.json", R"({"format": "weir-model", "version": 1, "name": "m", "kind": "trees",
      "outputs": )" + std::to_string(outputs) +
                              R"(, "link": "identity", "vote": "mean",
      "compare": "<=", "features": [{"name": ")" +
                              feature + R"("}], "classes": )" + classes +
                              R"(, "trees": [{"feature": [-1], "threshold": [0], "left": [-1],
      "right": [-1], "values": [)" +
                              (outputs == 1 ? "1" : "0, 0, 1") + "]}]}");
  };
  const std::string three = tree("ip_ttl", R"([{"name": "a"}, {"name": "b"}, {"name": "c"}])", 3);
  refuses(load(three, {}), 2,
          "weir: " + three +
              ": the model has 3 classes, and userspace, which --fallback sockets asks for, judges "
              "by two: leave the fallback, and name with --drop the classes whose packets are "
              "dropped");
  // What never started judges nothing, and does not say so.
  const Ran nowhere = load(tree("payload_bytes", R"([{"name": "a"}, {"name": "b"}])", 1), {});
  EXPECT_EQ(nowhere.status, 2);
  EXPECT_THAT(nowhere.err, HasSubstr("'nowhere0'"));
  EXPECT_THAT(nowhere.err, Not(HasSubstr("userspace judges")));
}

TEST_F(CommandLine, PortsOfTheCommandLineAreNumbersOrAll) {
  for (const char* ports : {"abc", "0", "70000", "1900,", ",1900", "1900 5353", "-1", "1900]#"}) {
    const Ran ran = weir({"run", "--interface", "nowhere0", "--ports", ports});
    refuses(ran, 2,
            std::string("weir: --ports is '") + ports +
                "': numbers from 1 to 65535 with commas in between, or all, are expected");
  }
  for (const char* ports : {"all", "1900", "1900,5353"}) {
    const Ran ran = weir({"run", "--interface", "nowhere0", "--ports", ports});
    EXPECT_THAT(ran.err, HasSubstr("interface 'nowhere0' does not exist"));
  }
}

TEST_F(CommandLine, AProbabilityIsFromZeroToOne) {
  const std::string model = file("m.json", R"({"format": "weir-model", "version": 1, "name": "m",
    "kind": "trees", "outputs": 1, "link": "identity", "vote": "mean", "compare": "<=",
    "features": [{"name": "ip_ttl"}], "classes": [{"name": "benign"}, {"name": "attack"}],
    "trees": [{"feature": [0, -1, -1], "threshold": [9, 0, 0], "left": [1, -1, -1],
               "right": [2, -1, -1], "values": [0, 1]}]})");
  for (const char* threshold : {"2", "-0.1", "nan"}) {
    const Ran ran = weir({"kernel-model", "emit", model, "--c", "--threshold", threshold});
    EXPECT_EQ(ran.status, 2) << threshold;
    EXPECT_THAT(ran.err, HasSubstr("--threshold")) << threshold;
  }
  EXPECT_EQ(weir({"kernel-model", "emit", model, "--c", "--threshold", "0.9"}).status, 0);
  refuses(weir({"kernel-model", "emit", model, "--c", "--object"}), 2,
          "weir: say which of the two to write, and leave the other out: --c for C, or --object "
          "for an ELF object");
}

}  // namespace
}  // namespace weir::test
