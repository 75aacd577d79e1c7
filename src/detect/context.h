// SPDX-License-Identifier: BSD-2-Clause
/// What extraction learned of one packet that the policy needs besides the score.
#pragma once

#include <cstdint>

#include "base/address.h"
#include "base/clock.h"
#include "packet/ssdp.h"

namespace weir::detect {

struct Context {
  Address source;
  Address destination;
  PacketTime time;
  Side side = Side::wan;
  packet::Method method = packet::Method::none;
  bool solicited = false;  ///< the other side asked: an open expectation admits this packet
  bool late = false;       ///< solicited, but later than MX and some slack
  /// No answer to the other side, but to a search that came from its own side: two hosts of one
  /// segment talk, and the box sees it.
  bool asked_same_side = false;
  bool client_flow =
      false;  ///< no SSDP, and of a flow that the LAN opened: a mere user of the port number
  bool wrong_side = false;  ///< its source address lives on the other side: forged, or just moved
  PacketTime first_seen;    ///< the first packet of its source that userspace saw
  /// To a multicast group or broadcast, by its IP address or by Ethernet's.
  bool multicast = false;
  /// A search to one address that no announcement or answer was ever seen from, and that lives on
  /// the other side: nobody can know of a device there.
  bool blind = false;
  bool awaited = false;  ///< it comes to a port that its destination lately searched from
  bool due = false;      ///< awaited, and not later than MX and some slack
  /// Its destination is flooded with what it did not ask for, and its source was not known before.
  bool flooding = false;
  /// Answers to searches that its source gave lately, a fading count: nobody can earn them but by
  /// being asked.
  float source_wanted = 0;
  float source_packets = 0;  ///< the features of these names
  float destination_packets = 0;
  float destination_unsolicited = 0;
  /// Of `source_packets`, about how many were searches (of a search) or announcements (of one).
  float source_alike = 0;
  float searches_each = 0;  ///< of its source in the long window, for each address that it asked
  std::uint16_t source_port = 0;       ///< host order
  std::uint16_t destination_port = 0;  ///< host order
};

}  // namespace weir::detect
