// SPDX-License-Identifier: BSD-2-Clause
// `weir blast` from one end of a box to the other, and `weir replay --live`.
#include <gtest/gtest.h>

#include <csignal>
#include <cstdlib>

#include "appliance.h"
#include "base/clock.h"
#include "frames.h"
#include "io/capture.h"

namespace weir::test {
namespace {

class Blast : public testing::Test {
 protected:
  void SetUp() override {
    WEIR_NEEDS_PRIVILEGE();
    box_.emplace();
    box_->configure("[policy]\nevidence_span_ms = 0\nnetwork_sources = 0");
    ASSERT_TRUE(box_->start()) << box_->trouble();
    box_->hush();
  }

  /// Sends by `port` at the WAN's end, receives at the LAN's; what the receiver says.
  nlohmann::json blast(const std::vector<std::string>& port, std::uint64_t packets) {
    const std::string weir = std::getenv("WEIR");
    Process receiver({weir, "blast", "receive", "lan0", "--seconds", "20", "--json"},
                     box_->wire.lan.fd());
    EXPECT_TRUE(eventually([&] {
      return !receiver.running() || receiver.err().find("receiving by") != std::string::npos;
    }));
    std::vector<std::string> command{
        weir,     "blast", "send",      "--json", "--mix",     "reply=3,udp=1",
        "--rate", "20000", "--sources", "50",     "--packets", std::to_string(packets)};
    command.insert(command.end(), port.begin(), port.end());
    const Ran sent = run(command, box_->wire.wan.fd());
    EXPECT_EQ(sent.status, 0) << sent.err;
    const auto said = nlohmann::json::parse(sent.out, nullptr, false);
    if (!said.is_object()) return said;
    EXPECT_EQ(said.value("packets", std::uint64_t{0}), packets);
    EXPECT_EQ(receiver.wait(std::chrono::seconds(25)).value_or(-1), 0) << receiver.err();
    return nlohmann::json::parse(receiver.out(), nullptr, false);
  }

  void expect_box(const nlohmann::json& arrived, std::uint64_t packets) {
    ASSERT_TRUE(arrived.is_object());
    EXPECT_TRUE(arrived.at("ended").get<bool>());
    EXPECT_EQ(arrived.at("sent"), packets);
    const auto& udp = arrived.at("flows").at("udp");
    EXPECT_EQ(udp.at("sent"), packets / 4);
    EXPECT_EQ(udp.at("packets"), packets / 4);
    EXPECT_EQ(udp.at("lost"), 0);
    const auto& reply = arrived.at("flows").at("reply");
    EXPECT_EQ(reply.at("sent"), packets / 4 * 3);
    EXPECT_LT(reply.at("packets"), packets / 4) << "the box lets a reflection through";
    EXPECT_EQ(reply.at("lost").get<std::uint64_t>() + reply.at("packets").get<std::uint64_t>(),
              packets / 4 * 3);
  }

  std::optional<Appliance> box_;
};

TEST_F(Blast, CountsWhatABoxLetsThroughAndWhatItDoesNot) {
  expect_box(blast({"wan0"}, 8000), 8000);
  const std::string links = box_->wire.lan.must("ip -details link show lan0");
  EXPECT_EQ(links.find("prog/xdp"), std::string::npos) << links;
}

TEST_F(Blast, WaitsForAQueueThatIsLetGo) {
  const std::string weir = std::getenv("WEIR");
  const std::uint64_t before = box_->driver_packets(Side::wan);
  Process first({weir, "blast", "send", "wan0", "--seconds", "60", "--rate", "1000"},
                box_->wire.wan.fd());
  ASSERT_TRUE(eventually([&] { return box_->driver_packets(Side::wan) > before; }));
  // It has the queue until it is told to go, and the second one is there by then.
  Process second({weir, "blast", "send", "wan0", "--packets", "100"}, box_->wire.wan.fd());
  ASSERT_TRUE(first.running()) << first.err();
  first.signal(SIGINT);
  EXPECT_EQ(second.wait(std::chrono::seconds(20)).value_or(-1), 0) << second.err();
  EXPECT_EQ(first.wait(std::chrono::seconds(20)).value_or(-1), 0) << first.err();
}

TEST_F(Blast, SendsByDpdkToo) {
  if (!WEIR_HAS_DPDK) GTEST_SKIP() << "built without DPDK";
  expect_box(blast({"net_af_packet0,iface=wan0", "--dpdk", "--no-hugepages"}, 8000), 8000);
}

TEST_F(Blast, WhatIsWrongIsSaidInOneLine) {
  const auto refuses = [&](std::vector<std::string> command, const std::string& word) {
    const Ran ran = box_->bare(std::move(command));
    EXPECT_EQ(ran.status, 2) << ran.err;
    EXPECT_EQ(std::count(ran.err.begin(), ran.err.end(), '\n'), 1) << ran.err;
    EXPECT_NE(ran.err.find(word), std::string::npos) << ran.err;
  };
  refuses({"blast", "send", "nosuch0"}, "nosuch0");
  refuses({"blast", "send", "wan", "--mix", "tcp=1"}, "tcp=1");
  refuses({"blast", "send", "wan", "--mix", "udp=0"}, "every share is 0");
  refuses({"blast", "send", "wan", "--to", "2001:db8::1"}, "two families");
  refuses({"blast", "receive", "wan"}, "wan");  // the box's own sockets and program are there
}

TEST_F(Blast, AReplayPlaysACaptureOntoAnInterface) {
  std::vector<Bytes> frames;
  for (const WireFrame& frame : every_kind(Side::wan)) frames.push_back(frame.bytes);
  const std::string capture = "/run/weir/kinds.pcap";
  auto writer = io::CaptureWriter::create(capture, io::CaptureFormat::pcap, {});
  ASSERT_TRUE(writer);
  for (const Bytes& frame : frames) {
    io::CapturedPacket packet;
    packet.bytes = frame;
    packet.original_length = static_cast<std::uint32_t>(frame.size());
    packet.time = monotonic_now();
    ASSERT_TRUE((*writer)->write(packet));
  }
  ASSERT_TRUE((*writer)->close());
  box_->equip();
  box_->sink(Side::lan).record(true);
  const Ran ran = run({std::getenv("WEIR"), "replay", capture, "--live", "wan0", "--rate", "2000",
                       "--loops", "2", "--json"},
                      box_->wire.wan.fd());
  ASSERT_EQ(ran.status, 0) << ran.err;
  const auto report = nlohmann::json::parse(ran.out);
  EXPECT_EQ(report.at("packets"), 2 * frames.size());
  EXPECT_LT(report.at("packets_per_s"), 4000.0);
  std::vector<Bytes> twice = frames;
  twice.insert(twice.end(), frames.begin(), frames.end());
  std::vector<Bytes> came = box_->received(Side::lan, twice);
  std::sort(came.begin(), came.end());
  std::sort(twice.begin(), twice.end());
  EXPECT_TRUE(came == twice) << came.size() << " of " << twice.size();
}

}  // namespace
}  // namespace weir::test
