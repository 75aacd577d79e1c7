// SPDX-License-Identifier: BSD-2-Clause
/// The frames that the tests of the whole box send: SSDP as devices and attackers write it, and one
/// frame of each protocol that a wire must carry.
///
/// Threads   pure functions.
#pragma once

#include <string>
#include <vector>

#include "base/types.h"
#include "support/packet_builder.h"

namespace weir::test {

/// What stands between Ethernet and UDP.
enum class Shape { ip4, ip6, vlan, qinq, pppoe };
const char* name(Shape shape);

/// The LAN host under attack, and devices on the WAN side, by number.
Address victim(Shape shape);
Address device(Shape shape, unsigned number = 0);
/// Reflectors, by number below 200: address follows address.
Address reflector(Shape shape, unsigned number = 0);

/// A UDP frame in `shape`, from `source` to `destination`.
Bytes udp_frame(Shape shape, const Address& source, const Address& destination,
                std::uint16_t source_port, std::uint16_t destination_port,
                std::string_view payload);

/// The victim's M-SEARCH to a device on the WAN side, from its port 50001.
Bytes search(Shape shape, unsigned device_number = 0);
/// The same to everybody: to the group of SSDP.
Bytes search_all(Shape shape);
/// The device's answer to either.
Bytes reply(Shape shape, unsigned device_number = 0);
/// A reply that nobody asked for: what a reflector sends to the victim.
Bytes reflection(Shape shape, unsigned number = 0);
/// A flow that has nothing to do with SSDP.
Bytes background(Shape shape);

/// A frame that a wire must carry as it is.
struct WireFrame {
  std::string name;
  Bytes bytes;
};
/// One of each: ARP to unknown ethertypes, tagged and not, small to full size.
std::vector<WireFrame> every_kind(Side from);

}  // namespace weir::test
