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
  bool multicast = false;   ///< to a multicast group or broadcast
  /// Answers to searches that its source gave lately, a fading count: nobody can earn them but by
  /// being asked.
  float source_wanted = 0;
  float source_packets = 0;  ///< the features of these names
  float destination_packets = 0;
  std::uint16_t source_port = 0;       ///< host order
  std::uint16_t destination_port = 0;  ///< host order
};

}  // namespace weir::detect
