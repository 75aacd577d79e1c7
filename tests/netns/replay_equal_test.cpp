// SPDX-License-Identifier: BSD-2-Clause
// A replay judges as the live box did: the same packets are sent through the box and written to a
// capture; what arrived is compared with what the replay says, by its digest over every verdict.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <csignal>
#include <set>
#include <thread>

#include "appliance.h"
#include "base/clock.h"
#include "frames.h"
#include "io/capture.h"

namespace weir::test {
namespace {

struct Sent {
  Side side;
  Bytes bytes;
};

/// Searches and their answers, background, and reflectors that come in between, again and again.
std::vector<Sent> episode() {
  std::vector<Sent> all;
  const auto add = [&](Side side, Bytes bytes) {
    // Told apart by four bytes behind the datagram, where Ethernet pads.
    const auto number = static_cast<std::uint32_t>(all.size());
    for (unsigned shift = 0; shift < 32; shift += 8)
      bytes.push_back(static_cast<std::uint8_t>(number >> shift));
    all.push_back({side, std::move(bytes)});
  };
  for (unsigned round = 0; round < 12; ++round) {
    for (const Shape shape : {Shape::ip4, Shape::ip6, Shape::vlan, Shape::pppoe}) {
      // The host under attack, number 0, asks nothing: what it gets is no answer.
      add(Side::lan, search(shape, 1 + round));
      add(Side::wan, background(shape));
      add(Side::wan, reply(shape, round, 1 + round));
      for (unsigned reflector = 0; reflector < 8; ++reflector)
        add(Side::wan, reflection(shape, reflector));
    }
  }
  return all;
}

std::vector<const char*> backends() {
  return WEIR_HAS_DPDK ? std::vector{"af_xdp", "dpdk"} : std::vector{"af_xdp"};
}

/// One packet's part of the digest, as src/pipeline/replay.h defines it.
std::uint64_t digest_of(std::uint64_t number, bool drop) {
  std::uint64_t x = 2 * number + (drop ? 1U : 0U) + 0x9e3779b97f4a7c15ULL;
  x = (x ^ (x >> 30U)) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ (x >> 27U)) * 0x94d049bb133111ebULL;
  return x ^ (x >> 31U);
}

class ReplayEqualsLive : public testing::TestWithParam<const char*> {};

TEST_P(ReplayEqualsLive, VerdictByVerdict) {
  WEIR_NEEDS_PRIVILEGE();
  Appliance box;
  // Sources are blocked early, so that much of the episode meets blocks.
  // A machine that is busy elsewhere may keep a thread waiting: that is no stall here.
  const std::string more =
      "[policy]\nevidence_span_ms = 0\nnetwork_sources = 0\n[fail]\nheartbeat_limit_ms = 10000";
  if (GetParam() == std::string_view("dpdk"))
    box.configure_polled(more);
  else
    box.configure(more);
  ASSERT_TRUE(box.start()) << box.trouble();
  box.equip();
  for (const Side side : {Side::wan, Side::lan}) box.sink(side).record(true);

  const std::vector<Sent> sent = episode();
  const std::string capture = "/run/weir/episode.pcapng";
  const std::vector<std::string> sides{"wan", "lan"};
  auto writer = io::CaptureWriter::create(capture, io::CaptureFormat::pcapng, sides);
  ASSERT_TRUE(writer) << writer.error().message;
  for (const Sent& packet : sent) {
    io::CapturedPacket captured;
    captured.bytes = packet.bytes;
    captured.original_length = static_cast<std::uint32_t>(packet.bytes.size());
    captured.time = monotonic_now();
    captured.interface = static_cast<std::uint32_t>(index(packet.side));
    ASSERT_TRUE((*writer)->write(captured));
    box.send(packet.side, {packet.bytes});
    // The order between packets that go by the kernel and those that go by userspace is part of the
    // capture: leave the channel's thread the time to see each before the next.
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  ASSERT_TRUE((*writer)->close());

  // The last frame of each side that must arrive has arrived: nothing is under way any more.
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  std::set<std::string> arrived;
  for (const Side side : {Side::wan, Side::lan}) {
    auto records = box.sink(side).take();
    ASSERT_TRUE(records) << records.error().message;
    for (perf::Recorded& record : *records)
      arrived.emplace(record.bytes.begin(), record.bytes.end());
  }
  std::uint64_t digest = 0, forwarded = 0;
  for (std::size_t i = 0; i < sent.size(); ++i) {
    const Bytes& bytes = sent[i].bytes;
    const bool came = arrived.contains(std::string(bytes.begin(), bytes.end()));
    forwarded += came;
    digest += digest_of(i, !came);
  }
  // Something of both kinds, or the comparison would say little.
  EXPECT_GT(forwarded, 100U);
  EXPECT_LT(forwarded, sent.size() - 100);

  const Ran replay = box.weir({"replay", capture, "--json"});
  ASSERT_EQ(replay.status, 0) << replay.err;
  const auto report = nlohmann::json::parse(replay.out);
  EXPECT_EQ(report.at("packets"), sent.size());
  EXPECT_EQ(report.at("forwarded"), forwarded);
  EXPECT_EQ(report.at("verdict_digest"), fmt::format("{:016x}", digest));
  for (const auto& [workers, channels] : {std::pair{"1", "1"}, {"2", "2"}, {"8", "4"}}) {
    const Ran again =
        box.weir({"replay", capture, "--json", "--workers", workers, "--channels", channels});
    ASSERT_EQ(again.status, 0) << again.err;
    EXPECT_EQ(nlohmann::json::parse(again.out).at("verdict_digest"),
              fmt::format("{:016x}", digest));
  }
}

INSTANTIATE_TEST_SUITE_P(Backends, ReplayEqualsLive, testing::ValuesIn(backends()),
                         [](const auto& backend) { return std::string(backend.param); });

}  // namespace
}  // namespace weir::test
