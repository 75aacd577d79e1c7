// SPDX-License-Identifier: BSD-2-Clause
#include "control/config.h"
#include "control/preflight.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <random>
#include <sstream>

namespace weir::control {
namespace {

using ::testing::HasSubstr;

constexpr const char* kPair = "[interfaces]\nwan = \"w0\"\nlan = \"l0\"\n";

Result<Config> parse(const std::string& text, Purpose purpose = Purpose::run) {
  return parse_config(text, "dir/w.toml", purpose, 4);
}

struct BadKey {
  const char* what;
  const char* text;  ///< behind kPair, so its first line is line 4
  const char* message;
};

class RefusedConfig : public ::testing::TestWithParam<BadKey> {};

TEST_P(RefusedConfig, SaysWhereWhatAndWhatIsAllowed) {
  const auto config = parse(std::string(kPair) + GetParam().text);
  ASSERT_FALSE(config) << GetParam().what;
  EXPECT_EQ(config.error().message, GetParam().message);
}

INSTANTIATE_TEST_SUITE_P(
    Config, RefusedConfig,
    ::testing::Values(
        BadKey{"no such section", "[channel]\n",
               "dir/w.toml:4:2: there is no section 'channel'; allowed are the sections "
               "interfaces, host, steer, fail, channels, workers, model, screen, policy, scope, "
               "allow, "
               "tables, "
               "control, "
               "dpdk, log; did you mean channels?"},
        BadKey{"no such key", "[fail]\nheartbeat_limit = 3\n",
               "dir/w.toml:5:1: [fail] has no key 'heartbeat_limit'; its keys are fail_mode, "
               "heartbeat_limit_ms; did you mean heartbeat_limit_ms?"},
        BadKey{"nothing is near", "[log]\nxyzzy = 3\n",
               "dir/w.toml:5:1: [log] has no key 'xyzzy'; its keys are level"},
        BadKey{"choice", "[fail]\nfail_mode = \"opne\"\n",
               "dir/w.toml:5:13: fail.fail_mode is \"opne\"; allowed is \"open\" or \"closed\"; "
               "did you mean open?"},
        BadKey{"type", "[fail]\nfail_mode = true\n",
               "dir/w.toml:5:13: fail.fail_mode is true; allowed is \"open\" or \"closed\""},
        BadKey{
            "a choice of three", "[channels]\noverload = \"leve\"\n",
            "dir/w.toml:5:12: channels.overload is \"leve\"; allowed is \"forward\", \"drop\" or "
            "\"leave\"; did you mean leave?"},
        BadKey{"a flag that is text", "[steer]\nssdp_payload = \"yes\"\n",
               "dir/w.toml:5:16: steer.ssdp_payload is \"yes\"; allowed is true or false"},
        BadKey{"a level", "[screen]\nthreshold = 1.5\n",
               "dir/w.toml:5:13: screen.threshold is 1.5; allowed is \"auto\" or a number from 0.0 "
               "to 1.0"},
        BadKey{"port 0", "[steer]\nudp_ports = [1900, 0]\n",
               "dir/w.toml:5:20: steer.udp_ports is 0; allowed is \"all\" or a list of integers "
               "from 1 to "
               "65535"},
        BadKey{"a word for ports", "[steer]\nudp_ports = \"most\"\n",
               "dir/w.toml:5:13: steer.udp_ports is \"most\"; allowed is \"all\" or a list of "
               "integers from 1 to 65535"},
        BadKey{"port twice", "[steer]\nudp_ports = [1900, 5353, 1900]\n",
               "dir/w.toml:5:26: steer.udp_ports has 1900 twice; name each once"},
        BadKey{"nothing to judge", "[steer]\nudp_ports = []\nssdp_payload = false\n",
               "dir/w.toml:5:13: steer.udp_ports is empty and steer.ssdp_payload is false, so "
               "nothing would be judged; set one of them"},
        BadKey{"ring no power of two", "[channels]\nring = 1000\n",
               "dir/w.toml:5:8: channels.ring is 1000; allowed is a power of two from 64 to 65536; "
               "the nearest are 512 and 1024"},
        BadKey{"more prefixes of a family than have room",
               "[tables]\nallow_max = 2\n[allow]\nprefixes = [\"192.0.2.1\", \"2001:db8::1\", "
               "\"2001:db8::2\", \"2001:db8::3\"]\n",
               "dir/w.toml:7:12: allow.prefixes has 3 of IPv6; allowed is tables.allow_max, 2"},
        BadKey{"more ring than frames", "[channels]\nring = 8192\n",
               "dir/w.toml:5:8: channels.frames is 8192 and channels.ring 8192; allowed is at "
               "least 4 frames an entry: two fill rings full, and as many in batches and on their "
               "way out"},
        BadKey{"too few frames by one step", "[channels]\nframes = 4096\nring = 2048\n",
               "dir/w.toml:5:10: channels.frames is 4096 and channels.ring 2048; allowed is at "
               "least 4 frames an entry: two fill rings full, and as many in batches and on their "
               "way out"},
        BadKey{"one packet is no evidence", "[policy]\nevidence_packets = 1\n",
               "dir/w.toml:5:20: policy.evidence_packets is 1; allowed is an integer from 2 to "
               "10000"},
        BadKey{"negative", "[policy]\nevidence_ms = -5\n",
               "dir/w.toml:5:15: policy.evidence_ms is -5; allowed is an integer from 100 to "
               "3600000"},
        BadKey{"beyond 64 bits", "[policy]\nthreshold = 1e300\n",
               "dir/w.toml:5:13: policy.threshold is 1e+300; allowed is a number from 0.0 to 1.0"},
        BadKey{"not a number", "[policy]\nthreshold = nan\n",
               "dir/w.toml:5:13: policy.threshold is nan; allowed is a number from 0.0 to 1.0"},
        BadKey{"block longer than the longest", "[policy]\nblock_ms = 2000\nblock_max_ms = 1000\n",
               "dir/w.toml:5:12: policy.block_ms is 2000; allowed is at most "
               "policy.block_max_ms, 1000"},
        BadKey{"longest below the default", "[policy]\nblock_max_ms = 1000\n",
               "dir/w.toml:5:16: policy.block_ms is 600000; allowed is at most "
               "policy.block_max_ms, 1000"},
        BadKey{"count", "[channels]\ncount = \"many\"\n",
               "dir/w.toml:5:9: channels.count is \"many\"; allowed is \"auto\" or an integer "
               "from 1 to 64"},
        BadKey{"CPU that does not exist", "[workers]\ncount = 1\ncpus = [0, 4]\n",
               "dir/w.toml:6:12: workers.cpus names CPU 4; this machine has the CPUs 0 to 3"},
        BadKey{"CPU twice", "[channels]\nio_cpus = [1, 1]\n",
               "dir/w.toml:5:15: channels.io_cpus has 1 twice; name each once"},
        BadKey{"bad prefix", "[allow]\nprefixes = [\"10.0.0.0/8\", \"10.0.0.0/33\"]\n",
               "dir/w.toml:5:27: allow.prefixes: '10.0.0.0/33' has a prefix length that is not a "
               "number from 0 to 32"},
        BadKey{"prefix with host bits", "[allow]\nprefixes = [\"10.0.0.1/8\"]\n",
               "dir/w.toml:5:13: allow.prefixes: '10.0.0.1/8' has bits set behind its prefix "
               "length; did you mean 10.0.0.0/8?"},
        BadKey{"prefix twice, in two spellings",
               "[allow]\nprefixes = [\"192.0.2.1\", \"192.0.2.1/32\"]\n",
               "dir/w.toml:5:26: allow.prefixes has \"192.0.2.1/32\" twice; name each once"},
        BadKey{"relative path", "[control]\nrun_dir = \"run\"\n",
               "dir/w.toml:5:11: control.run_dir is \"run\"; allowed is an absolute path, as "
               "\"/run/weir\""},
        BadKey{"a section that is a value", "log = 3\n",
               "dir/w.toml:4:1: [interfaces] has no key 'log'; its keys are wan, lan, mode, host, "
               "backend, xdp"},
        BadKey{"not TOML", "[log]\nlevel = \n",
               "dir/w.toml:5:9: not TOML: Error while parsing key-value pair: expected value, saw "
               "'\\n'"}),
    [](const auto& refusal) { return "Case" + std::to_string(refusal.index); });

TEST(Config, NeedsTwoDifferentInterfaces) {
  EXPECT_EQ(parse("").error().message,
            "dir/w.toml: interfaces.wan is missing; name an interface, as wan = \"eth0\"");
  EXPECT_EQ(parse("[interfaces]\nwan = \"a\"\n").error().message,
            "dir/w.toml: interfaces.lan is missing; name an interface, as lan = \"eth0\"");
  EXPECT_EQ(parse("[interfaces]\nwan = \"a\"\nlan = \"a\"\n").error().message,
            "dir/w.toml:3:7: interfaces.lan is \"a\", which is interfaces.wan too; allowed are two "
            "interfaces");
  EXPECT_THAT(parse("[interfaces]\nwan = \"sixteen-letters-\"\n").error().message,
              HasSubstr("2:7: interfaces.wan is \"sixteen-letters-\""));
  EXPECT_EQ(parse("interfaces = 3\n").error().message,
            "dir/w.toml:1:1: interfaces is 3; allowed is a section, as [interfaces]");
  EXPECT_EQ(
      parse("lgo = 3\n").error().message,
      "dir/w.toml:1:1: there is no key outside sections 'lgo'; allowed are the sections "
      "interfaces, host, steer, fail, channels, workers, model, screen, policy, scope, allow, "
      "tables, control, "
      "dpdk, log; did you mean log?");
}

TEST(Config, DpdkNeedsTwoDevicesAndNoInterfaces) {
  const std::string backend = "[interfaces]\nbackend = \"dpdk\"\n[dpdk]\n";
  EXPECT_EQ(parse(backend).error().message,
            "dir/w.toml: dpdk.wan is missing; name a device, as wan = \"0000:03:00.0\"");
  EXPECT_EQ(
      parse(backend + "wan = \"0000:03:00.0\"\nlan = \"0000:03:00.0,x=1\"\n").error().message,
      "dir/w.toml:5:7: dpdk.lan is \"0000:03:00.0,x=1\", which is dpdk.wan too; allowed are two "
      "devices");
  const auto config =
      parse(backend +
            "wan = \"net_tap0\"\nlan = \"net_tap1,iface=x\"\nhugepages = false\n"
            "eal = [\"-d\", \"x.so\", \"-d\"]\nmtu = 9000\n[channels]\ncount = 2\n");
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_TRUE(config->dpdk);
  EXPECT_EQ(config->poll.devices[index(Side::lan)], "net_tap1,iface=x");
  EXPECT_EQ(config->poll.arguments, (std::vector<std::string>{"-d", "x.so", "-d"}));
  EXPECT_FALSE(config->poll.hugepages);
  EXPECT_EQ(config->poll.mtu, 9000U);
  EXPECT_EQ(config->poll.channels, 2U);
  EXPECT_THAT(parse(backend + "eal = [\"\"]\n").error().message,
              HasSubstr("dpdk.eal is \"\"; allowed is a list of strings"));
  EXPECT_THAT(parse(backend + "eal = \"-d\"\n").error().message, HasSubstr("dpdk.eal is \"-d\""));
}

TEST(Config, AReplayNeedsNoInterfacesAndNotTheirCpus) {
  const auto config = parse("[workers]\ncount = 2\ncpus = [70, 71]\n", Purpose::replay);
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_EQ(config->engine.worker_cpus, (std::vector<std::uint32_t>{70, 71}));
}

TEST(Config, EveryModuleGetsItsPart) {
  const auto config = parse(std::string(kPair) + R"(xdp = "generic"
[steer]
udp_ports = [1900, 5353]
ssdp_payload = false
fragments = "drop"
[fail]
fail_mode = "closed"
heartbeat_limit_ms = 50
[channels]
count = 2
io_cpus = [1]
frames = 4096
ring = 1024
copy = "always"
busy_poll = true
busy_poll_budget = 16
busy_poll_us = 9
napi_defer_hard_irqs = 3
gro_flush_us = 50
spin_us = 77
hugepages = true
tx_budget = 128
transmit = "redirect"
[workers]
count = 2
cpus = [2, 3]
[model]
path = "m/x.json"
[policy]
mode = "shadow"
threshold = 1
evidence_packets = 5
evidence_ms = 2000
block_ms = 3000
block_max_ms = 4000
evidence_span_ms = 1500
burst_packets = 70
trusted_times = 3
other_packets = 99
group_searches = 11
group_notifies = 12
repeated_searches = 15
blind_searches = 13
late_answers = 14
crowd_packets = 14
network_sources = 9
victim_sources = 10
victim_block_ms = 1111
immune_lan = false
blocks_per_s = 7
[scope]
wan = "internet"
wan_multicast = "judge"
[allow]
own = false
prefixes = ["192.0.2.0/24", "2001:db8::1"]
[tables]
blocks_max = 2048
allow_max = 2
sources_max = 2049
destinations_max = 2050
networks_max = 2054
suspects_max = 2051
expectations_max = 2052
expectation_ms = 2053
[control]
run_dir = "/tmp/r"
socket = "/tmp/s"
pin_directory = "/sys/fs/bpf/pair1/"
)");
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_TRUE(config->warnings.empty());
  EXPECT_EQ(config->kernel.interfaces, (std::array<std::string, 2>{"w0", "l0"}));
  EXPECT_TRUE(config->kernel.generic_only);
  EXPECT_EQ(config->kernel.pin_directory, "/sys/fs/bpf/pair1/");
  EXPECT_EQ(config->datapath.udp_ports, (std::vector<std::uint16_t>{1900, 5353}));
  EXPECT_FALSE(config->datapath.ssdp_payload);
  EXPECT_TRUE(config->datapath.drop_fragments);
  EXPECT_TRUE(config->datapath.fail_closed);
  EXPECT_FALSE(config->datapath.host_mode);
  EXPECT_EQ(config->datapath.heartbeat_limit_ms, 50U);
  EXPECT_EQ(config->datapath.blocks_max, 2048U);
  EXPECT_EQ(config->datapath.allow_max, 2U);
  EXPECT_EQ(config->af_xdp.interfaces, config->kernel.interfaces);
  EXPECT_EQ(config->af_xdp.frames, 4096U);
  EXPECT_EQ(config->af_xdp.ring, 1024U);
  EXPECT_TRUE(config->af_xdp.force_copy);
  EXPECT_TRUE(config->af_xdp.busy_poll);
  EXPECT_EQ(config->af_xdp.busy_poll_budget, 16U);
  EXPECT_EQ(config->af_xdp.busy_poll_us, 9U);
  EXPECT_TRUE(config->af_xdp.hugepages);
  EXPECT_EQ(config->settings.channels_spin_us, 77U);
  EXPECT_EQ(config->tuning.napi_defer_hard_irqs, 3U);
  EXPECT_EQ(config->tuning.gro_flush_ns, 50'000U);
  EXPECT_EQ(config->af_xdp.tx_budget, 128U);
  EXPECT_EQ(config->engine.workers, 2U);
  EXPECT_EQ(config->engine.worker_cpus, (std::vector<std::uint32_t>{2, 3}));
  EXPECT_EQ(config->model_path, "dir/m/x.json");
  EXPECT_TRUE(config->policy.shadow);
  EXPECT_EQ(config->policy.threshold, 1.0F);
  EXPECT_EQ(config->policy.evidence_packets, 5U);
  EXPECT_EQ(config->policy.evidence_ms, 2000U);
  EXPECT_EQ(config->policy.block_ms, 3000U);
  EXPECT_EQ(config->policy.block_max_ms, 4000U);
  EXPECT_EQ(config->policy.evidence_span_ms, 1500U);
  EXPECT_EQ(config->policy.burst_packets, 70U);
  EXPECT_EQ(config->policy.trusted_times, 3U);
  EXPECT_EQ(config->policy.other_packets, 99U);
  EXPECT_EQ(config->policy.group_searches, 11U);
  EXPECT_EQ(config->policy.group_notifies, 12U);
  EXPECT_EQ(config->policy.repeated_searches, 15U);
  EXPECT_EQ(config->policy.blind_searches, 13U);
  EXPECT_EQ(config->policy.late_answers, 14U);
  EXPECT_EQ(config->policy.crowd_packets, 14U);
  EXPECT_EQ(config->policy.network_sources, 9U);
  EXPECT_EQ(config->policy.victim_sources, 10U);
  EXPECT_EQ(config->policy.victim_block_ms, 1111U);
  EXPECT_FALSE(config->policy.immune_lan);
  EXPECT_TRUE(config->policy.scope.wan_search);
  EXPECT_FALSE(config->policy.scope.wan_multicast);
  EXPECT_TRUE(config->policy.scope.wan_unasked);
  EXPECT_TRUE(config->policy.scope.wan_private);
  EXPECT_TRUE(config->policy.scope.lan_unasked);
  EXPECT_FALSE(config->settings.allow_own);
  EXPECT_EQ(config->tables.networks_max, 2054U);
  EXPECT_EQ(config->policy.blocks_per_s, 7U);
  EXPECT_EQ(config->policy.suspects_max, 2051U);
  ASSERT_EQ(config->policy.allow.size(), 2U);
  EXPECT_EQ(config->policy.allow[1].text(), "2001:db8::1/128");
  EXPECT_EQ(config->tables.sources_max, 2049U);
  EXPECT_EQ(config->tables.destinations_max, 2050U);
  EXPECT_EQ(config->tables.expectations_max, 2052U);
  EXPECT_EQ(config->tables.expectation_ms, 2053U);
  EXPECT_EQ(config->state_file, "/tmp/r/sys-fs-bpf-pair1.host");
  EXPECT_EQ(config->lock_file, "/tmp/r/sys-fs-bpf-pair1.lock");
}

TEST(Config, AScreenIsReadFromBesideTheFileAndWarnsWhereItDoesNothing) {
  const auto without = parse(std::string(kPair) + "[screen]\nssdp = true\n");
  ASSERT_TRUE(without) << without.error().message;
  EXPECT_TRUE(without->screen_path.empty());
  EXPECT_EQ(without->settings.screen_threshold, -1);
  EXPECT_FALSE(without->tables.wan_screened);
  EXPECT_TRUE(without->warnings.empty());
  const auto of_none = screen_warnings(*without, nullptr);
  ASSERT_EQ(of_none.size(), 1U);
  EXPECT_THAT(of_none[0], HasSubstr("5:8: screen.ssdp has no effect without"));
  const auto with = parse(std::string(kPair) +
                          "[screen]\nmodel = \"s.json\"\nthreshold = 0.2\nssdp = true\n"
                          "suspicious = [\"scan\"]\nfeatures = { \"TTL\" = \"ip_ttl\" }\n");
  ASSERT_TRUE(with) << with.error().message;
  EXPECT_EQ(with->screen_path, "dir/s.json");
  EXPECT_EQ(with->settings.screen_threshold, 0.2);
  EXPECT_TRUE(with->datapath.screen_ssdp && with->tables.wan_screened);
  EXPECT_TRUE(screen_warnings(*with, nullptr).empty());
  auto named = *without;
  EXPECT_EQ(name_screen(named, "", true).error().message,
            "--screen-ssdp has no effect without a screen: name one by --screen");
  ASSERT_TRUE(name_screen(named, "other.json"));
  EXPECT_TRUE(screen_warnings(named, nullptr).empty()) << "the command line names one";
  EXPECT_EQ(named.screen_path, "other.json");
  EXPECT_TRUE(named.tables.wan_screened) << "the file says ssdp";
  const auto idle =
      parse(std::string(kPair) + "[steer]\nudp_ports = []\n[screen]\nmodel = \"/s.json\"\n");
  ASSERT_TRUE(idle) << idle.error().message;
  const auto of_idle = screen_warnings(*idle, nullptr);
  ASSERT_EQ(of_idle.size(), 1U);
  EXPECT_THAT(of_idle[0], HasSubstr("the screen /s.json has no effect: steer.udp_ports"));
}

TEST(Config, ScopeRulesFollowTheWan) {
  const auto rules = [](const char* text) {
    return parse(std::string(kPair) + text)->policy.scope;
  };
  EXPECT_FALSE(rules("").wan_search || rules("").lan_unasked) << "nothing by default";
  EXPECT_TRUE(rules("[scope]\nwan = \"internet\"\n").wan_unasked);
  EXPECT_TRUE(rules("[scope]\nwan_search = \"drop\"\n").wan_search);
  EXPECT_FALSE(rules("[scope]\nwan_search = \"drop\"\n").wan_unasked);
  EXPECT_FALSE(rules("[scope]\nwan = \"internet\"\nwan_private = \"judge\"\n").wan_private);
}

TEST(Config, FragmentsOfBlockedSourcesPassByDefault) {
  const auto datapath = [](const char* text) { return parse(std::string(kPair) + text)->datapath; };
  EXPECT_FALSE(datapath("").blocked_fragments || datapath("").drop_fragments);
  EXPECT_TRUE(datapath("[steer]\nfragments = \"blocked\"\n").blocked_fragments);
  EXPECT_FALSE(datapath("[steer]\nfragments = \"drop\"\n").blocked_fragments);
}

TEST(Config, WarnsOfMoreThreadsThanCpus) {
  const auto config = parse(std::string(kPair) + "[workers]\ncount = 4\n[channels]\ncount = 1\n");
  ASSERT_TRUE(config);
  ASSERT_EQ(config->warnings.size(), 1U);
  EXPECT_THAT(config->warnings[0],
              HasSubstr("dir/w.toml:5:9: 4 workers and 1 I/O threads are more than this machine's "
                        "4 CPUs"));
}

std::string shipped_file() {
  std::ifstream file(WEIR_SOURCE_ROOT "/config/weir.toml");
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

TEST(Config, TheShippedFileIsTheListOfKeys) {
  EXPECT_EQ(shipped_file(), render_defaults())
      << "write it anew: weir check --defaults > config/weir.toml";
}

TEST(Config, TheShippedFileMeansTheDefaults) {
  const auto shipped = parse(shipped_file());
  ASSERT_TRUE(shipped) << shipped.error().message;
  const auto bare = parse("[interfaces]\nwan = \"eth0\"\nlan = \"eth1\"\n");
  ASSERT_TRUE(bare);
#define WEIR_SAME(section, key, kind, default_, allowed, help) \
  EXPECT_EQ(shipped->settings.section##_##key, bare->settings.section##_##key);
  WEIR_CONFIG_KEYS(WEIR_SAME)
#undef WEIR_SAME
}

TEST(Config, DefaultsAgreeWithTheModulesOwn) {
  const Config config = default_config();
  EXPECT_EQ(config.policy.evidence_packets, detect::PolicyConfig{}.evidence_packets);
  EXPECT_EQ(config.policy.block_ms, detect::PolicyConfig{}.block_ms);
  EXPECT_EQ(config.policy.threshold, detect::PolicyConfig{}.threshold);
  EXPECT_EQ(config.tables.sources_max, detect::TableConfig{}.sources_max);
  EXPECT_EQ(config.tables.expectation_ms, detect::TableConfig{}.expectation_ms);
  EXPECT_EQ(config.datapath.blocks_max, datapath::Config{}.blocks_max);
  EXPECT_EQ(config.datapath.heartbeat_limit_ms, datapath::Config{}.heartbeat_limit_ms);
  EXPECT_EQ(config.datapath.udp_ports, datapath::Config{}.udp_ports);
  EXPECT_EQ(config.af_xdp.frames, io::AfXdpConfig{}.frames);
  EXPECT_EQ(config.af_xdp.ring, io::AfXdpConfig{}.ring);
}

TEST(Config, FilesThatAreNoneAreRefused) {
  EXPECT_EQ(
      load_config("/nowhere/w.toml", Purpose::run).error().message,
      "cannot read the configuration /nowhere/w.toml: No such file or directory; name another "
      "by -c, or write one by `weir check --defaults`");
  const std::string pipe = testing::TempDir() + "weir-config-pipe";
  ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
  for (const std::string& path : {std::string("/"), std::string("/dev/zero"), pipe})
    EXPECT_EQ(load_config(path, Purpose::run).error().message,
              "cannot read the configuration " + path + ": it is no regular file; name one by -c");
  std::filesystem::remove(pipe);
  const std::string large = testing::TempDir() + "weir-config-large";
  std::ofstream(large) << std::string(kConfigFile_bytes + 1, '#');
  EXPECT_EQ(load_config(large, Purpose::run).error().message,
            large + " is larger than 1048576 bytes, which no configuration is");
  std::filesystem::remove(large);
}

// Whatever the bytes: a configuration or one line that starts with the file's name.
TEST(Config, MutatedFilesAreAcceptedOrRefusedWithTheirName) {
  const std::uint32_t seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  const std::string good = shipped_file();
  ASSERT_FALSE(good.empty());
  const std::string tokens[] = {"[",
                                "]",
                                "=",
                                "\"",
                                "\n",
                                "[[",
                                "'''",
                                "{",
                                "}",
                                "#",
                                "\xff",
                                "\\",
                                std::string(1, '\0'),
                                "1e999",
                                "-1",
                                "99999999999999999999",
                                "true",
                                "1979-05-27",
                                "[[[[[[[[",
                                "a.b.c = 1\n"};
  int refused = 0;
  for (int round = 0; round < 3000; ++round) {
    std::string text = good;
    for (int change = 0; change < 1 + round % 4; ++change) {
      const std::size_t at = random() % text.size();
      switch (random() % 4) {
        case 0:
          text[at] = static_cast<char>(random());
          break;
        case 1:
          text.erase(at, random() % 40);
          break;
        case 2:
          text.insert(at, tokens[random() % std::size(tokens)]);
          break;
        default:
          text.insert(at, text.substr(random() % text.size(), random() % 60));
          break;
      }
      if (text.empty()) text = "#";
    }
    const auto config = parse(text);
    if (config) continue;
    ++refused;
    ASSERT_THAT(config.error().message, ::testing::StartsWith("dir/w.toml:")) << text;
    ASSERT_GT(config.error().message.size(), 20U);
  }
  EXPECT_GT(refused, 100);
}

}  // namespace
}  // namespace weir::control
