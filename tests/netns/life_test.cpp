// SPDX-License-Identifier: BSD-2-Clause
// From start to end: what weir changes it gives back, and what it was good for outlives it.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <thread>

#include "appliance.h"
#include "frames.h"

namespace weir::test {
namespace {

class Life : public testing::Test {
 protected:
  void SetUp() override { WEIR_NEEDS_PRIVILEGE(); }
};

/// Everything of the box's interfaces that weir might change.
std::string settings(const Appliance& box) {
  std::string all;
  for (const char* interface : {"wan", "lan"}) {
    all += box.wire.box.must(fmt::format("ethtool -k {}", interface));
    const std::string link = box.wire.box.must(fmt::format("ip -details link show {}", interface));
    all += fmt::format("promisc {} xdp {}\n", link.find("PROMISC") != std::string::npos,
                       link.find("prog/xdp") != std::string::npos);
  }
  return all;
}

bool delivers(Appliance& box, Side from, const Bytes& frame) {
  box.sink(opposite(from)).record(true);
  box.send(from, {frame});
  const bool arrived = box.received(opposite(from), {frame}).size() == 1;
  box.sink(opposite(from)).record(false);
  return arrived;
}

/// It comes, some time: sent again and again until it does.
bool gets_through(Appliance& box, Side from, const Bytes& frame) {
  perf::Sink& sink = box.sink(opposite(from));
  sink.record(true);
  const bool came = eventually([&] {
    box.send(from, {frame});
    const auto all = sink.take();
    return all && std::any_of(all->begin(), all->end(),
                              [&](const perf::Recorded& one) { return one.bytes == frame; });
  });
  sink.record(false);
  return came;
}

/// `frame` does not come, and `marker`, which goes the same way behind it, does.
bool withholds(Appliance& box, Side from, const Bytes& frame, const Bytes& marker) {
  perf::Sink& sink = box.sink(opposite(from));
  sink.record(true);
  box.send(from, {frame, marker});
  std::size_t frames = 0, markers = 0;
  eventually([&] {
    const auto came = sink.take();
    for (const perf::Recorded& one : came ? *came : std::vector<perf::Recorded>{}) {
      frames += one.bytes == frame ? 1U : 0U;
      markers += one.bytes == marker ? 1U : 0U;
    }
    return markers > 0;
  });
  sink.record(false);
  return frames == 0 && markers == 1;
}

TEST_F(Life, SigtermGivesBackWhatWasChanged) {
  Appliance box;
  box.configure();
  const std::string before = settings(box);
  ASSERT_TRUE(box.start()) << box.trouble();
  EXPECT_NE(settings(box), before) << "nothing was changed, so nothing is proved";
  EXPECT_EQ(box.stop(SIGTERM), 0) << box.trouble();
  EXPECT_EQ(settings(box), before);
  // And again, at once: no socket or queue is still taken.
  for (int i = 0; i < 5; ++i) {
    ASSERT_TRUE(box.start()) << "start " << i << ": " << box.trouble();
    EXPECT_EQ(box.stop(i % 2 == 0 ? SIGTERM : SIGINT), 0) << box.trouble();
  }
  EXPECT_EQ(settings(box), before);
}

TEST_F(Life, BlocksSurviveSigterm) {
  Appliance box;
  box.configure();
  ASSERT_TRUE(box.start()) << box.trouble();
  ASSERT_EQ(box.weir({"block", "add", "203.0.113.77"}).status, 0);
  EXPECT_EQ(box.stop(SIGTERM), 0);
  ASSERT_TRUE(box.start()) << box.trouble();
  EXPECT_NE(box.blocks().dump().find("203.0.113.77"), std::string::npos);
  const Ran why = box.weir({"why", "203.0.113.77"});
  EXPECT_NE(why.out.find("more: by hand"), std::string::npos) << why.out;
}

TEST_F(Life, InShadowTheBlocksOfAnEarlierRunDropNothing) {
  Appliance box;
  box.configure();
  ASSERT_TRUE(box.start()) << box.trouble();
  ASSERT_EQ(box.weir({"block", "add", "203.0.113.1"}).status, 0);
  box.equip();
  const Bytes steered =
      udp_frame(Shape::ip4, device(Shape::ip4), host(Shape::ip4), 1900, 4000, "-");
  EXPECT_TRUE(withholds(box, Side::wan, reflection(Shape::ip4), steered));
  EXPECT_EQ(box.stop(SIGTERM), 0);
  box.configure("[policy]\nmode = \"shadow\"");
  ASSERT_TRUE(box.start()) << box.trouble();
  EXPECT_TRUE(delivers(box, Side::wan, reflection(Shape::ip4)));
  EXPECT_NE(box.blocks().dump().find("203.0.113.1"), std::string::npos);
}

// A source that goes on sending: taken off, it is judged anew, and not by what was known of it.
TEST_F(Life, ABlockThatIsTakenOffDoesNotComeBackByItself) {
  Appliance box;
  box.configure();
  ASSERT_TRUE(box.start()) << box.trouble();
  box.equip();
  const auto judged = [&] {
    const Totals totals = box.totals();
    return totals.judged_forward + totals.judged_drop;
  };
  const auto blocked = [&] { return box.blocks().dump().find("203.0.113.1") != std::string::npos; };
  const perf::Stream flood{.frame = reflection(Shape::ip4), .stamped = false};
  const auto attacker = box.another_generator(Side::wan);
  ASSERT_TRUE(attacker->set({&flood, 1}));
  ASSERT_TRUE(eventually([&] {
    EXPECT_TRUE(attacker->send(500, 20'000));
    return blocked();
  }));
  // Later than the policy waits before it orders a block that does not hold once more.
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  const std::uint64_t before = judged();
  ASSERT_EQ(box.weir({"block", "del", "203.0.113.1"}).status, 0);
  box.send(Side::wan, {reflection(Shape::ip4)});
  EXPECT_TRUE(eventually([&] { return judged() > before; })) << box.status().dump(1);
  EXPECT_FALSE(blocked()) << "one packet is no evidence";
}

TEST_F(Life, SigkillLeavesTheForwardingAndTheNextStartTakesOver) {
  Appliance box;
  box.configure();
  box.equip();
  const std::string before = settings(box);
  ASSERT_TRUE(box.start()) << box.trouble();
  ASSERT_EQ(box.weir({"block", "add", "203.0.113.1"}).status, 0);

  // A counted stream flows from before the kill to after the next start.
  const perf::Stream stream{.frame = background(Shape::ip4), .flow = 5};
  const auto counted = box.another_generator(Side::wan);
  ASSERT_TRUE(counted->set({&stream, 1}));
  std::thread sender([&] {
    const OnCpu one(kGeneratorCpu);
    EXPECT_TRUE(counted->send(60'000, 20'000));
  });
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  EXPECT_EQ(box.stop(SIGKILL), 128 + SIGKILL);

  // Dead, and a wire still: what is not SSDP at once; SSDP when the heartbeat is too old; a blocked
  // source's never.
  EXPECT_TRUE(delivers(box, Side::lan, background(Shape::ip6)));
  EXPECT_TRUE(gets_through(box, Side::lan, search(Shape::ip4, 1)));
  EXPECT_TRUE(delivers(box, Side::wan, reply(Shape::ip4, 1, 1)));
  box.sink(Side::lan).record(true);
  box.send(Side::wan, {reflection(Shape::ip4)});
  EXPECT_TRUE(delivers(box, Side::wan, reply(Shape::ip4, 2, 2)));  // a later frame has come through
  EXPECT_TRUE(box.received(Side::lan, {}).empty());

  ASSERT_TRUE(box.start()) << box.trouble();
  EXPECT_NE(box.blocks().dump().find("\"203.0.113.1\""), std::string::npos);
  EXPECT_TRUE(delivers(box, Side::lan, search(Shape::ip4, 3)));
  sender.join();
  EXPECT_EQ(box.sink(Side::lan).flow(5).packets, 60'000U);
  EXPECT_EQ(box.sink(Side::lan).flow(5).out_of_order, 0U);
  // What the killed one had changed is still known, and given back at the end.
  EXPECT_EQ(box.stop(SIGTERM), 0) << box.trouble();
  EXPECT_EQ(settings(box), before);
}

/// A model of one leaf, which says the same of every packet.
void write_model(const std::string& path, const std::string& name,
                 const std::string& feature = "source_packets", double score = 0.25) {
  std::ofstream(path) << R"({"format": "weir-model", "version": 1, "kind": "trees", "name": ")"
                      << name << R"(", "features": [{"name": ")" << feature << R"("}],
"classes": [{"name": "benign"}, {"name": "attack"}], "outputs": 1, "link": "identity", "vote": "mean",
"compare": "<=", "trees": [{"feature": [-1], "threshold": [0], "left": [-1], "right": [-1],
"values": [)" << score << "]}]}";
}

std::string model_in_use(const Appliance& box) {
  return box.status().at("model").at("name").get<std::string>();
}

TEST_F(Life, ReloadExchangesTheModelUnderTrafficAndRefusesABadOne) {
  const std::string file = "/run/weir/model.json";
  for (const char* workers : {"0", "2"}) {
    std::filesystem::copy_file(std::getenv("WEIR_MODEL"), file,
                               std::filesystem::copy_options::overwrite_existing);
    Appliance box;
    box.configure(fmt::format("[policy]\nmode = \"shadow\"\n[workers]\ncount = {}", workers));
    // The configuration names the shipped model: here it is a file that changes.
    std::string text;
    std::getline(std::ifstream(Appliance::config_file()), text, '\0');
    const std::size_t at = text.find(std::getenv("WEIR_MODEL"));
    ASSERT_NE(at, std::string::npos);
    std::ofstream(Appliance::config_file())
        << text.replace(at, std::string(std::getenv("WEIR_MODEL")).size(), file);
    box.equip();
    ASSERT_TRUE(box.start()) << box.trouble();
    const std::string shipped = model_in_use(box);

    // SSDP that the model judges, from before the first reload to after the last.
    constexpr std::uint64_t kPackets = 20'000;
    const perf::Stream stream{.frame = search(Shape::ip4, 1), .flow = 6};
    const auto counted = box.another_generator(Side::lan);
    ASSERT_TRUE(counted->set({&stream, 1}));
    std::thread sender([&] {
      const OnCpu one(kGeneratorCpu);
      EXPECT_TRUE(counted->send(kPackets, 10'000));
    });
    write_model(file, "first");
    const Ran good = box.weir({"reload"});
    EXPECT_EQ(good.status, 0) << good.err;
    EXPECT_NE(good.out.find("first"), std::string::npos) << good.out;
    EXPECT_EQ(model_in_use(box), "first");

    std::ofstream(file) << "{\"format\": \"weir-model\", \"version\": 1, \"kind\": \"trees\"";
    const Ran bad = box.weir({"reload"});
    EXPECT_EQ(bad.status, 2);
    EXPECT_NE(bad.err.find(file), std::string::npos) << bad.err;
    EXPECT_NE(bad.err.find("model first (sha256 "), std::string::npos) << bad.err;
    EXPECT_NE(bad.err.find("stays in use"), std::string::npos) << bad.err;
    EXPECT_EQ(model_in_use(box), "first");
    write_model(file, "wider", "ttl");
    const Ran wider = box.weir({"reload"});
    EXPECT_EQ(wider.status, 2);
    EXPECT_NE(wider.err.find("'ttl'"), std::string::npos) << wider.err;
    EXPECT_NE(wider.err.find("restart weir"), std::string::npos) << wider.err;
    box.process().signal(SIGHUP);
    EXPECT_TRUE(eventually([&] {
      const std::string log = box.trouble();
      return log.find("stays in use", log.find("stays in use") + 1) != std::string::npos;
    })) << "no second refusal in the log: "
        << box.trouble();
    EXPECT_EQ(model_in_use(box), "first");

    std::filesystem::copy_file(std::getenv("WEIR_MODEL"), file,
                               std::filesystem::copy_options::overwrite_existing);
    box.process().signal(SIGHUP);
    EXPECT_TRUE(eventually([&] { return model_in_use(box) == shipped; })) << box.trouble();
    sender.join();
    EXPECT_TRUE(eventually([&] { return box.sink(Side::wan).flow(6).packets == kPackets; }))
        << box.sink(Side::wan).flow(6).packets << " of " << kPackets << " packets came";
    EXPECT_EQ(box.sink(Side::wan).flow(6).out_of_order, 0U);
    EXPECT_GE(box.totals().judged_forward, kPackets);
    EXPECT_EQ(box.stop(SIGTERM), 0) << box.trouble();
  }
}

TEST_F(Life, AScreenPassesWhatIsFineAndIsExchangedUnderTraffic) {
  const std::string file = "/run/weir/screen.json";
  write_model(file, "fine", "ip_ttl");
  Appliance box;
  box.configure(fmt::format("[policy]\nmode = \"shadow\"\n[screen]\nmodel = \"{}\"\n", file));
  box.equip();
  ASSERT_TRUE(box.start()) << box.trouble();
  const auto outcome = [&](const char* name) { return box.totals().outcomes[name]; };
  const Bytes other = udp_frame(Shape::ip4, device(Shape::ip4), host(Shape::ip4), 1900, 4000, "-");
  EXPECT_TRUE(delivers(box, Side::lan, search(Shape::ip4, 1)));
  EXPECT_TRUE(delivers(box, Side::wan, reply(Shape::ip4, 1, 1)));
  EXPECT_EQ(outcome("peer_screened"), 0U) << "SSDP is the sockets' own";
  EXPECT_TRUE(delivers(box, Side::wan, other));
  EXPECT_EQ(outcome("peer_screened"), 1U);
  EXPECT_NE(box.weir({"status"}).out.find("screen: fine (1 trees, 0 splits)"), std::string::npos);

  constexpr std::uint64_t kPackets = 10'000;
  const perf::Stream stream{.frame = other, .flow = 7};
  const auto counted = box.another_generator(Side::wan);
  ASSERT_TRUE(counted->set({&stream, 1}));
  std::thread sender([&] {
    const OnCpu one(kGeneratorCpu);
    EXPECT_TRUE(counted->send(kPackets, 20'000));
  });
  write_model(file, "wary", "ip_ttl", 0.75);
  const Ran good = box.weir({"reload"});
  EXPECT_EQ(good.status, 0) << good.err;
  EXPECT_NE(good.out.find("screen wary"), std::string::npos) << good.out;
  // Of what only userspace knows: no screen.
  std::ofstream(file) << R"({"format": "weir-model", "version": 1, "kind": "trees",
"features": [{"name": "source_packets"}], "classes": [{"name": "benign"}, {"name": "attack"}],
"outputs": 1, "link": "identity", "vote": "mean", "compare": "<=",
"trees": [{"feature": [0, -1, -1], "threshold": [1, 0, 0], "left": [1, -1, -1],
"right": [2, -1, -1], "values": [0.25, 0.75]}]})";
  const Ran bad = box.weir({"reload"});
  EXPECT_EQ(bad.status, 2);
  EXPECT_NE(bad.err.find("'source_packets' is none that the kernel reads"), std::string::npos)
      << bad.err;
  EXPECT_NE(bad.err.find("screen wary (sha256 "), std::string::npos) << bad.err;
  sender.join();
  EXPECT_TRUE(eventually([&] { return box.sink(Side::lan).flow(7).packets == kPackets; }))
      << box.sink(Side::lan).flow(7).packets << " of " << kPackets << " packets came";
  const std::uint64_t screened = outcome("peer_screened"), steered = outcome("socket_steered");
  EXPECT_TRUE(delivers(box, Side::wan, other));
  EXPECT_EQ(outcome("peer_screened"), screened);
  EXPECT_EQ(outcome("socket_steered"), steered + 1);
  EXPECT_EQ(box.stop(SIGTERM), 0) << box.trouble();
  // The file is no screen still: a start is refused, and says why.
  EXPECT_FALSE(box.start());
  EXPECT_NE(box.trouble().find("screen.json cannot be a screen"), std::string::npos)
      << box.trouble();
}

TEST_F(Life, DetachWithoutADaemonTakesEverythingAway) {
  Appliance box;
  box.configure();
  const std::string before = settings(box);
  ASSERT_TRUE(box.start()) << box.trouble();
  box.stop(SIGKILL);
  const Ran status = box.weir({"status"});
  EXPECT_EQ(status.status, 3) << status.err;
  EXPECT_NE(status.err.find("still forwards"), std::string::npos) << status.err;
  const Ran all = box.weir({"allow", "add", "0.0.0.0/0"});
  EXPECT_EQ(all.status, 0) << all.err;
  EXPECT_NE(all.err.find("none of them is judged"), std::string::npos) << all.err;
  const Ran half = box.weir({"block", "add", "2001:db8::7", "224.0.0.1"});
  EXPECT_EQ(half.status, 2) << half.err;
  EXPECT_NE(half.err.find("1 of 2 addresses were done"), std::string::npos) << half.err;
  const std::string socket = "/run/weir/control.sock";
  EXPECT_TRUE(std::filesystem::exists(socket));
  const Ran detach = box.weir({"detach"});
  EXPECT_EQ(detach.status, 0) << detach.err;
  EXPECT_EQ(detach.out.find("the program that a weir left on its interfaces is off; "), 0U)
      << detach.out;
  EXPECT_EQ(settings(box), before);
  EXPECT_FALSE(std::filesystem::exists(socket));
}

TEST_F(Life, FailModeClosedDropsSsdpAndNothingElse) {
  Appliance box;
  box.configure("[fail]\nfail_mode = \"closed\"");
  ASSERT_TRUE(box.start()) << box.trouble();
  box.equip();
  EXPECT_TRUE(delivers(box, Side::lan, search(Shape::ip4, 1)));
  box.stop(SIGKILL);
  EXPECT_TRUE(delivers(box, Side::lan, background(Shape::ip4)));
  box.sink(Side::wan).record(true);
  box.send(Side::lan, {search(Shape::ip4, 2)});
  EXPECT_TRUE(delivers(box, Side::lan, background(Shape::ip6)));  // a later frame has come through
  EXPECT_EQ(box.sink(Side::wan).flow(0).packets, 0U);
  EXPECT_TRUE(withholds(box, Side::lan, search(Shape::ip4, 3), background(Shape::ip4)));
}

TEST_F(Life, GenericModeWorksAndSaysSo) {
  Appliance box;
  box.configure("[channels]\ntransmit = \"redirect\"", "xdp = \"generic\"");
  // Without a native program only GRO makes a veth take redirected frames: the lab's need, not
  // weir's.
  for (const char* interface : {"wan", "lan"})
    box.wire.box.must(fmt::format("ethtool -K {} gro on", interface));
  ASSERT_TRUE(box.start()) << box.trouble();
  box.equip();
  EXPECT_NE(box.status().dump().find("generic"), std::string::npos) << box.status().dump(1);
  EXPECT_NE(box.trouble().find("generic"), std::string::npos) << "the log does not say so";
  EXPECT_NE(
      box.trouble().find("'wan' has generic XDP, and native is needed; what was judged leaves "
                         "by the sockets"),
      std::string::npos);
  for (const Shape shape : {Shape::ip4, Shape::ip6, Shape::pppoe}) {
    EXPECT_TRUE(delivers(box, Side::lan, search(shape, 1))) << name(shape);
    EXPECT_TRUE(delivers(box, Side::wan, reply(shape, 1, 1))) << name(shape);
    EXPECT_TRUE(delivers(box, Side::wan, background(shape))) << name(shape);
  }
}

TEST_F(Life, TwoChannelsOnTwoQueuesBothCarry) {
  for (const unsigned workers : {0U, 2U}) {
    Appliance box(2);
    box.configure(fmt::format("[channels]\ncount = 2\n[workers]\ncount = {}", workers));
    ASSERT_TRUE(box.start()) << box.trouble();
    box.equip();
    constexpr unsigned kEach = 20;
    const auto before = box.totals().channel_received;
    for (unsigned i = 0; i < 2 * kEach; ++i) {
      const OnCpu one(i % 2);  // a veth receives into the queue of the CPU that sends
      ASSERT_TRUE(delivers(box, Side::lan, search(Shape::ip4, i)))
          << i << box.status().dump(1) << box.blocks().dump(1);
      ASSERT_TRUE(delivers(box, Side::wan, reply(Shape::ip4, i, i))) << i;
    }
    Totals totals = box.totals();
    ASSERT_EQ(totals.channel_received.size(), 2U);
    for (const std::size_t channel : {0U, 1U})
      EXPECT_GE(totals.channel_received[channel] - before[channel], kEach) << channel;
    EXPECT_EQ(totals.outcomes["peer_no_socket"], 0U);
    EXPECT_TRUE(totals.conserved);
    EXPECT_EQ(box.stop(SIGTERM), 0) << box.trouble();
  }
}

TEST_F(Life, ALinkThatChangesIsSaidAndOneThatGoesEndsIt) {
  Appliance box;
  box.configure();
  ASSERT_TRUE(box.start()) << box.trouble();
  const auto link = [&] { return box.status().at("interfaces").at("lan").at("link"); };
  EXPECT_TRUE(eventually([&] { return link() == "up"; }));
  box.wire.lan.must("ip link set lan0 down");
  EXPECT_TRUE(eventually([&] { return link() == "no carrier"; }));
  EXPECT_TRUE(eventually([&] { return box.trouble().find("no carrier") != std::string::npos; }));
  box.wire.lan.must("ip link set lan0 up");
  EXPECT_TRUE(eventually([&] { return box.trouble().find("up again") != std::string::npos; }));
  box.wire.box.must("ip link del lan");
  EXPECT_EQ(box.process().wait(std::chrono::seconds(20)), 1) << box.trouble();
  EXPECT_NE(box.trouble().find("interface 'lan' is gone"), std::string::npos) << box.trouble();
  EXPECT_EQ(box.wire.box.must("ip -details link show wan").find("prog/xdp"), std::string::npos);
}

TEST_F(Life, APolledChannelNeverSleeps) {
  Appliance box;
  box.configure("[channels]\nbusy_poll = true");
  ASSERT_TRUE(box.start()) << box.trouble();
  box.equip();
  EXPECT_TRUE(delivers(box, Side::lan, search(Shape::ip4, 1)));
  EXPECT_TRUE(delivers(box, Side::wan, reply(Shape::ip4, 1, 1)));
  const auto status = box.status();
  for (const auto& channel : status.at("channels")) {
    EXPECT_EQ(channel.at("busy_poll"), true);
    EXPECT_EQ(channel.at("sleeps"), 0);
    EXPECT_GT(channel.at("wan").at("wakeups_rx"), 0);
  }
  EXPECT_EQ(box.stop(SIGTERM), 0) << box.trouble();
}

}  // namespace
}  // namespace weir::test
