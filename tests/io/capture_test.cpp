// SPDX-License-Identifier: BSD-2-Clause
#include "io/capture.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <optional>

#include "capture_bytes.h"

namespace weir::io {
namespace {

using test::Bytes;
using test::packet_of;
using testing::HasSubstr;

struct Read {
  struct Packet {
    std::vector<std::uint8_t> bytes;
    std::uint32_t original_length;
    std::uint64_t ns;
    std::uint32_t interface;
    std::string comment;
    bool operator==(const Packet&) const = default;
  };
  std::vector<Packet> packets;
  std::vector<std::string> interfaces;
  std::string error;  // of `open` or of `next`
};

Read read(std::span<const std::uint8_t> file) {
  Read result;
  auto reader = CaptureReader::over(file, "x.pcap");
  if (!reader) {
    result.error = reader.error().message;
    return result;
  }
  CapturedPacket p;
  Step step{};
  while ((step = (*reader)->next(p)) == Step::packet) {
    result.packets.push_back({{p.bytes.begin(), p.bytes.end()},
                              p.original_length,
                              p.time.ns,
                              p.interface,
                              std::string(p.comment)});
  }
  EXPECT_EQ((*reader)->packets(), result.packets.size());
  EXPECT_EQ((*reader)->next(p), step) << "the end must stay the end";
  if (step == Step::error) result.error = (*reader)->error().message;
  for (std::size_t i = 0; i < (*reader)->interfaces(); ++i) {
    result.interfaces.emplace_back((*reader)->interface_name(i));
  }
  return result;
}
Read read(const Bytes& file) { return read(file.get()); }

TEST(Pcap, BothByteOrdersAndBothUnits) {
  const auto packet = packet_of(60);
  for (const bool big : {false, true}) {
    for (const bool ns : {false, true}) {
      Bytes file(big);
      file.pcap_header(ns ? 0xa1b23c4d : 0xa1b2c3d4, 1).pcap_packet(7, 8, packet, 1500);
      const Read got = read(file);
      EXPECT_EQ(got.error, "");
      ASSERT_EQ(got.packets.size(), 1U);
      EXPECT_EQ(got.packets[0].bytes, packet);
      EXPECT_EQ(got.packets[0].ns, 7'000'000'000U + (ns ? 8U : 8'000U));
      EXPECT_EQ(got.packets[0].original_length, 1500U);
    }
  }
}

TEST(Pcap, AnEmptyCaptureEnds) {
  const Read got = read(Bytes().pcap_header(0xa1b2c3d4, 1));
  EXPECT_EQ(got.error, "");
  EXPECT_TRUE(got.packets.empty());
}

TEST(Pcap, RewindGivesTheSameAgain) {
  Bytes file;
  file.pcap_header(0xa1b2c3d4, 101);
  for (unsigned i = 0; i < 5; ++i) file.pcap_packet(i, 0, packet_of(20 + i, i));
  auto reader = CaptureReader::over(file.get(), "x");
  ASSERT_TRUE(reader);
  CapturedPacket p;
  for (int round = 0; round < 3; ++round) {
    for (unsigned i = 0; i < 5; ++i) {
      ASSERT_EQ((*reader)->next(p), Step::packet);
      EXPECT_EQ(p.time.ns, i * 1'000'000'000ULL);
      EXPECT_EQ(p.bytes.size(), 14 + 20 + i);
    }
    EXPECT_EQ((*reader)->next(p), Step::end);
    (*reader)->rewind();
  }
}

TEST(Pcap, FilesOneBehindAnotherAreOne) {
  std::vector<std::uint8_t> file;
  const auto add = [&file](bool big, std::uint32_t magic, std::uint32_t packets) {
    Bytes part(big);
    part.pcap_header(magic, 1);
    for (std::uint32_t i = 0; i < packets; ++i) part.pcap_packet(7, 8, packet_of(20 + i));
    file.insert(file.end(), part.get().begin(), part.get().end());
  };
  add(false, 0xa1b2c3d4, 2);
  add(true, 0xa1b23c4d, 0);
  add(true, 0xa1b23c4d, 3);
  auto reader = CaptureReader::over(file, "x");
  ASSERT_TRUE(reader);
  CapturedPacket p;
  for (int round = 0; round < 2; ++round) {
    for (const std::uint32_t ns : {8'000U, 8'000U, 8U, 8U, 8U}) {
      ASSERT_EQ((*reader)->next(p), Step::packet);
      EXPECT_EQ(p.time.ns, 7'000'000'000U + ns);
    }
    EXPECT_EQ((*reader)->next(p), Step::end);
    (*reader)->rewind();
  }
  const std::vector<std::uint8_t> cut(file.begin(), file.begin() + 24 + 36 + 37 + 20);
  EXPECT_THAT(read(cut).error, HasSubstr("is cut off in its header: it has 20 of 24 bytes"));
}

TEST(Pcap, OtherFormatsAreRefusedByName) {
  struct Case {
    Bytes file;
    const char* says;
  };
  Bytes little(false);
  const Case cases[] = {
      {Bytes().pcap_header(0xa1b2c3d4, 127), "link type 127 (802.11 with radiotap header)"},
      {Bytes().pcap_header(0xa1b2c3d4, 4711), "link type 4711 (unknown to weir)"},
      {Bytes().u32(0xa1b2c3d4).u16(2).u16(2).u64(0).u32(9).u32(1), "pcap version 2.2"},
      {Bytes().pcap_header(0xa1b2cd34, 1), "Kuznetzov"},
      {Bytes(true).pcap_header(0xa1b2cd34, 1), "Kuznetzov"},
      {Bytes().pcap_header(0xa12b3c4d, 1), "Navtel"},
      {Bytes().pcap_header(0x1c0001ac, 1), "IXIA"},
      {Bytes().text("snoop\0\0\0"), "snoop"},
      {Bytes().text("BZh9"), "bzip2: classic pcap or pcapng is expected; unpack"},
      {Bytes().u32(0x184d2204), "lz4"},
      {Bytes().text("hello, world"), "starts with 68 65 6c 6c"},
      {Bytes(), "has 0 bytes"},
      {Bytes().u16(0xc3d4), "has 2 bytes"},
      {Bytes().u32(0xa1b2c3d4), "cut off in its header: it has 4 of 24 bytes"},
  };
  for (const Case& c : cases) {
    const Read got = read(c.file);
    EXPECT_THAT(got.error, HasSubstr(c.says));
    EXPECT_THAT(got.error, HasSubstr("capture 'x.pcap' "));
    EXPECT_EQ(got.error.find('\n'), std::string::npos);
  }
}

TEST(Pcap, WhatIsCutOffAnywhereGivesTheWholePacketsAndThenAnError) {
  Bytes file;
  file.pcap_header(0xa1b2c3d4, 1);
  std::vector<std::size_t> ends = {file.size()};
  for (unsigned i = 0; i < 4; ++i) {
    file.pcap_packet(i, 0, packet_of(10 + i));
    ends.push_back(file.size());
  }
  for (std::size_t size = ends[0]; size <= file.size(); ++size) {
    const Read got = read(std::span(file.get()).first(size));
    const auto whole = static_cast<std::size_t>(
        std::count_if(ends.begin() + 1, ends.end(), [&](std::size_t end) { return end <= size; }));
    if (size == ends[whole]) {
      EXPECT_EQ(got.error, "");
    } else {
      EXPECT_THAT(got.error, HasSubstr("cut off in packet " + std::to_string(whole + 1) + ":"));
      EXPECT_THAT(got.error, HasSubstr("from offset " + std::to_string(ends[whole]) + " on"));
      EXPECT_THAT(got.error, HasSubstr("ends at " + std::to_string(size) + ";"));
    }
    // The first packet is tried by `open`, so that a file without a whole one is an error there.
    EXPECT_EQ(got.packets.size(), whole) << size;
  }
}

TEST(Pcap, AHugeLengthIsDamage) {
  Bytes file;
  file.pcap_header(0xa1b2c3d4, 1).pcap_packet(1, 2, packet_of(60));
  const std::size_t at = file.size();
  file.u32(1).u32(2).u32(0xffffffff).u32(60).raw(packet_of(60));
  const Read got = read(file);
  EXPECT_EQ(got.packets.size(), 1U);
  EXPECT_THAT(got.error,
              HasSubstr("damaged at packet 2 (offset " + std::to_string(at) +
                        "): its length is given as 4294967295 bytes, and no packet has more than"));
}

TEST(Pcap, AnOriginalLengthBelowTheCapturedOneIsRaised) {
  const Read got = read(Bytes().pcap_header(0xa1b2c3d4, 1).pcap_packet(1, 2, packet_of(60), 5));
  ASSERT_EQ(got.packets.size(), 1U);
  EXPECT_EQ(got.packets[0].original_length, 60U);
}

TEST(Pcapng, AllKindsOfPacketBlocksInBothByteOrders) {
  const auto packet = packet_of(61);
  for (const bool big : {false, true}) {
    Bytes file(big);
    file.section()
        .interface(1, 50, Bytes(big).option(2, "wan0").option(9, "\x09"))
        .block(5, Bytes(big).u32(0).u64(1))         // statistics
        .block(0x40000bad, Bytes(big).text("abc"))  // custom, unpadded text
        .interface(1, 0, Bytes(big).option(2, "lan0"))
        .enhanced(0, 5'000'000'007, packet, Bytes(big).option(1, "first").option(1, "second"))
        .enhanced(1, 6'000'000, packet)
        .block(3, Bytes(big).u32(61).raw(std::span(packet).first(50)))
        .block(2, Bytes(big).u16(1).u16(9).u32(0).u32(7'000'000).u32(61).u32(80).raw(packet).pad());
    const Read got = read(file);
    EXPECT_EQ(got.error, "");
    EXPECT_EQ(got.interfaces, (std::vector<std::string>{"wan0", "lan0"}));
    ASSERT_EQ(got.packets.size(), 4U);
    EXPECT_EQ(got.packets[0], (Read::Packet{packet, 61, 5'000'000'007, 0, "first"}));
    EXPECT_EQ(got.packets[1], (Read::Packet{packet, 61, 6'000'000'000, 1, ""}));
    EXPECT_EQ(got.packets[2].bytes.size(), 50U) << "a simple packet is cut at the snap length";
    EXPECT_EQ(got.packets[2].original_length, 61U);
    EXPECT_EQ(got.packets[2].ns, 6'000'000'000U) << "the time of the packet before it";
    EXPECT_EQ(got.packets[3], (Read::Packet{packet, 80, 7'000'000'000, 1, ""}));
  }
}

TEST(Pcapng, TimeResolutionsAndOffsets) {
  struct Case {
    std::string resolution;
    std::optional<std::int64_t> offset;
    std::uint64_t ticks;
    std::uint64_t ns;
  };
  const Case cases[] = {
      {"", {}, 3, 3'000},
      {"\x00", {}, 3, 3'000'000'000},
      {"\x03", {}, 3, 3'000'000},
      {"\x09", {}, 3, 3},
      {"\x0c", {}, 3'999, 3},
      {"\x1c", {}, UINT64_MAX, 1},
      {"\x7f", {}, UINT64_MAX, 0},
      {"\x80", {}, 3, 3'000'000'000},
      {"\x81", {}, 3, 1'500'000'000},
      {"\xa0", {}, 1ULL << 33U, 2'000'000'000},
      {"\xff", {}, UINT64_MAX, 0},
      {"\x06", 5, 3, 5'000'003'000},
      {"\x06", -1, 3'000'000, 2'000'000'000},
      {"\x06", -9, 3'000'000, 0},
      {"\x06", INT64_MIN, 3'000'000, 0},
      {"\x06", INT64_MAX, 3'000'000, UINT64_MAX},
      {"\x00", {}, UINT64_MAX, UINT64_MAX},
      {"\x06", {}, UINT64_MAX, UINT64_MAX},
      {"\x80", {}, UINT64_MAX, UINT64_MAX},
  };
  for (const bool big : {false, true}) {
    for (const Case& c : cases) {
      Bytes options(big);
      const bool zero = c.resolution.empty() && c.ns != 3'000;
      if (zero || !c.resolution.empty()) {
        options.option(9, zero ? std::string_view("\0", 1) : std::string_view(c.resolution));
      }
      if (c.offset) options.u16(14).u16(8).u64(static_cast<std::uint64_t>(*c.offset));
      const Read got =
          read(Bytes(big).section().interface(1, 0, options).enhanced(0, c.ticks, packet_of(14)));
      ASSERT_EQ(got.packets.size(), 1U) << got.error;
      EXPECT_EQ(got.packets[0].ns, c.ns) << c.ticks;
    }
  }
}

TEST(Pcapng, SectionsCountInterfacesOn) {
  Bytes file(false);
  file.section().interface(1, 0, Bytes().option(2, "a")).enhanced(0, 1, packet_of(20));
  Bytes second(true);  // another machine's file, put behind it
  second.section().interface(1, 0, Bytes(true).option(2, "b")).enhanced(0, 2, packet_of(20));
  file.raw(second.get());
  auto reader = CaptureReader::over(file.get(), "x");
  ASSERT_TRUE(reader);
  EXPECT_EQ((*reader)->interfaces(), 1U) << "known before the first packet";
  CapturedPacket p;
  for (int round = 0; round < 2; ++round) {
    ASSERT_EQ((*reader)->next(p), Step::packet);
    EXPECT_EQ(p.interface, 0U);
    ASSERT_EQ((*reader)->next(p), Step::packet);
    EXPECT_EQ(p.interface, 1U);
    EXPECT_EQ(p.time.ns, 2'000U);
    EXPECT_EQ((*reader)->interface_name(0), "a");
    EXPECT_EQ((*reader)->interface_name(1), "b");
    EXPECT_EQ((*reader)->interface_name(2), "");
    EXPECT_EQ((*reader)->next(p), Step::end);
    EXPECT_EQ((*reader)->interfaces(), 2U);
    (*reader)->rewind();
  }
}

TEST(Pcapng, ACaptureWithoutPacketsEnds) {
  const Read got = read(Bytes().section().interface());
  EXPECT_EQ(got.error, "");
  EXPECT_EQ(got.interfaces.size(), 1U);
}

TEST(Pcapng, WhatCannotBeIsDamage) {
  const auto packet = packet_of(20);
  const auto begun = [] { return Bytes().section().interface().enhanced(0, 1, packet_of(20)); };
  struct Case {
    Bytes file;
    const char* says;
  };
  const Case cases[] = {
      {begun().u32(6).u32(0).u64(0), "gives its length as 0"},
      {begun().u32(6).u32(8).u64(0), "gives its length as 8"},
      {begun().u32(6).u32(13).u64(0), "gives its length as 13"},
      {begun().u32(6).u32(0xfffffffc).u64(0), "cut off in packet 2: 4294967292 bytes"},
      {begun().u32(9).u32(16).u32(0).u32(20), "as 16 and, at its end, as 20"},
      {begun().u32(9), "cut off in packet 2: 12 bytes"},
      {begun().enhanced(1, 1, packet), "is of interface 1, and the section describes 1 so far"},
      {begun().enhanced(0xffffffff, 1, packet), "is of interface 4294967295"},
      {begun().section().enhanced(0, 1, packet), "is of interface 0, and the section describes 0"},
      {begun().section().block(3, Bytes().u32(4).u32(0)), "describes 0 so far"},
      {begun().block(6, Bytes().u64(0).u32(0)), "a packet block has 24 bytes of at least 32"},
      {begun().block(3, Bytes()), "a packet block has 12 bytes of at least 16"},
      {begun().block(3, Bytes().u32(9).u32(0)), "its length is given as 9 bytes, in a block of 20"},
      {begun().block(6, Bytes().u32(0).u64(0).u32(21).u32(21).raw(packet)), "as 21 bytes, in a"},
      {begun().block(6, Bytes().u32(0).u64(0).u32(0xffffffff).u32(9).raw(packet)), "4294967295"},
      {begun().enhanced(0, 1, packet, Bytes().u16(1).u16(9).u32(0)),
       "option 1 gives its length as"},
      {begun().block(1, Bytes().u32(1)), "an interface description has 16 bytes of at least 20"},
      {begun().interface(1, 0, Bytes().u16(2).u16(0xffff)), "option 2 gives its length as 65535"},
      {begun().block(0x0a0d0d0a, Bytes().u32(0x1a2b3c4d)), "section header has 16 bytes"},
      {begun().block(0x0a0d0d0a, Bytes().u32(0x11223344).u64(0).u32(0)), "magic is 11223344"},
      {begun().block(0x0a0d0d0a, Bytes().u32(0x1a2b3c4d).u16(2).u16(0).u64(0)), "version 2.0"},
      {begun().interface(105).enhanced(1, 1, packet), "of interface 1 (''), link type 105"},
  };
  for (const Case& c : cases) {
    const Read got = read(c.file);
    EXPECT_EQ(got.packets.size(), 1U) << c.says;
    EXPECT_THAT(got.error, HasSubstr(c.says));
  }
  EXPECT_THAT(read(Bytes().u32(0x0a0d0d0a)).error, HasSubstr("cut off"));
}

}  // namespace
}  // namespace weir::io
