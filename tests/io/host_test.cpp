// SPDX-License-Identifier: BSD-2-Clause
// Privileged: settings of real interfaces (veth pairs), in network namespaces of the test's own.
#include "io/host.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/mount.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "io/link_watch.h"
#include "support/wire.h"

namespace weir::io {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

class Host : public testing::Test {
 protected:
  static void SetUpTestSuite() { privilege_ = weir::test::own_mounts(); }
  void SetUp() override {
    if (!privilege_) GTEST_SKIP() << privilege_.error().message;
    wire_ = std::make_unique<weir::test::Wire>();
    inside_ = std::make_unique<weir::test::Inside>(wire_->box);
    std::filesystem::remove(kState);
    before_ = settings();
  }
  void must(const std::string& command) const { wire_->box.must(command); }

  /// All that weir may change, as other programs see it.
  std::string settings() const {
    std::string text;
    for (const char* name : {"wan", "lan"}) {
      text += must_out(std::string("ethtool -k ") + name);
      text += promiscuous(name) ? "promiscuous\n" : "not promiscuous\n";
    }
    return text;
  }
  std::string must_out(const std::string& command) const { return wire_->box.must(command); }
  bool promiscuous(const char* name) const {
    return must_out(std::string("ip link show dev ") + name).find("PROMISC") != std::string::npos;
  }
  bool feature(const char* name, const std::string& feature) const {
    const std::string all = must_out(std::string("ethtool -k ") + name);
    EXPECT_THAT(all, HasSubstr(feature + ": "));
    return all.find(feature + ": on") != std::string::npos;
  }
  Status apply(const std::array<std::string, kSides>& interfaces = {"wan", "lan"},
               const Tuning& tuning = {}) {
    warnings_.clear();
    return HostSettings::apply(interfaces, tuning, kState, warnings_);
  }
  std::string why(const std::array<std::string, kSides>& interfaces) {
    const Status applied = apply(interfaces);
    EXPECT_EQ(settings(), before_) << "a failed apply changes nothing";
    EXPECT_FALSE(std::filesystem::exists(kState));
    return applied ? "applied" : applied.error().message;
  }

  static constexpr const char* kState = "/run/weir/host-test.json";
  static inline Status privilege_;
  std::unique_ptr<weir::test::Wire> wire_;
  std::unique_ptr<weir::test::Inside> inside_;
  std::vector<std::string> warnings_;
  std::string before_;
};

TEST_F(Host, TellsFacts) {
  const auto facts = inspect("wan");
  ASSERT_TRUE(facts) << facts.error().message;
  EXPECT_EQ(facts->name, "wan");
  EXPECT_GT(facts->ifindex, 0U);
  EXPECT_EQ(facts->driver, "veth");
  EXPECT_EQ(facts->mtu, 1500U);
  EXPECT_EQ(facts->rx_queues, 1U);
  EXPECT_EQ(facts->tx_queues, 2U);  // one more than its own rx queues: support/wire.h
  EXPECT_TRUE(facts->up);
  EXPECT_TRUE(facts->carrier);
}

TEST_F(Host, SaysWhatIsWrongWithAnInterface) {
  const auto why = [](const char* name) {
    const auto facts = inspect(name);
    return facts ? "nothing" : facts.error().message;
  };
  EXPECT_THAT(why("nope"), HasSubstr("interface 'nope' does not exist"));
  EXPECT_THAT(why("a-name-that-is-longer-than-any-interface"), HasSubstr("does not exist"));
  EXPECT_THAT(why("lo"), HasSubstr("interface 'lo' is no Ethernet interface (hardware type 772)"));
  must("ip link set wan down");
  EXPECT_THAT(why("wan"), HasSubstr("is down: it must be up; run 'ip link set dev wan up'"));
  must("ip link set wan up");
  must("ip link set wan mtu 9000");
  EXPECT_THAT(why("wan"), HasSubstr("MTU 9000: XDP takes at most 3498; run 'ip link set dev wan"));
}

TEST_F(Host, ChangesAndGivesBack) {
  ASSERT_FALSE(promiscuous("wan"));
  ASSERT_TRUE(feature("lan", "rx-vlan-offload"));
  ASSERT_TRUE(feature("lan", "tx-vlan-offload"));
  ASSERT_TRUE(apply());
  for (const char* name : {"wan", "lan"}) {
    EXPECT_TRUE(promiscuous(name));
    EXPECT_FALSE(feature(name, "rx-vlan-offload"));
    EXPECT_FALSE(feature(name, "tx-vlan-offload"));
    EXPECT_FALSE(feature(name, "large-receive-offload"));
  }
  EXPECT_TRUE(std::filesystem::exists(kState));
  ASSERT_TRUE(HostSettings::restore(kState));
  EXPECT_EQ(settings(), before_);
  EXPECT_FALSE(std::filesystem::exists(kState));
  EXPECT_TRUE(HostSettings::restore(kState)) << "nothing to do";
}

TEST_F(Host, WhatWasSoBeforeStaysSo) {
  must("ip link set wan promisc on");
  must("ethtool -K wan rxvlan off");
  before_ = settings();
  ASSERT_TRUE(apply());
  ASSERT_TRUE(HostSettings::restore(kState));
  EXPECT_EQ(settings(), before_);
}

TEST_F(Host, WhatSomebodyElseChangedIsHis) {
  ASSERT_TRUE(apply());
  // By another hand, back to what it was: nothing is left to give back.
  must("ip link set wan promisc off");
  must("ethtool -K lan rxvlan on");
  ASSERT_TRUE(HostSettings::restore(kState));
  EXPECT_EQ(settings(), before_);
}

TEST_F(Host, AStartAfterAKillKnowsWhatToGiveBack) {
  ASSERT_TRUE(apply());
  // No `restore`: the process was killed. The next one finds everything set.
  ASSERT_TRUE(apply());
  ASSERT_TRUE(HostSettings::restore(kState));
  EXPECT_EQ(settings(), before_);
}

TEST_F(Host, AKillWithinTheChangesIsUndoneToo) {
  ASSERT_TRUE(apply());
  // The state file is written first: as if the last changes had not been made.
  must("ethtool -K lan rxvlan on");
  must("ethtool -K lan txvlan on");
  ASSERT_TRUE(HostSettings::restore(kState));
  EXPECT_EQ(settings(), before_);
}

TEST_F(Host, AnotherPairsSettingsAreGivenBackAtTheNextStart) {
  ASSERT_TRUE(apply());
  must("ip link add other0 type veth peer name other1");
  must("ip link set other0 up");
  must("ip link set other1 up");
  ASSERT_TRUE(apply({"other0", "other1"}));
  EXPECT_EQ(settings(), before_);
  EXPECT_TRUE(promiscuous("other0"));
  ASSERT_TRUE(HostSettings::restore(kState));
  EXPECT_FALSE(promiscuous("other0"));
}

TEST_F(Host, ANewInterfaceOfTheOldNameIsLeftAlone) {
  ASSERT_TRUE(apply());
  must("ip link del wan");
  must("ip link add wan type veth peer name other");
  must("ip link set wan up");
  must("ip link set wan promisc on");
  ASSERT_TRUE(HostSettings::restore(kState));
  EXPECT_TRUE(promiscuous("wan"));
  EXPECT_FALSE(promiscuous("lan"));
}

TEST_F(Host, ARenamedInterfaceGetsItsSettingsBack) {
  ASSERT_TRUE(apply());
  must("ip link set wan down");
  must("ip link set wan name renamed");
  must("ip link set renamed up");
  EXPECT_TRUE(promiscuous("renamed"));
  ASSERT_TRUE(HostSettings::restore(kState));
  EXPECT_FALSE(promiscuous("renamed"));
  EXPECT_FALSE(promiscuous("lan"));
}

/// A view of sysfs that shows this network namespace, as that of a box does.
class Sysfs {
 public:
  Sysfs() { WEIR_CHECK(mount("sysfs", "/sys", "sysfs", 0, nullptr) == 0); }
  ~Sysfs() { umount2("/sys", MNT_DETACH); }
  Sysfs(const Sysfs&) = delete;
  Sysfs& operator=(const Sysfs&) = delete;
  static std::string read(const std::string& name) {
    std::string text;
    std::ifstream("/sys/class/net/" + name) >> text;
    return text;
  }
};

TEST_F(Host, NapiIsSetForWhoPollsAndGivenBack) {
  const Sysfs sysfs;
  const std::string before = Sysfs::read("lan/napi_defer_hard_irqs");
  ASSERT_TRUE(apply({"wan", "lan"}, {.napi_defer_hard_irqs = 7, .gro_flush_ns = 123'000}));
  for (const std::string name : {"wan", "lan"}) {
    EXPECT_EQ(Sysfs::read(name + "/napi_defer_hard_irqs"), "7");
    EXPECT_EQ(Sysfs::read(name + "/gro_flush_timeout"), "123000");
  }
  std::ofstream("/sys/class/net/wan/gro_flush_timeout") << 5;  // by somebody else
  ASSERT_TRUE(HostSettings::restore(kState));
  EXPECT_EQ(Sysfs::read("lan/napi_defer_hard_irqs"), before);
  EXPECT_EQ(Sysfs::read("lan/gro_flush_timeout"), "0");
  EXPECT_EQ(Sysfs::read("wan/gro_flush_timeout"), "5");
}

TEST_F(Host, SysfsOfAnotherNamespaceIsNotTouched) {
  ASSERT_TRUE(apply({"wan", "lan"}, {.napi_defer_hard_irqs = 7}));
  EXPECT_THAT(warnings_, testing::Contains(HasSubstr(
                             "interface 'wan' has no napi_defer_hard_irqs in /sys/class/net")));
  ASSERT_TRUE(HostSettings::restore(kState));
}

TEST_F(Host, OneSideAloneIsHostMode) {
  ASSERT_TRUE(apply({"wan", ""}));
  EXPECT_FALSE(promiscuous("wan")) << "what is for others is nobody's here";
  EXPECT_NE(settings(), before_) << "tags must be in the frames";
  ASSERT_TRUE(HostSettings::restore(kState));
  EXPECT_EQ(settings(), before_);
}

TEST_F(Host, RefusesPairsThatAreNoWire) {
  EXPECT_THAT(why({"wan", "wan"}), HasSubstr("interface 'wan' is given for both sides"));
  EXPECT_THAT(why({"wan", "nope"}), HasSubstr("interface 'nope' does not exist"));
  must("ip link set lan mtu 1400");
  EXPECT_THAT(why({"wan", "lan"}),
              AllOf(HasSubstr("interface 'wan' has MTU 1500 and 'lan' has 1400"),
                    HasSubstr("run 'ip link set dev wan mtu 1400'")));
  must("ip link set lan mtu 1500");
  must("ip link add br0 type bridge");
  must("ip link set wan master br0");
  must("ip link set lan master br0");
  before_ = settings();
  EXPECT_THAT(why({"wan", "lan"}), HasSubstr("are in the same bridge"));
}

TEST_F(Host, AStateFileThatCannotBeWrittenChangesNothing) {
  const Status applied = HostSettings::apply({"wan", "lan"}, {}, "/run/weir/no/state", warnings_);
  ASSERT_FALSE(applied);
  EXPECT_THAT(applied.error().message,
              HasSubstr("state file '/run/weir/no/state' cannot be written: No such file"));
  EXPECT_EQ(settings(), before_);
}

TEST_F(Host, AStateFileOfSomebodyElseIsAnError) {
  for (
      const char* text :
      {"", "{", "[]", "{}", "7", R"({"version":3,"changes":[]})", R"({"version":2})",
       R"({"version":2,"changes":{}})", R"({"version":2,"changes":[1]})",
       R"({"version":2,"changes":[{"interface":1,"ifindex":1,"setting":"x","to":1,"before":0}]})",
       R"({"version":2,"changes":[{"interface":"wan","ifindex":1,"setting":"x","to":-1,"before":0}]})"}) {
    std::ofstream(kState) << text;
    const Status restored = HostSettings::restore(kState);
    ASSERT_FALSE(restored) << text;
    EXPECT_THAT(restored.error().message, HasSubstr("is not one that weir wrote")) << text;
    EXPECT_FALSE(apply()) << text;
    EXPECT_EQ(settings(), before_);
    EXPECT_TRUE(std::filesystem::exists(kState));
  }
}

TEST_F(Host, WarnsOfAFarEndThatDoesNotPoll) {
  ASSERT_TRUE(apply());
  EXPECT_THAT(warnings_,
              ElementsAre(AllOf(HasSubstr("'wan' is a veth"), HasSubstr("another namespace")),
                          AllOf(HasSubstr("'lan' is a veth"), HasSubstr("another namespace"))));
  must("ip link add near type veth peer name far");
  must("ip link set near up");
  must("ip link set far up");
  ASSERT_TRUE(apply({"near", "lan"}));
  EXPECT_THAT(warnings_, ElementsAre(HasSubstr("whose far end 'far' has no NAPI"),
                                     HasSubstr("'lan' is a veth")));
  must("ethtool -K far gro on");
  ASSERT_TRUE(apply({"near", "lan"}));
  EXPECT_THAT(warnings_, ElementsAre(HasSubstr("'lan' is a veth")));
  ASSERT_TRUE(apply({"near", ""}));
  EXPECT_THAT(warnings_, IsEmpty()) << "nothing is redirected into a host's own interface";
}

/// The changes that come after `command`, as "side before now", until the last one is `last`.
std::vector<std::string> after(const weir::test::Namespace& where, const std::string& command,
                               LinkWatch& watch, Link last) {
  where.must(command);
  std::vector<std::string> found;
  for (;;) {
    for (const auto& change : watch.changes()) {
      found.push_back(std::string(change.side == Side::wan ? "wan " : "lan ") +
                      name(change.before) + ", " + name(change.now));
      if (change.now == last) return found;
    }
    pollfd readable{watch.fd(), POLLIN, 0};
    if (poll(&readable, 1, 10'000) != 1) return {"nothing came"};
  }
}

TEST_F(Host, ALinkThatChangesIsSeen) {
  // The kernel tells of a carrier at its leisure.
  for (const char* interface : {"wan", "lan"})
    while (link_of(interface) != Link::up) usleep(1'000);
  auto watch = LinkWatch::open({"wan", "lan"});
  ASSERT_TRUE(watch) << watch.error().message;
  EXPECT_TRUE(watch->changes().empty());
  EXPECT_EQ(link_of("nope"), Link::gone);
  EXPECT_THAT(after(wire_->lan, "ip link set lan0 down", *watch, Link::no_carrier),
              ElementsAre("lan up, no carrier"));
  EXPECT_THAT(after(wire_->lan, "ip link set lan0 up", *watch, Link::up),
              ElementsAre("lan no carrier, up"));
  EXPECT_THAT(after(wire_->box, "ip link set wan down", *watch, Link::down),
              ElementsAre("wan up, down"));
  EXPECT_THAT(after(wire_->box, "ip link set wan up", *watch, Link::up), Not(IsEmpty()));
  EXPECT_THAT(after(wire_->box, "ip link del lan", *watch, Link::gone).back(), HasSubstr("gone"));
  // Another one of that name is not the one that weir was attached to.
  wire_->box.must("ip link add lan type veth peer name lan1");
  EXPECT_TRUE(watch->changes().empty());
  EXPECT_EQ(link_of("lan"), Link::down);
}

}  // namespace
}  // namespace weir::io
