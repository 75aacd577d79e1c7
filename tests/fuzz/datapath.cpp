// SPDX-License-Identifier: BSD-2-Clause
// Frames are hostile: whatever stands in one, the parser stays inside it, and the decision is one
// of the outcomes, the same each time, and says nothing that the headers contradict.
#include <array>
#include <cstring>
#include <memory>

#include "datapath/native.h"
#include "fuzz.h"
#include "support/frame_generator.h"

namespace {

using weir::Address;
using weir::datapath::Config;
using weir::datapath::Native;
using weir::datapath::Outcome;
using weir::test::FrameGenerator;

/// Fail mode, fragments, payload, ports, and whether a block is of all that its source sends, by the
/// bits of the number; every other kind of block in each.
std::unique_ptr<Native> make(unsigned bits) {
  Config config;
  config.blocks_max = 64;
  config.fail_closed = (bits & 1U) != 0;
  config.drop_fragments = (bits & 2U) != 0;
  config.blocked_fragments = (bits & 4U) == 0;
  config.ssdp_payload = (bits & 4U) != 0;
  if ((bits & 8U) != 0) config.udp_ports = {53, 1900};
  auto native = std::make_unique<Native>(config);
  std::vector<weir::datapath::Block> blocks;
  for (const auto& sources : {FrameGenerator::kSources4, FrameGenerator::kSources6})
    for (std::size_t i = 0; i < 4; ++i) {
      blocks.push_back({weir::test::address(sources[i]), {}});
      blocks.back().value.scope =
          i % 2 == 0 || (bits & 16U) != 0 ? WEIR_SCOPE_ssdp : WEIR_SCOPE_all;
      blocks.back().value.expires_ns = i == 3 ? 1 : 0;
    }
  if ((bits & 8U) != 0) {
    blocks.push_back({weir::test::address("198.51.100.0"), {}, WEIR_TARGET_network});
    blocks.push_back({weir::test::address("192.0.2.1"), {}, WEIR_TARGET_victim});
  }
  WEIR_CHECK(*native->add_blocks(blocks) == blocks.size());
  WEIR_CHECK(native->add_allow(*weir::Prefix::parse("203.0.113.2/32")).has_value());
  return native;
}

/// What the headers promise about a frame of `size` bytes.
void check_headers(const weir::packet::Headers& headers, std::size_t size) {
  WEIR_CHECK(headers.kind <= WEIR_KIND_too_deep && headers.tags <= WEIR_TAGS_MAX);
  WEIR_CHECK(headers.family == 0 || headers.family == 4 || headers.family == 6);
  if (headers.family != 0) {
    const std::size_t bytes = headers.family == 4 ? 4 : 16;
    WEIR_CHECK(headers.source_offset + bytes <= size);
    WEIR_CHECK(headers.destination_offset + bytes <= size);
  }
  if (headers.kind == WEIR_KIND_udp) {
    WEIR_CHECK(headers.protocol == 17 && headers.family != 0);
    WEIR_CHECK(headers.payload_offset == headers.l4_offset + 8);
    WEIR_CHECK(headers.payload_offset + headers.payload_length <= size);
  }
}

void check_features(const weir::packet::Frame& frame, const weir::packet::Headers& headers) {
  weir::packet::HeaderFeatures features;
  const bool exact =
      weir::packet::header_features(frame.bytes(), headers, WEIR_READING_exact, features);
  WEIR_CHECK(exact == (headers.family != 0));
  WEIR_CHECK(features.value[WEIR_HEADER_FEATURE_ip_version] == headers.family);
  if (headers.kind == WEIR_KIND_fragment)
    WEIR_CHECK(features.value[WEIR_HEADER_FEATURE_ip_frag_offset] != 0 &&
               features.value[WEIR_HEADER_FEATURE_dest_port] == 0);
  static_cast<void>(
      weir::packet::header_features(frame.bytes(), headers, WEIR_READING_skx, features));
}

void check_outcome(Outcome outcome, const weir::packet::Headers& headers) {
  const auto kind_is = [&](weir_kind kind) { return headers.kind == kind; };
  switch (outcome) {
    case Outcome::peer_not_ip:
      return WEIR_CHECK(kind_is(WEIR_KIND_not_ip));
    case Outcome::peer_not_udp:
      return WEIR_CHECK(kind_is(WEIR_KIND_ip));
    case Outcome::peer_malformed:
      return WEIR_CHECK(kind_is(WEIR_KIND_malformed));
    case Outcome::peer_too_deep:
      return WEIR_CHECK(kind_is(WEIR_KIND_too_deep));
    case Outcome::peer_not_steered:
    case Outcome::socket_steered:
    case Outcome::drop_block_ssdp:
    case Outcome::drop_block_network:
    case Outcome::drop_block_victim:
      return WEIR_CHECK(kind_is(WEIR_KIND_udp));
    case Outcome::peer_fragment:
    case Outcome::drop_fragment:
    case Outcome::drop_block_fragment:
      return WEIR_CHECK(kind_is(WEIR_KIND_fragment));
    case Outcome::drop_block_all:
      return WEIR_CHECK(headers.family != 0);
    default:
      // Sockets are there, their channel is alive, and there are only two sides.
      WEIR_CHECK(!"an outcome that this set-up cannot have");
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const auto natives = [] {
    std::array<std::unique_ptr<Native>, 32> made;
    for (unsigned bits = 0; bits < made.size(); ++bits) made[bits] = make(bits);
    return made;
  }();
  if (size < 15) return 0;
  Native& native = *natives[data[0] % natives.size()];
  weir::packet::Frame frame;
  frame.data = data + 1;
  frame.length = static_cast<std::uint32_t>(size - 1);
  frame.time = {1'000'000'000};
  weir::packet::Headers headers;
  const Outcome outcome = native.judge(frame, headers);
  check_headers(headers, frame.length);
  check_outcome(outcome, headers);
  weir::packet::Headers again;
  WEIR_CHECK(native.judge(frame, again) == outcome);
  WEIR_CHECK(std::memcmp(&again, &headers, sizeof headers) == 0);
  const weir::packet::Headers parsed = weir::packet::parse(frame.bytes());
  WEIR_CHECK(std::memcmp(&parsed, &headers, sizeof headers) == 0);
  if (const auto plain = native.glance(frame.bytes())) {
    WEIR_CHECK(plain->outcome == outcome);
    WEIR_CHECK(plain->source(frame.bytes()) == weir::packet::source(frame.bytes(), headers));
  }
  if (const auto read = native.read_at_a_glance(frame.bytes())) {
    weir::packet::Headers whole;
    weir_parse(frame.data, frame.data + frame.length, &whole);
    WEIR_CHECK(std::memcmp(&*read, &whole, sizeof whole) == 0);
  }
  check_features(frame, headers);
  return 0;
}

std::vector<std::vector<std::uint8_t>> fuzz_seeds() {
  FrameGenerator generator(20'261'125);
  std::vector<std::vector<std::uint8_t>> seeds;
  for (std::uint8_t i = 0; i < 200; ++i) {
    seeds.push_back(generator.whole());
    seeds.back().insert(seeds.back().begin(), i);
  }
  return seeds;
}
