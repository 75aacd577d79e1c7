// SPDX-License-Identifier: BSD-2-Clause
#include "synth/synth.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <string>

#include "packet/headers.h"
#include "packet/ssdp.h"
#include "synth/profiles.h"

namespace weir::synth {
namespace {

/// Folded 16-bit sum of network-order words: 0xffff where a checksum that is inside holds.
std::uint32_t sum16(std::span<const std::uint8_t> bytes, std::uint32_t sum = 0) {
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    sum += i % 2 == 0 ? static_cast<std::uint32_t>(bytes[i]) << 8U : bytes[i];
  }
  while ((sum >> 16U) != 0) sum = (sum & 0xffffU) + (sum >> 16U);
  return sum;
}

void expect_valid(std::span<const std::uint8_t> frame, const packet::Headers& h) {
  ASSERT_EQ(h.kind, WEIR_KIND_udp);
  const std::size_t size = h.family == 4 ? 4 : 16;
  if (h.family == 4) {
    ASSERT_EQ(sum16(frame.subspan(h.l3_offset, 20)), 0xffffU);
  }
  const std::size_t udp_length = 8U + h.payload_length;
  std::uint32_t sum = sum16(frame.subspan(h.source_offset, size));
  sum = sum16(frame.subspan(h.destination_offset, size), sum);
  sum += 17 + static_cast<std::uint32_t>(udp_length);
  ASSERT_EQ(sum16(frame.subspan(h.l4_offset, udp_length), sum), 0xffffU);
}

/// FNV-1a over everything that `generate` gives.
struct Digest {
  std::uint64_t value = 14'695'981'039'346'656'037ULL;
  void add(std::span<const std::uint8_t> bytes) {
    for (const std::uint8_t byte : bytes) value = (value ^ byte) * 1'099'511'628'211ULL;
  }
};

std::uint64_t digest(const Options& options) {
  Digest d;
  const Status status = generate(options, [&](const io::CapturedPacket& p, const Truth& truth) {
    d.add(p.bytes);
    d.value ^= p.time.ns + static_cast<std::uint64_t>(truth.attack);
    return true;
  });
  EXPECT_TRUE(status);
  return d.value;
}

class EveryScenario : public testing::TestWithParam<ScenarioInfo> {};

TEST_P(EveryScenario, GivesValidLabelledPacketsInOrder) {
  for (const bool ipv6 : {false, true}) {
    for (const Encapsulation encapsulation :
         {Encapsulation::none, Encapsulation::vlan, Encapsulation::qinq, Encapsulation::pppoe}) {
      Options options;
      options.scenarios = {GetParam().name};
      options.packets = 300;
      options.seconds = 300;
      options.ipv6 = ipv6;
      options.encapsulation = encapsulation;
      PacketTime last = kStart;
      std::uint64_t packets = 0, attack = 0, fragments = 0;
      ASSERT_TRUE(generate(options, [&](const io::CapturedPacket& p, const Truth& truth) {
        EXPECT_GE(p.time, last);
        last = p.time;
        const packet::Headers h = packet::parse(p.bytes);
        if (std::string(truth.kind) == "fragmented") {
          ++fragments;  // its own test looks into them
        } else {
          expect_valid(p.bytes, h);
        }
        if (std::string(GetParam().name) != "scopes") {
          EXPECT_EQ(h.family, ipv6 ? 6 : 4);
        }
        EXPECT_EQ(h.tags, encapsulation == Encapsulation::vlan   ? 1
                          : encapsulation == Encapsulation::qinq ? 2
                                                                 : 0);
        EXPECT_EQ((h.flags & WEIR_HEADERS_PPPOE) != 0, encapsulation == Encapsulation::pppoe);
        EXPECT_EQ(p.interface, index(truth.side));
        ++packets;
        attack += truth.attack ? 1 : 0;
        return !testing::Test::HasFatalFailure();
      }));
      EXPECT_GT(packets, 50U);
      EXPECT_EQ(attack > 0, GetParam().attack);
      EXPECT_EQ(fragments > 0, std::string(GetParam().name) == "fragmented");
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Synth, EveryScenario,
                         testing::ValuesIn(scenarios().begin(), scenarios().end()),
                         [](const auto& made) { return std::string(made.param.name); });

TEST(Synth, TheSameOptionsGiveTheSameBytes) {
  Options options;
  options.scenarios.clear();
  for (const ScenarioInfo& scenario : scenarios()) options.scenarios.emplace_back(scenario.name);
  options.packets = 20'000;
  const std::uint64_t first = digest(options);
  EXPECT_EQ(digest(options), first);
  options.seed = 2;
  EXPECT_NE(digest(options), first);
}

/// Whatever the machine's byte order, its arithmetic and the order in which its compiler evaluates
/// arguments. Where the generator is meant to give other packets, the new numbers belong here.
TEST(Synth, EveryMachineGivesTheseBytes) {
  Options options;
  options.scenarios.clear();
  for (const ScenarioInfo& scenario : scenarios()) options.scenarios.emplace_back(scenario.name);
  options.packets = 20'000;
  EXPECT_EQ(digest(options), 17'880'812'571'066'382'455ULL);
  options.ipv6 = true;
  EXPECT_EQ(digest(options), 8'421'628'230'276'883'757ULL);
}

TEST(Synth, PayloadsAreWhatTheirKindSays) {
  Options options;
  options.scenarios = {"devices", "discovery", "clients", "diffraction", "malformed"};
  options.packets = 60'000;
  std::map<std::string, std::set<packet::Method>> methods;
  bool diffraction_with_1900 = false;
  ASSERT_TRUE(generate(options, [&](const io::CapturedPacket& p, const Truth& truth) {
    const packet::Headers h = packet::parse(p.bytes);
    const packet::Ssdp ssdp = packet::parse_ssdp(packet::payload(p.bytes, h));
    methods[truth.kind].insert(ssdp.method);
    const std::string kind = truth.kind;
    if (kind != "malformed" && kind != "finder_search" && ssdp.method != packet::Method::none) {
      EXPECT_EQ(ssdp.anomalies, 0) << kind;
    }
    if (kind == "diffraction" && (h.source_port == 1900 || h.destination_port == 1900))
      diffraction_with_1900 = true;
    return true;
  }));
  using packet::Method;
  EXPECT_EQ(methods["notify"], std::set<Method>{Method::notify});
  EXPECT_EQ(methods["search"], std::set<Method>{Method::search});
  EXPECT_EQ(methods["answer"], std::set<Method>{Method::reply});
  EXPECT_EQ(methods["diffraction"], std::set<Method>{Method::reply});
  EXPECT_EQ(methods["dns"], std::set<Method>{Method::none});
  EXPECT_EQ(methods["quic"], std::set<Method>{Method::none});
  EXPECT_EQ(methods["malformed"].count(Method::malformed), 1U);
  EXPECT_FALSE(diffraction_with_1900);
}

/// What the packets of an attack say, by its name: the declared kind is what a parser finds.
TEST(Synth, AttacksAreWhatTheirNameSays) {
  using packet::Method;
  const std::map<std::string, std::set<Method>> declared = {
      {"malformed", {Method::malformed, Method::search, Method::notify, Method::none}},
      {"flood_to_1900", {Method::none}},
      {"flood_from_1900", {Method::none}},
      {"notify_flood", {Method::notify}},
      {"notify_group", {Method::notify}}};
  for (const ScenarioInfo& scenario : scenarios()) {
    const std::string name = scenario.name;
    if (!scenario.attack || name == "fragmented") continue;
    Options options;
    options.scenarios = {name};
    options.seconds = 200;
    options.packets = 200;
    std::set<Method> expected{Method::reply};
    if (name.find("search") != name.npos || name.find("scan") != name.npos ||
        name.starts_with("bot"))
      expected = {Method::search};
    if (const auto found = declared.find(name); found != declared.end()) expected = found->second;
    ASSERT_TRUE(generate(options, [&](const io::CapturedPacket& p, const Truth& truth) {
      if (!truth.attack) return true;
      EXPECT_EQ(truth.kind, name);
      const packet::Headers h = packet::parse(p.bytes);
      const Method method = packet::parse_ssdp(packet::payload(p.bytes, h)).method;
      EXPECT_TRUE(expected.count(method) != 0) << name << " " << static_cast<int>(method);
      return true;
    }));
  }
}

TEST(Synth, FragmentsFitTogether) {
  for (const bool ipv6 : {false, true}) {
    Options options;
    options.scenarios = {"fragmented"};
    options.packets = 300;
    options.ipv6 = ipv6;
    std::size_t next = 0, datagrams = 0;
    std::uint16_t id = 0;
    ASSERT_TRUE(generate(options, [&](const io::CapturedPacket& p, const Truth&) {
      const std::uint8_t* const ip = p.bytes.data() + 14;
      const auto read16 = [&](std::size_t at) {
        return static_cast<std::uint16_t>((ip[at] << 8U) | ip[at + 1]);
      };
      const std::uint16_t field = read16(ipv6 ? 42 : 6);
      const std::size_t offset = ipv6 ? field & 0xfff8U : (field & 0x1fffU) * 8U;
      const bool more = ipv6 ? (field & 1U) != 0 : (field & 0x2000U) != 0;
      const std::size_t length = ipv6 ? read16(4) - 8U : read16(2) - 20U;
      EXPECT_EQ(offset, next);
      if (offset == 0) {
        id = read16(ipv6 ? 46 : 4);
        EXPECT_EQ(packet::parse(p.bytes).kind, WEIR_KIND_udp);
        EXPECT_EQ(read16(ipv6 ? 52 : 24), 3'208);  // of the UDP datagram
      }
      EXPECT_EQ(read16(ipv6 ? 46 : 4), id);
      next = more ? offset + length : 0;
      if (!more) {
        EXPECT_EQ(offset + length, 3'208U);
        ++datagrams;
      }
      return true;
    }));
    EXPECT_EQ(datagrams, 100U);
  }
}

TEST(Synth, WhoIsLeftOutIsNotThere) {
  const auto servers = [](std::vector<std::string> only, std::vector<std::string> without) {
    Options options;
    options.scenarios = {"devices", "discovery"};
    options.devices_a_side = 60;
    options.only = std::move(only);
    options.without = std::move(without);
    options.packets = 3'000;
    std::set<std::string> found;
    EXPECT_TRUE(generate(options, [&](const io::CapturedPacket& p, const Truth&) {
      const packet::Headers h = packet::parse(p.bytes);
      const packet::Ssdp ssdp = packet::parse_ssdp(packet::payload(p.bytes, h));
      if (ssdp.method == packet::Method::notify && !ssdp.server.empty()) found.emplace(ssdp.server);
      return true;
    }));
    return found;
  };
  std::set<std::string> routers;
  for (const Profile& p : all_profiles())
    if (std::string(p.family) == "router") routers.insert(p.server);
  EXPECT_EQ(servers({"router"}, {}), routers);
  EXPECT_EQ(servers({"sonos"}, {}).size(), 1U);
  const auto others = servers({}, {"router"});
  EXPECT_GE(others.size(), 20U);
  for (const std::string& router : routers) EXPECT_EQ(others.count(router), 0U) << router;
  EXPECT_GE(all_profiles().size(), 30U);
}

TEST(Synth, AFloodHasItsRateAndItsSources) {
  Options options;
  options.scenarios = {"reflection"};
  options.seconds = 4;
  options.rate_pps = 30'000;
  options.attackers = 700;
  std::set<Address> sources, victims;
  std::uint64_t packets = 0;
  ASSERT_TRUE(generate(options, [&](const io::CapturedPacket& p, const Truth&) {
    const packet::Headers h = packet::parse(p.bytes);
    sources.insert(packet::source(p.bytes, h));
    victims.insert(packet::destination(p.bytes, h));
    packets += p.time >= kStart + std::chrono::seconds(3) ? 1U : 0U;
    return true;
  }));
  EXPECT_EQ(sources.size(), 700U);
  EXPECT_EQ(victims.size(), 1U);
  EXPECT_NEAR(static_cast<double>(packets), 30'000, 1'500) << "in the last second";
}

TEST(Synth, TheAttackShareIsKept) {
  Options options;
  options.attack_share = 0.25;
  std::uint64_t packets = 0, attack = 0;
  ASSERT_TRUE(generate(options, [&](const io::CapturedPacket&, const Truth& truth) {
    ++packets;
    attack += truth.attack ? 1 : 0;
    return true;
  }));
  EXPECT_GT(attack, packets / 8);
  EXPECT_LE(attack, packets / 4 + 1);
}

/// Every count at its extremes, in every scenario: none may run out of room or of hosts.
TEST(Synth, ExtremesAreHarmless) {
  for (const ScenarioInfo& scenario : scenarios()) {
    const bool crowded = std::string(scenario.name) == "discovery";
    for (const std::uint32_t hosts : {0U, crowded ? 2'000U : 200U}) {
      Options options;
      options.scenarios = {scenario.name};
      options.seconds = hosts == 0 ? 86'400 : 2;
      options.packets = 2'000;
      options.devices_a_side = scenario.attack ? 0 : hosts;
      options.searchers_a_side = hosts / 20;
      options.attackers = hosts == 0 ? 1 : 20'000;
      options.rate_pps = hosts == 0 ? 1 : 1e9;
      options.attack_after_s = 0;
      options.lan = Prefix(options.lan.address(), hosts == 0 ? 28 : 8);
      std::uint64_t packets = 0;
      EXPECT_TRUE(generate(options, [&](const io::CapturedPacket&, const Truth&) {
        ++packets;
        return true;
      })) << scenario.name;
      EXPECT_LE(packets, options.packets);
    }
  }
}

TEST(Synth, RefusesWhatItCannotDoWithASentence) {
  const auto refused = [](auto&& change) {
    Options options;
    change(options);
    const Status status = generate(options, [](const auto&, const auto&) { return true; });
    return status ? std::string() : status.error().message;
  };
  EXPECT_NE(refused([](Options& o) { o.scenarios = {"reflecton"}; }).find("'reflecton'"),
            std::string::npos);
  EXPECT_NE(refused([](Options& o) { o.scenarios = {}; }), "");
  EXPECT_NE(refused([](Options& o) { o.lan = *Prefix::parse("192.168.1.0/30"); }), "");
  EXPECT_NE(refused([](Options& o) { o.lan = *Prefix::parse("fd00::/64"); }), "");
  EXPECT_NE(refused([](Options& o) { o.seconds = 0; }), "");
  EXPECT_NE(refused([](Options& o) { o.only = {"toaster"}; }).find("'toaster'"), std::string::npos);
  EXPECT_NE(refused([](Options& o) {
              for (const Profile& p : all_profiles()) o.without.emplace_back(p.family);
            }),
            "");
  EXPECT_NE(refused([](Options& o) { o.rate_pps = 0; }), "");
  EXPECT_NE(refused([](Options& o) { o.attackers = 0; }), "");
  EXPECT_NE(refused([](Options& o) { o.attack_share = 2; }), "");
  EXPECT_NE(refused([](Options& o) { o.attack_after_s = -1; }), "");
}

class Folder : public testing::Test {
 protected:
  void SetUp() override {
    path_ = std::filesystem::temp_directory_path() / ("weir-synth-" + std::to_string(getpid()));
    std::filesystem::create_directory(path_);
  }
  void TearDown() override { std::filesystem::remove_all(path_); }
  [[nodiscard]] std::string file(const char* name) const { return (path_ / name).string(); }
  std::filesystem::path path_;
};

TEST_F(Folder, PcapngCarriesLabelsAndSides) {
  Options options;
  options.packets = 5'000;
  const auto written = write(options, file("a.pcapng"), io::CaptureFormat::pcapng);
  ASSERT_TRUE(written) << written.error().message;
  EXPECT_EQ(written->packets, 5'000U);
  const auto reader = io::CaptureReader::open(file("a.pcapng"));
  ASSERT_TRUE(reader) << reader.error().message;
  io::CapturedPacket packet;
  std::uint64_t attack = 0;
  while ((*reader)->next(packet) == io::Step::packet) {
    const std::string_view side = (*reader)->interface_name(packet.interface);
    EXPECT_TRUE(side == "wan" || side == "lan") << side;
    EXPECT_TRUE(packet.comment.starts_with("label=")) << packet.comment;
    EXPECT_NE(packet.comment.find(" kind="), std::string_view::npos);
    attack += packet.comment.starts_with("label=attack") ? 1 : 0;
  }
  EXPECT_EQ((*reader)->packets(), 5'000U);
  EXPECT_EQ(attack, written->attack_packets);
}

TEST_F(Folder, PcapHasItsLabelsBesideIt) {
  Options options;
  options.packets = 1'000;
  ASSERT_TRUE(write(options, file("a.pcap"), io::CaptureFormat::pcap));
  std::ifstream labels(file("a.pcap.labels.csv"));
  std::string line;
  std::getline(labels, line);
  EXPECT_EQ(line, "number,side,label,kind");
  std::uint64_t lines = 0;
  while (std::getline(labels, line)) {
    EXPECT_TRUE(line.starts_with(std::to_string(lines) + ",")) << line;
    ++lines;
  }
  EXPECT_EQ(lines, 1'000U);
}

TEST_F(Folder, LeavesNothingWhereItCannotWrite) {
  Options options;
  EXPECT_FALSE(write(options, file("no/such/folder.pcap"), io::CaptureFormat::pcap));
  options.scenarios = {"unknown"};
  EXPECT_FALSE(write(options, file("b.pcap"), io::CaptureFormat::pcap));
  EXPECT_TRUE(std::filesystem::is_empty(path_));
}

}  // namespace
}  // namespace weir::synth
