// SPDX-License-Identifier: BSD-2-Clause
// Configurations of host mode, and of models that others made.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "control/config.h"

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
  EXPECT_THAT(observed->warnings[0], HasSubstr(":4:7: interfaces.wan has no effect in host mode"));
  EXPECT_THAT(observed->warnings[1],
              HasSubstr(":8:13: fail.fail_mode is \"closed\", which has no"));
  const auto guarded = read_text(host + "host = \"e\"\n[host]\njudge = \"guard\"\n");
  ASSERT_TRUE(guarded) << guarded.error().message;
  EXPECT_TRUE(guarded->host && !guarded->datapath.observe && !guarded->datapath.all_ports);
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
  EXPECT_THAT(config->warnings[1], HasSubstr("steer.fragments has no effect while"));
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
