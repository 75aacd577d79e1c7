/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* What a packet's IP and TCP or UDP headers say, as numbers: the features of the group `header`, for the kernel and for
 * userspace. Every value is a whole number below 2^32.
 *
 * Reads    IPv4 and IPv6 through parse.h, which finds the headers behind tags, PPPoE, options and extension headers.
 * Absent   a field that the packet does not have is 0: ports and TCP of a later fragment, TCP of UDP, TCP whose 20 bytes
 *          are not all inside the datagram and the frame, both of what parse.h calls malformed.
 * Readings WEIR_READING_exact is what the headers' standards say. WEIR_READING_skx gives the numbers that SkimXDP's program
 *          computes on a little-endian machine, its mistakes included, so that the two can be compared: it takes every IP
 *          header for one of 20 bytes and what follows for TCP, and judges neither IPv6, nor what is behind a tag or PPPoE,
 *          nor a frame of less than 54 bytes. The table below has what each feature is in each.
 * Cost     the compiler leaves out the reading that a constant `reading` does not choose.
 */
#ifndef WEIR_HEADER_FEATURES_H
#define WEIR_HEADER_FEATURES_H

#include "parse.h"

/* X(name, unit, help, skx): `skx` says what is different in the other reading; "" where nothing is. */
#define WEIR_HEADER_FEATURES(X)                                                                                        \
  X(ip_ihl, "32-bit words", "IP header with its options; in IPv6 40 bytes and the extension headers",                  \
    "the field of the IPv4 header in the highest byte: times 2^24")                                                    \
  X(ip_version, "4 or 6", "IP version", "in the highest byte: times 2^24, so 67108864")                                \
  X(ip_preference, "0 to 7", "IP precedence: the upper three bits of the type of service or traffic class",            \
    "the bits where they stand: times 32")                                                                             \
  X(ip_dscp, "0 to 63", "DSCP: the upper six bits of the type of service or traffic class",                            \
    "the four type-of-service bits of RFC 1349 where they stand (mask 0x1e): bits of DSCP and ECN")                    \
  X(ip_total_length, "bytes", "of the IP datagram or fragment, its header included", "")                               \
  X(ip_frag_offset, "8 bytes", "offset of a fragment in its datagram; 0 in a first or only one",                       \
    "the whole field: plus 16384 where fragmenting is forbidden, 8192 where fragments follow")                         \
  X(ip_ttl, "hops", "TTL or hop limit", "")                                                                            \
  X(ip_protocol, "number", "IANA protocol number of what IP carries, behind extension headers", "")                    \
  X(source_port, "port", "of UDP or TCP", "bytes 34 and 35 of every frame, whatever they are")                         \
  X(dest_port, "port", "of UDP or TCP", "bytes 36 and 37 of every frame, whatever they are")                           \
  X(tcp_sequence_num, "number", "TCP sequence number", "bytes 38 to 41 of every frame, whatever they are")             \
  X(tcp_ack_num, "number", "TCP acknowledgment number", "bytes 42 to 45 of every frame, whatever they are")            \
  X(tcp_window_size, "number", "TCP window field, not scaled", "bytes 48 and 49 of every frame, whatever they are")    \
  X(tcp_urgent_pointer, "bytes", "TCP urgent pointer", "bytes 52 and 53 of every frame, whatever they are")            \
  X(tcp_cwr_flag, "0 or 1", "TCP flag CWR", "0 or 256; of byte 47 of every frame, whatever it is")                     \
  X(tcp_ece_flag, "0 or 1", "TCP flag ECE", "0 or 256; of byte 47 of every frame, whatever it is")                     \
  X(tcp_urg_flag, "0 or 1", "TCP flag URG", "0 or 256; of byte 47 of every frame, whatever it is")                     \
  X(tcp_ack_flag, "0 or 1", "TCP flag ACK", "0 or 256; of byte 47 of every frame, whatever it is")                     \
  X(tcp_psh_flag, "0 or 1", "TCP flag PSH", "0 or 256; of byte 47 of every frame, whatever it is")                     \
  X(tcp_rst_flag, "0 or 1", "TCP flag RST", "0 or 256; of byte 47 of every frame, whatever it is")                     \
  X(tcp_syn_flag, "0 or 1", "TCP flag SYN", "0 or 256; of byte 47 of every frame, whatever it is")                     \
  X(tcp_fin_flag, "0 or 1", "TCP flag FIN", "0 or 256; of byte 47 of every frame, whatever it is")

enum weir_header_feature {
#define WEIR_HEADER_FEATURE_ENUM(name, unit, help, skx) WEIR_HEADER_FEATURE_##name,
  WEIR_HEADER_FEATURES(WEIR_HEADER_FEATURE_ENUM)
#undef WEIR_HEADER_FEATURE_ENUM
  WEIR_HEADER_FEATURE_COUNT
};

enum weir_reading {
  WEIR_READING_exact = 0,
  WEIR_READING_skx = 1,
};

#define WEIR_HEADER_SLOTS 24

struct weir_header_features {
  __u32 value[WEIR_HEADER_SLOTS]; /* by enum weir_header_feature; the slots behind the last are 0 */
};

#define WEIR_PROTOCOL_TCP 6
#define WEIR_TCP_BYTES 20
#define WEIR_IP4_OFFSET_MASK 0x1fff

static __always_inline __u32 weir_be32(const __u8 *p)
{
  return (__u32)p[0] << 24 | (__u32)p[1] << 16 | (__u32)p[2] << 8 | p[3];
}

/* The 20 bytes of TCP at `p`, which must be readable; a flag that is set counts `set`. */
static __always_inline void weir_fill_tcp(const __u8 *p, __u32 set, __u32 *value)
{
  __u32 flags = p[13];

  value[WEIR_HEADER_FEATURE_source_port] = weir_be16(p);
  value[WEIR_HEADER_FEATURE_dest_port] = weir_be16(p + 2);
  value[WEIR_HEADER_FEATURE_tcp_sequence_num] = weir_be32(p + 4);
  value[WEIR_HEADER_FEATURE_tcp_ack_num] = weir_be32(p + 8);
  value[WEIR_HEADER_FEATURE_tcp_window_size] = weir_be16(p + 14);
  value[WEIR_HEADER_FEATURE_tcp_urgent_pointer] = weir_be16(p + 18);
  value[WEIR_HEADER_FEATURE_tcp_cwr_flag] = (flags >> 7 & 1) * set;
  value[WEIR_HEADER_FEATURE_tcp_ece_flag] = (flags >> 6 & 1) * set;
  value[WEIR_HEADER_FEATURE_tcp_urg_flag] = (flags >> 5 & 1) * set;
  value[WEIR_HEADER_FEATURE_tcp_ack_flag] = (flags >> 4 & 1) * set;
  value[WEIR_HEADER_FEATURE_tcp_psh_flag] = (flags >> 3 & 1) * set;
  value[WEIR_HEADER_FEATURE_tcp_rst_flag] = (flags >> 2 & 1) * set;
  value[WEIR_HEADER_FEATURE_tcp_syn_flag] = (flags >> 1 & 1) * set;
  value[WEIR_HEADER_FEATURE_tcp_fin_flag] = (flags & 1) * set;
}

static __always_inline void weir_fill_service(__u32 service, __u32 *value)
{
  value[WEIR_HEADER_FEATURE_ip_preference] = service >> 5 & 7;
  value[WEIR_HEADER_FEATURE_ip_dscp] = service >> 2 & 63;
}

/* The IP header; 0 where it is not readable. */
static __always_inline int weir_fill_ip(const __u8 *data, const __u8 *end, const struct weir_headers *h, __u32 *value)
{
  const __u8 *p = data + (h->l3_offset & WEIR_OFFSET_MASK);

  if (p + WEIR_IP4_BYTES > end)
    return 0;
  value[WEIR_HEADER_FEATURE_ip_version] = h->family;
  value[WEIR_HEADER_FEATURE_ip_ttl] = h->ttl;
  value[WEIR_HEADER_FEATURE_ip_protocol] = h->protocol;
  if (h->family == 4) {
    value[WEIR_HEADER_FEATURE_ip_ihl] = p[0] & 15u;
    value[WEIR_HEADER_FEATURE_ip_total_length] = weir_be16(p + 2);
    value[WEIR_HEADER_FEATURE_ip_frag_offset] = weir_be16(p + 6) & WEIR_IP4_OFFSET_MASK;
    weir_fill_service(p[1], value);
    return 1;
  }
  value[WEIR_HEADER_FEATURE_ip_total_length] = weir_be16(p + 4) + (__u32)WEIR_IP6_BYTES;
  value[WEIR_HEADER_FEATURE_ip_ihl] =
      h->l4_offset > h->l3_offset ? (__u32)(h->l4_offset - h->l3_offset) / 4 : WEIR_IP6_BYTES / 4;
  weir_fill_service((p[0] & 15u) << 4 | p[1] >> 4, value);
  if (h->kind == WEIR_KIND_fragment) { /* parsing ended behind the fragment header, which has 8 bytes */
    p = data + ((__u32)(h->l4_offset - 8) & WEIR_OFFSET_MASK);
    if (p + 8 <= end)
      value[WEIR_HEADER_FEATURE_ip_frag_offset] = weir_be16(p + 2) >> 3;
  }
  return 1;
}

static __always_inline int weir_read_exact(const __u8 *data, const __u8 *end, const struct weir_headers *h, __u32 *value)
{
  const __u8 *p;

  if (!h->family || !weir_fill_ip(data, end, h, value))
    return 0;
  if (h->kind == WEIR_KIND_udp) {
    value[WEIR_HEADER_FEATURE_source_port] = h->source_port;
    value[WEIR_HEADER_FEATURE_dest_port] = h->destination_port;
    return 1;
  }
  if (h->kind != WEIR_KIND_ip || h->protocol != WEIR_PROTOCOL_TCP)
    return 1;
  /* Not what Ethernet pads a datagram with. */
  if (h->l4_offset + (__u32)WEIR_TCP_BYTES > h->l3_offset + value[WEIR_HEADER_FEATURE_ip_total_length])
    return 1;
  p = data + (h->l4_offset & WEIR_OFFSET_MASK);
  if (p + WEIR_TCP_BYTES <= end)
    weir_fill_tcp(p, 1, value);
  return 1;
}

static __always_inline int weir_read_skx(const __u8 *data, const __u8 *end, __u32 *value)
{
  const __u8 *p = data + WEIR_ETHERNET_BYTES;

  if (p + WEIR_IP4_BYTES + WEIR_TCP_BYTES > end || weir_be16(data + 12) != WEIR_TYPE_IP4)
    return 0;
  value[WEIR_HEADER_FEATURE_ip_ihl] = (p[0] & 15u) << 24;
  value[WEIR_HEADER_FEATURE_ip_version] = (__u32)(p[0] >> 4) << 24;
  value[WEIR_HEADER_FEATURE_ip_preference] = p[1] & 0xe0;
  value[WEIR_HEADER_FEATURE_ip_dscp] = p[1] & 0x1e;
  value[WEIR_HEADER_FEATURE_ip_total_length] = weir_be16(p + 2);
  value[WEIR_HEADER_FEATURE_ip_frag_offset] = weir_be16(p + 6);
  value[WEIR_HEADER_FEATURE_ip_ttl] = p[8];
  value[WEIR_HEADER_FEATURE_ip_protocol] = p[9];
  weir_fill_tcp(p + WEIR_IP4_BYTES, 256, value);
  return 1;
}

/* Fills all of `f` from the frame from `start` to `limit`, which weir_parse filled `h` from. 1; or 0 where this reading has
 * no features of such a frame (exact: it is not IP, or its IP header is cut off): then all values are 0, and no model
 * judges it. `reading`: enum weir_reading.
 */
static __always_inline int weir_read_header_features(const void *start, const void *limit, const struct weir_headers *h,
                                                     int reading, struct weir_header_features *f)
{
  const __u8 *data = (const __u8 *)start;
  const __u8 *end = (const __u8 *)limit;

  __builtin_memset(f, 0, sizeof(*f));
  if (reading == WEIR_READING_skx)
    return weir_read_skx(data, end, f->value);
  return weir_read_exact(data, end, h, f->value);
}

#endif
