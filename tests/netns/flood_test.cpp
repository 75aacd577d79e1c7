// SPDX-License-Identifier: BSD-2-Clause
// A reflection flood against a host of the LAN, and what goes on beside it.
//
// The flood and the counted background stream come from one generator, in one batch of 64 frames:
// the kernel's path takes a batch from the generator to the far end in one softirq, before the next
// one is made, so no veth ring (256 frames) can overflow before the box. A lost background packet
// is weir's.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <atomic>
#include <csignal>
#include <thread>

#include "appliance.h"
#include "frames.h"

namespace weir::test {
namespace {

constexpr std::uint32_t kSources = 1000;
constexpr std::uint32_t kFlood = 1, kBackground = 2;

class FloodTest : public testing::TestWithParam<Shape> {
 protected:
  void SetUp() override { WEIR_NEEDS_PRIVILEGE(); }
};

/// 60 frames of the flood, then 4 of the background, and again.
std::vector<std::uint8_t> schedule() {
  std::vector<std::uint8_t> slots(64, 0);
  for (std::size_t i = 15; i < slots.size(); i += 16) slots[i] = 1;
  return slots;
}

/// Sends the mix at the generator's full rate until it is destroyed. It keeps to one CPU: were it
/// moved, frames would wait in the box's ring for the CPU it came from, and overfill it.
class Flood {
 public:
  explicit Flood(perf::Generator& generator)
      : thread_([this, &generator] {
          const OnCpu one(kGeneratorCpu);
          while (!stop_) WEIR_CHECK(generator.send(65'536).has_value());
        }) {}
  ~Flood() {
    stop_ = true;
    thread_.join();
  }
  Flood(const Flood&) = delete;
  Flood& operator=(const Flood&) = delete;

 private:
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

/// The blocked sources that lie in the flood's own range.
std::size_t blocked_reflectors(const Appliance& box, Shape shape) {
  const std::string prefix = shape == Shape::ip6 ? "2001:db8:bad:" : "203.0.";
  std::size_t count = 0;
  const nlohmann::json all = box.blocks();
  for (const auto& block : all.at("blocks"))
    count += block.at("address").get<std::string>().starts_with(prefix);
  return count;
}

TEST_P(FloodTest, IsBlockedInTheKernelAndNobodyElseNoticesIt) {
  const Shape shape = GetParam();
  Appliance box;
  // The generator's sources are neighbours: their /24 would be blocked in their stead.
  box.configure("[policy]\nnetwork_sources = 0");
  ASSERT_TRUE(box.start()) << box.trouble();
  box.equip();
  box.hush();
  const std::vector<perf::Stream> streams{
      {.frame = reflection(shape), .flow = kFlood, .sources = kSources},
      {.frame = background(shape), .flow = kBackground}};
  ASSERT_TRUE(box.generator(Side::wan).set(streams, schedule()));

  std::uint64_t reflections_after_block = 0;
  constexpr unsigned kDevices = 20;
  {
    const Flood flood(box.generator(Side::wan));
    ASSERT_TRUE(eventually([&] { return blocked_reflectors(box, shape) == kSources; },
                           std::chrono::seconds(20)))
        << blocked_reflectors(box, shape) << " of " << kSources << " sources were blocked";

    // From here on nothing of the flood may arrive; and the victim's own search leaves.
    box.sink(Side::wan).record(true);
    box.send(Side::lan, {search(shape)});
    EXPECT_EQ(box.received(Side::wan, {search(shape)}).size(), 1U);
    reflections_after_block = box.sink(Side::lan).flow(kFlood).packets;

    // How much was steered before all were known depends on the machine. The flood goes on until
    // that is little beside what the kernel drops: for ever, if it did not.
    ASSERT_TRUE(eventually(
        [&] {
          Totals totals = box.totals();
          return totals.outcomes["drop_block_ssdp"] > 2 * totals.outcomes["socket_steered"];
        },
        std::chrono::seconds(20)));
  }
  EXPECT_EQ(box.sink(Side::lan).flow(kFlood).packets, reflections_after_block)
      << "a blocked source's packet came through";

  const std::uint64_t background_sent = box.generator(Side::wan).sent(1);
  const perf::Flow delivered = box.sink(Side::lan).flow(kBackground);
  EXPECT_GT(background_sent, 1000U);
  EXPECT_EQ(delivered.packets, background_sent);
  EXPECT_EQ(delivered.out_of_order, 0U);

  // The answers come while the flood is at its full rate as well.
  std::vector<Bytes> replies;
  for (unsigned i = 0; i < kDevices; ++i) replies.push_back(reply(shape, i));
  std::vector<perf::Stream> with_reply = streams;
  box.sink(Side::lan).reset();
  for (unsigned i = 0; i < kDevices; ++i)
    with_reply.push_back({.frame = replies[i], .flow = 10 + i});
  std::vector<std::uint8_t> slots;
  for (unsigned i = 0; i < kDevices; ++i) {
    for (int batch = 0; batch < 3; ++batch) {
      const auto more = schedule();
      slots.insert(slots.end(), more.begin(), more.end());
    }
    slots.push_back(static_cast<std::uint8_t>(2 + i));
  }
  ASSERT_LE(slots.size(), 65'536U);
  ASSERT_TRUE(box.generator(Side::wan).set(with_reply, slots));
  {
    const OnCpu one(kGeneratorCpu);
    ASSERT_TRUE(box.generator(Side::wan).send(slots.size()));
  }
  for (unsigned i = 0; i < kDevices; ++i)
    EXPECT_TRUE(eventually([&] { return box.sink(Side::lan).flow(10 + i).packets == 1; }))
        << "the reply of device " << i << ", " << name(shape);
  EXPECT_EQ(box.sink(Side::lan).flow(kFlood).packets, 0U);
  EXPECT_EQ(box.sink(Side::lan).flow(kBackground).packets, box.generator(Side::wan).sent(1));

  // Every packet is accounted for.
  ASSERT_TRUE(eventually([&] {
    return box.totals().received[index(Side::wan)] == box.driver_packets(Side::wan);
  })) << box.totals().received[index(Side::wan)]
      << " counted, the driver has " << box.driver_packets(Side::wan);
  Totals totals = box.totals();
  EXPECT_TRUE(totals.conserved);
  EXPECT_EQ(totals.frames_placed, totals.channels * Appliance::kFrames);
  EXPECT_EQ(box.stop(SIGTERM), 0) << box.trouble();
}

INSTANTIATE_TEST_SUITE_P(Shapes, FloodTest,
                         testing::Values(Shape::ip4, Shape::ip6, Shape::vlan, Shape::pppoe),
                         [](const auto& shape) { return std::string(name(shape.param)); });

struct Overloaded {
  unsigned workers, channels;
  const char* action;
  const char* transmit = "socket";
};

class Conservation : public testing::TestWithParam<Overloaded> {};

TEST_P(Conservation, EveryPacketHasOneOutcomeAndEveryFrameOnePlace) {
  WEIR_NEEDS_PRIVILEGE();
  const auto [workers, channels, action, transmit] = GetParam();
  Appliance box(channels);
  // Nobody is blocked, so that all of it goes through userspace, at a rate that overloads it.
  box.configure(
      fmt::format("[policy]\nmode = \"shadow\"\n[workers]\ncount = {}\n[channels]\n"
                  "overload = \"{}\"\ntransmit = \"{}\"\n{}",
                  workers, action, transmit,
                  // Redirected frames take the ring of the CPU: order is that of one.
                  transmit == std::string_view("redirect") ? "io_cpus = [0]" : ""));
  ASSERT_TRUE(box.start()) << box.trouble();
  box.equip();
  box.hush();
  const std::vector<perf::Stream> streams{
      {.frame = reflection(Shape::ip4), .flow = kFlood, .sources = kSources},
      {.frame = background(Shape::ip4), .flow = kBackground}};
  ASSERT_TRUE(box.generator(Side::wan).set(streams, schedule()));
  // The stacks say hello before the ends can take redirected frames.
  const std::uint64_t peer_errors_before = box.totals().peer_errors;
  {
    const OnCpu one(kGeneratorCpu);
    ASSERT_TRUE(box.generator(Side::wan).send(500'000));
  }

  // At rest every frame has its place, and every packet is counted once at each station: what the
  // driver gave to the program; what the program gave to a socket was received there or is a failed
  // redirect; what was received was judged or shed; what was not dropped was sent, or found the
  // ring full. Counters are published at leisure, hence the wait.
  Totals totals;
  EXPECT_TRUE(eventually([&] {
    totals = box.totals();
    return totals.received[index(Side::wan)] == box.driver_packets(Side::wan) && totals.conserved &&
           totals.frames_placed == totals.channels * Appliance::kFrames &&
           totals.outcomes["socket_steered"] == totals.sockets_received + totals.socket_errors &&
           totals.judged_forward + totals.judged_drop + totals.shed_forward + totals.shed_drop ==
               totals.sockets_received &&
           totals.judged_forward + totals.shed_forward == totals.sockets_sent + totals.sockets_full;
  })) << box.driver_packets(Side::wan)
      << " packets by the driver" << box.status().dump(1);
  EXPECT_EQ(totals.channels, channels);
  // The excess took the configured action, and nothing overtook anything.
  const std::string_view taken = action;
  EXPECT_EQ(totals.shed_forward > 0, taken == "forward");
  EXPECT_EQ(totals.shed_drop > 0, taken == "drop");
  if (taken == "leave") {
    EXPECT_GT(totals.socket_errors, 0U);
  }
  EXPECT_EQ(totals.redirected > 0, transmit == std::string_view("redirect"));
  EXPECT_GT(totals.judged_forward, 0U);
  EXPECT_GT(box.sink(Side::lan).flow(kFlood).packets, 0U);
  EXPECT_EQ(box.sink(Side::lan).flow(kFlood).out_of_order, 0U);
  // The background went by the kernel, past all of that. With two channels the sockets and the
  // redirects share the two rings of the far end (support/wire.h), which may overflow: the lab's
  // loss, and counted by weir all the same.
  const std::uint64_t peer_errors = box.totals().peer_errors - peer_errors_before;
  if (channels == 1) {
    EXPECT_EQ(totals.sockets_lost, 0U);
    EXPECT_EQ(peer_errors, 0U);
  }
  EXPECT_EQ(box.sink(Side::lan).flow(kBackground).packets + peer_errors,
            box.generator(Side::wan).sent(1));
  EXPECT_TRUE(box.process().running()) << box.trouble();
  EXPECT_EQ(box.stop(SIGTERM), 0) << box.trouble();
}

TEST(Redirected, WhatADeadLinkTakesIsCounted) {
  WEIR_NEEDS_PRIVILEGE();
  Appliance box;
  box.configure(
      "[policy]\nmode = \"shadow\"\n[channels]\noverload = \"leave\"\ntransmit = \"redirect\"");
  ASSERT_TRUE(box.start()) << box.trouble();
  box.equip();
  box.hush();
  const std::vector<perf::Stream> streams{
      {.frame = reflection(Shape::ip4), .flow = kFlood, .sources = kSources}};
  ASSERT_TRUE(box.generator(Side::wan).set(streams, {}));
  // The stacks say hello before the ends can take redirected frames.
  const std::uint64_t peer_errors_before = box.totals().peer_errors;
  box.wire.lan.must("ip link set lan0 down");
  ASSERT_TRUE(box.generator(Side::wan).send(100'000));
  Totals totals;
  EXPECT_TRUE(eventually([&] {
    totals = box.totals();
    totals.peer_errors -= peer_errors_before;
    return totals.outcomes["socket_steered"] == totals.sockets_received + totals.socket_errors &&
           totals.sockets_received == totals.judged_forward + totals.judged_drop &&
           totals.judged_forward == totals.sockets_sent + totals.sockets_full &&
           totals.sockets_sent == totals.peer_errors + totals.sockets_lost;
  })) << box.status().dump(1);
  EXPECT_GT(totals.redirected, 0U);
  EXPECT_GE(totals.peer_errors, totals.redirected);
  EXPECT_EQ(box.stop(SIGTERM), 0) << box.trouble();
}

INSTANTIATE_TEST_SUITE_P(Overload, Conservation,
                         testing::Values(Overloaded{0, 1, "forward"}, Overloaded{0, 2, "drop"},
                                         Overloaded{2, 1, "drop"}, Overloaded{2, 2, "forward"},
                                         Overloaded{1, 1, "leave"},
                                         Overloaded{0, 1, "leave", "redirect"},
                                         Overloaded{2, 2, "forward", "redirect"}),
                         [](const auto& o) {
                           return fmt::format("{}Workers{}Channels{}{}", o.param.workers,
                                              o.param.channels, o.param.action, o.param.transmit);
                         });

}  // namespace
}  // namespace weir::test
