/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Bytes to offsets: the only parser of Ethernet to UDP in weir, for the kernel and for userspace.
 *
 * Accepts  Ethernet II; 0 to 2 tags of 802.1Q / 802.1ad; PPPoE session (with or without tags); IPv4 with options; IPv6
 *          with up to WEIR_EXTENSIONS_MAX extension headers (RFC 8200 order is not demanded); UDP.
 * Bounds   every read is checked against `end`; nothing behind the IP datagram's own length is ever called payload
 *          (Ethernet pads), and a UDP length that contradicts the IP length is malformed.
 * Returns  the kind in `weir_headers.kind`; the fields that the kind promises are set, the others are zero.
 */
#ifndef WEIR_PARSE_H
#define WEIR_PARSE_H

#include <linux/types.h>

#define WEIR_EXTENSIONS_MAX 8
#define WEIR_TAGS_MAX 2

enum weir_kind {
  WEIR_KIND_not_ip = 0,
  WEIR_KIND_ip = 1,        /* IP, not UDP: family, addresses, protocol */
  WEIR_KIND_udp = 2,       /* UDP with ports; payload_offset and payload_length. Also a first fragment. */
  WEIR_KIND_fragment = 3,  /* a fragment after the first; `protocol` is that of the datagram */
  WEIR_KIND_malformed = 4, /* cut off or contradictory; the family is set (4 or 6) if the addresses were readable */
  WEIR_KIND_too_deep = 5,  /* more extension headers than are parsed; addresses are set */
};

/* Flags in weir_headers.flags */
#define WEIR_HEADERS_FIRST_FRAGMENT 1u /* UDP, but more fragments follow */
#define WEIR_HEADERS_IP_OPTIONS 2u     /* IPv4 options or IPv6 extension headers were there */
#define WEIR_HEADERS_PPPOE 4u

struct weir_headers {
  __u8 kind;     /* enum weir_kind */
  __u8 family;   /* 4, 6, or 0 */
  __u8 protocol; /* IP protocol, or last next-header */
  __u8 ttl;      /* TTL or hop limit */
  __u8 tags;     /* number of VLAN tags */
  __u8 flags;    /* WEIR_HEADERS_* */
  __u16 vlan_id; /* of the outer tag, host order; 0 without */
  __u16 l3_offset;
  __u16 source_offset;      /* of the source address (4 or 16 bytes) */
  __u16 destination_offset; /* of the destination address */
  __u16 l4_offset;
  __u16 payload_offset;
  __u16 payload_length;   /* bytes of UDP payload that are in this frame */
  __u16 source_port;      /* host order */
  __u16 destination_port; /* host order */
};

#endif
