/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The named ends of a packet's way through the datapath: one list, used by the XDP program, the native build, metrics,
 * the status page and the README's table. Each packet has exactly one. A number is never reused: a retired outcome keeps
 * its line, renamed to retired_ and the number.
 *
 * X(number, name, effect, help)   effect: peer (to the other interface), socket (to AF_XDP), drop
 */
#ifndef WEIR_OUTCOMES_H
#define WEIR_OUTCOMES_H

#define WEIR_OUTCOMES(X)                                                                                         \
  X(0, peer_not_ip, peer, "neither IPv4 nor IPv6: ARP, STP, LLDP, MPLS, more tags than are parsed, ...")         \
  X(1, peer_not_udp, peer, "IP, but not UDP")                                                                    \
  X(2, peer_not_steered, peer, "UDP that no port and no SSDP start line selects")                                \
  X(3, peer_fragment, peer, "IP fragment after the first: it has no ports")                                      \
  X(4, peer_malformed, peer, "cut off, or a header that contradicts itself: passed as it is")                    \
  X(5, peer_too_deep, peer, "more IPv6 extension headers than are parsed")                                       \
  X(6, socket_steered, socket, "SSDP, or what section [steer] names: to the channel's socket")                   \
  X(7, peer_no_socket, peer, "steered, but its queue has no socket that could take it, and fail_mode is open")   \
  X(8, peer_stalled, peer, "steered, but its channel's heartbeat is too old and fail_mode is open")              \
  X(9, drop_no_socket, drop, "steered, but its queue has no socket that could take it, and fail_mode is closed") \
  X(10, drop_stalled, drop, "steered, but its channel's heartbeat is too old and fail_mode is closed")           \
  X(11, drop_block_ssdp, drop, "steered, from a source that is blocked with scope ssdp")                         \
  X(12, drop_block_all, drop, "from a source that is blocked with scope all")                                    \
  X(13, drop_block_fragment, drop, "UDP fragment after the first, from a blocked source")                        \
  X(14, drop_fragment, drop, "UDP fragment after the first, with steer.fragments = \"drop\"")                    \
  X(15, drop_not_ours, drop, "came in by an interface that is neither side")                                     \
  X(16, drop_block_network, drop, "steered, from a /24 or /64 that is blocked")                                  \
  X(17, drop_block_victim, drop, "an SSDP start line to a victim, and not to a port that it searched from")      \
  X(18, peer_copied, peer, "steered, and passed on at once: a copy of it is judged (host mode, observe)")        \
  X(19, peer_copy_lost, peer, "the same, but there was no room for its copy: nobody judged it")                  \
  X(20, peer_screened, peer, "steered, and found fine by the screen: userspace does not see it")

enum weir_outcome {
#define WEIR_OUTCOME_ENUM(number, name, effect, help) WEIR_OUTCOME_##name = number,
  WEIR_OUTCOMES(WEIR_OUTCOME_ENUM)
#undef WEIR_OUTCOME_ENUM
};

/* Room in the counter map: larger than the list, so that a new outcome needs no new map. */
#define WEIR_OUTCOME_SLOTS 32

#endif
