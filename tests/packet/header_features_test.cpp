// SPDX-License-Identifier: BSD-2-Clause
// The header features of bpf/header_features.h, against worked examples and against a reader of
// their own, written from the RFCs.
#include <gtest/gtest.h>

#include <map>
#include <optional>
#include <string>

#include "packet/headers.h"
#include "tests/support/frame_generator.h"
#include "tests/support/packet_builder.h"

namespace weir::packet::of_headers {
namespace {

using test::Bytes;
using test::FrameGenerator;
using test::PacketBuilder;
using Named = std::map<std::string, std::uint32_t>;

constexpr const char* kSource4 = "203.0.113.9";
constexpr const char* kLan4 = "192.0.2.1";
constexpr const char* kSource6 = "2001:db8::9";
constexpr const char* kLan6 = "2001:db8:1::1";
constexpr std::size_t kFrames = 60'000;

const char* const kNames[] = {
#define WEIR_NAME(name, unit, help, skx) #name,
    WEIR_HEADER_FEATURES(WEIR_NAME)
#undef WEIR_NAME
};

/// The features that are not 0; nothing where the frame has none.
std::optional<Named> features(const Bytes& frame, weir_reading reading = WEIR_READING_exact) {
  HeaderFeatures values;
  std::fill(std::begin(values.value), std::end(values.value), 77U);
  const bool any = header_features(frame, parse(frame), reading, values);
  Named named;
  for (std::size_t i = 0; i < WEIR_HEADER_SLOTS; ++i) {
    if (i >= WEIR_HEADER_FEATURE_COUNT) {
      EXPECT_EQ(values.value[i], 0U);
    } else if (values.value[i] != 0) {
      named[kNames[i]] = values.value[i];
    }
  }
  if (any) return named;
  EXPECT_TRUE(named.empty());
  return std::nullopt;
}

/// A second reader: follows a frame with a cursor, layer by layer.
class Reader {
 public:
  explicit Reader(const Bytes& frame) : frame_(frame) {}

  std::optional<Named> read() {
    if (!has(14)) return std::nullopt;
    at_ = 12;
    std::uint64_t type = take(2);
    for (int tags = 0; tags < 2 && (type == 0x8100 || type == 0x88a8); ++tags) {
      if (!has(4)) return std::nullopt;
      take(2);
      type = take(2);
    }
    if (type == 0x8864) {
      if (!has(8) || take(2) != 0x1100) return std::nullopt;
      take(2);
      const std::uint64_t carried = take(2);
      if (carried < 2) return std::nullopt;
      most_ = carried - 2;
      type = take(2) == 0x0021                                 ? 0x0800
             : frame_[at_ - 1] == 0x57 && frame_[at_ - 2] == 0 ? 0x86dd
                                                               : 0;
    }
    if (type == 0x0800) return ip4();
    if (type == 0x86dd) return ip6();
    return std::nullopt;
  }

 private:
  bool has(std::size_t bytes) const { return at_ + bytes <= frame_.size(); }
  std::uint64_t take(std::size_t bytes) {
    std::uint64_t value = 0;
    while (bytes-- > 0) value = value * 256 + frame_.at(at_++);
    return value;
  }
  void set(const char* name, std::uint64_t value) {
    if (value != 0)
      named_[name] = static_cast<std::uint32_t>(value);
    else
      named_.erase(name);
  }
  void service(std::uint64_t octet) {
    set("ip_preference", octet / 32);
    set("ip_dscp", octet / 4);
  }

  std::optional<Named> ip4() {
    if (!has(20) || frame_[at_] / 16 != 4) return std::nullopt;
    const std::size_t begin = at_;
    const std::uint64_t words = take(1) % 16;
    set("ip_version", 4);
    set("ip_ihl", words);
    service(take(1));
    const std::uint64_t total = take(2);
    set("ip_total_length", total);
    take(2);
    const std::uint64_t fragment = take(2);
    set("ip_frag_offset", fragment % 0x2000);
    set("ip_ttl", take(1));
    const std::uint64_t protocol = take(1);
    set("ip_protocol", protocol);
    if (words < 5 || total < words * 4 || total > most_ || fragment % 0x2000 != 0) return named_;
    at_ = begin + words * 4;
    transport(protocol, total - words * 4, (fragment & 0x2000) != 0);
    return named_;
  }

  std::optional<Named> ip6() {
    if (!has(40) || frame_[at_] / 16 != 6) return std::nullopt;
    const std::size_t begin = at_;
    set("ip_version", 6);
    set("ip_ihl", 10);
    service(take(4) >> 20U & 0xffU);
    std::uint64_t left = take(2);
    set("ip_total_length", left + 40);
    std::uint64_t next = take(1);
    set("ip_protocol", next);
    set("ip_ttl", take(1));
    if (left + 40 > most_) return named_;
    at_ = begin + 40;
    bool more = false;
    const std::string known{"\x00\x2b\x2c\x33\x3c\x87\x8b\x8c", 8};
    const auto extends = [&] { return known.find(static_cast<char>(next)) != std::string::npos; };
    for (int i = 0; i < 8 && extends(); ++i) {
      if (!has(8) || left < 8) return named_;
      const std::size_t start = at_;
      const std::uint64_t number = next;
      next = take(1);
      set("ip_protocol", next);
      const std::uint64_t length = take(1);
      std::uint64_t bytes = number == 51 ? length * 4 + 8 : length * 8 + 8;
      if (number == 44) {
        bytes = 8;
        const std::uint64_t field = take(2);
        more = more || field % 2 == 1;
        if (field / 8 != 0) {
          set("ip_frag_offset", field / 8);
          set("ip_ihl", (start + 8 - begin) / 4);
          return named_;
        }
      }
      if (bytes > left) return named_;
      left -= bytes;
      at_ = start + bytes;
    }
    set("ip_ihl", (at_ - begin) / 4);
    if (!extends()) transport(next, left, more);
    return named_;
  }

  void transport(std::uint64_t protocol, std::uint64_t carried, bool more) {
    if (protocol == 17 && has(8) && carried >= 8) {
      const std::uint64_t source = take(2);
      const std::uint64_t destination = take(2);
      const std::uint64_t length = take(2);
      if (length < 8 || (length > carried && !more)) return;
      set("source_port", source);
      set("dest_port", destination);
    }
    if (protocol != 6 || !has(20) || carried < 20) return;
    set("source_port", take(2));
    set("dest_port", take(2));
    set("tcp_sequence_num", take(4));
    set("tcp_ack_num", take(4));
    std::uint64_t flags = take(2) % 256;
    for (const char* name : {"tcp_fin_flag", "tcp_syn_flag", "tcp_rst_flag", "tcp_psh_flag",
                             "tcp_ack_flag", "tcp_urg_flag", "tcp_ece_flag", "tcp_cwr_flag"}) {
      set(name, flags % 2);
      flags /= 2;
    }
    set("tcp_window_size", take(2));
    take(2);
    set("tcp_urgent_pointer", take(2));
  }

  const Bytes& frame_;
  std::size_t at_ = 0;
  std::uint64_t most_ = 1'000'000;
  Named named_;
};

/// TCP with every field of its own value.
PacketBuilder tcp(PacketBuilder link) {
  return link.tcp(4711, 443).patch(4, {0xde, 0xad, 0xbe, 0xef, 0x01, 0x02, 0x03, 0x04, 0x50, 0xaa,
                                       0x12, 0x34, 0, 0, 0x56, 0x78});
}
const Named kTcp = {
    {"source_port", 4711},       {"dest_port", 443},          {"tcp_sequence_num", 0xdeadbeef},
    {"tcp_ack_num", 0x01020304}, {"tcp_window_size", 0x1234}, {"tcp_urgent_pointer", 0x5678},
    {"tcp_cwr_flag", 1},         {"tcp_urg_flag", 1},         {"tcp_psh_flag", 1},
    {"tcp_syn_flag", 1}};

Named with(Named ip, const Named& more) {
  ip.insert(more.begin(), more.end());
  return ip;
}

TEST(HeaderFeatures, ReadEveryFieldOfIpv4AndTcp) {
  PacketBuilder b = tcp(PacketBuilder().ip4(kSource4, kLan4, {.ttl = 57}));
  b.patch(-19, {0xba});  // precedence 5, DSCP 46
  EXPECT_EQ(*features(b.build()), with({{"ip_ihl", 5},
                                        {"ip_version", 4},
                                        {"ip_preference", 5},
                                        {"ip_dscp", 46},
                                        {"ip_total_length", 40},
                                        {"ip_ttl", 57},
                                        {"ip_protocol", 6}},
                                       kTcp));
}

TEST(HeaderFeatures, ReadBehindOptionsExtensionsTagsAndPppoe) {
  const PacketBuilder link = PacketBuilder().vlan(100, 0x88a8).vlan(7).pppoe();
  PacketBuilder options = tcp(PacketBuilder(link).ip4(kSource4, kLan4, {.options = Bytes(8, 1)}));
  EXPECT_EQ(*features(options.build()), with({{"ip_ihl", 7},
                                              {"ip_version", 4},
                                              {"ip_total_length", 48},
                                              {"ip_ttl", 64},
                                              {"ip_protocol", 6}},
                                             kTcp));
  PacketBuilder deep = tcp(PacketBuilder(link)
                               .ip6(kSource6, kLan6, {.hop_limit = 3})
                               .extension(0)
                               .extension(51, 16)
                               .fragment6(0, true, 6));
  deep.patch(-72, {0x6b, 0xa0});  // traffic class 0xba
  EXPECT_EQ(*features(deep.build()), with({{"ip_ihl", 18},
                                           {"ip_version", 6},
                                           {"ip_preference", 5},
                                           {"ip_dscp", 46},
                                           {"ip_total_length", 92},
                                           {"ip_ttl", 3},
                                           {"ip_protocol", 6}},
                                          kTcp));
}

TEST(HeaderFeatures, UdpHasPortsAndNoTcp) {
  const Bytes frame = PacketBuilder().ip6(kSource6, kLan6).udp(53, 4000).payload("x").build();
  EXPECT_EQ(*features(frame), (Named{{"ip_ihl", 10},
                                     {"ip_version", 6},
                                     {"ip_total_length", 49},
                                     {"ip_ttl", 64},
                                     {"ip_protocol", 17},
                                     {"source_port", 53},
                                     {"dest_port", 4000}}));
}

TEST(HeaderFeatures, LaterFragmentsHaveAnOffsetAndNoPorts) {
  const Bytes noise(40, 0xff);
  const auto four =
      features(PacketBuilder()
                   .ip4(kSource4, kLan4, {.fragment_offset = 185, .more_fragments = true})
                   .protocol(6)
                   .payload(noise)
                   .build());
  EXPECT_EQ(*four, (Named{{"ip_ihl", 5},
                          {"ip_version", 4},
                          {"ip_total_length", 60},
                          {"ip_frag_offset", 185},
                          {"ip_ttl", 64},
                          {"ip_protocol", 6}}));
  const auto six = features(PacketBuilder()
                                .ip6(kSource6, kLan6)
                                .extension(60)
                                .fragment6(8191, false, 17)
                                .payload(noise)
                                .build());
  EXPECT_EQ(*six, (Named{{"ip_ihl", 14},
                         {"ip_version", 6},
                         {"ip_total_length", 96},
                         {"ip_frag_offset", 8191},
                         {"ip_ttl", 64},
                         {"ip_protocol", 17}}));
}

TEST(HeaderFeatures, PaddingIsNoTcp) {
  Bytes frame = PacketBuilder().ip4(kSource4, kLan4).protocol(6).pad(20).build();
  std::fill(frame.end() - 20, frame.end(), 0xff);
  EXPECT_FALSE(features(frame)->contains("source_port"));
  frame[17] += 20;  // now the datagram says that it carries them
  EXPECT_EQ(features(frame)->at("source_port"), 0xffffU);
  frame.pop_back();
  EXPECT_FALSE(features(frame)->contains("source_port")) << "cut off";
}

TEST(HeaderFeatures, WhatIsNoIpHasNone) {
  EXPECT_FALSE(features(PacketBuilder().type(0x0806).payload(Bytes(60)).build()));
  Bytes cut = PacketBuilder().ip4(kSource4, kLan4).build();
  cut.pop_back();
  EXPECT_FALSE(features(cut));
  EXPECT_FALSE(features({}));
}

TEST(HeaderFeatures, EqualAnIndependentReadersForGeneratedFrames) {
  FrameGenerator generator(20'261'126);
  std::map<std::string, std::size_t> seen;
  for (std::size_t i = 0; i < kFrames; ++i) {
    Bytes frame = generator.next();
    // Half of them carry TCP where they carried another protocol's bytes or UDP.
    const Headers h = parse(frame);
    if (h.kind == WEIR_KIND_udp && i % 2 == 0)
      frame[h.family == 4 ? h.l3_offset + 9U : h.l3_offset + 6U] = 6;
    const auto expected = Reader(frame).read();
    const auto found = features(frame);
    ASSERT_EQ(found.has_value(), expected.has_value()) << "frame " << i;
    if (!found) continue;
    ASSERT_EQ(*found, *expected) << "frame " << i;
    for (const auto& [name, value] : *found) ++seen[name];
  }
  for (const char* name : kNames) EXPECT_GT(seen[name], 100U) << name;
}

// The other reading, worked out by hand: what a little-endian machine has of `ntohl` of a four-bit
// field, of `ntohs` of a one-bit field, and of a header that is taken for 20 bytes.
TEST(HeaderFeatures, SkxReadsTheHighestByteAndFlagsOf256) {
  PacketBuilder b = tcp(PacketBuilder().ip4(kSource4, kLan4, {.ttl = 57}));
  b.patch(-19, {0xba}).patch(-14, {0x40, 0});  // don't fragment
  EXPECT_EQ(*features(b.build(), WEIR_READING_skx), (Named{{"ip_ihl", 0x05000000},
                                                           {"ip_version", 0x04000000},
                                                           {"ip_preference", 0xa0},
                                                           {"ip_dscp", 0x1a},
                                                           {"ip_total_length", 40},
                                                           {"ip_frag_offset", 0x4000},
                                                           {"ip_ttl", 57},
                                                           {"ip_protocol", 6},
                                                           {"source_port", 4711},
                                                           {"dest_port", 443},
                                                           {"tcp_sequence_num", 0xdeadbeef},
                                                           {"tcp_ack_num", 0x01020304},
                                                           {"tcp_window_size", 0x1234},
                                                           {"tcp_urgent_pointer", 0x5678},
                                                           {"tcp_cwr_flag", 256},
                                                           {"tcp_urg_flag", 256},
                                                           {"tcp_psh_flag", 256},
                                                           {"tcp_syn_flag", 256}}));
}

TEST(HeaderFeatures, SkxTakesOptionsAndUdpForTcp) {
  const Bytes options = tcp(PacketBuilder().ip4(kSource4, kLan4, {.options = Bytes(4, 1)})).build();
  const auto shifted = features(options, WEIR_READING_skx);
  EXPECT_EQ(shifted->at("source_port"), 0x0101U);
  EXPECT_EQ(shifted->at("tcp_sequence_num"), 4711U * 65536 + 443);
  const Bytes dns = PacketBuilder()
                        .ip4(kSource4, kLan4)
                        .udp(53, 4000)
                        .payload({1, 2, 3, 4, 5, 0xff, 7, 8, 9, 10, 11, 12})
                        .build();
  const auto udp = features(dns, WEIR_READING_skx);
  EXPECT_EQ(udp->at("source_port"), 53U);
  EXPECT_EQ(udp->at("tcp_ack_num"), 0x01020304U);
  EXPECT_EQ(udp->at("tcp_syn_flag"), 256U);
  EXPECT_FALSE(features(Bytes(dns.begin(), dns.end() - 1), WEIR_READING_skx)) << "53 bytes";
}

TEST(HeaderFeatures, SkxJudgesNeitherIpv6NorTags) {
  EXPECT_FALSE(features(tcp(PacketBuilder().ip6(kSource6, kLan6)).build(), WEIR_READING_skx));
  EXPECT_FALSE(
      features(tcp(PacketBuilder().vlan(1).ip4(kSource4, kLan4)).build(), WEIR_READING_skx));
  EXPECT_FALSE(features({}, WEIR_READING_skx));
}

}  // namespace
}  // namespace weir::packet::of_headers
