// SPDX-License-Identifier: BSD-2-Clause
// The box is a wire: what is not an attack crosses it as it is, both ways, the steered part through
// the sockets and userspace.
#include <arpa/inet.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <csignal>
#include <random>
#include <thread>

#include "appliance.h"
#include "frames.h"

namespace weir::test {
namespace {

class WireTest : public testing::Test {
 protected:
  void SetUp() override {
    WEIR_NEEDS_PRIVILEGE();
    box_.emplace();
    box_->configure();
    ASSERT_TRUE(box_->start()) << box_->trouble();
    box_->equip();
  }
  std::optional<Appliance> box_;
};

void crosses_unchanged(Appliance& box, Side from, const std::vector<WireFrame>& frames) {
  std::vector<Bytes> sent;
  for (const WireFrame& frame : frames) sent.push_back(frame.bytes);
  box.sink(opposite(from)).record(true);
  box.send(from, sent);
  const std::vector<Bytes> got = box.received(opposite(from), sent);
  box.sink(opposite(from)).record(false);
  for (const WireFrame& frame : frames)
    EXPECT_EQ(std::count(got.begin(), got.end(), frame.bytes), 1)
        << frame.name << " from the " << (from == Side::wan ? "WAN" : "LAN");
  // The kernel's path is synchronous, so even the order is kept.
  EXPECT_EQ(got, sent);
}

TEST_F(WireTest, EveryKindOfFrameCrossesByteForByteBothWays) {
  for (const Side from : {Side::wan, Side::lan}) crosses_unchanged(*box_, from, every_kind(from));
}

TEST_F(WireTest, BenignSsdpCrossesThroughTheSocketsByteForByte) {
  for (const Shape shape : {Shape::ip4, Shape::ip6, Shape::vlan, Shape::qinq, Shape::pppoe}) {
    const std::uint64_t before = box_->totals().outcomes["socket_steered"];
    for (unsigned device = 0; device < 5; ++device) {
      crosses_unchanged(*box_, Side::lan,
                        {{fmt::format("search, {}", name(shape)), search(shape, device)}});
      crosses_unchanged(*box_, Side::wan,
                        {{fmt::format("reply, {}", name(shape)), reply(shape, device, device)}});
    }
    // By way of userspace, all ten of them: the datapath alone would prove nothing.
    EXPECT_GE(box_->totals().outcomes["socket_steered"], before + 10)
        << name(shape) << box_->status().dump(1) << box_->blocks().dump(1);
  }
}

TEST_F(WireTest, PingArpAndNeighbourDiscoveryWork) {
  for (const std::string address : {"198.51.100.2", "2001:db8:77::2"}) {
    const Ran ping =
        run({"ping", "-n", "-c", "5", "-i", "0.05", "-W", "5", address}, box_->wire.wan.fd());
    EXPECT_NE(ping.out.find("5 received, 0% packet loss"), std::string::npos)
        << ping.out << ping.err;
    // Both neighbours were found across the box, by ARP and by neighbour discovery.
    const std::string neighbour = box_->wire.wan.must(fmt::format("ip neigh show {}", address));
    const std::string link = box_->wire.lan.must("ip -o link show lan0");
    const std::size_t at = neighbour.find("lladdr ");
    ASSERT_NE(at, std::string::npos) << neighbour;
    EXPECT_NE(link.find(neighbour.substr(at + 7, 17)), std::string::npos) << neighbour << link;
  }
}

/// Sends `bytes` of a seeded stream from one end to the other by TCP and compares each of them.
void transfer(const Namespace& from, const Namespace& to, const char* server_address,
              std::size_t bytes) {
  sockaddr_in6 address{};
  address.sin6_family = AF_INET6;
  address.sin6_port = htons(5001);
  ASSERT_EQ(inet_pton(AF_INET6, server_address, &address.sin6_addr), 1);
  int listener = -1, sender = -1;
  {
    const Inside inside(to);
    listener = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const int yes = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    sockaddr_in6 any{};
    any.sin6_family = AF_INET6;
    any.sin6_port = htons(5001);
    ASSERT_EQ(bind(listener, reinterpret_cast<sockaddr*>(&any), sizeof any), 0);
    ASSERT_EQ(listen(listener, 1), 0);
  }
  {
    const Inside inside(from);
    sender = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ASSERT_EQ(connect(sender, reinterpret_cast<sockaddr*>(&address), sizeof address), 0)
        << strerror(errno);
  }
  const int receiver = accept(listener, nullptr, nullptr);
  ASSERT_GE(receiver, 0);
  std::thread writer([&] {
    std::minstd_rand random(7);
    std::vector<std::uint8_t> part(16384);
    for (std::size_t done = 0; done < bytes; done += part.size()) {
      for (auto& byte : part) byte = static_cast<std::uint8_t>(random() >> 8U);
      if (send(sender, part.data(), part.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(part.size()))
        break;
    }
    shutdown(sender, SHUT_WR);
  });
  std::minstd_rand random(7);
  std::size_t received = 0, wrong = 0;
  std::vector<std::uint8_t> part(65536);
  for (ssize_t got; (got = recv(receiver, part.data(), part.size(), 0)) > 0;) {
    for (ssize_t i = 0; i < got; ++i)
      wrong += part[static_cast<std::size_t>(i)] != static_cast<std::uint8_t>(random() >> 8U);
    received += static_cast<std::size_t>(got);
  }
  writer.join();
  for (const int fd : {sender, receiver, listener}) close(fd);
  EXPECT_EQ(received, bytes);
  EXPECT_EQ(wrong, 0U);
}

TEST_F(WireTest, TcpCarries32MebibytesUnchangedBothWaysAndFamilies) {
  constexpr std::size_t kBytes = 8U << 20U;
  transfer(box_->wire.wan, box_->wire.lan, "::ffff:198.51.100.2", kBytes);
  transfer(box_->wire.lan, box_->wire.wan, "::ffff:198.51.100.1", kBytes);
  transfer(box_->wire.wan, box_->wire.lan, "2001:db8:77::2", kBytes);
  transfer(box_->wire.lan, box_->wire.wan, "2001:db8:77::1", kBytes);
}

TEST_F(WireTest, OneFrameThenSilenceLeavesAtOnce) {
  // A lost wake-up shows as a frame that waits for the next one: each is waited for alone.
  box_->sink(Side::wan).record(true);
  for (unsigned i = 0; i < 200; ++i) {
    const Bytes frame = search(Shape::ip4, i);
    box_->send(Side::lan, {frame});
    ASSERT_EQ(box_->received(Side::wan, {frame}).size(), 1U) << "frame " << i;
  }
}

TEST_F(WireTest, MulticastReachesASocketThatJoined) {
  int receiver = -1, sender = -1;
  sockaddr_in group{};
  group.sin_family = AF_INET;
  group.sin_port = htons(5004);
  group.sin_addr.s_addr = inet_addr("239.1.2.3");
  {
    const Inside inside(box_->wire.lan);
    receiver = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    ASSERT_EQ(bind(receiver, reinterpret_cast<sockaddr*>(&group), sizeof group), 0);
    const ip_mreq join{group.sin_addr, {inet_addr("198.51.100.2")}};
    ASSERT_EQ(setsockopt(receiver, IPPROTO_IP, IP_ADD_MEMBERSHIP, &join, sizeof join), 0);
  }
  {
    const Inside inside(box_->wire.wan);
    sender = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    const in_addr from{inet_addr("198.51.100.1")};
    ASSERT_EQ(setsockopt(sender, IPPROTO_IP, IP_MULTICAST_IF, &from, sizeof from), 0);
  }
  ASSERT_EQ(sendto(sender, "hello", 5, 0, reinterpret_cast<sockaddr*>(&group), sizeof group), 5);
  pollfd ready{receiver, POLLIN, 0};
  ASSERT_EQ(poll(&ready, 1, 5000), 1);
  std::array<char, 16> text{};
  EXPECT_EQ(recv(receiver, text.data(), text.size(), 0), 5);
  EXPECT_STREQ(text.data(), "hello");
  close(receiver);
  close(sender);
}

}  // namespace
}  // namespace weir::test
