// SPDX-License-Identifier: BSD-2-Clause
// Host mode: one interface of this machine, whose connections must not notice.
#include <arpa/inet.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <netinet/tcp.h>
#include <poll.h>

#include <atomic>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <thread>

#include "appliance.h"
#include "base/fd.h"
#include "frames.h"

namespace weir::test {
namespace {

constexpr const char* kFar = "198.51.100.1";  // wan0, where the attackers are too
constexpr const char* kHost = "198.51.100.9";
constexpr const char* kGroup = "239.255.255.250";

sockaddr_in at(const char* address, std::uint16_t port) {
  sockaddr_in place{};
  place.sin_family = AF_INET;
  place.sin_port = htons(port);
  inet_pton(AF_INET, address, &place.sin_addr);
  return place;
}

/// A socket of a namespace, bound; a wait on it ends after `timeout_ms`.
Fd socket_in(const Namespace& where, int type, const sockaddr_in& own, int timeout_ms = 5000) {
  const Inside inside(where);
  Fd made(socket(AF_INET, type | SOCK_CLOEXEC, 0));
  const int one = 1;
  WEIR_CHECK(setsockopt(made.get(), SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) == 0);
  const timeval timeout{timeout_ms / 1000, timeout_ms % 1000 * 1000};
  WEIR_CHECK(setsockopt(made.get(), SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout) == 0);
  WEIR_CHECK(bind(made.get(), reinterpret_cast<const sockaddr*>(&own), sizeof own) == 0);
  return made;
}

std::string receive(const Fd& from, sockaddr_in* sender = nullptr) {
  std::string text(2048, '\0');
  socklen_t length = sizeof(sockaddr_in);
  const ssize_t got = recvfrom(from.get(), text.data(), text.size(), 0,
                               reinterpret_cast<sockaddr*>(sender), sender ? &length : nullptr);
  text.resize(static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
  return text;
}

bool send(const Fd& from, const std::string& text, const sockaddr_in& to) {
  return sendto(from.get(), text.data(), text.size(), 0, reinterpret_cast<const sockaddr*>(&to),
                sizeof to) == static_cast<ssize_t>(text.size());
}

/// Connections of the host that go on all the while: keys that a shell on it echoes, and names that
/// it asks of a resolver, which as any resolver's client it does up to three times.
class Connections {
 public:
  explicit Connections(const Wire& wire)
      : resolver_(socket_in(wire.wan, SOCK_DGRAM, at(kFar, 53), 100)),
        asker_(socket_in(wire.box, SOCK_DGRAM, at(kHost, 40053), 300)) {
    const Fd listener = socket_in(wire.box, SOCK_STREAM, at(kHost, 22));
    WEIR_CHECK(listen(listener.get(), 1) == 0);
    terminal_ = socket_in(wire.wan, SOCK_STREAM, at(kFar, 0));
    const sockaddr_in host = at(kHost, 22);
    WEIR_CHECK(connect(terminal_.get(), reinterpret_cast<const sockaddr*>(&host), sizeof host) ==
               0);
    const int one = 1;
    setsockopt(terminal_.get(), IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    shell_ = Fd(accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
    WEIR_CHECK(!!shell_);
    threads_.emplace_back([this] { echo(); });
    threads_.emplace_back([this] { resolve(); });
    threads_.emplace_back([this] { type(); });
    threads_.emplace_back([this] { ask(); });
  }
  ~Connections() {
    stop_ = true;
    shutdown(terminal_.get(), SHUT_RDWR);
    for (auto& thread : threads_) thread.join();
  }

  /// Both have done something since the last call, and neither has broken.
  [[nodiscard]] bool alive() {
    const unsigned keys = keys_, names = names_;
    return eventually([&] { return broken_ || (keys_ > keys + 3 && names_ > names + 3); }) &&
           !broken_;
  }

 private:
  void echo() {
    char key = 0;
    while (recv(shell_.get(), &key, 1, 0) == 1)
      if (::send(shell_.get(), &key, 1, MSG_NOSIGNAL) != 1) return;
  }
  void resolve() {
    while (!stop_) {
      sockaddr_in who{};
      const std::string question = receive(resolver_, &who);
      if (!question.empty()) send(resolver_, question + " is 192.0.2.1", who);
    }
  }
  void type() {
    for (char key = 'a'; !stop_; key = key == 'z' ? 'a' : static_cast<char>(key + 1)) {
      char echoed = 0;
      const bool came = ::send(terminal_.get(), &key, 1, MSG_NOSIGNAL) == 1 &&
                        recv(terminal_.get(), &echoed, 1, 0) == 1 && echoed == key;
      if (!came && !stop_) broken_ = true;
      if (!came) return;
      ++keys_;
      std::this_thread::sleep_for(std::chrono::milliseconds(3));
    }
  }
  void ask() {
    for (unsigned number = 0; !stop_; ++number) {
      const std::string question = fmt::format("name {}", number);
      bool known = false;
      for (int tries = 0; tries < 3 && !known; ++tries) {
        send(asker_, question, at(kFar, 53));
        std::string answer;
        do answer = receive(asker_);
        while (!answer.empty() && !answer.starts_with(question + " "));
        known = !answer.empty();
      }
      if (!known) broken_ = true;
      if (!known) return;
      ++names_;
      std::this_thread::sleep_for(std::chrono::milliseconds(3));
    }
  }

  Fd resolver_, asker_, terminal_, shell_;
  std::atomic<bool> stop_{false}, broken_{false};
  std::atomic<unsigned> keys_{0}, names_{0};
  std::vector<std::thread> threads_;
};

struct HostBox : Appliance {
  HostBox() { wire.box.must(fmt::format("ip address add {}/24 dev wan", kHost)); }
  void configure_host(const std::string& keys, const std::string& more) const {
    std::ofstream file(config_file());
    file << "[interfaces]\nmode = \"host\"\nhost = \"wan\"\n"
         << keys << "\n[model]\npath = \"" << std::getenv("WEIR_MODEL") << "\"\n"
         << more << "\n";
    WEIR_CHECK(file.flush().good());
  }
  /// All of the box that weir might change, or leave behind.
  [[nodiscard]] std::string settings() const {
    const std::string link = wire.box.must("ip -details link show wan");
    return fmt::format("{}{}{}{}promisc {} xdp {}", wire.box.must("ethtool -k wan"),
                       wire.box.must("ip -brief address show dev wan"),
                       wire.box.must("tc qdisc show"), wire.box.must("ip -brief link").size(),
                       link.find("PROMISC") != std::string::npos,
                       link.find("prog/xdp") != std::string::npos);
  }
  [[nodiscard]] bool has_blocked(const std::string& address) const {
    return blocks().dump().find("\"" + address + "\"") != std::string::npos;
  }
};

/// A member of the group at 1900, as a control point is.
Fd member(const Namespace& where, const char* own) {
  Fd made = socket_in(where, SOCK_DGRAM, at("0.0.0.0", 1900), 3000);
  ip_mreq group{at(kGroup, 0).sin_addr, at(own, 0).sin_addr};
  WEIR_CHECK(setsockopt(made.get(), IPPROTO_IP, IP_ADD_MEMBERSHIP, &group, sizeof group) == 0);
  WEIR_CHECK(setsockopt(made.get(), IPPROTO_IP, IP_MULTICAST_IF, &group.imr_interface,
                        sizeof group.imr_interface) == 0);
  return made;
}

struct How {
  const char* judge;
  const char* xdp;
  const char* steer;
  const char* blocked = "drop_block_ssdp";
};
void PrintTo(const How& how, std::ostream* out) { *out << how.judge << " " << how.xdp; }

class Host : public testing::Test {
 protected:
  void SetUp() override { WEIR_NEEDS_PRIVILEGE(); }
};

class HostWays : public Host, public testing::WithParamInterface<How> {};

constexpr const char* kSearch =
    "M-SEARCH * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\nMAN: \"ssdp:discover\"\r\nMX: 1\r\n"
    "ST: ssdp:all\r\n\r\n";
constexpr const char* kAnswer =
    "HTTP/1.1 200 OK\r\nCACHE-CONTROL: max-age=1800\r\nEXT:\r\nLOCATION: http://198.51.100.1/d\r\n"
    "SERVER: x UPnP/1.0 y\r\nST: ssdp:all\r\nUSN: uuid:1::upnp:rootdevice\r\n\r\n";
constexpr const char* kNotify =
    "NOTIFY * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\nCACHE-CONTROL: max-age=1800\r\n"
    "LOCATION: http://198.51.100.1/d\r\nNT: upnp:rootdevice\r\nNTS: ssdp:alive\r\n"
    "SERVER: x UPnP/1.0 y\r\nUSN: uuid:1::upnp:rootdevice\r\n\r\n";

/// The host looks for devices, and hears one that announces itself: by sockets that are bound to
/// the interface, as what is multicast has to be.
void discover(const Wire& wire) {
  const Fd device = member(wire.wan, kFar);
  const Fd control_point = member(wire.box, kHost);
  const Fd searcher = socket_in(wire.box, SOCK_DGRAM, at(kHost, 50001), 3000);
  for (const Fd* own : {&control_point, &searcher})
    WEIR_CHECK(setsockopt(own->get(), SOL_SOCKET, SO_BINDTODEVICE, "wan", 4) == 0);
  ASSERT_TRUE(send(searcher, kSearch, at(kGroup, 1900)));
  sockaddr_in who{};
  ASSERT_EQ(receive(device, &who), kSearch);
  ASSERT_TRUE(send(device, kAnswer, who));
  EXPECT_EQ(receive(searcher), kAnswer);
  ASSERT_TRUE(send(device, kNotify, at(kGroup, 1900)));
  std::string heard = receive(control_point);
  if (heard == kSearch) heard = receive(control_point);  // our own, which a group gives back
  EXPECT_EQ(heard, kNotify);
}

std::uint64_t reason(const HostBox& box, const std::string& name) {
  const auto status = box.status();
  for (const auto& one : status.at("reasons"))
    if (one.at("name") == name) return one.at("packets").get<std::uint64_t>();
  return 0;
}

TEST_P(HostWays, ConnectionsLiveThroughEverything) {
  const How& how = GetParam();
  HostBox box;
  box.configure_host(fmt::format("xdp = \"{}\"", how.xdp),
                     fmt::format("[host]\njudge = \"{}\"\n[steer]\n{}", how.judge, how.steer));
  // The lab's need: a veth takes what the generator redirects into it only where it polls.
  box.wire.box.must("ethtool -K wan gro on");
  const std::string before = box.settings();
  Connections connections(box.wire);
  ASSERT_TRUE(connections.alive());
  ASSERT_TRUE(box.start()) << box.trouble();
  EXPECT_TRUE(connections.alive()) << "attach";
  EXPECT_EQ(box.wire.box.must("ip -details link show wan").find("PROMISC"), std::string::npos);
  discover(box.wire);
  EXPECT_TRUE(eventually([&] { return reason(box, "solicited") >= 1; })) << box.status().dump(1);

  const perf::Stream flood{.frame = reflection(Shape::ip4), .stamped = false};
  const auto attacker = box.another_generator(Side::wan);
  ASSERT_TRUE(attacker->set({&flood, 1}));
  EXPECT_TRUE(eventually([&] {
    EXPECT_TRUE(attacker->send(500, 20'000));
    return box.has_blocked("203.0.113.1");
  })) << box.status().dump(1);
  EXPECT_TRUE(connections.alive()) << "attack and block";
  EXPECT_TRUE(eventually([&] {
    EXPECT_TRUE(attacker->send(10, 20'000));
    return box.totals().outcomes[how.blocked] > 0;
  })) << box.status().dump(1);
  EXPECT_FALSE(box.has_blocked(kFar));
  const std::string out = box.process().out();
  const bool all = std::string(how.blocked) == "drop_block_all";
  EXPECT_EQ(
      out.find(fmt::format("blocked 203.0.113.1{} for 10m: ", all ? ", all of its traffic," : "")),
      0U)
      << out;
  EXPECT_EQ(box.totals().outcomes["peer_not_udp"] == 0, all) << "keys are judged as well";
  EXPECT_EQ(out.find("203.0.113.1"), out.rfind("203.0.113.1")) << "once: " << out;
  EXPECT_TRUE(box.totals().conserved);

  EXPECT_EQ(box.weir({"reload"}).status, 0);
  EXPECT_TRUE(connections.alive()) << "reload";
  EXPECT_EQ(box.stop(SIGKILL), 128 + SIGKILL);
  EXPECT_TRUE(connections.alive()) << "kill";
  ASSERT_TRUE(box.start()) << box.trouble();
  EXPECT_TRUE(connections.alive()) << "start again";
  EXPECT_TRUE(box.has_blocked("203.0.113.1"));
  discover(box.wire);
  box.stop(SIGKILL);
  const Ran detach = box.weir({"detach"});
  EXPECT_EQ(detach.status, 0) << detach.err;
  EXPECT_TRUE(connections.alive()) << "detach";
  EXPECT_EQ(box.settings(), before);
}

/// A tree of ports, as other tools write one: what comes from a port below 1024 is an attack.
constexpr const char* kTree =
    "<PMML version=\"4.4.1\"><Header/><DataDictionary>"
    "<DataField name=\"Source Port\" optype=\"continuous\" dataType=\"double\"/>"
    "<DataField name=\"your_target_column_name\" optype=\"categorical\" dataType=\"integer\">"
    "<Value value=\"0\"/><Value value=\"1\"/></DataField></DataDictionary>"
    "<TreeModel functionName=\"classification\"><MiningSchema><MiningField name=\"Source Port\"/>"
    "<MiningField name=\"your_target_column_name\" usageType=\"target\"/></MiningSchema>"
    "<Node><True/><Node score=\"1\"><SimplePredicate field=\"Source Port\" "
    "operator=\"lessOrEqual\" value=\"1023.5\"/><ScoreDistribution value=\"0\" recordCount=\"1\"/>"
    "<ScoreDistribution value=\"1\" recordCount=\"990\"/></Node><Node score=\"0\"><SimplePredicate "
    "field=\"Source Port\" operator=\"greaterThan\" value=\"1023.5\"/><ScoreDistribution "
    "value=\"0\" "
    "recordCount=\"9\"/><ScoreDistribution value=\"1\" "
    "recordCount=\"0\"/></Node></Node></TreeModel>"
    "</PMML>";

// The tree judges all of UDP, but for what the host itself asked: its resolver's answers, which come
// from port 53.
TEST_F(Host, TheCommandLineAloneIsEnough) {
  HostBox box;
  std::ofstream("/run/weir/tree.pmml") << kTree;
  const std::string before = box.settings();
  Connections connections(box.wire);
  Process process({std::getenv("WEIR"), "run", "--interface", "wan", "--model",
                   "/run/weir/tree.pmml", "--ports", "all"},
                  box.wire.box.fd());
  const auto status = [&] { return box.bare({"status", "--json"}); };
  ASSERT_TRUE(eventually([&] { return !process.running() || status().status == 0; }));
  const auto said = nlohmann::json::parse(status().out, nullptr, false);
  ASSERT_FALSE(said.is_discarded()) << process.err();
  EXPECT_EQ(said.at("interfaces").at("host").at("judge"), "observe");
  EXPECT_NE(process.err().find("99.00 % of the model's training rows"), std::string::npos)
      << process.err();
  const perf::Stream flood{.frame = udp_frame(Shape::ip4, reflector(Shape::ip4, 8),
                                              host(Shape::ip4), 700, 9999, "no SSDP"),
                           .stamped = false};
  const auto attacker = box.another_generator(Side::wan);
  ASSERT_TRUE(attacker->set({&flood, 1}));
  EXPECT_TRUE(eventually([&] {
    EXPECT_TRUE(attacker->send(100, 20'000));
    return process.out().find("blocked 203.0.113.9 for 10m: scored as an attack\n") !=
           std::string::npos;
  })) << process.out()
      << process.err();
  EXPECT_TRUE(connections.alive());
  EXPECT_EQ(process.out().find(kFar), std::string::npos) << process.out();
  process.signal(SIGTERM);
  EXPECT_EQ(process.wait(std::chrono::seconds(20)), 0) << process.err();
  EXPECT_EQ(box.settings(), before);
  EXPECT_EQ(box.bare({"detach"}).status, 0) << "blocks stay for the next start";
  const Ran both = box.weir({"run", "--interface", "wan"});
  EXPECT_EQ(both.status, 2);
  EXPECT_NE(both.err.find("do not go together"), std::string::npos) << both.err;
}

/// What the kernel does not know, the payload's size, decides with the TTL. What a sender may not clear
/// a packet by (pipeline/guard.h) is fine here.
constexpr const char* kPartlyHeaders =
    R"({"format": "weir-model", "version": 1, "name": "m", "kind": "trees", "outputs": 1,
    "link": "identity", "vote": "mean", "compare": "<=",
    "features": [{"name": "ip_ttl"}, {"name": "payload_bytes"}],
    "classes": [{"name": "fine"}, {"name": "bad"}],
    "trees": [{"feature": [0, 1, -1, -1, -1], "threshold": [200, 1000, 0, 0, 0],
      "left": [1, 3, -1, -1, -1], "right": [2, 4, -1, -1, -1], "values": [1, 0, 1]}]})";

TEST_F(Host, AKernelModelThatTheKernelCannotJudgeFallsBackToUserspace) {
  HostBox box;
  std::ofstream("/run/weir/m.json") << kPartlyHeaders;
  const std::string before = box.settings();
  Process process({std::getenv("WEIR"), "kernel-model", "load", "/run/weir/m.json", "--interface",
                   "wan", "--generic", "--fallback", "sockets"},
                  box.wire.box.fd());
  // Said once it judges: every packet from then on is looked at.
  ASSERT_TRUE(eventually([&] {
    return !process.running() ||
           process.err().find("userspace judges wan instead") != std::string::npos;
  }));
  EXPECT_NE(process.err().find("'payload_bytes' is none that the kernel reads"), std::string::npos);
  EXPECT_NE(process.err().find("'wan' is of veth: frames of its neighbours"), std::string::npos);
  EXPECT_NE(box.wire.box.must("ip link show wan").find("xdpgeneric"), std::string::npos);
  const Fd far = socket_in(box.wire.wan, SOCK_DGRAM, at(kFar, 40000));
  const Fd here = socket_in(box.wire.box, SOCK_DGRAM, at(kHost, 40000));
  const std::string large(1001, 'x');
  const auto with_ttl = [&](int ttl, const std::string& text) {
    WEIR_CHECK(setsockopt(far.get(), IPPROTO_IP, IP_TTL, &ttl, sizeof ttl) == 0);
    EXPECT_TRUE(send(far, text, at(kHost, 40000)));
  };
  with_ttl(64, "first");
  EXPECT_EQ(receive(here), "first") << process.err() << box.bare({"status"}).out;
  with_ttl(64, large);
  with_ttl(201, "near");
  with_ttl(200, "last");
  EXPECT_EQ(receive(here), "last") << "what is judged bad is dropped";
  // A kernel model has no place beside it; what is said to do about that works.
  const Ran second = box.bare(
      {"kernel-model", "load", "/run/weir/m.json", "--interface", "wan", "--fallback", "sockets"});
  EXPECT_NE(second.status, 0);
  std::ofstream("/run/weir/tree.pmml") << kTree;
  const Ran model = box.bare({"kernel-model", "load", "/run/weir/tree.pmml", "--interface", "wan"});
  EXPECT_EQ(model.status, 2);
  EXPECT_NE(model.err.find("`weir detach`, and -c FILE where"), std::string::npos) << model.err;
  const Ran detach = box.bare({"detach"});
  EXPECT_EQ(detach.status, 0) << detach.err;
  EXPECT_EQ(detach.out.find("weir, process "), 0U) << detach.out;
  EXPECT_EQ(process.wait(std::chrono::seconds(20)), 0) << process.err();
  EXPECT_EQ(box.settings(), before);
  with_ttl(64, large);
  EXPECT_EQ(receive(here), large) << "nobody judges any more";
}

INSTANTIATE_TEST_SUITE_P(
    Ways, HostWays,
    testing::Values(How{"observe", "auto", "udp_ports = \"all\""}, How{"observe", "generic", ""},
                    How{"guard", "auto", "protocols = \"all\"", "drop_block_all"},
                    How{"guard", "generic", "udp_ports = \"all\""}),
    [](const auto& way) { return fmt::format("{}_{}", way.param.judge, way.param.xdp); });

}  // namespace
}  // namespace weir::test
