// SPDX-License-Identifier: BSD-2-Clause
// The box with DPDK's devices: over the interfaces of namespaces (net_af_packet, net_af_xdp),
// captures (net_pcap) and a loop (net_ring). None of these has flow rules: those are tested over the
// same devices with a NIC of the test's own (flow_nic.cpp) in front.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <fstream>

#include "appliance.h"
#include "base/clock.h"
#include "frames.h"
#include "io/capture.h"

namespace weir::test {
namespace {

/// Where DPDK would put what it shares between processes.
constexpr const char* kRuntime = "/run/weir/dpdk";

class Dpdk : public testing::Test {
 protected:
  void SetUp() override {
    WEIR_NEEDS_PRIVILEGE();
    std::filesystem::create_directories(kRuntime);
    setenv("RUNTIME_DIRECTORY", kRuntime, 1);
    box_.emplace();
  }

  /// `weir run` must refuse with one line that holds each of `words`.
  void refuses(std::initializer_list<std::string_view> words) {
    const Ran ran = box_->bare({"run", "-c", Appliance::config_file()});
    EXPECT_EQ(ran.status, 2) << ran.err;
    EXPECT_EQ(std::count(ran.err.begin(), ran.err.end(), '\n'), 1) << ran.err;
    for (const std::string_view word : words)
      EXPECT_NE(ran.err.find(word), std::string::npos) << "'" << word << "' is not in: " << ran.err;
    EXPECT_EQ(ran.out, "");
    nothing_is_left();
  }

  void nothing_is_left() {
    const std::string links = box_->wire.box.must("ip -details link show");
    EXPECT_EQ(links.find("promiscuity 1"), std::string::npos) << links;
    EXPECT_EQ(links.find("prog/xdp"), std::string::npos) << links;
    EXPECT_TRUE(std::filesystem::is_empty(kRuntime));
  }

  /// All of them but those that hold a word of `without`.
  void every_kind_crosses(const std::vector<std::string>& without = {}) {
    box_->equip();
    for (const Side from : {Side::wan, Side::lan}) {
      box_->sink(opposite(from)).record(true);
      for (const WireFrame& frame : every_kind(from)) {
        if (std::find(without.begin(), without.end(), frame.name) != without.end()) continue;
        box_->send(from, {frame.bytes});
        EXPECT_EQ(box_->received(opposite(from), {frame.bytes}).size(), 1U) << frame.name;
      }
      box_->sink(opposite(from)).record(false);
    }
  }

  std::optional<Appliance> box_;
};

TEST_F(Dpdk, EveryKindOfFrameCrossesBothWays) {
  box_->configure_polled();
  std::ofstream(Appliance::config_file(), std::ios::app) << "\nflow_rules = \"auto\"\n";
  ASSERT_TRUE(box_->start()) << box_->trouble();
  // As all drivers over an interface of the kernel's.
  EXPECT_NE(box_->trouble().find("net_af_packet0 takes none"), std::string::npos)
      << box_->trouble();
  EXPECT_NE(box_->weir({"status"}).out.find("no flow rules: net_af_packet0 takes none"),
            std::string::npos);
  // net_af_packet has the kernel put fragments together (PACKET_FANOUT_FLAG_DEFRAG), and knows one
  // kind of tag: what came with 0x88a8 it hands over as 0x8100.
  every_kind_crosses({"later fragment", "QinQ", "three tags"});
  const nlohmann::json wan = box_->status().at("interfaces").at("wan");
  EXPECT_EQ(wan.at("name"), "net_af_packet0");
  EXPECT_EQ(wan.at("backend"), "dpdk");
  EXPECT_EQ(wan.at("link"), "up");
  EXPECT_TRUE(wan.at("promiscuous").get<bool>());
  EXPECT_EQ(box_->stop(SIGTERM), 0) << box_->trouble();
  nothing_is_left();
}

/// Two channels, judged by workers: whichever queue a packet comes by, blocks are everywhere.
TEST_F(Dpdk, SeveralChannelsShareTheirBlocks) {
  box_->configure_polled(
      "[policy]\nevidence_span_ms = 0\nnetwork_sources = 0\n[channels]\ncount = 2\n"
      "[workers]\ncount = 2",
      "net_af_packet", ",qpairs=2");
  ASSERT_TRUE(box_->start()) << box_->trouble();
  EXPECT_NE(box_->trouble().find("has no RSS"), std::string::npos) << box_->trouble();
  box_->equip();
  constexpr unsigned kReflectors = 40;
  ASSERT_TRUE(eventually([&] {
    for (unsigned i = 0; i < kReflectors; ++i) box_->send(Side::wan, {reflection(Shape::ip4, i)});
    return box_->totals().blocks == kReflectors;
  })) << box_->totals().blocks;
  const Totals before = box_->totals();
  for (unsigned i = 0; i < kReflectors; ++i) box_->send(Side::wan, {reflection(Shape::ip4, i)});
  EXPECT_TRUE(eventually([&] {
    return box_->totals().outcomes["drop_block_ssdp"] >=
           before.outcomes.at("drop_block_ssdp") + kReflectors;
  }));
  const Totals totals = box_->totals();
  ASSERT_EQ(totals.channels, 2U);
  EXPECT_GT(totals.channel_received[0], 0U) << "the kernel spreads by a hash of addresses";
  EXPECT_GT(totals.channel_received[1], 0U);
  EXPECT_TRUE(totals.conserved);
  EXPECT_EQ(box_->stop(SIGTERM), 0) << box_->trouble();
  nothing_is_left();
}

TEST_F(Dpdk, ReflectorsAreBlockedAndPeopleAreObeyed) {
  box_->configure_polled("[policy]\nevidence_span_ms = 0\nnetwork_sources = 0");
  ASSERT_TRUE(box_->start()) << box_->trouble();
  box_->equip();
  box_->sink(Side::lan).record(true);
  constexpr unsigned kReflectors = 20;
  const auto reflector_text = [](unsigned i) { return reflector(Shape::ip4, i).text(); };
  const auto blocked = [&] { return box_->totals().blocks; };
  ASSERT_TRUE(eventually([&] {
    for (unsigned i = 0; i < kReflectors; ++i) box_->send(Side::wan, {reflection(Shape::ip4, i)});
    return blocked() == kReflectors;
  })) << blocked();

  // Blocked: in the datapath, by its name, and counted at the block.
  const auto dropped = [&] { return box_->totals().outcomes["drop_block_ssdp"]; };
  const std::uint64_t before = dropped();
  box_->send(Side::wan, {reflection(Shape::ip4, 3)});
  EXPECT_TRUE(eventually([&] { return dropped() == before + 1; }));
  const nlohmann::json blocks = box_->blocks().at("blocks");
  const auto third = std::find_if(blocks.begin(), blocks.end(), [&](const auto& block) {
    return block.at("address") == reflector_text(3);
  });
  ASSERT_NE(third, blocks.end());
  EXPECT_GE(third->at("hit_packets").template get<std::uint64_t>(), 1U);
  const Ran why = box_->weir({"why", reflector_text(3)});
  EXPECT_EQ(why.status, 0) << why.err;
  EXPECT_NE(why.out.find(reflector_text(3)), std::string::npos) << why.out;

  // The LAN searches, and is answered; background goes both ways.
  box_->sink(Side::wan).record(true);
  box_->send(Side::lan, {search(Shape::ip4, 1)});
  EXPECT_EQ(box_->received(Side::wan, {search(Shape::ip4, 1)}).size(), 1U);
  for (const Bytes& wanted : {reply(Shape::ip4, 1, 1), background(Shape::vlan)}) {
    box_->send(Side::wan, {wanted});
    EXPECT_EQ(box_->received(Side::lan, {wanted}).size(), 1U);
  }

  // A block by hand of everything, and the allowlist against it.
  const std::string device_text = device(Shape::ip4, 200).text();
  ASSERT_EQ(box_->weir({"block", "add", device_text, "--scope", "all"}).status, 0);
  const auto dropped_all = [&] { return box_->totals().outcomes["drop_block_all"]; };
  box_->send(Side::wan, {background(Shape::ip4)});
  EXPECT_TRUE(eventually([&] { return dropped_all() == 1; }));
  ASSERT_EQ(box_->weir({"allow", "add", device_text}).status, 0);
  box_->send(Side::wan, {background(Shape::ip4)});
  EXPECT_EQ(box_->received(Side::lan, {background(Shape::ip4)}).size(), 1U);

  const Totals totals = box_->totals();
  EXPECT_TRUE(totals.conserved);
  EXPECT_EQ(totals.frames_placed, Appliance::kFrames);
  EXPECT_EQ(totals.socket_errors, 0U);
  EXPECT_EQ(box_->stop(SIGTERM), 0) << box_->trouble();
  nothing_is_left();
}

TEST_F(Dpdk, ANetAfXdpDeviceIsAWireToo) {
  // DPDK's driver does not give its UMEM's description back (160 bytes): a leak is none of weir's.
  const char* kept = std::getenv("ASAN_OPTIONS");
  const std::string before = kept == nullptr ? "" : kept;
  setenv("ASAN_OPTIONS", (before + ":detect_leaks=0").c_str(), 1);
  box_->configure_polled("[policy]\nmode = \"shadow\"\n[workers]\ncount = 1", "net_af_xdp");
  const bool started = box_->start();
  setenv("ASAN_OPTIONS", before.c_str(), 1);
  ASSERT_TRUE(started) << box_->trouble();
  every_kind_crosses();
  // Every packet of its memory is used, with many under way at once: each can be received into.
  const perf::Stream stream{.frame = reflection(Shape::ip4), .flow = 1, .sources = 200};
  ASSERT_TRUE(box_->generator(Side::wan).set({&stream, 1}));
  ASSERT_TRUE(box_->generator(Side::wan).send(200'000));
  box_->sink(Side::lan).record(true);
  std::string trouble;
  EXPECT_TRUE(eventually([&] {
    box_->send(Side::wan, {background(Shape::ip4)});
    const auto came = box_->sink(Side::lan).take();
    if (!came) {  // of the many, more were still under way than the sink has room for
      trouble = came.error().message;
      box_->sink(Side::lan).reset();
      return false;
    }
    return std::any_of(came->begin(), came->end(), [](const perf::Recorded& one) {
      return one.bytes == background(Shape::ip4);
    });
  })) << trouble;
  EXPECT_EQ(box_->stop(SIGTERM), 0) << box_->trouble();
  nothing_is_left();
}

TEST_F(Dpdk, WhatIsWrongIsSaidInOneLine) {
  box_->configure("", "backend = \"dpdk\"");
  refuses({"dpdk.wan is missing"});
  const auto devices = [&](const std::string& wan, const std::string& lan,
                           const std::string& more) {
    box_->configure(
        fmt::format("[dpdk]\nwan = \"{}\"\nlan = \"{}\"\nhugepages = false\n{}", wan, lan, more),
        "backend = \"dpdk\"");
  };
  devices("net_ring0", "net_ring0,nodeaction=x", "");
  refuses({"which is dpdk.wan too"});
  devices("net_af_packet0,iface=nosuch", "net_af_packet1,iface=lan", "");
  refuses({"dpdk.wan", "net_af_packet0", "No such device"});
  devices("net_af_packet0,iface=wan", "net_nosuch0", "");
  refuses({"dpdk.lan", "net_nosuch0"});
  devices("net_af_packet0,iface=wan", "net_af_packet1,iface=lan", "eal = [\"--nosuch\"]");
  refuses({"DPDK does not start", "--nosuch"});
  devices("net_af_packet0,iface=wan", "net_af_packet1,iface=lan", "[channels]\ncount = 64");
  refuses({"channels.count is 64"});
  devices("net_af_packet0,iface=wan", "net_af_packet1,iface=lan",
          "memory_mb = 64\n[channels]\nframes = 262144");
  refuses({"no memory", "dpdk.memory_mb"});
}

TEST_F(Dpdk, AWeirWithoutTheModuleSaysSo) {
  box_->configure_polled();
  const std::string alone = "/run/weir/weir";
  std::filesystem::copy_file(std::getenv("WEIR"), alone,
                             std::filesystem::copy_options::overwrite_existing);
  const Ran ran = run({alone, "run", "-c", Appliance::config_file()}, box_->wire.box.fd());
  EXPECT_EQ(ran.status, 2);
  EXPECT_NE(ran.err.find("built without DPDK"), std::string::npos) << ran.err;
  EXPECT_EQ(std::count(ran.err.begin(), ran.err.end(), '\n'), 1) << ran.err;
}

/// A box whose module has a NIC that takes flow rules.
class FlowRules : public Dpdk {
 protected:
  static constexpr const char* kFolder = "/run/weir/nic";

  void SetUp() override {
    Dpdk::SetUp();
    if (IsSkipped()) return;
    weir_ = std::getenv("WEIR");
    std::filesystem::create_directories(kFolder);
    const auto copy = [](const std::string& from, const char* name) {
      std::filesystem::copy_file(from, fmt::format("{}/{}", kFolder, name),
                                 std::filesystem::copy_options::overwrite_existing);
    };
    copy(weir_, "weir");
    copy(std::getenv("WEIR_FLOW_NIC"), "weir-dpdk.so");
    setenv("WEIR", fmt::format("{}/weir", kFolder).c_str(), 1);
  }
  void TearDown() override {
    if (weir_.empty()) return;
    setenv("WEIR", weir_.c_str(), 1);
    unsetenv("WEIR_NIC_RULES");
    unsetenv("WEIR_NIC_COUNTS");
    std::filesystem::remove_all(kFolder);
  }

  /// Two rules a blocked source.
  void start(unsigned rules_max, const std::string& more = "", const std::string& arguments = "") {
    box_->configure_polled(more, "net_af_packet", arguments);
    std::ofstream(Appliance::config_file(), std::ios::app)
        << "\nflow_rules = \"auto\"\nflow_rules_max = " << rules_max << "\n";
    ASSERT_TRUE(box_->start()) << box_->trouble();
    box_->equip();
    box_->sink(Side::lan).record(true);
  }
  [[nodiscard]] nlohmann::json rules() const {
    return box_->status().at("interfaces").at("wan").at("flow_rules");
  }
  [[nodiscard]] std::uint64_t in_software() const {
    return box_->totals().outcomes["drop_block_ssdp"];
  }
  [[nodiscard]] std::uint64_t hits(const std::string& address) const {
    const nlohmann::json list = box_->blocks();
    for (const nlohmann::json& block : list.at("blocks"))
      if (block.at("address") == address) return block.at("hit_packets").get<std::uint64_t>();
    return 0;
  }
  static std::string text(unsigned number) { return device(Shape::ip4, number).text(); }
  static Bytes answer(unsigned number) { return reply(Shape::ip4, number, 1); }
  void block(unsigned number) { ASSERT_EQ(box_->weir({"block", "add", text(number)}).status, 0); }
  /// What each of these says, so often.
  void say(unsigned first, unsigned last, std::uint64_t times) {
    std::vector<perf::Stream> streams;
    for (unsigned number = first; number <= last; ++number)
      streams.push_back({.frame = answer(number), .stamped = false});
    ASSERT_TRUE(box_->generator(Side::wan).set(streams));
    ASSERT_TRUE(box_->generator(Side::wan).send(times * streams.size()));
  }
  /// They say it until so many rules stand. A pass of the rules is a second: there is no hurry.
  bool ruled(unsigned first, unsigned last, std::uint64_t rules_wanted) {
    return eventually([&] {
      say(first, last, 32);
      std::this_thread::sleep_for(std::chrono::milliseconds(150));
      return rules().at("rules") == rules_wanted;
    });
  }
  /// A host asks, and this device answers.
  [[nodiscard]] std::size_t heard(unsigned number) {
    box_->sink(Side::wan).record(true);
    box_->send(Side::lan, {search(Shape::ip4, 1)});
    EXPECT_EQ(box_->received(Side::wan, {search(Shape::ip4, 1)}).size(), 1U);
    box_->send(Side::wan, {answer(number)});
    return box_->received(Side::lan, {answer(number)}).size();
  }
  void ends_well() {
    EXPECT_TRUE(box_->totals().conserved);
    EXPECT_EQ(box_->stop(SIGTERM), 0) << box_->trouble();
    EXPECT_EQ(box_->trouble().find("drop rules were left"), std::string::npos) << box_->trouble();
    nothing_is_left();
  }

  std::string weir_;
};

TEST_F(FlowRules, TheNicDropsWhatABusyBlockedSourceSends) {
  setenv("WEIR_NIC_RULES", "8", 1);  // four spread packets, over both sides
  start(8, "[channels]\ncount = 2\n", ",qpairs=2");
  nlohmann::json wan = box_->status().at("interfaces").at("wan");
  EXPECT_EQ(wan.at("spread"),
            "flow rules, UDP over IPv4 and IPv6 by the WAN side's address, the rest by no RSS: as "
            "the device itself does");
  EXPECT_EQ(wan.at("flow_rules").at("kinds"), "sources and networks, IPv4 and IPv6");
  for (const unsigned number : {7U, 8U}) block(number);
  ASSERT_TRUE(ruled(7, 8, 4)) << rules();

  // Nothing of theirs reaches weir any more, and every hit is told; what is no SSDP passes.
  const std::uint64_t before = in_software(), hits_before = hits(text(7));
  constexpr unsigned kMore = 50;
  say(7, 7, kMore);
  EXPECT_TRUE(eventually([&] { return hits(text(7)) >= hits_before + kMore; }));
  EXPECT_EQ(in_software(), before);
  const Bytes other = udp_frame(Shape::ip4, device(Shape::ip4, 7), host(Shape::ip4, 1), 443, 51820,
                                std::string(100, 'q'));
  box_->send(Side::wan, {other});
  EXPECT_EQ(box_->received(Side::lan, {other}).size(), 1U);
  const Ran status = box_->weir({"status"});
  EXPECT_NE(status.out.find("4 of 8, of 2 blocks; the NIC dropped"), std::string::npos)
      << status.out;

  // Who is allowed is heard at once, and so is who is unblocked.
  ASSERT_EQ(box_->weir({"allow", "add", text(7)}).status, 0);
  EXPECT_EQ(rules().at("rules"), 2);
  EXPECT_EQ(heard(7), 1U);
  ASSERT_EQ(box_->weir({"block", "del", text(8)}).status, 0);
  EXPECT_EQ(rules().at("rules"), 0);
  EXPECT_EQ(heard(8), 1U);
  EXPECT_EQ(in_software(), before);

  // What the NIC has no room for is dropped in software; what stands at the end is taken back.
  for (const unsigned number : {10U, 11U, 12U}) block(number);
  ASSERT_TRUE(ruled(10, 12, 4)) << rules();
  EXPECT_TRUE(eventually([&] { return rules().at("refused") == 1; })) << rules();
  EXPECT_NE(box_->trouble().find("its table is full"), std::string::npos) << box_->trouble();
  const Totals full = box_->totals();
  say(10, 12, kMore);
  EXPECT_TRUE(
      eventually([&] { return in_software() >= full.outcomes.at("drop_block_ssdp") + kMore; }));
  EXPECT_EQ(box_->totals().sockets_received, full.sockets_received) << "none was let through";
  ends_well();
}

std::vector<Bytes> read_capture(const std::string& path) {
  std::vector<Bytes> all;
  auto reader = io::CaptureReader::open(path);
  WEIR_CHECK(reader.has_value());
  io::CapturedPacket packet;
  while ((*reader)->next(packet) == io::Step::packet)
    all.emplace_back(packet.bytes.begin(), packet.bytes.end());
  return all;
}

void write_capture(const std::string& path, const std::vector<Bytes>& frames) {
  auto writer = io::CaptureWriter::create(path, io::CaptureFormat::pcap, {});
  WEIR_CHECK(writer.has_value());
  for (const Bytes& frame : frames) {
    io::CapturedPacket packet;
    packet.bytes = frame;
    packet.original_length = static_cast<std::uint32_t>(frame.size());
    packet.time = monotonic_now();
    WEIR_CHECK((*writer)->write(packet).has_value());
  }
  WEIR_CHECK((*writer)->close().has_value());
}

// What is dropped here is dropped for its direction, whenever it comes: a capture goes through
// DPDK's device as fast as it can, and through a replay by its own clock.
TEST_F(Dpdk, ForwardsOfACaptureWhatAReplayForwards) {
  std::vector<Bytes> frames;
  for (unsigned round = 0; round < 10; ++round) {
    for (const WireFrame& frame : every_kind(Side::wan)) frames.push_back(frame.bytes);
    for (const Shape shape : {Shape::ip4, Shape::ip6, Shape::vlan, Shape::qinq, Shape::pppoe}) {
      frames.push_back(reflection(shape, round));
      frames.push_back(background(shape));
    }
  }
  const std::string in = "/run/weir/in.pcap", out = "/run/weir/out.pcap";
  write_capture(in, frames);
  write_capture("/run/weir/none.pcap", {});
  box_->configure(fmt::format("[dpdk]\nwan = \"net_pcap0,rx_pcap={},tx_pcap=/run/weir/back.pcap\"\n"
                              "lan = \"net_pcap1,rx_pcap=/run/weir/none.pcap,tx_pcap={}\"\n"
                              "hugepages = false\nmemory_mb = 256\n[scope]\nwan = \"internet\"",
                              in, out),
                  "backend = \"dpdk\"");
  ASSERT_TRUE(box_->start()) << box_->trouble();
  EXPECT_TRUE(eventually([&] {
    const Totals totals = box_->totals();
    return totals.received[index(Side::wan)] == frames.size() &&
           totals.judged_forward + totals.judged_drop == totals.sockets_received;
  })) << box_->totals().received[index(Side::wan)];
  EXPECT_EQ(box_->stop(SIGTERM), 0) << box_->trouble();

  const std::string expected = "/run/weir/expected.pcapng";
  const Ran replay = box_->weir({"replay", "--wan", in, "--write-forwarded", expected, "--json"});
  ASSERT_EQ(replay.status, 0) << replay.err;
  auto here = read_capture(out), there = read_capture(expected);
  EXPECT_LT(there.size(), frames.size());
  EXPECT_GT(there.size(), 400U);
  // What is judged leaves behind what is not: that is no order of a flow's.
  std::sort(here.begin(), here.end());
  std::sort(there.begin(), there.end());
  EXPECT_TRUE(here == there) << here.size() << " and " << there.size();
}

// A ring of DPDK's is a loop: what goes out by it comes in by it.
TEST_F(Dpdk, WhatARingGivesBackGoesBack) {
  std::vector<Bytes> frames;
  for (unsigned round = 0; round < 40; ++round)
    for (const Shape shape : {Shape::ip4, Shape::ip6, Shape::vlan, Shape::qinq, Shape::pppoe})
      frames.push_back(background(shape));
  const std::string in = "/run/weir/in.pcap", back = "/run/weir/back.pcap";
  write_capture(in, frames);
  box_->configure(
      fmt::format("[dpdk]\nwan = \"net_pcap0,rx_pcap={},tx_pcap={}\"\nlan = \"net_ring0\"\n"
                  "hugepages = false\nmemory_mb = 256",
                  in, back),
      "backend = \"dpdk\"");
  ASSERT_TRUE(box_->start()) << box_->trouble();
  EXPECT_TRUE(eventually([&] {
    return box_->totals().received[index(Side::lan)] == frames.size();
  })) << box_->totals().received[index(Side::lan)];
  EXPECT_EQ(box_->stop(SIGTERM), 0) << box_->trouble();
  EXPECT_TRUE(read_capture(back) == frames);
}

}  // namespace
}  // namespace weir::test
