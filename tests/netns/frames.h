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

/// Hosts of the LAN, by number below 200; number 0 is the one under attack. Each shape has its own.
Address host(Shape shape, unsigned number = 0);
/// Devices on the WAN side, by number below 250.
Address device(Shape shape, unsigned number = 0);
/// Reflectors, by number below 200: address follows address.
Address reflector(Shape shape, unsigned number = 0);

/// A UDP frame in `shape`, from `source` to `destination`.
Bytes udp_frame(Shape shape, const Address& source, const Address& destination,
                std::uint16_t source_port, std::uint16_t destination_port,
                std::string_view payload);

/// A host's M-SEARCH to the group, from its port 50001. A host that searches many times a second,
/// or asks many addresses one by one, is no ordinary one: use several.
Bytes search(Shape shape, unsigned host_number = 0);
/// A device's answer to it.
Bytes reply(Shape shape, unsigned device_number = 0, unsigned host_number = 0);
/// A reply that nobody asked for: what a reflector sends to host 0.
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
