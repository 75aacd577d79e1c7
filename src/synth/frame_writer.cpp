// SPDX-License-Identifier: BSD-2-Clause
#include "synth/frame_writer.h"

#include <algorithm>
#include <cstring>

namespace weir::synth {
namespace {

constexpr std::uint16_t kVlanId = 100;
constexpr std::uint16_t kOuterVlanId = 200;
constexpr std::uint16_t kPppoeSession = 0x1234;

void put16(std::uint8_t* to, std::size_t value) noexcept {
  to[0] = static_cast<std::uint8_t>(value >> 8U);
  to[1] = static_cast<std::uint8_t>(value);
}

/// The sum of 16-bit words, not folded; an odd byte counts as the high half of a word.
std::uint64_t sum(const std::uint8_t* bytes, std::size_t length) noexcept {
  std::uint64_t total = 0;
  for (; length >= 4; bytes += 4, length -= 4) {
    std::uint32_t word;
    std::memcpy(&word, bytes, sizeof word);
    total += word;
  }
  if (length >= 2) {
    std::uint16_t half;
    std::memcpy(&half, bytes, sizeof half);
    total += half;
    bytes += 2;
    length -= 2;
  }
  if (length == 1) {
    std::uint8_t last[2] = {bytes[0], 0};
    std::uint16_t half;
    std::memcpy(&half, last, sizeof half);
    total += half;
  }
  return total;
}

std::uint64_t sum16(std::size_t value) noexcept {
  return be16::from_host(static_cast<std::uint16_t>(value)).wire();
}

/// The Internet checksum (RFC 1071), as it stands on the wire.
std::uint16_t fold(std::uint64_t total) noexcept {
  while ((total >> 16U) != 0) total = (total & 0xffffU) + (total >> 16U);
  return static_cast<std::uint16_t>(~total);
}

void put_mac(std::uint8_t* to, const Datagram& d, bool source) noexcept {
  const Address& address = source ? d.source : d.destination;
  const std::uint8_t* const bytes = address.bytes().data();
  if (!source && d.broadcast) {
    std::memset(to, 0xff, 6);
    return;
  }
  if (!source && address.is_multicast()) {
    if (address.is_v4()) {  // RFC 1112, 6.4
      const std::uint8_t mac[6] = {
          1, 0, 0x5e, static_cast<std::uint8_t>(bytes[13] & 0x7fU), bytes[14], bytes[15]};
      std::memcpy(to, mac, sizeof mac);
    } else {  // RFC 2464, 7
      const std::uint8_t mac[6] = {0x33, 0x33, bytes[12], bytes[13], bytes[14], bytes[15]};
      std::memcpy(to, mac, sizeof mac);
    }
    return;
  }
  // A router on the WAN side, the hosts themselves on the LAN side.
  const Side of = source ? d.side : opposite(d.side);
  if (of == Side::wan) {
    const std::uint8_t mac[6] = {2, 0, 0, 0, 0, 1};
    std::memcpy(to, mac, sizeof mac);
  } else {
    const std::uint8_t mac[6] = {2, 0, 0x5e, bytes[13], bytes[14], bytes[15]};
    std::memcpy(to, mac, sizeof mac);
  }
}

}  // namespace

std::size_t FrameWriter::write_link(const Datagram& d, std::size_t ip_length) noexcept {
  std::uint8_t* const p = buffer_.data();
  put_mac(p, d, false);
  put_mac(p + 6, d, true);
  std::size_t at = 12;
  const auto put = [&](std::size_t value) {
    put16(p + at, value);
    at += 2;
  };
  const std::size_t ip_type = d.source.is_v4() ? 0x0800 : 0x86dd;
  switch (encapsulation_) {
    case Encapsulation::none:
      break;
    case Encapsulation::qinq:
      put(0x88a8);
      put(kOuterVlanId);
      [[fallthrough]];
    case Encapsulation::vlan:
      put(0x8100);
      put(kVlanId);
      break;
    case Encapsulation::pppoe:
      put(0x8864);
      put(0x1100);  // version 1, type 1, session data
      put(kPppoeSession);
      put(ip_length + 2);
      put(d.source.is_v4() ? 0x0021 : 0x0057);
      return at;
  }
  put(ip_type);
  return at;
}

std::size_t FrameWriter::write_ip(const Datagram& d, std::size_t at, const Piece& piece) noexcept {
  std::uint8_t* const p = buffer_.data() + at;
  if (d.source.is_v4()) {
    const std::uint8_t fixed[12] = {0x45, 0, 0, 0, 0, 0, 0x40, 0, d.ttl, 17, 0, 0};
    std::memcpy(p, fixed, sizeof fixed);
    put16(p + 2, 20 + piece.length);
    put16(p + 4, identification_);
    if (!piece.whole) put16(p + 6, piece.offset / 8 + (piece.last ? 0 : 0x2000));
    if (piece.last) ++identification_;
    std::memcpy(p + 12, d.source.bytes().data() + 12, 4);
    std::memcpy(p + 16, d.destination.bytes().data() + 12, 4);
    const std::uint16_t check = fold(sum(p, 20));
    std::memcpy(p + 10, &check, sizeof check);
    return at + 20;
  }
  const std::uint8_t next = piece.whole ? 17 : 44;
  const std::uint8_t fixed[8] = {0x60, 0, 0, 0, 0, 0, next, d.ttl};
  std::memcpy(p, fixed, sizeof fixed);
  put16(p + 4, piece.length + (piece.whole ? 0 : 8));
  std::memcpy(p + 8, d.source.bytes().data(), 16);
  std::memcpy(p + 24, d.destination.bytes().data(), 16);
  if (piece.whole) return at + 40;
  std::uint8_t* const fragment = p + 40;  // RFC 8200, 4.5
  const std::uint8_t header[8] = {17, 0, 0, 0, 0, 0, 0, 0};
  std::memcpy(fragment, header, sizeof header);
  put16(fragment + 2, piece.offset + (piece.last ? 0 : 1));
  put16(fragment + 6, identification_);
  if (piece.last) ++identification_;
  return at + 48;
}

namespace {

/// The UDP header and payload, with checksum.
std::size_t write_udp(const Datagram& d, std::string_view payload, std::uint8_t* udp) noexcept {
  const std::size_t udp_length = 8 + payload.size();
  put16(udp, d.source_port);
  put16(udp + 2, d.destination_port);
  put16(udp + 4, udp_length);
  put16(udp + 6, 0);
  std::memcpy(udp + 8, payload.data(), payload.size());
  const std::size_t from = d.source.is_v4() ? 12 : 0;
  std::uint64_t total = sum(udp, udp_length) + sum16(udp_length) + sum16(17);
  total += sum(d.source.bytes().data() + from, 16 - from);
  total += sum(d.destination.bytes().data() + from, 16 - from);
  std::uint16_t check = fold(total);
  if (check == 0) check = 0xffff;
  std::memcpy(udp + 6, &check, sizeof check);
  return udp_length;
}

}  // namespace

std::size_t FrameWriter::pad_frame(std::size_t length) noexcept {
  while (length < 60)
    buffer_[length++] = 0;  // Ethernet's shortest frame, without its check sequence
  return length;
}

std::span<const std::uint8_t> FrameWriter::write(const Datagram& d) noexcept {
  const std::string_view payload = d.payload.substr(0, kPayloadMax);
  const Piece piece{.length = 8 + payload.size()};
  const std::size_t ip_at = write_link(d, (d.source.is_v4() ? 20 : 40) + piece.length);
  const std::size_t udp_at = write_ip(d, ip_at, piece);
  const std::size_t end = udp_at + write_udp(d, payload, buffer_.data() + udp_at);
  return {buffer_.data(), pad_frame(end)};
}

void FrameWriter::begin_fragments(const Datagram& d) noexcept {
  fragmented_ = d;
  fragmented_length_ = write_udp(d, d.payload.substr(0, kDatagramMax), whole_.data());
  fragmented_.payload = {};
  fragmented_out_ = 0;
}

std::span<const std::uint8_t> FrameWriter::next_fragment() noexcept {
  if (fragmented_out_ >= fragmented_length_) return {};
  static_assert(kPayloadMax % 8 == 0);
  Piece piece{.offset = fragmented_out_, .whole = false};
  piece.length = std::min(fragmented_length_ - fragmented_out_, kPayloadMax);
  piece.last = fragmented_out_ + piece.length == fragmented_length_;
  const std::size_t header = fragmented_.source.is_v4() ? 20 : 48;
  const std::size_t ip_at = write_link(fragmented_, header + piece.length);
  const std::size_t at = write_ip(fragmented_, ip_at, piece);
  std::memcpy(buffer_.data() + at, whole_.data() + piece.offset, piece.length);
  fragmented_out_ += piece.length;
  return {buffer_.data(), pad_frame(at + piece.length)};
}

}  // namespace weir::synth
