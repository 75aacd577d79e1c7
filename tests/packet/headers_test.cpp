// SPDX-License-Identifier: BSD-2-Clause
#include "packet/headers.h"

#include <gtest/gtest.h>

#include <string>

#include "tests/support/packet_builder.h"

namespace weir::packet {
namespace {

using test::Bytes;
using test::PacketBuilder;

constexpr const char* kSource4 = "203.0.113.9";
constexpr const char* kLan4 = "192.0.2.1";
constexpr const char* kSource6 = "2001:db8::9";
constexpr const char* kLan6 = "2001:db8:1::1";

std::string text(std::span<const std::uint8_t> bytes) { return {bytes.begin(), bytes.end()}; }

TEST(Headers, ReadsUdpOverPlainEthernet) {
  const Bytes frame =
      PacketBuilder().ip4(kSource4, kLan4, {.ttl = 7}).udp(1900, 40'000).payload("hello").build();
  const Headers h = parse(frame);
  EXPECT_EQ(h.kind, WEIR_KIND_udp);
  EXPECT_EQ(h.family, 4);
  EXPECT_EQ(h.protocol, 17);
  EXPECT_EQ(h.ttl, 7);
  EXPECT_EQ(h.l3_offset, 14);
  EXPECT_EQ(h.l4_offset, 34);
  EXPECT_EQ(h.source_port, 1900);
  EXPECT_EQ(h.destination_port, 40'000);
  EXPECT_EQ(source(frame, h).text(), kSource4);
  EXPECT_EQ(destination(frame, h).text(), kLan4);
  EXPECT_EQ(text(payload(frame, h)), "hello");
}

TEST(Headers, ReadsThroughTagsAndPppoe) {
  const Bytes frame = PacketBuilder()
                          .vlan(100, 0x88a8)
                          .vlan(7)
                          .pppoe()
                          .ip6(kSource6, kLan6)
                          .udp(5, 1900)
                          .payload("x")
                          .build();
  const Headers h = parse(frame);
  EXPECT_EQ(h.kind, WEIR_KIND_udp);
  EXPECT_EQ(h.tags, 2);
  EXPECT_EQ(h.vlan_id, 100);
  EXPECT_EQ(h.l3_offset, 14 + 8 + 8);
  EXPECT_TRUE(h.flags & WEIR_HEADERS_PPPOE);
  EXPECT_EQ(source(frame, h).text(), kSource6);
  EXPECT_EQ(text(payload(frame, h)), "x");
}

TEST(Headers, ReadsOptionsAndExtensionHeaders) {
  const Bytes four = PacketBuilder()
                         .ip4(kSource4, kLan4, {.options = {0x94, 4, 0, 0}})
                         .udp(1, 2)
                         .payload("four")
                         .build();
  EXPECT_EQ(text(payload(four, parse(four))), "four");
  EXPECT_TRUE(parse(four).flags & WEIR_HEADERS_IP_OPTIONS);
  const Bytes six = PacketBuilder()
                        .ip6(kSource6, kLan6)
                        .extension(0)
                        .extension(43, 24)
                        .extension(51, 12)
                        .extension(60, 16)
                        .udp(1, 2)
                        .payload("six")
                        .build();
  EXPECT_EQ(text(payload(six, parse(six))), "six");
  EXPECT_EQ(parse(six).protocol, 17);
}

TEST(Headers, StopsAfterEightExtensionHeaders) {
  PacketBuilder eight;
  eight.ip6(kSource6, kLan6);
  for (int i = 0; i < WEIR_EXTENSIONS_MAX; ++i) eight.extension(60);
  PacketBuilder nine = eight;
  EXPECT_EQ(parse(eight.udp(1, 2).build()).kind, WEIR_KIND_udp);
  const Headers h = parse(nine.extension(60).udp(1, 2).build());
  EXPECT_EQ(h.kind, WEIR_KIND_too_deep);
  EXPECT_EQ(h.family, 6);
}

TEST(Headers, TellsFirstFragmentsFromLaterOnes) {
  const Bytes first = PacketBuilder()
                          .ip4(kSource4, kLan4, {.more_fragments = true})
                          .udp(1900, 2)
                          .payload("begin")
                          .patch(4, {0x10, 0})  // the whole datagram is 4,096 bytes
                          .build();
  EXPECT_EQ(parse(first).kind, WEIR_KIND_udp);
  EXPECT_TRUE(parse(first).flags & WEIR_HEADERS_FIRST_FRAGMENT);
  EXPECT_EQ(text(payload(first, parse(first))), "begin");

  const Bytes later = PacketBuilder()
                          .ip4(kSource4, kLan4, {.fragment_offset = 185})
                          .protocol(17)
                          .payload("rest")
                          .build();
  EXPECT_EQ(parse(later).kind, WEIR_KIND_fragment);
  EXPECT_EQ(parse(later).protocol, 17);
  EXPECT_TRUE(payload(later, parse(later)).empty());

  const Bytes six =
      PacketBuilder().ip6(kSource6, kLan6).fragment6(185, true).payload("more").build();
  EXPECT_EQ(parse(six).kind, WEIR_KIND_fragment);
  EXPECT_EQ(parse(six).protocol, 17);
}

TEST(Headers, LeavesEthernetPaddingOutOfThePayload) {
  const Bytes frame = PacketBuilder().ip4(kSource4, kLan4).udp(1, 2).payload("ab").pad(18).build();
  EXPECT_EQ(text(payload(frame, parse(frame))), "ab");
}

TEST(Headers, KeepsThePayloadInsideACutFrame) {
  Bytes frame = PacketBuilder().ip4(kSource4, kLan4).udp(1, 2).payload("0123456789").build();
  frame.resize(frame.size() - 6);
  EXPECT_EQ(parse(frame).kind, WEIR_KIND_udp);
  EXPECT_EQ(text(payload(frame, parse(frame))), "0123");
}

TEST(Headers, CallsContradictionsMalformed) {
  const PacketBuilder udp4 = PacketBuilder().ip4(kSource4, kLan4).udp(1, 2).payload("abcd");
  const auto kind = [](PacketBuilder b, int at, Bytes bytes) {
    return parse(b.patch(at, std::move(bytes)).build()).kind;
  };
  EXPECT_EQ(kind(udp4, 4, {0, 13}), WEIR_KIND_malformed) << "UDP longer than IP carries";
  EXPECT_EQ(kind(udp4, 4, {0, 7}), WEIR_KIND_malformed) << "UDP shorter than its header";
  EXPECT_EQ(kind(udp4, 4, {0, 12}), WEIR_KIND_udp);
  EXPECT_EQ(kind(udp4, -20, {0x44}), WEIR_KIND_malformed) << "IPv4 header of 16 bytes";
  EXPECT_EQ(kind(udp4, -20, {0x40}), WEIR_KIND_malformed) << "IPv4 header of no bytes";
  EXPECT_EQ(kind(udp4, -20, {0x65}), WEIR_KIND_malformed) << "version 6 under ethertype 0x0800";
  EXPECT_EQ(kind(udp4, -18, {0, 19}), WEIR_KIND_malformed) << "datagram shorter than its header";
  const PacketBuilder session = PacketBuilder().pppoe().ip4(kSource4, kLan4).udp(1, 2);
  EXPECT_EQ(kind(session, 0, {}), WEIR_KIND_udp);
  EXPECT_EQ(kind(session, -24, {0, 29}), WEIR_KIND_malformed) << "IP longer than PPPoE carries";
  const PacketBuilder deep = PacketBuilder().ip6(kSource6, kLan6).extension(60).udp(1, 2);
  EXPECT_EQ(kind(deep, -7, {9}), WEIR_KIND_malformed) << "extension longer than the datagram";
}

TEST(Headers, NamesWhatIsNotUdp) {
  EXPECT_EQ(parse(PacketBuilder().type(0x0806).payload(Bytes(28)).build()).kind, WEIR_KIND_not_ip);
  EXPECT_EQ(parse(PacketBuilder().vlan(1).vlan(2).vlan(3).ip4(kSource4, kLan4).build()).kind,
            WEIR_KIND_not_ip);
  const Bytes tcp = PacketBuilder().ip4(kSource4, kLan4).tcp(1900, 1900).build();
  EXPECT_EQ(parse(tcp).kind, WEIR_KIND_ip);
  EXPECT_EQ(parse(tcp).protocol, 6);
  EXPECT_EQ(source(tcp, parse(tcp)).text(), kSource4);
  const Bytes ping = PacketBuilder().ip6(kSource6, kLan6).icmp().payload("ping").build();
  EXPECT_EQ(parse(ping).kind, WEIR_KIND_ip);
  EXPECT_EQ(parse(ping).protocol, 58);
}

// Each frame is copied to a block of its own size, so that the address sanitizer and valgrind see a
// read behind it; without them, the offsets are held to the frame.
TEST(Headers, NeverLeavesAFrameOfAnyLength) {
  const Bytes frames[] = {PacketBuilder()
                              .vlan(1)
                              .vlan(2)
                              .pppoe()
                              .ip4(kSource4, kLan4, {.options = Bytes(40)})
                              .udp(1, 2)
                              .payload("payload")
                              .build(),
                          PacketBuilder()
                              .pppoe()
                              .ip6(kSource6, kLan6)
                              .extension(0)
                              .extension(51, 16)
                              .fragment6(0, true)
                              .udp(1, 2)
                              .payload("payload")
                              .build()};
  for (const Bytes& whole : frames) {
    ASSERT_EQ(parse(whole).kind, WEIR_KIND_udp);
    for (std::size_t length = 0; length <= whole.size(); ++length) {
      const Bytes cut(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(length));
      const Headers h = parse(cut);
      EXPECT_LE(payload(cut, h).size(), 7U);
      if (h.family != 0) {
        EXPECT_LE(h.source_offset + (h.family == 4 ? 4U : 16U), length);
        EXPECT_LE(h.destination_offset + (h.family == 4 ? 4U : 16U), length);
      }
      EXPECT_EQ(h.kind == WEIR_KIND_udp, length + 7 >= whole.size()) << length;
    }
  }
}

}  // namespace
}  // namespace weir::packet
