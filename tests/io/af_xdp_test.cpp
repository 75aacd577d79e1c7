// SPDX-License-Identifier: BSD-2-Clause
// Privileged: real AF_XDP sockets on veth pairs, in network namespaces of the test's own.
#include "io/af_xdp.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <fstream>
#include <functional>
#include <numeric>
#include <random>
#include <set>

#include "box.h"
#include "support/packet_builder.h"

namespace weir::io {
namespace {

using test::Box;
using test::frame_of;
using test::number_of;
using testing::HasSubstr;

/// Until `done`, or for 10 s, which is not a measure but the end of a test that hangs.
bool eventually(const std::function<bool()>& done) {
  const auto give_up = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (!done()) {
    if (std::chrono::steady_clock::now() > give_up) return false;
  }
  return true;
}

/// One loop of an I/O thread that forwards what `keep` wants.
std::size_t step(Channel& channel, const std::function<bool(const packet::Frame&)>& keep) {
  std::array<packet::Frame, 256> in;
  std::vector<packet::Frame> out;
  std::vector<packet::Frame> dropped;
  std::size_t seen = 0;
  for (const Side side : {Side::wan, Side::lan}) {
    const std::size_t n = channel.receive(side, in, monotonic_now());
    out.clear();
    dropped.clear();
    for (std::size_t i = 0; i < n; ++i) (keep(in[i]) ? out : dropped).push_back(in[i]);
    channel.transmit(opposite(side), out);
    channel.release(dropped);
    seen += n;
  }
  channel.service();
  return seen;
}
std::size_t forward(Channel& channel) {
  return step(channel, [](const packet::Frame&) { return true; });
}

/// How many frames are at `place`, as of now.
std::uint32_t frames_at(Channel& channel, Place place) {
  channel.service();
  return channel.frame_counts()[static_cast<std::size_t>(place)];
}

/// Share of frames that are free, to receive into, or received, as of now.
double not_on_its_way(Channel& channel, std::uint32_t frames) {
  const double received = frames_at(channel, Place::rx);
  return channel.headroom() + received / frames;
}

/// Nothing is in batches or on its way out. (The stacks at the far ends may send by themselves.)
bool at_rest(Channel& channel) {
  channel.service();
  const auto counts = channel.frame_counts();
  const auto of = [&](Place place) { return counts[static_cast<std::size_t>(place)]; };
  return of(Place::batch) + of(Place::tx) + of(Place::completion) == 0;
}

class AfXdp : public testing::Test {
 protected:
  void SetUp() override {
    if (const Status privilege = weir::test::own_mounts(); !privilege) {
      GTEST_SKIP() << privilege.error().message;
    }
  }
};

TEST_F(AfXdp, FramesCrossBothWaysByteForByte) {
  Box box;
  const auto channel = box.open({});
  for (const Side from : {Side::wan, Side::lan}) {
    for (std::size_t size = 60; size <= 1514; size += 1 + size / 8) {
      const auto frame = frame_of(size, size);
      box.far_end(from).send(frame);
      std::optional<std::vector<std::uint8_t>> got;
      ASSERT_TRUE(eventually([&] {
        forward(*channel);
        return (got = box.far_end(opposite(from)).receive()).has_value();
      })) << size;
      EXPECT_EQ(*got, frame);
      EXPECT_FALSE(box.far_end(from).receive()) << "a frame came back";
    }
  }
  EXPECT_TRUE(eventually([&] { return at_rest(*channel); }));
  EXPECT_TRUE(channel->conserved());
  const ChannelCounters wan = channel->counters(Side::wan);
  const ChannelCounters lan = channel->counters(Side::lan);
  EXPECT_GT(wan.rx_packets, 20U);
  EXPECT_EQ(wan.rx_packets, lan.tx_packets);
  EXPECT_EQ(lan.rx_bytes, wan.tx_bytes);
  EXPECT_EQ(wan.wakeup_errors + lan.wakeup_errors, 0U);
}

TEST_F(AfXdp, TheLastFrameOfABurstLeaves) {
  Box box;
  AfXdpConfig config;
  config.tx_budget = 32;  // bursts around it are the ones that a single call leaves behind
  const auto channel = box.open(config);
  std::uint64_t number = 0;
  for (std::size_t burst = 1; burst <= 65; ++burst) {
    std::vector<std::vector<std::uint8_t>> frames;
    for (std::size_t i = 0; i < burst; ++i) frames.push_back(frame_of(60, number + i));
    box.far_end(Side::wan).send(frames);
    std::size_t arrived = 0;
    EXPECT_TRUE(eventually([&] {
      channel->wait(-1, std::chrono::milliseconds(1));
      forward(*channel);
      while (const auto got = box.far_end(Side::lan).receive()) {
        EXPECT_EQ(number_of(*got), number + arrived++) << "order";
      }
      return arrived == burst;
    })) << arrived
        << " of " << burst;
    number += burst;
  }
}

TEST_F(AfXdp, EachQueueHasItsChannel) {
  Box box(2);
  const std::unique_ptr<Channel> channels[] = {box.open({}, 0), box.open({}, 1)};
  // veth picks the queue by a hash of the flow: enough of them reach both.
  constexpr std::size_t kFrames = 256;
  std::vector<std::vector<std::uint8_t>> frames;
  for (std::size_t i = 0; i < kFrames; ++i) {
    frames.push_back(weir::test::PacketBuilder()
                         .ip4("198.51.100.1", "198.51.100.2")
                         .udp(static_cast<std::uint16_t>(10'000 + i), 1900)
                         .payload(std::to_string(i))
                         .build());
  }
  box.far_end(Side::wan).send(frames);
  std::multiset<std::string> wanted;
  for (const auto& frame : frames) wanted.emplace(frame.begin(), frame.end());
  std::multiset<std::string> arrived;
  EXPECT_TRUE(eventually([&] {
    for (const auto& channel : channels) forward(*channel);
    while (const auto got = box.far_end(Side::lan).receive())
      arrived.emplace(got->begin(), got->end());
    return arrived.size() == kFrames;
  })) << arrived.size();
  EXPECT_EQ(arrived, wanted);
  for (const auto& channel : channels) {
    const std::uint64_t received = channel->counters(Side::wan).rx_packets;
    EXPECT_GT(received, 0U);
    EXPECT_EQ(channel->counters(Side::lan).tx_packets, received);
  }
}

TEST_F(AfXdp, WhatIsNotTakenIsCountedAsRingFull) {
  Box box;
  AfXdpConfig config;
  config.ring = 64;
  config.frames = 512;
  const auto channel = box.open(config);
  // The fill ring is topped up once in between, so that it is the RX ring that stays full.
  for (int round = 0; round < 2; ++round) {
    for (unsigned i = 0; i < 64; ++i) box.far_end(Side::wan).send(frame_of(60, i));
    channel->service();
  }
  EXPECT_TRUE(eventually([&] { return channel->counters(Side::wan).kernel_rx_ring_full > 0; }));
  EXPECT_EQ(channel->counters(Side::lan).kernel_rx_ring_full, 0U);
  EXPECT_EQ(channel->counters(Side::wan).kernel_fill_empty, 0U);
  EXPECT_TRUE(eventually([&] { return forward(*channel) == 0 && at_rest(*channel); }));
}

TEST_F(AfXdp, WhatLiesReceivedHasItsPlaceAndTakesRoom) {
  Box box;
  AfXdpConfig config;
  config.ring = 64;
  config.frames = 512;
  const auto channel = box.open(config);
  std::uint64_t sent = 0;
  const auto wait_for = [&](std::uint32_t frames) {
    return eventually([&] {
      if (channel->waiting(Side::wan) >= frames) return true;
      box.far_end(Side::wan).send(frame_of(60, sent++));
      return false;
    });
  };
  ASSERT_TRUE(wait_for(48));
  const std::uint32_t waiting = channel->waiting(Side::wan);
  EXPECT_GE(frames_at(*channel, Place::rx), waiting);
  EXPECT_LE(channel->room(Side::wan), 0.25);
  EXPECT_GT(channel->room(Side::lan), 0.5);
  EXPECT_LE(channel->headroom(), 1.0 - waiting / 512.0) << "nothing can be received into these";
  EXPECT_TRUE(channel->conserved());
  ASSERT_TRUE(wait_for(64));
  EXPECT_EQ(channel->room(Side::wan), 0.0);
  ASSERT_TRUE(eventually([&] {
    forward(*channel);
    return channel->waiting(Side::wan) == 0 && at_rest(*channel);
  }));
  EXPECT_GT(channel->room(Side::wan), 0.5);
  EXPECT_TRUE(channel->conserved());
}

TEST_F(AfXdp, WhatTheDeviceRefusesIsCountedAsLost) {
  Box box;
  const auto channel = box.open({});
  std::vector<packet::Frame> held;
  std::array<packet::Frame, 256> in;
  ASSERT_TRUE(eventually([&] {
    box.far_end(Side::wan).send(frame_of(60, held.size()));
    const std::size_t n = channel->receive(Side::wan, in, monotonic_now());
    held.insert(held.end(), in.begin(), in.begin() + static_cast<std::ptrdiff_t>(n));
    return held.size() >= 200;
  }));
  // No carrier: the kernel takes each frame, the device refuses it, and it is gone.
  box.wire.lan.must("ip link set lan0 down");
  EXPECT_EQ(channel->transmit(Side::lan, held), held.size());
  EXPECT_TRUE(eventually([&] { return at_rest(*channel); }))
      << "a dead link must not stop the rest";
  const ChannelCounters lan = channel->counters(Side::lan);
  EXPECT_EQ(lan.tx_packets, held.size());
  EXPECT_EQ(lan.tx_lost, held.size());
  EXPECT_EQ(lan.wakeup_errors, 0U);
  EXPECT_TRUE(channel->conserved());
}

TEST_F(AfXdp, AStarvedSideIsCountedShowsInHeadroomAndRecovers) {
  Box box;
  AfXdpConfig config;
  config.ring = 64;
  config.frames = 256;
  const auto channel = box.open(config);
  std::vector<packet::Frame> held;
  std::array<packet::Frame, 256> in;
  // The pipeline holds on to everything.
  ASSERT_TRUE(eventually([&] {
    box.far_end(Side::wan).send(frame_of(60, held.size()));
    const std::size_t n = channel->receive(Side::wan, in, monotonic_now());
    held.insert(held.end(), in.begin(), in.begin() + n);
    channel->service();
    return channel->counters(Side::wan).kernel_fill_empty > 0;
  }));
  EXPECT_GT(channel->counters(Side::wan).fill_short, 0U);
  // The other side keeps the frames of its full fill ring, and what it has received.
  EXPECT_EQ(not_on_its_way(*channel, 256), 64.0 / 256.0);
  EXPECT_EQ(held.size(), 192U);
  box.far_end(Side::lan).send(frame_of(60, 4711));
  ASSERT_TRUE(eventually([&] {
    const std::size_t n = channel->receive(Side::lan, in, monotonic_now());
    if (n > 0) channel->release({in.data(), n});
    return n > 0;
  }));
  channel->release(held);
  EXPECT_EQ(channel->counters(Side::wan).released, 192U);
  EXPECT_TRUE(at_rest(*channel));
  EXPECT_EQ(not_on_its_way(*channel, 256), 1.0);
  box.far_end(Side::wan).send(frame_of(60, 4712));
  EXPECT_TRUE(eventually([&] {
    forward(*channel);
    const auto got = box.far_end(Side::lan).receive();
    return got && number_of(*got) == 4712;
  }));
}

TEST_F(AfXdp, AFullTransmitRingDropsAndCounts) {
  Box box;
  AfXdpConfig config;
  config.ring = 64;
  config.frames = 1024;
  const auto channel = box.open(config);
  std::vector<packet::Frame> held;
  std::array<packet::Frame, 64> in;
  ASSERT_TRUE(eventually([&] {
    box.far_end(Side::wan).send(frame_of(60, held.size()));
    const std::size_t n = channel->receive(Side::wan, in, monotonic_now());
    held.insert(held.end(), in.begin(), in.begin() + n);
    return held.size() >= 256;
  }));
  // With the interface down the kernel takes nothing from the TX ring.
  box.wire.box.must("ip link set lan down");
  const std::size_t taken = channel->transmit(Side::lan, held);
  EXPECT_EQ(taken, 64U);
  EXPECT_EQ(channel->counters(Side::lan).tx_full, held.size() - 64);
  EXPECT_EQ(frames_at(*channel, Place::tx), 64U);
  EXPECT_TRUE(channel->conserved());
  box.wire.box.must("ip link set lan up");
  EXPECT_TRUE(eventually([&] { return at_rest(*channel); })) << "they leave when the link is back";
}

TEST_F(AfXdp, AnInterfaceThatGoesAwayIsSurvived) {
  Box box;
  const auto channel = box.open({});
  std::array<packet::Frame, 64> in;
  std::size_t held = 0;
  ASSERT_TRUE(eventually([&] {
    box.far_end(Side::wan).send(frame_of(60, held));
    held += channel->receive(Side::wan, std::span(in).subspan(held), monotonic_now());
    return held >= 32;
  }));
  box.wire.box.must("ip link del lan");
  channel->transmit(Side::lan, std::span(in).first(held));
  channel->service();
  channel->wait(-1, std::chrono::milliseconds(1));
  EXPECT_TRUE(channel->conserved());
  EXPECT_GT(channel->counters(Side::lan).wakeup_errors, 0U);
  // The other side still receives.
  ASSERT_TRUE(eventually([&] {
    box.far_end(Side::wan).send(frame_of(60, 1));
    const std::size_t n = channel->receive(Side::wan, in, monotonic_now());
    channel->release(std::span(in).first(n));
    return n > 0;
  }));
}

TEST_F(AfXdp, NoFrameLeaksOverAMillionRandomVerdicts) {
  constexpr std::uint64_t kFrames = 1'000'000;
  constexpr std::uint64_t kSeed = 20'261'125;
  SCOPED_TRACE(testing::Message() << "seed " << kSeed);
  Box box;
  const auto channel = box.open({});
  std::mt19937_64 random(kSeed);
  std::vector<std::vector<std::uint8_t>> frames(256, frame_of(60, 0));
  std::uint64_t received = 0;
  for (std::uint64_t sent = 0; sent < kFrames; sent += frames.size()) {
    box.far_end(sent % 512 == 0 ? Side::wan : Side::lan).send(frames);
    for (int i = 0; i < 3; ++i) {
      received += step(*channel, [&](const packet::Frame&) { return random() % 2 == 0; });
    }
    ASSERT_TRUE(channel->conserved());
  }
  ASSERT_TRUE(eventually([&] {
    received += step(*channel, [&](const packet::Frame&) { return random() % 2 == 0; });
    const auto wan = channel->counters(Side::wan);
    const auto lan = channel->counters(Side::lan);
    return at_rest(*channel) && received + wan.kernel_rx_ring_full + lan.kernel_rx_ring_full +
                                        wan.kernel_fill_empty + lan.kernel_fill_empty >=
                                    kFrames;
  }));
  EXPECT_TRUE(channel->conserved());
  EXPECT_GT(received, kFrames / 2);
  const auto wan = channel->counters(Side::wan);
  const auto lan = channel->counters(Side::lan);
  EXPECT_EQ(wan.rx_packets + lan.rx_packets, received);
  EXPECT_EQ(
      wan.tx_packets + lan.tx_packets + wan.released + lan.released + wan.tx_full + lan.tx_full,
      received);
  EXPECT_EQ(wan.not_completed + lan.not_completed, 0U);
}

/// Some reserved hugepages more than there are, for as long as it lives.
class Hugepages {
 public:
  explicit Hugepages(long more) : before_(count()) { set(before_ + more); }
  ~Hugepages() { set(before_); }
  Hugepages(const Hugepages&) = delete;
  Hugepages& operator=(const Hugepages&) = delete;
  static long count() {
    long pages = 0;
    std::ifstream(kPath) >> pages;
    return pages;
  }
  static void set(long pages) { std::ofstream(kPath) << pages; }

 private:
  static constexpr const char* kPath = "/proc/sys/vm/nr_hugepages";
  const long before_;
};

TEST_F(AfXdp, FramesMayLieInHugepages) {
  AfXdpConfig config;
  config.ring = 64;
  config.frames = 512;  // one page of 2 MiB
  config.hugepages = true;
  Box box;
  {
    const weir::test::Inside inside(box.wire.box);
    AfXdpConfig huge = config;
    huge.interfaces = {"wan", "lan"};
    huge.frames = 1U << 20U;  // 4 GiB: nobody has reserved so much
    const auto opened = open_af_xdp(huge, 0);
    ASSERT_FALSE(opened);
    EXPECT_THAT(opened.error().message, HasSubstr("raise vm.nr_hugepages, or set channels.hugep"));
  }
  const Hugepages one(1);
  const auto channel = box.open(config);
  const auto frame = frame_of(60, 1);
  box.far_end(Side::wan).send(frame);
  std::optional<std::vector<std::uint8_t>> got;
  ASSERT_TRUE(eventually([&] {
    forward(*channel);
    return (got = box.far_end(Side::lan).receive()).has_value();
  }));
  EXPECT_EQ(*got, frame);
}

TEST_F(AfXdp, AQueueCanBeBoundAgainAtOnce) {
  Box box;
  AfXdpConfig config;
  config.ring = 64;
  config.frames = 256;
  for (int i = 0; i < 50; ++i) {
    const auto channel = box.open(config);
    box.far_end(Side::wan).send(frame_of(60, static_cast<std::uint64_t>(i)));
    ASSERT_TRUE(eventually([&] {
      forward(*channel);
      const auto got = box.far_end(Side::lan).receive();
      return got && number_of(*got) == static_cast<std::uint64_t>(i);
    })) << i;
  }
}

TEST_F(AfXdp, WhatCannotBeBoundIsSaid) {
  Box box;
  AfXdpConfig small;
  small.ring = 64;
  small.frames = 256;
  const auto channel = box.open(small);
  const weir::test::Inside inside(box.wire.box);
  const auto why = [&](std::uint32_t queue, const std::function<void(AfXdpConfig&)>& change) {
    AfXdpConfig config = small;
    config.interfaces = {"wan", "lan"};
    change(config);
    const auto opened = open_af_xdp(config, queue);
    return opened ? std::string("opened") : opened.error().message;
  };
  EXPECT_THAT(why(0, [](AfXdpConfig&) {}),
              HasSubstr("interface 'wan', queue 0: Device or resource busy; another AF_XDP"));
  EXPECT_THAT(why(9, [](AfXdpConfig&) {}), HasSubstr("queue 9: Invalid argument; a queue of this"));
  EXPECT_THAT(why(0, [](AfXdpConfig& c) { c.interfaces[0] = "nope"; }),
              HasSubstr("interface 'nope', queue 0: No such device; there is no such interface"));
  EXPECT_THAT(why(0, [](AfXdpConfig& c) { c.frames = 300; }), HasSubstr("powers of two"));
  EXPECT_THAT(why(0, [](AfXdpConfig& c) { c.frames = 128; }), HasSubstr("at least 256 frames"));
}

}  // namespace
}  // namespace weir::io
