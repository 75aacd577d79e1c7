// SPDX-License-Identifier: BSD-2-Clause
// Captures are hostile: whatever stands in one, the reader ends, stays inside the file, and says
// the same the second time.
#include "io/capture.h"
#include "fuzz.h"
#include "io/capture_bytes.h"

namespace {

using weir::io::CapturedPacket;
using weir::io::CaptureReader;
using weir::io::Step;
using weir::io::test::Bytes;
using weir::io::test::packet_of;

/// All that a reader gives, folded: two passes must agree. Reads every byte, for the sanitizers.
std::uint64_t drain(CaptureReader& reader, std::size_t file_size) {
  std::uint64_t fold = 0;
  const auto add = [&fold](std::uint64_t v) { fold = (fold ^ v) * 0x9e3779b97f4a7c15ULL; };
  CapturedPacket packet;
  Step step{};
  while ((step = reader.next(packet)) == Step::packet) {
    WEIR_CHECK(packet.original_length >= packet.bytes.size());
    WEIR_CHECK(packet.bytes.size() <= weir::io::kPacketMax_bytes + 14);
    WEIR_CHECK(packet.comment.size() <= file_size);
    WEIR_CHECK(packet.interface < reader.interfaces());
    for (const std::uint8_t byte : packet.bytes) add(byte);
    for (const char c : packet.comment) add(static_cast<unsigned char>(c));
    add(packet.time.ns);
    add(packet.interface);
    // A record takes at least 12 bytes, so this is a bound on the loop.
    WEIR_CHECK(reader.packets() <= file_size / 12);
  }
  WEIR_CHECK(reader.next(packet) == step);
  if (step == Step::error) {
    WEIR_CHECK(!reader.error().message.empty());
    WEIR_CHECK(reader.error().message.size() < 1000 + file_size);
  }
  for (std::size_t i = 0; i < reader.interfaces() + 1; ++i) {
    for (const char c : reader.interface_name(i)) add(static_cast<unsigned char>(c));
  }
  add(reader.packets());
  add(static_cast<std::uint64_t>(step));
  return fold;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  auto reader = CaptureReader::over({data, size}, "fuzz");
  if (!reader) {
    WEIR_CHECK(!reader.error().message.empty());
    return 0;
  }
  const std::uint64_t first = drain(**reader, size);
  const std::uint64_t packets = (*reader)->packets();
  if (packets == 0) return 0;
  (*reader)->rewind();
  WEIR_CHECK((*reader)->packets() == 0);
  WEIR_CHECK(drain(**reader, size) == first);
  return 0;
}

std::vector<std::vector<std::uint8_t>> fuzz_seeds() {
  std::vector<std::vector<std::uint8_t>> seeds;
  const auto packet = packet_of(61);
  auto raw = packet_of(40);
  raw[0] = 0x45;
  for (const bool big : {false, true}) {
    for (const std::uint32_t magic : {0xa1b2c3d4U, 0xa1b23c4dU}) {
      seeds.push_back(Bytes(big).pcap_header(magic, 1).pcap_packet(1, 2, packet).get());
      seeds.push_back(
          Bytes(big).pcap_header(magic, 101).pcap_packet(1, 2, raw).pcap_packet(3, 4, raw).get());
    }
    seeds.push_back(
        Bytes(big)
            .section()
            .interface(1, 50, Bytes(big).option(2, "wan0").option(9, "\x09").u32(0))
            .interface(101, 0, Bytes(big).option(2, "lan0").option(14, "\1\2\3\4\5\6\7\10"))
            .block(5, Bytes(big).u32(0).u64(1))
            .enhanced(0, 5'000'000'007, packet, Bytes(big).option(1, "a comment").u32(0))
            .enhanced(1, 6'000'000, raw)
            .block(3, Bytes(big).u32(61).raw(std::span(packet).first(50)))
            .block(2, Bytes(big).u16(0).u16(9).u32(0).u32(7).u32(61).u32(80).raw(packet).pad())
            .section()
            .interface()
            .enhanced(0, 8, packet)
            .get());
  }
  return seeds;
}
