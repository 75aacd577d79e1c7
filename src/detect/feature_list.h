// SPDX-License-Identifier: BSD-2-Clause
/// Every feature that a model may ask for: one list, for extraction, model files, `weir why` and
/// the README.
///
/// Groups    packet: what the packet itself says, all of it chosen by its sender. source,
/// destination:
///           what the tables remember of its addresses, this packet included. context: how it fits
///           to what the other side did before.
/// Units     "short" counts fade with a half-life of 1.07 s and "long" ones with 34 s (window.h);
///           "lately" is 8.6 to 17.2 s (sketch.h).
/// Counting  answers that were asked for and client flows count in none of the source and
/// destination
///           features: the policy forwards them, whatever else their host does.
/// Trust     a sender sets the packet group at will, so a model that is to withstand an attacker
///           leans on the others. The shipped model's card says which features it uses and why.
#pragma once

#include <cstddef>
#include <cstdint>

// X(name, group, unit, help)
#define WEIR_FEATURES(X)                                                                     \
  X(payload_bytes, packet, "bytes", "UDP payload in this frame")                             \
  X(ttl, packet, "hops",                                                                     \
    "TTL or hop limit: LANs use 1-4 and 64, what crossed the Internet 25-250")               \
  X(is_search, packet, "0 or 1", "it is an M-SEARCH")                                        \
  X(is_notify, packet, "0 or 1", "it is a NOTIFY")                                           \
  X(is_reply, packet, "0 or 1", "it is a reply, HTTP/1.1 200")                               \
  X(is_malformed, packet, "0 or 1", "it starts like SSDP and breaks HTTP's grammar")         \
  X(header_lines, packet, "lines", "header lines of the message")                            \
  X(anomalies, packet, "rules", "different rules of the message format that it breaks")      \
  X(asks_all, packet, "0 or 1", "a search for ssdp:all, which yields the most replies")      \
  X(from_port_1900, packet, "0 or 1", "source port is 1900")                                 \
  X(to_port_1900, packet, "0 or 1", "destination port is 1900")                              \
  X(to_multicast, packet, "0 or 1", "sent to a multicast group or broadcast")                \
  X(from_lan, packet, "0 or 1", "came in by the LAN interface")                              \
  X(source_packets, source, "packets", "of its source, short")                               \
  X(source_bytes, source, "bytes", "of payload of its source, short")                        \
  X(source_packets_long, source, "packets", "of its source, long")                           \
  X(source_unsolicited, source, "packets",                                                   \
    "of its source that nobody asked for (no search, announcement or client flow), long")    \
  X(source_searches, source, "packets", "M-SEARCH of its source, long")                      \
  X(source_notifies, source, "packets", "NOTIFY of its source, long")                        \
  X(source_broken, source, "packets", "malformed messages of its source, long")              \
  X(source_destinations, source, "addresses", "that its source sent to lately, at most 266") \
  X(source_age_s, source, "s", "since its source was first seen, at most 3,600")             \
  X(destination_packets, destination, "packets", "to its destination, short")                \
  X(destination_bytes, destination, "bytes", "of payload to its destination, short")         \
  X(destination_unsolicited, destination, "packets",                                         \
    "to its destination that it did not ask for, long")                                      \
  X(destination_searches, destination, "packets", "M-SEARCH to its destination, long")       \
  X(destination_new_sources, destination, "packets",                                         \
    "to its destination that were the first of their source, long")                          \
  X(destination_sources, destination, "addresses",                                           \
    "that sent what its destination did not ask for lately, at most 1,419")                  \
  X(solicited, context, "0 or 1", "answers a search of the other side, within its limits")   \
  X(client_flow, context, "0 or 1", "no SSDP, of a flow that the LAN opened")                \
  X(wrong_side, context, "0 or 1", "its source address lives on the other side: forged")

namespace weir::detect {

enum class Feature : std::uint8_t {
#define WEIR_FEATURE_ENUM(name, group, unit, help) name,
  WEIR_FEATURES(WEIR_FEATURE_ENUM)
#undef WEIR_FEATURE_ENUM
};

#define WEIR_FEATURE_COUNT(name, group, unit, help) +1
inline constexpr std::size_t kFeatures = 0 WEIR_FEATURES(WEIR_FEATURE_COUNT);
#undef WEIR_FEATURE_COUNT

}  // namespace weir::detect
