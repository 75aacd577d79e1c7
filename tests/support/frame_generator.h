// SPDX-License-Identifier: BSD-2-Clause
/// Frames of every shape that the parser knows, and broken ones: for tests that hold two
/// implementations together.
///
/// Shape     layers drawn at random (tags, PPPoE, both families with options and extension headers,
///           fragments, UDP, TCP, ICMP, others), addresses from a small set, then, for some, bytes
///           changed or the end cut off.
/// Order     the same seed gives the same frames.
#pragma once

#include <array>
#include <random>
#include <string_view>

#include "packet_builder.h"

namespace weir::test {

class FrameGenerator {
 public:
  explicit FrameGenerator(std::uint64_t seed) : random_(seed) {}

  /// Sources that appear in frames; a test gives them their blocks.
  static constexpr std::array kSources4 = {"203.0.113.1", "203.0.113.2",  "203.0.113.3",
                                           "203.0.113.4", "198.51.100.5", "198.51.100.6"};
  static constexpr std::array kSources6 = {"2001:db8::1", "2001:db8::2",  "2001:db8::3",
                                           "2001:db8::4", "2001:db8:5::", "2001:db8:6::"};

  /// A frame as it would be sent.
  Bytes whole() {
    PacketBuilder b;
    const std::uint32_t tags = one_in(2) ? 0 : below(4);
    for (std::uint32_t i = 0; i < tags; ++i)
      b.vlan(static_cast<std::uint16_t>(below(4096)), one_in(3) ? 0x88a8 : 0x8100);
    if (one_in(4)) b.pppoe();
    if (one_in(16)) {
      b.type(static_cast<std::uint16_t>(one_in(2) ? 0x0806 : below(0x10000)));
      return b.payload(noise(below(64))).build();
    }
    const bool carries = one_in(2) ? ip4(b) : ip6(b);
    if (carries)
      transport(b);
    else
      b.payload(noise(below(64)));
    if (one_in(4)) b.pad(below(30));
    return b.build();
  }

  /// `whole`, often with a few bytes changed or cut off; never shorter than an Ethernet header.
  Bytes next() {
    Bytes frame = whole();
    if (one_in(3)) {
      const std::uint32_t changes = 1 + below(4);
      // Headers decide, so most changes go there.
      const std::uint32_t reach = one_in(4) ? size(frame) : std::min(size(frame), 90U);
      for (std::uint32_t i = 0; i < changes; ++i) {
        std::uint8_t& byte = frame[below(reach)];
        byte = static_cast<std::uint8_t>(one_in(2) ? byte ^ (1U << below(8)) : random_());
      }
    }
    if (one_in(4)) frame.resize(14 + below(size(frame) - 13));
    return frame;
  }

  std::uint32_t below(std::uint32_t bound) { return static_cast<std::uint32_t>(random_() % bound); }
  bool one_in(std::uint32_t n) { return below(n) == 0; }

 private:
  static std::uint32_t size(const Bytes& bytes) { return static_cast<std::uint32_t>(bytes.size()); }

  Bytes noise(std::uint32_t bytes) {
    Bytes made(bytes);
    for (std::uint8_t& byte : made) byte = static_cast<std::uint8_t>(random_());
    return made;
  }

  /// True where a transport header follows.
  bool ip4(PacketBuilder& b) {
    Ip4Fields fields;
    fields.ttl = static_cast<std::uint8_t>(1 + below(255));
    if (one_in(4)) fields.options = Bytes(4 + 4 * below(10), 1);
    const bool later = one_in(6);
    if (later) fields.fragment_offset = static_cast<std::uint16_t>(1 + below(0x1fff));
    fields.more_fragments = one_in(6);
    b.ip4(kSources4[below(kSources4.size())], "192.0.2.1", fields);
    if (later) b.protocol(one_in(4) ? 6 : 17);
    return !later;
  }

  bool ip6(PacketBuilder& b) {
    static constexpr std::array<std::uint8_t, 7> kNumbers = {0, 43, 60, 135, 139, 140, 51};
    b.ip6(kSources6[below(kSources6.size())], "2001:db8:ffff::1");
    const std::uint32_t extensions = one_in(2) ? 0 : below(11);
    for (std::uint32_t i = 0; i < extensions; ++i) {
      const std::uint8_t number = kNumbers[below(kNumbers.size())];
      b.extension(number, number == 51 ? 12 + 4 * below(8) : 8 + 8 * below(4));
    }
    const bool later = one_in(6);
    if (later || one_in(6))
      b.fragment6(static_cast<std::uint16_t>(later ? 1 + below(0x1fff) : 0), one_in(2),
                  one_in(4) ? 6 : 17);
    return !later;
  }

  void transport(PacketBuilder& b) {
    static constexpr std::array<std::uint16_t, 5> kPorts = {1900, 53, 5353, 443, 40'000};
    static constexpr std::array<std::string_view, 9> kPayloads = {"M-SEARCH * HTTP/1.1\r\n",
                                                                  "NOTIFY * HTTP/1.1\r\n",
                                                                  "HTTP/1.1 200 OK\r\n",
                                                                  "M-SEARCH *",
                                                                  "NOTIFY *",
                                                                  "HTTP/1.1 200",
                                                                  "HTTP/1.1 404",
                                                                  "M-SEARCH",
                                                                  ""};
    const std::uint32_t kind = below(10);
    if (kind == 0) {
      b.tcp(kPorts[below(kPorts.size())], kPorts[below(kPorts.size())]);
    } else if (kind == 1) {
      b.icmp();
    } else if (kind == 2) {
      b.protocol(static_cast<std::uint8_t>(below(256)));
    } else {
      const auto port = [&] {
        return one_in(4) ? static_cast<std::uint16_t>(below(0x10000))
                         : kPorts[below(kPorts.size())];
      };
      const std::uint16_t source = port();
      b.udp(source, port());
    }
    if (one_in(2))
      b.payload(kPayloads[below(kPayloads.size())]);
    else
      b.payload(noise(below(48)));
  }

  std::mt19937_64 random_;
};

}  // namespace weir::test
