// SPDX-License-Identifier: BSD-2-Clause
// What each link type's packets become.
#include "io/link.h"

#include <gtest/gtest.h>

#include "capture_bytes.h"
#include "io/capture.h"

namespace weir::io {
namespace {

using test::Bytes;

using Header = std::vector<std::uint8_t>;

struct LinkCase {
  const char* name;
  std::uint32_t link;
  Header header;  // of the link
  std::uint16_t ethertype;
  std::uint8_t first = 0x45;  // byte of the payload
};

Header cooked1(std::uint16_t protocol) {
  Header h = {0, 0, 0, 1, 0, 6, 2, 0, 0, 0, 0, 9, 0, 0};
  h.push_back(static_cast<std::uint8_t>(protocol >> 8U));
  h.push_back(static_cast<std::uint8_t>(protocol));
  return h;
}

Header cooked2(std::uint16_t protocol) {
  Header h(20, 0);
  h[0] = static_cast<std::uint8_t>(protocol >> 8U);
  h[1] = static_cast<std::uint8_t>(protocol);
  return h;
}

const LinkCase kCases[] = {
    {"raw IP, 4", 101, {}, 0x0800},
    {"raw IP, 6", 101, {}, 0x86dd, 0x60},
    {"raw IP, neither", 101, {}, 0xffff, 0x10},
    {"raw IP, old number", 12, {}, 0x0800},
    {"IPv4", 228, {}, 0x0800},
    {"IPv6", 229, {}, 0x86dd, 0x60},
    {"cooked, IPv4", 113, cooked1(0x0800), 0x0800},
    {"cooked, VLAN", 113, cooked1(0x8100), 0x8100},
    {"cooked, 802.2", 113, cooked1(0x0004), 0xffff},
    {"cooked 2, IPv6", 276, cooked2(0x86dd), 0x86dd, 0x60},
    {"cooked 2, 802.3", 276, cooked2(0x0001), 0xffff},
    {"loopback, little endian", 0, {2, 0, 0, 0}, 0x0800},
    {"loopback, big endian", 0, {0, 0, 0, 2}, 0x0800},
    {"loopback, IPv6 of FreeBSD", 0, {28, 0, 0, 0}, 0x86dd, 0x60},
    {"loopback, IPv6 of macOS", 0, {30, 0, 0, 0}, 0x86dd, 0x60},
    {"loopback, OpenBSD", 108, {0, 0, 0, 24}, 0x86dd, 0x60},
    {"loopback, AppleTalk", 0, {16, 0, 0, 0}, 0xffff},
    {"PPPoE", 51, {}, 0x8864, 0x11},
};

TEST(Link, HeadersGiveWayToAnEthernetHeader) {
  for (const LinkCase& c : kCases) {
    SCOPED_TRACE(c.name);
    std::vector<std::uint8_t> payload(40, 7);
    payload[0] = c.first;
    Header packet = c.header;
    packet.insert(packet.end(), payload.begin(), payload.end());
    const auto captured = static_cast<std::uint32_t>(packet.size());
    // Two packets: the first one's copy must outlive the step to the second.
    Bytes file;
    file.pcap_header(0xa1b2c3d4, c.link)
        .pcap_packet(1, 1, packet, captured + 100)
        .pcap_packet(2, 2, packet, captured + 100);
    auto reader = CaptureReader::over(file.get(), "x");
    ASSERT_TRUE(reader) << reader.error().message;
    CapturedPacket first;
    CapturedPacket second;
    ASSERT_EQ((*reader)->next(first), Step::packet);
    ASSERT_EQ((*reader)->next(second), Step::packet);
    for (const CapturedPacket& p : {first, second}) {
      ASSERT_EQ(p.bytes.size(), 54U);
      EXPECT_EQ(p.original_length, 154U);
      EXPECT_EQ(p.bytes[12] << 8 | p.bytes[13], c.ethertype);
      EXPECT_EQ(p.bytes[0] & 1, 0) << "a unicast address";
      EXPECT_TRUE(std::equal(payload.begin(), payload.end(), p.bytes.begin() + 14));
    }
  }
}

TEST(Link, APacketMayEndInItsLinksHeader) {
  for (const LinkCase& c : kCases) {
    SCOPED_TRACE(c.name);
    for (std::size_t length = 0; length <= c.header.size(); ++length) {
      const Header packet(c.header.begin(), c.header.begin() + static_cast<std::ptrdiff_t>(length));
      Bytes file;
      file.pcap_header(0xa1b2c3d4, c.link).pcap_packet(1, 1, packet);
      auto reader = CaptureReader::over(file.get(), "x");
      ASSERT_TRUE(reader) << reader.error().message;
      CapturedPacket p;
      ASSERT_EQ((*reader)->next(p), Step::packet);
      EXPECT_EQ(p.bytes.size(), 14U);
      EXPECT_GE(p.original_length, 14U);
    }
  }
}

}  // namespace
}  // namespace weir::io
