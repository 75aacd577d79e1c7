// SPDX-License-Identifier: BSD-2-Clause
#include "io/link.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "io/capture.h"

namespace weir::io::detail {

namespace {

constexpr std::uint16_t kIp4 = 0x0800;
constexpr std::uint16_t kIp6 = 0x86dd;
constexpr std::uint16_t kPppoeSession = 0x8864;
constexpr std::uint16_t kUnknown = Network{}.ethertype;

struct LinkType {
  std::uint32_t number;
  const char* name;
};

/// What captures of a network that carries SSDP may come as and weir does not read, so that a
/// refusal can name what it found.
constexpr std::array kOtherLinks = {
    LinkType{6, "Token Ring"},
    LinkType{8, "SLIP"},
    LinkType{9, "PPP"},
    LinkType{10, "FDDI"},
    LinkType{50, "PPP in HDLC"},
    LinkType{104, "Cisco HDLC"},
    LinkType{105, "IEEE 802.11"},
    LinkType{107, "Frame Relay"},
    LinkType{117, "OpenBSD pflog"},
    LinkType{119, "802.11 with Prism header"},
    LinkType{127, "802.11 with radiotap header"},
    LinkType{163, "802.11 with AVS header"},
    LinkType{187, "Bluetooth HCI"},
    LinkType{189, "USB, Linux header"},
    LinkType{192, "PPI"},
    LinkType{195, "IEEE 802.15.4"},
    LinkType{201, "Bluetooth HCI with direction"},
    LinkType{220, "USB, Linux header, padded"},
    LinkType{227, "CAN"},
    LinkType{239, "Linux netfilter log"},
    LinkType{249, "USBPcap"},
    LinkType{253, "Linux netlink"},
    LinkType{274, "Ethernet with mPackets"},
};

/// From 16 KiB, so that a small capture costs little, to 1 MiB: one allocation for some thousand
/// packets.
constexpr std::size_t kFirstBlock_bytes = 1U << 14U;
constexpr std::size_t kBlock_bytes = 1U << 20U;

std::uint16_t be16(const std::uint8_t* p) noexcept {
  return static_cast<std::uint16_t>(p[0] << 8U | p[1]);
}

std::uint16_t by_version(std::span<const std::uint8_t> packet) noexcept {
  switch (packet.empty() ? 0U : packet[0] >> 4U) {
    case 4:
      return kIp4;
    case 6:
      return kIp6;
    default:
      return kUnknown;
  }
}

/// AF_INET is 2 everywhere; AF_INET6 is 10, 24, 28 or 30, by the system that captured.
std::uint16_t by_family(std::span<const std::uint8_t> header) noexcept {
  const unsigned family = header[0] != 0 ? header[0] : header[3];
  switch (family) {
    case 2:
      return kIp4;
    case 10:
    case 24:
    case 28:
    case 30:
      return kIp6;
    default:
      return kUnknown;
  }
}

/// A header of `bytes`, with the protocol at `at`. Values below 0x600 are no Ethernet types there.
Network cooked(std::span<const std::uint8_t> packet, std::size_t bytes, std::size_t at) noexcept {
  if (packet.size() < bytes) return {packet.size(), kUnknown};
  const std::uint16_t type = be16(packet.data() + at);
  return {bytes, type < 0x600 ? kUnknown : type};
}

}  // namespace

std::optional<Framing> framing_of(std::uint32_t link_type) noexcept {
  switch (link_type) {
    case 0:
    case 108:  // OpenBSD's
      return Framing::loopback;
    case 1:
      return Framing::ethernet;
    case 12:  // DLT_RAW, as libpcap wrote it before link types had numbers of their own
    case 101:
      return Framing::raw_ip;
    case 51:
      return Framing::pppoe;
    case 113:
      return Framing::cooked;
    case 228:
      return Framing::raw_ip4;
    case 229:
      return Framing::raw_ip6;
    case 276:
      return Framing::cooked2;
    default:
      return std::nullopt;
  }
}

std::string link_refused(std::uint32_t link_type) {
  const auto* const known =
      std::find_if(kOtherLinks.begin(), kOtherLinks.end(),
                   [&](const LinkType& link) { return link.number == link_type; });
  return fmt::format(
      "link type {} ({}): Ethernet (1), raw IP (101, 228, 229), Linux cooked (113, 276), loopback "
      "(0, 108) or PPPoE (51) is expected; capture on an Ethernet interface by its name",
      link_type, known == kOtherLinks.end() ? "unknown to weir" : known->name);
}

Network network_of(std::span<const std::uint8_t> packet, Framing framing) noexcept {
  constexpr std::size_t kFamily_bytes = 4;
  switch (framing) {
    case Framing::ethernet:  // not asked for: it needs no copy
      break;
    case Framing::raw_ip:
      return {0, by_version(packet)};
    case Framing::raw_ip4:
      return {0, kIp4};
    case Framing::raw_ip6:
      return {0, kIp6};
    case Framing::loopback:
      if (packet.size() < kFamily_bytes) return {packet.size(), kUnknown};
      return {kFamily_bytes, by_family(packet)};
    case Framing::pppoe:
      return {0, kPppoeSession};
    case Framing::cooked:
      return cooked(packet, 16, 14);
    case Framing::cooked2:
      return cooked(packet, 20, 0);
  }
  return {};
}

std::span<const std::uint8_t> Reframed::add(std::span<const std::uint8_t> payload,
                                            std::uint16_t ethertype) {
  const std::size_t size = kEthernetHeader_bytes + payload.size();
  if (blocks_.empty() || room_ - used_ < size) {
    room_ = std::max(size, std::clamp(2 * room_, kFirstBlock_bytes, kBlock_bytes));
    blocks_.push_back(std::make_unique_for_overwrite<std::uint8_t[]>(room_));
    used_ = 0;
  }
  std::uint8_t* const at = blocks_.back().get() + used_;
  // Locally administered addresses; from 02:..:01 to 02:..:02.
  constexpr std::array<std::uint8_t, 12> kAddresses = {2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1};
  std::copy(kAddresses.begin(), kAddresses.end(), at);
  at[12] = static_cast<std::uint8_t>(ethertype >> 8U);
  at[13] = static_cast<std::uint8_t>(ethertype & 0xffU);
  std::copy(payload.begin(), payload.end(), at + kEthernetHeader_bytes);
  used_ += size;
  return {at, size};
}

void Reframed::clear() noexcept {
  blocks_.clear();
  room_ = used_ = 0;
}

}  // namespace weir::io::detail
