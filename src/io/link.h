// SPDX-License-Identifier: BSD-2-Clause
/// Link types of captures, and how their packets become Ethernet frames, which is all that the
/// datapath reads: the link's own header goes, an Ethernet header comes in front.
///
/// Source    tcpdump.org, "Link-layer header types"; LINKTYPE_LINUX_SLL and _SLL2 there.
/// Inside of io/capture.h; nobody else includes this.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace weir::io::detail {

enum class Framing : std::uint8_t {
  ethernet,
  raw_ip,  ///< IPv4 or IPv6, as its first four bits say
  raw_ip4,
  raw_ip6,
  loopback,  ///< four bytes of address family, in either byte order
  pppoe,     ///< from the PPPoE session header on
  cooked,    ///< Linux "any", version 1
  cooked2,   ///< and version 2
};
/// Empty for a link type that weir does not read.
std::optional<Framing> framing_of(std::uint32_t link_type) noexcept;
/// "link type 105 (IEEE 802.11): Ethernet (1), ... is expected, ...".
std::string link_refused(std::uint32_t link_type);

/// What a packet is without its link's header.
struct Network {
  std::size_t header_bytes = 0;      ///< of the link; at most the packet's
  std::uint16_t ethertype = 0xffff;  ///< 0xffff is reserved (RFC 9542, B.1): nobody knows
};
Network network_of(std::span<const std::uint8_t> packet, Framing framing) noexcept;

inline constexpr std::size_t kEthernetHeader_bytes = 14;

/// Copies of packets as Ethernet frames, in large blocks of memory.
class Reframed {
 public:
  std::span<const std::uint8_t> add(std::span<const std::uint8_t> payload, std::uint16_t ethertype);
  void clear() noexcept;

 private:
  std::vector<std::unique_ptr<std::uint8_t[]>> blocks_;
  std::size_t room_ = 0, used_ = 0;  // of the last block
};

}  // namespace weir::io::detail
