/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Bytes to offsets: the parser of Ethernet to UDP in weir, for the kernel and for userspace. For frames as most are there
 * is a short way to the same (weir_read_plain in datapath.h).
 *
 * Accepts  Ethernet II; 0 to 2 tags of 802.1Q / 802.1ad; PPPoE session (with or without tags); IPv4 with options; IPv6
 *          with up to WEIR_EXTENSIONS_MAX extension headers (RFC 8200 order is not demanded); UDP.
 * Bounds   every read is checked against `end`; nothing behind the IP datagram's own length is ever called payload
 *          (Ethernet pads). An IP length beyond what PPPoE carries, or a UDP length beyond what IP carries, is malformed.
 *          A datagram longer than the frame (a capture cut at its snap length, the linear part of a multi-buffer frame)
 *          is parsed by the headers that are there.
 * Returns  the kind in `weir_headers.kind`; the fields that the kind promises are set, the others hold what was read
 *          before the parser stopped, or zero.
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
  __u16 payload_length;   /* bytes of UDP payload that the headers claim; packet::parse cuts it to what the frame holds */
  __u16 source_port;      /* host order */
  __u16 destination_port; /* host order */
};

#ifndef __always_inline
#define __always_inline inline __attribute__((always_inline))
#endif

#define WEIR_ETHERNET_BYTES 14
#define WEIR_TAG_BYTES 4
#define WEIR_PPPOE_BYTES 8 /* six of PPPoE, two of the PPP protocol number */
#define WEIR_IP4_BYTES 20
#define WEIR_IP6_BYTES 40
#define WEIR_UDP_BYTES 8

#define WEIR_TYPE_IP4 0x0800
#define WEIR_TYPE_IP6 0x86dd
#define WEIR_TYPE_8021Q 0x8100
#define WEIR_TYPE_8021AD 0x88a8
#define WEIR_TYPE_PPPOE_SESSION 0x8864
#define WEIR_PPP_IP4 0x0021
#define WEIR_PPP_IP6 0x0057
#define WEIR_PROTOCOL_UDP 17

/* What no link layer bounds: more than any IP datagram. */
#define WEIR_NO_BOUND 0x1ffff

/* A field of a header, in network order. Headers begin at an even distance from the frame's start, and the kernel puts
 * frames where that makes their fields even addresses: one load a field, even on machines that read no unaligned words.
 * Elsewhere (captures) a frame is aligned to nothing, and the compiler finds out what its machine can.
 */
typedef __u16 __attribute__((may_alias)) weir_field;

static __always_inline __u16 weir_be16(const __u8 *p)
{
#ifdef __bpf__
  __u16 field = *(const weir_field *)p;

  return __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? __builtin_bswap16(field) : field;
#else
  return (__u16)((__u32)p[0] << 8 | p[1]);
#endif
}

/* Gives `value` back, which is below 32 KiB. In the kernel, the verifier then knows no more than that, and goes on once for
 * all the paths that led here; with what it knew, it walks each of them to the end (six link layers, times the lengths of
 * eight extension headers, times the decision: beyond its limit of a million instructions). A xor with something unknown,
 * twice, costs two instructions.
 */
static __always_inline __u32 weir_forget(const __u8 *data, const __u8 *end, __u32 value)
{
#ifdef __bpf__
  __u64 forgotten = value;
  __u64 unknown = (__u64)(end - data);

  __asm__ volatile("%0 ^= %1\n%0 ^= %1" : "+r"(forgotten) : "r"(unknown));
  return (__u32)forgotten & 0x7fffu;
#else
  (void)data;
  (void)end;
  return value;
#endif
}

/* What an offset of a header keeps, for the verifier: it is even, and the deepest is 16,470. */
#define WEIR_OFFSET_MASK 0x7ffeu

/* UDP at `offset`, of which IP carries `carried` bytes. */
static __always_inline __u8 weir_parse_udp(const __u8 *data, const __u8 *end, struct weir_headers *h, __u32 offset,
                                           __u32 carried)
{
  const __u8 *p = data + offset;
  __u32 length;

  h->l4_offset = (__u16)offset;
  if (p + WEIR_UDP_BYTES > end || carried < WEIR_UDP_BYTES)
    return WEIR_KIND_malformed;
  length = weir_be16(p + 4);
  if (length < WEIR_UDP_BYTES)
    return WEIR_KIND_malformed;
  if (length > carried) {
    /* Only the datagram's first piece is here: the rest comes in later fragments. */
    if (!(h->flags & WEIR_HEADERS_FIRST_FRAGMENT))
      return WEIR_KIND_malformed;
    length = carried;
  }
  h->source_port = weir_be16(p);
  h->destination_port = weir_be16(p + 2);
  h->payload_offset = (__u16)(offset + WEIR_UDP_BYTES);
  h->payload_length = (__u16)(length - WEIR_UDP_BYTES);
  return WEIR_KIND_udp;
}

static __always_inline __u8 weir_parse_ip4(const __u8 *data, const __u8 *end, struct weir_headers *h, __u32 offset,
                                           __u32 bound)
{
  const __u8 *p = data + offset;
  __u32 header, total, fragment;

  if (p + WEIR_IP4_BYTES > end || p[0] >> 4 != 4)
    return WEIR_KIND_malformed;
  h->family = 4;
  h->ttl = p[8];
  h->protocol = p[9];
  h->source_offset = (__u16)(offset + 12);
  h->destination_offset = (__u16)(offset + 16);
  header = (p[0] & 15u) * 4;
  total = weir_be16(p + 2);
  fragment = weir_be16(p + 6);
  if (header < WEIR_IP4_BYTES || total < header || total > bound)
    return WEIR_KIND_malformed;
  if (header > WEIR_IP4_BYTES)
    h->flags |= WEIR_HEADERS_IP_OPTIONS;
  h->l4_offset = (__u16)(offset + header);
  if (fragment & 0x1fff)
    return WEIR_KIND_fragment;
  if (h->protocol != WEIR_PROTOCOL_UDP)
    return WEIR_KIND_ip;
  if (fragment & 0x2000) /* more fragments */
    h->flags |= WEIR_HEADERS_FIRST_FRAGMENT;
  return weir_parse_udp(data, end, h, offset + header, total - header);
}

#define WEIR_EXTENSION_FRAGMENT 44
#define WEIR_EXTENSION_AUTHENTICATION 51

/* The extension headers that say their own length; ESP (50) hides what follows, and 59 says that nothing does. */
static __always_inline int weir_is_extension(__u8 next)
{
  switch (next) {
  case 0:                             /* hop-by-hop options */
  case 43:                            /* routing */
  case WEIR_EXTENSION_FRAGMENT:
  case WEIR_EXTENSION_AUTHENTICATION:
  case 60:                            /* destination options */
  case 135:                           /* mobility */
  case 139:                           /* host identity */
  case 140:                           /* shim6 */
    return 1;
  default:
    return 0;
  }
}

static __always_inline __u8 weir_parse_ip6(const __u8 *data, const __u8 *end, struct weir_headers *h, __u32 offset,
                                           __u32 bound)
{
  const __u8 *p = data + offset;
  __u32 left, length;
  __u8 next;
  int i;

  if (p + WEIR_IP6_BYTES > end || p[0] >> 4 != 6)
    return WEIR_KIND_malformed;
  h->family = 6;
  h->ttl = p[7];
  h->source_offset = (__u16)(offset + 8);
  h->destination_offset = (__u16)(offset + 24);
  left = weir_be16(p + 4);
  next = p[6];
  h->protocol = next;
  if (left + WEIR_IP6_BYTES > bound)
    return WEIR_KIND_malformed;
  offset += WEIR_IP6_BYTES;
  for (i = 0; i < WEIR_EXTENSIONS_MAX && weir_is_extension(next); ++i) {
    p = data + offset;
    if (p + 8 > end || left < 8)
      return WEIR_KIND_malformed;
    h->flags |= WEIR_HEADERS_IP_OPTIONS;
    length = (p[1] + 1u) * 8;
    if (next == WEIR_EXTENSION_AUTHENTICATION)
      length = (p[1] + 2u) * 4;
    h->protocol = p[0];
    if (next == WEIR_EXTENSION_FRAGMENT) {
      length = 8;
      if (weir_be16(p + 2) & 0xfff8) {
        h->l4_offset = (__u16)(offset + length);
        return WEIR_KIND_fragment;
      }
      if (p[3] & 1)
        h->flags |= WEIR_HEADERS_FIRST_FRAGMENT;
    }
    if (length > left)
      return WEIR_KIND_malformed;
    next = p[0];
    offset = weir_forget(data, end, offset + length) & WEIR_OFFSET_MASK;
    left -= length;
  }
  h->l4_offset = (__u16)offset;
  if (weir_is_extension(next))
    return WEIR_KIND_too_deep;
  if (next != WEIR_PROTOCOL_UDP)
    return WEIR_KIND_ip;
  return weir_parse_udp(data, end, h, offset, left);
}

/* Bytes to offsets. Safe for every `data` <= `end`; sets all of `h`. */
static __always_inline void weir_parse(const void *start, const void *limit, struct weir_headers *h)
{
  const __u8 *data = (const __u8 *)start;
  const __u8 *end = (const __u8 *)limit;
  __u32 offset = WEIR_ETHERNET_BYTES;
  __u32 bound = WEIR_NO_BOUND;
  __u16 type;
  int i;

  __builtin_memset(h, 0, sizeof(*h));
  h->kind = WEIR_KIND_malformed;
  if (data + WEIR_ETHERNET_BYTES > end)
    return;
  type = weir_be16(data + 12);
  for (i = 0; i < WEIR_TAGS_MAX && (type == WEIR_TYPE_8021Q || type == WEIR_TYPE_8021AD); ++i) {
    if (data + offset + WEIR_TAG_BYTES > end)
      return;
    if (i == 0)
      h->vlan_id = weir_be16(data + offset) & 0xfff;
    type = weir_be16(data + offset + 2);
    offset += WEIR_TAG_BYTES;
    ++h->tags;
  }
  if (type == WEIR_TYPE_PPPOE_SESSION) {
    const __u8 *p = data + offset;

    if (p + WEIR_PPPOE_BYTES > end)
      return;
    bound = weir_be16(p + 4);
    if (p[0] != 0x11 || p[1] != 0 || bound < 2) /* version 1, type 1, session data */
      return;
    bound -= 2;
    type = weir_be16(p + 6);
    type = type == WEIR_PPP_IP4 ? WEIR_TYPE_IP4 : type == WEIR_PPP_IP6 ? WEIR_TYPE_IP6 : 0;
    h->flags |= WEIR_HEADERS_PPPOE;
    offset += WEIR_PPPOE_BYTES;
  }
  offset = weir_forget(data, end, offset) & WEIR_OFFSET_MASK;
  h->l3_offset = (__u16)offset;
  if (type == WEIR_TYPE_IP4)
    h->kind = weir_parse_ip4(data, end, h, offset, bound);
  else if (type == WEIR_TYPE_IP6)
    h->kind = weir_parse_ip6(data, end, h, offset, bound);
  else
    h->kind = WEIR_KIND_not_ip;
}

#endif
