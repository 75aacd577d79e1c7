// SPDX-License-Identifier: BSD-2-Clause
// Configurations of host mode, of models that others made, and of what has no effect.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <string>

#include "control/config.h"
#include "control/preflight.h"

namespace weir::control {
namespace {

using ::testing::HasSubstr;

Result<Config> read_text(const std::string& text) {
  return parse_config(text, "dir/w.toml", Purpose::run, 4);
}

const std::string kInlinePair = "[interfaces]\nwan = \"w0\"\nlan = \"l0\"\n";

TEST(HostConfig, HostModeHasOneInterface) {
  const std::string host = "[interfaces]\nmode = \"host\"\n";
  EXPECT_EQ(read_text(host).error().message,
            "dir/w.toml:2:8: interfaces.host is missing; name the interface to look after, as host "
            "= \"eth0\"");
  EXPECT_EQ(
      read_text("[interfaces]\nhost = \"e\"\n").error().message,
      "dir/w.toml:2:8: interfaces.host is \"e\", and interfaces.mode is \"inline\"; set mode = "
      "\"host\", or name wan and lan in its place");
  EXPECT_THAT(read_text(host + "host = \"e\"\nbackend = \"dpdk\"\n").error().message,
              HasSubstr("w.toml:4:11: interfaces.backend is \"dpdk\" and interfaces.mode"));
  const auto observed = read_text(host +
                                  "host = \"e\"\nwan = \"w\"\n[steer]\nudp_ports = \"all\"\n"
                                  "[fail]\nfail_mode = \"closed\"\n[channels]\nring = 1024\n");
  ASSERT_TRUE(observed) << observed.error().message;
  EXPECT_EQ(observed->kernel.interfaces, (std::array<std::string, 2>{"e", ""}));
  EXPECT_TRUE(observed->host && observed->datapath.host_mode && observed->datapath.observe);
  EXPECT_TRUE(observed->datapath.all_ports && observed->datapath.udp_ports.empty());
  EXPECT_EQ(observed->datapath.copies_bytes, 512U * 1024);
  EXPECT_FALSE(observed->datapath.fail_closed) << "what is observed has passed";
  ASSERT_EQ(observed->warnings.size(), 2U);
  EXPECT_THAT(observed->warnings[0],
              HasSubstr(":4:7: interfaces.wan has no effect: interfaces.mode"));
  EXPECT_THAT(observed->warnings[1],
              HasSubstr(":8:13: fail.fail_mode has no effect: host.judge is"));
  const auto guarded = read_text(host + "host = \"e\"\n[host]\njudge = \"guard\"\n");
  ASSERT_TRUE(guarded) << guarded.error().message;
  EXPECT_TRUE(guarded->host && !guarded->datapath.observe && !guarded->datapath.all_ports);
}

TEST(HostConfig, RedirectingIsOfTwoInterfaces) {
  const std::string transmit = "[channels]\ntransmit = \"redirect\"\n";
  EXPECT_TRUE(read_text(kInlinePair + transmit)->redirect);
  EXPECT_FALSE(read_text(kInlinePair)->redirect);
  const auto host = read_text("[interfaces]\nmode = \"host\"\nhost = \"e\"\n" + transmit);
  EXPECT_FALSE(host->redirect);
  EXPECT_THAT(host->warnings[0], HasSubstr("channels.transmit has no effect: interfaces.mode"));
}

TEST(HostConfig, NamesWhatAModelCallsItsFeatures) {
  const auto config = read_text(kInlinePair +
                                "[model]\nattack = \"flood\"\n[model.features]\n\"Source Port\" = "
                                "\"source_port\"\nx = \"ttl\"\n[policy]\nblock_scope = \"all\"\n");
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_EQ(config->settings.model_attack, "flood");
  EXPECT_EQ(config->settings.model_features,
            (std::vector<detect::FeatureName>{{"Source Port", "source_port"}, {"x", "ttl"}}));
  ASSERT_EQ(config->warnings.size(), 1U);
  EXPECT_THAT(config->warnings[0], HasSubstr("cuts off all traffic of its source"));
  EXPECT_THAT(read_text(kInlinePair + "[model]\nfeatures = { a = 3 }\n").error().message,
              HasSubstr("model.features is 3; allowed is a table of strings, as {"));
}

TEST(HostConfig, AllOfIpIsMoreThanSsdp) {
  const auto config =
      read_text(kInlinePair +
                "[steer]\nudp_ports = []\nssdp_payload = false\nprotocols = \"all\"\n"
                "fragments = \"drop\"\n");
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_TRUE(config->datapath.all_ip && config->policy.block_all);
  EXPECT_FALSE(config->policy.score_alone);
  ASSERT_EQ(config->warnings.size(), 2U);
  EXPECT_THAT(config->warnings[0], HasSubstr("steer.protocols is \"all\": a block cuts off all"));
  EXPECT_THAT(config->warnings[1],
              HasSubstr("steer.udp_ports, steer.ssdp_payload, steer.fragments have no effect"));
  const auto alone = host_config({.interface = "e",
                                  .model = {},
                                  .judge = "guard",
                                  .ports = {},
                                  .all_ip = true,
                                  .score_alone = true});
  ASSERT_TRUE(alone) << alone.error().message;
  EXPECT_TRUE(alone->datapath.all_ip && alone->policy.score_alone && alone->warnings.empty());
  EXPECT_TRUE(alone->datapath.shadow) << "blocks that are there are no model's";
  const auto idle = host_config({.interface = "e",
                                 .model = {},
                                 .judge = "observe",
                                 .ports = {},
                                 .all_ip = true,
                                 .score_alone = true});
  ASSERT_FALSE(idle);
  EXPECT_THAT(idle.error().message, HasSubstr("set judge = \"guard\""));
}

// Nobody sees the text that is made of a command line: no line and column of it is named.
TEST(HostConfig, WhatTheCommandLineSaysIsNamedByItsOption) {
  const auto said = [](const HostOptions& options) {
    const auto config = host_config(options);
    if (!config) return config.error().message;
    return config->warnings.empty() ? std::string() : config->warnings[0];
  };
  EXPECT_EQ(said({.interface = "a/b"}),
            "--interface is \"a/b\"; allowed is the name of an interface, as \"eth0\"");
  EXPECT_EQ(said({.interface = "\xff"}),
            "the command line: a name is no text in UTF-8; give it as 'ip link' does");
  EXPECT_EQ(said({.interface = "e", .ports = "1,7,1"}), "--ports has 1 twice; name each once");
  EXPECT_THAT(said({.interface = "e", .judge = "x"}), testing::StartsWith("--judge is \"x\"; all"));
  const std::string wide = said({.interface = "e", .all_ip = true});
  EXPECT_THAT(wide, testing::StartsWith("--all-ip: a block cuts off all traffic of its source"));
  EXPECT_THAT(wide, HasSubstr("by `weir allow add`"));
  auto config = host_config({.interface = "nowhere0", .all_ip = true});
  ASSERT_TRUE(config);
  EXPECT_THAT(check_machine(*config).error().message,
              testing::StartsWith("--interface: interface 'nowhere0' does not exist"));
  EXPECT_THAT(judge_warnings(*config, forest::Model{}).at(0),
              testing::AllOf(testing::StartsWith("--all-ip, but the model"),
                             testing::EndsWith("or leave that option out")));
  EXPECT_EQ(host_config({.interface = "e", .model = "\xff.json"})->model_path, "\xff.json");
}

TEST(Config, AFaultOfAScreenNamesItsFileAndTheKeysOfItsSection) {
  const std::string file = testing::TempDir() + "weir-screen.json";
  std::ofstream(file) << R"({"format": "weir-model", "version": 1, "kind": "trees",
"features": [{"name": "TTL"}], "classes": [{"name": "benign"}, {"name": "scan"}, {"name": "flood"}],
"outputs": 3, "link": "identity", "vote": "mean", "compare": "<=",
"trees": [{"feature": [0, -1, -1], "threshold": [64, 0, 0], "left": [1, -1, -1],
"right": [2, -1, -1], "values": [1, 0, 0, 0, 0, 1]}]})";
  const auto screen_of = [&](const std::string& keys) {
    const auto config =
        read_text(fmt::format("{}[screen]\nmodel = \"{}\"\n{}", kInlinePair, file, keys));
    EXPECT_TRUE(config) << keys;
    return load_screen(*config);
  };
  const auto fault_of = [&](const std::string& keys) { return screen_of(keys).error().message; };
  const std::string ttl = "features = { \"TTL\" = \"ip_ttl\" }\n";
  EXPECT_EQ(fault_of(ttl), file +
                               " cannot be a screen: the model has 3 classes; name by "
                               "screen.suspicious those whose packets are suspicious, such as "
                               "'flood'");
  EXPECT_THAT(fault_of(ttl + "suspicious = [\"food\"]\n"),
              HasSubstr("screen.suspicious names the class 'food'"));
  EXPECT_THAT(fault_of("suspicious = [\"flood\"]\n"), HasSubstr("say in [screen.features] which"));
  EXPECT_THAT(fault_of("features = { \"TOS\" = \"ip_tos\" }\n"),
              HasSubstr("dir/w.toml: screen.features names 'TOS'"));
  const auto good = screen_of(ttl + "suspicious = [\"scan\", \"flood\"]\n");
  ASSERT_TRUE(good) << good.error().message;
  EXPECT_THAT((*good)->explain("BPF program is too large", E2BIG),
              testing::StartsWith("the screen " + file + ": the kernel will not have"));
  std::filesystem::remove(file);
}

TEST(Config, SaysWhichKeysTheOthersPutOutOfEffect) {
  const auto warnings = [](const std::string& text, Purpose purpose = Purpose::run) {
    const auto config = parse_config(kInlinePair + text, "dir/w.toml", purpose, 4);
    EXPECT_TRUE(config) << (config ? "" : config.error().message);
    return config ? config->warnings : std::vector<std::string>{};
  };
  const std::string no_rules =
      "[policy]\nrules = false\nblock_ms = 5000\nthreshold = 0.7\n[scope]\nwan = \"internet\"\n";
  for (const Purpose purpose : {Purpose::run, Purpose::replay})
    EXPECT_EQ(warnings(no_rules, purpose),
              (std::vector<std::string>{
                  "dir/w.toml:6:12: policy.block_ms, scope.wan have no effect: policy.rules is "
                  "false: a packet is judged by its score alone, and no block has an effect"}));
  EXPECT_TRUE(warnings("[policy]\nrules = false\nblock_ms = 600000\n").empty()) << "the default";
  const auto only = [&](const std::string& text, const std::string& keys) {
    const auto all = warnings(text, Purpose::replay);
    ASSERT_EQ(all.size(), 1U) << text;
    EXPECT_THAT(all[0], HasSubstr(": " + keys + " no effect: ")) << text;
  };
  only("[host]\njudge = \"guard\"\n", "host.judge has");
  only("[dpdk]\nwan = \"a\"\nflow_rules = \"auto\"\n", "dpdk.wan, dpdk.flow_rules have");
  only("[steer]\nprotocols = \"all\"\nudp_ports = [53]\n[policy]\nblock_scope = \"all\"\n",
       "steer.udp_ports, policy.block_scope have");
  only("[steer]\nudp_ports = \"all\"\nssdp_payload = false\n", "steer.ssdp_payload has");
  only("[channels]\nbusy_poll_us = 5\nbusy_poll = true\n[workers]\ncpus = [0]\n",
       "workers.cpus has");
  only("[channels]\nbusy_poll_us = 5\n", "channels.busy_poll_us has");
  only("[policy]\nvictim_sources = 0\nvictim_block_ms = 1000\n", "policy.victim_block_ms has");
  // Devices of DPDK's, without rules in them.
  const std::string dpdk =
      "backend = \"dpdk\"\n[dpdk]\nwan = \"0:1\"\nlan = \"0:2\"\nflow_rules = \"auto\"\n";
  EXPECT_THAT(warnings(dpdk),
              testing::ElementsAre(HasSubstr("interfaces.wan, interfaces.lan have")));
  for (const char* policy : {"rules = false\n", "mode = \"shadow\"\n"})
    EXPECT_THAT(warnings(dpdk + "[policy]\n" + policy),
                testing::Contains(HasSubstr(": dpdk.flow_rules has no effect: policy.")));
  EXPECT_TRUE(warnings("[policy]\nmode = \"shadow\"\nblock_scope = \"all\"\n").empty())
      << "nobody is cut off";
}

TEST(Config, AModelOfSsdpAloneCannotJudgeAllOfIp) {
  forest::Model model;
  model.features = {"is_search", "source_packets"};
  const auto all = read_text(kInlinePair + "[steer]\nprotocols = \"all\"\n");
  ASSERT_TRUE(all);
  EXPECT_THAT(judge_warnings(*all, model),
              testing::ElementsAre(HasSubstr("asks for no feature of the group header")));
  EXPECT_TRUE(judge_warnings(*read_text(kInlinePair), model).empty());
  model.features.emplace_back("ip_ttl");
  EXPECT_TRUE(judge_warnings(*all, model).empty());
}

TEST(HostConfig, OthersFollowTheModelAndThePorts) {
  forest::Model model;
  const auto others = [&](const std::string& text) {
    auto config = *read_text(kInlinePair + text);
    settle_others(config, model);
    return config.policy.others;
  };
  EXPECT_EQ(others(""), detect::Others::floods);
  EXPECT_EQ(others("[steer]\nudp_ports = \"all\"\n"), detect::Others::pass);
  EXPECT_EQ(others("[steer]\nprotocols = \"all\"\n"), detect::Others::pass);
  model.features = {"source_packets", "dest_port"};
  EXPECT_EQ(others(""), detect::Others::model);
  EXPECT_EQ(others("[policy]\nothers = \"pass\"\n"), detect::Others::pass);
}

TEST(HostConfig, TheRoutersFileIsGoodAndSmall) {
  const auto config =
      load_config(std::string(WEIR_SOURCE_ROOT) + "/config/router.toml", Purpose::run);
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_THAT(config->warnings, testing::IsEmpty());
  EXPECT_TRUE(config->datapath.observe && config->policy.scope.wan_search);
  EXPECT_LT(detect::Extractor::memory_bytes(config->tables) +
                detect::Policy::memory_bytes(config->policy),
            10U << 20U);
}

}  // namespace
}  // namespace weir::control
