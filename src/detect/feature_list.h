// SPDX-License-Identifier: BSD-2-Clause
/// Every feature that a model may ask for: one list, for extraction, model files, `weir why`,
/// `weir model features` and the README.
///
/// Groups    packet: what the packet itself says. source, destination: what the tables remember of
///           its addresses, this packet included; network: of the /24 or /64 of its destination.
///           context: how it fits to what the other side did before. header: fields of the IP, TCP
///           and UDP headers, by SkimXDP's names; their list is in bpf/header_features.h, for a
///           kernel model asks for the same.
/// Set by    sender: a value that its sender chooses freely, packet by packet. kind: what the packet
///           is; a sender chooses that too, but not without making another attack of it. box: what
///           weir counted or knows, which one packet cannot change. Features that the sender sets
///           can raise a score and never lower it: none of them clears a source.
/// Units     "short" counts fade with a half-life of 1.07 s and "long" ones with 34 s (window.h);
///           "lately" is 8.6 to 17.2 s (sketch.h); a "second" of source_seconds is 1.07 s.
/// Cost      parsed: a number that parsing left. entry: one multiplication and addition in a table
///           entry that each packet looks at anyway. sketch: a bit in such an entry. lookup: one
///           more entry, one cache line or two: of the network table, only where a model asks for
///           one of its features; of the source table, for searches to one address. text: a few bytes of a header's text, read where
///           asked for. read: a few bytes of the packet's headers, read where a model asks for one
///           of the group.
/// Counting  answers that were asked for and client flows count in none of the source, destination
///           and network features but source_wanted and destination_wanted: the policy forwards
///           them, whatever else their host does.
/// Trust     a model that is to withstand an attacker leans on what the box counts. The shipped
///           model's card says which features it uses and why.
#pragma once

#include <cstddef>
#include <cstdint>

#include "../../bpf/header_features.h"

// X(name, group, set_by, cost, unit, help)
#define WEIR_FEATURES(X)                                                                           \
  X(payload_bytes, packet, sender, parsed, "bytes", "UDP payload in this frame")                   \
  X(ttl, packet, sender, parsed, "hops",                                                           \
    "TTL or hop limit: LANs use 1-4 and 64, what crossed the Internet 25-250")                     \
  X(is_search, packet, kind, parsed, "0 or 1", "it is an M-SEARCH")                                \
  X(is_notify, packet, kind, parsed, "0 or 1", "it is a NOTIFY")                                   \
  X(is_reply, packet, kind, parsed, "0 or 1", "it is a reply, HTTP/1.1 200")                       \
  X(is_malformed, packet, kind, parsed, "0 or 1", "it starts like SSDP and breaks its grammar")    \
  X(header_lines, packet, sender, parsed, "lines", "header lines of the message")                  \
  X(anomalies, packet, sender, parsed, "rules",                                                    \
    "different rules of the message format that it breaks")                                        \
  X(asks_all, packet, sender, parsed, "0 or 1",                                                    \
    "a search for ssdp:all, which yields the most replies")                                        \
  X(from_port_1900, packet, sender, parsed, "0 or 1", "source port is 1900")                       \
  X(to_port_1900, packet, sender, parsed, "0 or 1", "destination port is 1900")                    \
  X(to_multicast, packet, kind, parsed, "0 or 1", "sent to a multicast group or broadcast")        \
  X(from_lan, packet, box, parsed, "0 or 1", "came in by the LAN interface")                       \
  X(mx_s, packet, sender, parsed, "s", "the MX of a search; 0 where there is none")                \
  X(is_byebye, packet, sender, parsed, "0 or 1", "a NOTIFY that says goodbye")                     \
  X(has_banner, packet, sender, parsed, "0 or 1", "it names its SERVER or USER-AGENT")             \
  X(location_elsewhere, packet, sender, text, "0 or 1",                                            \
    "its LOCATION is an IPv4 address, and not the one that it came from")                          \
  X(source_packets, source, box, entry, "packets", "of its source, short")                         \
  X(source_bytes, source, box, entry, "bytes", "of payload of its source, short")                  \
  X(source_packets_long, source, box, entry, "packets", "of its source, long")                     \
  X(source_unsolicited, source, box, entry, "packets",                                             \
    "of its source that nobody asked for (no search, announcement or client flow, nor an answer "  \
    "that is due), long")                                                                          \
  X(source_searches, source, box, entry, "packets", "M-SEARCH of its source, long")                \
  X(source_notifies, source, box, entry, "packets", "NOTIFY of its source, long")                  \
  X(source_broken, source, box, entry, "packets", "malformed messages of its source, long")        \
  X(source_destinations, source, box, sketch, "addresses",                                         \
    "that its source sent to lately, at most 266")                                                 \
  X(source_age_s, source, box, entry, "s", "since its source was first seen, at most 3,600")       \
  X(source_gap_s, source, box, entry, "s",                                                         \
    "since the packet of its source before this one, at most 3,600; that also for the first")      \
  X(source_seconds, source, box, entry, "seconds",                                                 \
    "of the last 64, in which its source sent what nobody asked for")                              \
  X(source_wanted, source, box, entry, "packets",                                                  \
    "answers of its source to those who had asked, long")                                          \
  X(destination_packets, destination, box, entry, "packets", "to its destination, short")          \
  X(destination_bytes, destination, box, entry, "bytes", "of payload to its destination, short")   \
  X(destination_unsolicited, destination, box, entry, "packets",                                   \
    "to its destination that it did not ask for, long")                                            \
  X(destination_searches, destination, box, entry, "packets", "M-SEARCH to its destination, long") \
  X(destination_new_sources, destination, box, entry, "packets",                                   \
    "to its destination that were the first of their source, long")                                \
  X(destination_sources, destination, box, sketch, "addresses",                                    \
    "that sent what its destination did not ask for lately, at most 1,419")                        \
  X(destination_seconds, destination, box, entry, "seconds",                                       \
    "of the last 64, in which its destination got what it did not ask for")                        \
  X(destination_ports, destination, box, sketch, "ports",                                          \
    "of its destination that got what it did not ask for lately, at most 266")                     \
  X(destination_wanted, destination, box, entry, "packets",                                        \
    "answers that its destination had asked for, long")                                            \
  X(destination_search_age_s, destination, box, entry, "s",                                        \
    "since its destination searched, from the LAN; at most 3,600, and that for never")             \
  X(network_packets, network, box, lookup, "packets",                                              \
    "to the network of its destination that nobody there asked for, short")                        \
  X(network_unsolicited, network, box, lookup, "packets", "the same, long")                        \
  X(network_destinations, network, box, lookup, "addresses",                                       \
    "of that network that got such packets lately, at most 266")                                   \
  X(network_sources, network, box, lookup, "addresses",                                            \
    "that such packets came from lately, at most 1,419")                                           \
  X(solicited, context, box, entry, "0 or 1",                                                      \
    "answers a search of the other side, within its limits")                                       \
  X(answer_late, context, box, entry, "0 or 1",                                                    \
    "solicited, but later than the search's MX and 2 s")                                           \
  X(answer_delay_s, context, box, entry, "s",                                                      \
    "since the search to whose port it came, admitted or not; 0 where there is none")              \
  X(answer_due, context, box, entry, "0 or 1",                                                     \
    "comes to a search's port while its answers are due, admitted or not")                         \
  X(asked_same_side, context, box, entry, "0 or 1", "answers a search of its own side")            \
  X(client_flow, context, box, entry, "0 or 1", "no SSDP, of a flow that the LAN opened")          \
  X(wrong_side, context, box, entry, "0 or 1",                                                     \
    "its source address lives on the other side: forged")                                          \
  X(search_blind, context, box, lookup, "0 or 1",                                                  \
    "a search to one address that no announcement or answer was ever seen from")

/// What most real devices send, for each feature that a sender sets: where these count nothing
/// (pipeline/guard.h), the model sees this. Medians over the announcements and answers of real
/// captures. Of the header group those of UDP over IPv4, which has no TCP: what is not named is 0.
#define WEIR_NEUTRAL(X)    \
  X(payload_bytes, 300)    \
  X(ttl, 4)                \
  X(header_lines, 8)       \
  X(anomalies, 0)          \
  X(asks_all, 0)           \
  X(from_port_1900, 1)     \
  X(to_port_1900, 0)       \
  X(mx_s, 0)               \
  X(is_byebye, 0)          \
  X(has_banner, 1)         \
  X(location_elsewhere, 0) \
  X(ip_ihl, 5)             \
  X(ip_version, 4)         \
  X(ip_total_length, 328)  \
  X(ip_ttl, 4)             \
  X(ip_protocol, 17)       \
  X(source_port, 1900)     \
  X(dest_port, 1900)

namespace weir::detect {

enum class Feature : std::uint8_t {
#define WEIR_FEATURE_ENUM(name, group, set_by, cost, unit, help) name,
  WEIR_FEATURES(WEIR_FEATURE_ENUM)
#undef WEIR_FEATURE_ENUM
#define WEIR_FEATURE_ENUM(name, unit, help, skx) name,
      WEIR_HEADER_FEATURES(WEIR_FEATURE_ENUM)
#undef WEIR_FEATURE_ENUM
};

#define WEIR_FEATURE_COUNT(name, group, set_by, cost, unit, help) +1
/// The group header stands behind all others, in the order of `weir_header_feature`.
inline constexpr std::size_t kFirstHeaderFeature = 0 WEIR_FEATURES(WEIR_FEATURE_COUNT);
inline constexpr std::size_t kFeatures =
    kFirstHeaderFeature + static_cast<std::size_t>(WEIR_HEADER_FEATURE_COUNT);
#undef WEIR_FEATURE_COUNT

}  // namespace weir::detect
