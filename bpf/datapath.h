/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The packet decision: one C source, two compilers. clang makes it the XDP program (weir.bpf.c), the host's compiler the
 * native datapath (src/datapath/native.cpp); tests/equal holds the two together frame by frame.
 *
 * Order    what is plainly none of weir's business goes at once; else parse, what that first look has not read; steered?;
 *          blocked? (looked up only where an answer could change something, and the allowlist only after a hit); fragments;
 *          the screen, where there is one; socket there and its channel alive?; the outcome.
 * Includer defines the functions declared below over its own `struct weir_tables`: maps in the kernel, memory natively.
 * Returns  exactly one outcome a packet. What the outcome does to the packet is the includer's.
 */
#ifndef WEIR_DATAPATH_H
#define WEIR_DATAPATH_H

#include "abi.h"
#include "header_features.h"
#include "outcomes.h"
#include "parse.h"

struct weir_tables;

/* A packet as it came in. */
struct weir_packet {
  const void *data;
  const void *end;  /* of the bytes that can be read */
  __u32 bytes;      /* length on the wire; more than `end - data` in a multi-buffer packet */
  __u32 side;       /* enum weir_side */
  __u32 queue;      /* rx queue, which is the channel */
  __u32 continues;  /* bytes behind `end`; where there are any, no socket can take the packet */
};

static __always_inline const volatile struct weir_config *weir_configuration(struct weir_tables *tables);
static __always_inline const volatile struct weir_control *weir_control_value(struct weir_tables *tables);
static __always_inline struct weir_block *weir_find_block4(struct weir_tables *tables, const struct weir_key4 *key);
static __always_inline struct weir_block *weir_find_block6(struct weir_tables *tables, const struct weir_key6 *key);
static __always_inline int weir_is_allowed4(struct weir_tables *tables, const struct weir_prefix4 *key);
static __always_inline int weir_is_allowed6(struct weir_tables *tables, const struct weir_prefix6 *key);
static __always_inline __u64 weir_port_word(struct weir_tables *tables, __u32 word);
static __always_inline int weir_has_socket(struct weir_tables *tables, __u32 index);
/* Time of the last progress; 0: none, or withdrawn. */
static __always_inline __u64 weir_heartbeat_ns(struct weir_tables *tables, __u32 channel);
static __always_inline __u64 weir_now_ns(struct weir_tables *tables);
static __always_inline void weir_count_hit(struct weir_tables *tables, struct weir_block *block, __u32 bytes);
static __always_inline int weir_has_screen(struct weir_tables *tables);
/* 0: fine; 1: suspicious; below 0: no verdict. */
static __always_inline int weir_ask_screen(struct weir_tables *tables, struct weir_header_features *f);

static __always_inline int weir_is_port_steered(struct weir_tables *tables, __u32 port)
{
  return (int)(weir_port_word(tables, (port & 0xffff) / 64) >> (port % 64) & 1);
}

static __always_inline int weir_are_ports_steered(struct weir_tables *tables, __u32 source, __u32 destination)
{
  __u32 single = weir_configuration(tables)->single_port;

  if (single)
    return source == single || destination == single;
  return weir_is_port_steered(tables, source) || weir_is_port_steered(tables, destination);
}

/* Whether the `length` bytes at `p`, which must be readable, are those of `text`. */
static __always_inline int weir_starts_with(const __u8 *p, const char *text, unsigned length)
{
  unsigned i;

#ifdef __clang__
#pragma clang loop unroll(full)
#endif
  for (i = 0; i < length; ++i)
    if (p[i] != (__u8)text[i])
      return 0;
  return 1;
}

/* SSDP as seen in the wild (UPnP Device Architecture 2.0, 1.1.2): nothing else starts like this, whatever its ports. */
static __always_inline int weir_is_ssdp_start(const struct weir_packet *packet, const struct weir_headers *h)
{
  const __u8 *p = (const __u8 *)packet->data + (h->payload_offset & WEIR_OFFSET_MASK);
  const __u8 *end = (const __u8 *)packet->end;

  if (h->payload_length < 8 || p + 8 > end)
    return 0;
  if (p[0] == 'N')
    return weir_starts_with(p, "NOTIFY *", 8);
  if (h->payload_length < 10 || p + 10 > end)
    return 0;
  if (p[0] == 'M')
    return weir_starts_with(p, "M-SEARCH *", 10);
  if (h->payload_length < 12 || p + 12 > end)
    return 0;
  return weir_starts_with(p, "HTTP/1.1 200", 12);
}

static __always_inline int weir_is_steered(struct weir_tables *tables, const struct weir_packet *packet,
                                           const struct weir_headers *h)
{
  const volatile struct weir_config *config = weir_configuration(tables);

  if (config->all_ip)
    return h->family != 0;
  if (h->kind != WEIR_KIND_udp)
    return 0;
  if (config->all_ports)
    return 1;
  if (weir_are_ports_steered(tables, h->source_port, h->destination_port))
    return 1;
  return config->ssdp_payload && weir_is_ssdp_start(packet, h);
}

/* Copies an address as it stands: `bytes` is a constant, a multiple of 4. In the kernel in words made of two fields: the
 * hash reads words, and would wait for two halves that were stored one by one.
 */
static __always_inline void weir_copy_address(void *to, const __u8 *from, unsigned bytes)
{
#ifdef __bpf__
  typedef __u32 __attribute__((may_alias)) word;
  unsigned i;

#pragma clang loop unroll(full)
  for (i = 0; i < bytes / sizeof(word); ++i) {
    __u32 first = ((const weir_field *)from)[i * 2];
    __u32 second = ((const weir_field *)from)[i * 2 + 1];

    ((word *)to)[i] = __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? first | second << 16 : first << 16 | second;
  }
#else
  __builtin_memcpy(to, from, bytes);
#endif
}

/* The first three bytes of an IPv4 address as it stands in a packet. */
#define WEIR_NETWORK4_MASK (__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? 0x00ffffffu : 0xffffff00u)

/* The block of `target` that the address at `offset` has, allowed or not, expired or not. */
static __always_inline struct weir_block *weir_find_block(struct weir_tables *tables, const struct weir_packet *packet,
                                                          const struct weir_headers *h, __u32 offset, __u32 target)
{
  const __u8 *p = (const __u8 *)packet->data + (offset & WEIR_OFFSET_MASK);

  if (h->family == 4 && p + 4 <= (const __u8 *)packet->end) {
    struct weir_key4 key;

    weir_copy_address(&key.address, p, sizeof(key.address));
    if (target == WEIR_TARGET_network)
      key.address &= WEIR_NETWORK4_MASK;
    key.target = target;
    return weir_find_block4(tables, &key);
  }
  if (h->family == 6 && p + 16 <= (const __u8 *)packet->end) {
    struct weir_key6 key;

    weir_copy_address(key.address, p, sizeof(key.address));
    if (target == WEIR_TARGET_network)
      __builtin_memset(key.address + 8, 0, 8);
    key.target = target;
    return weir_find_block6(tables, &key);
  }
  return 0;
}

static __always_inline int weir_is_allowed(struct weir_tables *tables, const struct weir_packet *packet,
                                           const struct weir_headers *h)
{
  const __u8 *p = (const __u8 *)packet->data + (h->source_offset & WEIR_OFFSET_MASK);

  if (h->family == 4 && p + 4 <= (const __u8 *)packet->end) {
    struct weir_prefix4 key;

    key.length = 32;
    weir_copy_address(&key.address, p, sizeof(key.address));
    return weir_is_allowed4(tables, &key);
  }
  if (h->family == 6 && p + 16 <= (const __u8 *)packet->end) {
    struct weir_prefix6 key;

    key.length = 128;
    weir_copy_address(key.address, p, sizeof(key.address));
    return weir_is_allowed6(tables, &key);
  }
  return 0;
}

/* Whether a block holds by now: it has not expired, and the packet's source is not allowed. Counts the hit. */
static __always_inline int weir_holds(struct weir_tables *tables, const struct weir_packet *packet,
                                      const struct weir_headers *h, const volatile struct weir_control *control,
                                      struct weir_block *block)
{
  if (block->expires_ns && block->expires_ns <= weir_now_ns(tables))
    return 0;
  if (control->allow_count && weir_is_allowed(tables, packet, h))
    return 0;
  weir_count_hit(tables, block, packet->bytes);
  return 1;
}

static __always_inline int weir_is_open_port(const struct weir_block *block, __u32 port)
{
  unsigned i;

#ifdef __clang__
#pragma clang loop unroll(full)
#endif
  for (i = 0; i < WEIR_OPEN_PORTS; ++i)
    if (block->open_ports[i] == port)
      return 1;
  return 0;
}

/* The outcome of a block that holds for this packet; -1 where none does. `selected`: 1 steered, 2 a later UDP fragment
 * that goes with it. A kind of block that there is none of costs no look-up.
 */
static __always_inline int weir_judge_block(struct weir_tables *tables, const struct weir_packet *packet,
                                            const struct weir_headers *h, int selected)
{
  const volatile struct weir_control *control = weir_control_value(tables);
  struct weir_block *block;
  int all;

  if (!control || weir_configuration(tables)->shadow)
    return -1;
  if (control->blocks && (selected || control->blocks_all)) {
    block = weir_find_block(tables, packet, h, h->source_offset, WEIR_TARGET_source);
    if (block) {
      all = block->scope == WEIR_SCOPE_all;
      if ((all || selected) && weir_holds(tables, packet, h, control, block))
        return all ? WEIR_OUTCOME_drop_block_all
                   : selected == 1 ? WEIR_OUTCOME_drop_block_ssdp : WEIR_OUTCOME_drop_block_fragment;
    }
  }
  if (control->networks && selected) {
    block = weir_find_block(tables, packet, h, h->source_offset, WEIR_TARGET_network);
    if (block && weir_holds(tables, packet, h, control, block))
      return selected == 1 ? WEIR_OUTCOME_drop_block_network : WEIR_OUTCOME_drop_block_fragment;
  }
  if (control->victims && selected == 1 && weir_is_ssdp_start(packet, h)) {
    block = weir_find_block(tables, packet, h, h->destination_offset, WEIR_TARGET_victim);
    if (block && !weir_is_open_port(block, h->destination_port) && weir_holds(tables, packet, h, control, block))
      return WEIR_OUTCOME_drop_block_victim;
  }
  return -1;
}

/* Whether a channel made progress lately. Its beat is read before the clock is, and compared with a sign: another CPU may
 * write one later than our `now`.
 */
static __always_inline int weir_is_alive(struct weir_tables *tables, __u32 channel)
{
  __u64 beat_ns = weir_heartbeat_ns(tables, channel);

  return beat_ns && (__s64)(weir_now_ns(tables) - beat_ns) <=
                        (__s64)weir_configuration(tables)->heartbeat_limit_ms * 1000000;
}

/* Whether the screen may let a steered packet go on: not what userspace must see to judge others by. That is all of the
 * LAN (searches and flows whose answers are then wanted), and of the WAN searches (the same for the other side), of which
 * userspace knows the lower case too; and, but with `screen_ssdp`, whatever else starts like SSDP (devices).
 */
static __always_inline int weir_is_for_screen(struct weir_tables *tables, const struct weir_packet *packet,
                                              const struct weir_headers *h)
{
  const __u8 *p = (const __u8 *)packet->data + (h->payload_offset & WEIR_OFFSET_MASK);

  if (packet->side != WEIR_SIDE_wan)
    return 0;
  if (h->payload_length && p + 1 <= (const __u8 *)packet->end && (p[0] | 0x20) == 'm')
    return 0;
  return weir_configuration(tables)->screen_ssdp || !weir_is_ssdp_start(packet, h);
}

/* Whether the screen finds a steered packet fine. */
static __always_inline int weir_passes_screen(struct weir_tables *tables, const struct weir_packet *packet,
                                              const struct weir_headers *h)
{
  struct weir_header_features features;

  if (!weir_has_screen(tables) || !weir_is_for_screen(tables, packet, h) ||
      !weir_read_header_features(packet->data, packet->end, h, WEIR_READING_exact, &features))
    return 0;
  return weir_ask_screen(tables, &features) == 0;
}

/* To the channel's socket, if it is there and its heartbeat shows progress; else what the fail mode says. Copies have one
 * channel for all queues.
 */
static __always_inline int weir_judge_socket(struct weir_tables *tables, const struct weir_packet *packet)
{
  const volatile struct weir_config *config = weir_configuration(tables);

  if (packet->queue >= WEIR_CHANNELS_MAX || packet->continues ||
      (!config->observe && !weir_has_socket(tables, packet->side * WEIR_CHANNELS_MAX + packet->queue)))
    return config->fail_closed ? WEIR_OUTCOME_drop_no_socket : WEIR_OUTCOME_peer_no_socket;
  if (!weir_is_alive(tables, config->observe ? 0 : packet->queue))
    return config->fail_closed ? WEIR_OUTCOME_drop_stalled : WEIR_OUTCOME_peer_stalled;
  if (config->observe)
    return packet->bytes <= WEIR_COPY_MAX ? WEIR_OUTCOME_peer_copied : WEIR_OUTCOME_peer_copy_lost;
  return WEIR_OUTCOME_socket_steered;
}

/* The outcome of `packet`, whose headers are `h`. */
static __always_inline int weir_decide_parsed(struct weir_tables *tables, const struct weir_packet *packet,
                                              const struct weir_headers *h)
{
  int steered, fragment, blocked;

  steered = weir_is_steered(tables, packet, h);
  fragment = h->kind == WEIR_KIND_fragment && h->protocol == WEIR_PROTOCOL_UDP;
  if (h->family) {
    blocked = weir_judge_block(tables, packet, h,
                               steered ? 1 : fragment && weir_configuration(tables)->blocked_fragments ? 2 : 0);
    if (blocked >= 0)
      return blocked;
  }
  if (steered)
    return weir_passes_screen(tables, packet, h) ? WEIR_OUTCOME_peer_screened : weir_judge_socket(tables, packet);
  switch (h->kind) {
  case WEIR_KIND_ip:
    return WEIR_OUTCOME_peer_not_udp;
  case WEIR_KIND_udp:
    return WEIR_OUTCOME_peer_not_steered;
  case WEIR_KIND_fragment:
    return fragment && weir_configuration(tables)->drop_fragments ? WEIR_OUTCOME_drop_fragment
                                                                  : WEIR_OUTCOME_peer_fragment;
  case WEIR_KIND_malformed:
    return WEIR_OUTCOME_peer_malformed;
  case WEIR_KIND_too_deep:
    return WEIR_OUTCOME_peer_too_deep;
  default:
    return WEIR_OUTCOME_peer_not_ip;
  }
}

/* What weir_decide_plain says where it knows no outcome. */
#define WEIR_PLAIN_not -1  /* the frame is not plain: its headers are to be read */
#define WEIR_PLAIN_read -2 /* it is, and may be weir's: `h` is what weir_parse would make of it */

/* The headers of a plain frame whose UDP is at `offset` and `length` bytes long; family, TTL and ports are set already.
 * The verifier forgets the offset: it would walk the decision once for each that it knows.
 */
static __always_inline void weir_read_plain(const struct weir_packet *packet, struct weir_headers *h, __u32 offset,
                                            __u32 length)
{
  const __u8 *data = (const __u8 *)packet->data;
  __u32 ip_bytes = h->family == 6 ? WEIR_IP6_BYTES : WEIR_IP4_BYTES;

  h->tags = offset - ip_bytes != WEIR_ETHERNET_BYTES;
  h->vlan_id = h->tags ? weir_be16(data + WEIR_ETHERNET_BYTES) & 0xfff : 0;
  offset = weir_forget(data, (const __u8 *)packet->end, offset) & WEIR_OFFSET_MASK;
  h->kind = WEIR_KIND_udp;
  h->protocol = WEIR_PROTOCOL_UDP;
  h->flags = 0;
  h->l3_offset = (__u16)(offset - ip_bytes);
  h->source_offset = (__u16)(h->l3_offset + (h->family == 6 ? 8 : 12));
  h->destination_offset = (__u16)(h->l3_offset + (h->family == 6 ? 24 : 16));
  h->l4_offset = (__u16)offset;
  h->payload_offset = (__u16)(offset + WEIR_UDP_BYTES);
  h->payload_length = (__u16)(length - WEIR_UDP_BYTES);
}

/* The outcome of a frame that is as most are: Ethernet with up to one tag; IPv4 without options or fragments, or IPv6
 * without extension headers; of no port that is steered; while no block concerns more than what is steered. It says what
 * weir_decide_parsed would, for a third of the instructions. Of `h`, family and source's offset alone count then.
 */
static __always_inline int weir_decide_plain(struct weir_tables *tables, const struct weir_packet *packet,
                                             struct weir_headers *h)
{
  const volatile struct weir_config *config = weir_configuration(tables);
  const volatile struct weir_control *control = weir_control_value(tables);
  const __u8 *p = (const __u8 *)packet->data;
  const __u8 *end = (const __u8 *)packet->end;
  __u32 type, carried, length;

  if (config->all_ip || config->all_ports || !control || control->blocks_all)
    return WEIR_PLAIN_not;
  if (p + WEIR_ETHERNET_BYTES + WEIR_TAG_BYTES > end)
    return WEIR_PLAIN_not;
  type = weir_be16(p + 12);
  if (type == WEIR_TYPE_8021Q) {
    type = weir_be16(p + 16);
    p += WEIR_TAG_BYTES;
  }
  p += WEIR_ETHERNET_BYTES;
  if (type == WEIR_TYPE_IP4) {
    if (p + WEIR_IP4_BYTES + WEIR_UDP_BYTES > end || p[0] != 0x45 || weir_be16(p + 6) & 0x3fff)
      return WEIR_PLAIN_not;
    h->family = 4;
    h->source_offset = (__u16)(p + 12 - (const __u8 *)packet->data);
    carried = weir_be16(p + 2);
    if (carried < WEIR_IP4_BYTES + WEIR_UDP_BYTES)
      return WEIR_PLAIN_not;
    if (p[9] != WEIR_PROTOCOL_UDP)
      return WEIR_OUTCOME_peer_not_udp;
    h->ttl = p[8];
    carried -= WEIR_IP4_BYTES;
    p += WEIR_IP4_BYTES;
  } else if (type == WEIR_TYPE_IP6) {
    if (p + WEIR_IP6_BYTES + WEIR_UDP_BYTES > end || p[0] >> 4 != 6 || weir_is_extension(p[6]))
      return WEIR_PLAIN_not;
    h->family = 6;
    h->source_offset = (__u16)(p + 8 - (const __u8 *)packet->data);
    if (p[6] != WEIR_PROTOCOL_UDP)
      return WEIR_OUTCOME_peer_not_udp;
    h->ttl = p[7];
    carried = weir_be16(p + 4);
    p += WEIR_IP6_BYTES;
  } else {
    return WEIR_PLAIN_not;
  }
  length = weir_be16(p + 4);
  if (length < WEIR_UDP_BYTES || length > carried)
    return WEIR_PLAIN_not;
  h->source_port = weir_be16(p);
  h->destination_port = weir_be16(p + 2);
  if (!weir_are_ports_steered(tables, h->source_port, h->destination_port)) {
    if (!config->ssdp_payload)
      return WEIR_OUTCOME_peer_not_steered;
    if (p + WEIR_UDP_BYTES + 1 > end)
      return WEIR_PLAIN_not;
    if (p[WEIR_UDP_BYTES] != 'N' && p[WEIR_UDP_BYTES] != 'M' && p[WEIR_UDP_BYTES] != 'H')
      return WEIR_OUTCOME_peer_not_steered;
  }
  weir_read_plain(packet, h, (__u32)(p - (const __u8 *)packet->data), length);
  return WEIR_PLAIN_read;
}

/* The same of a packet whose headers nobody has read yet; `h` is room for them. */
static __always_inline int weir_decide(struct weir_tables *tables, const struct weir_packet *packet,
                                       struct weir_headers *h)
{
  int plain = weir_decide_plain(tables, packet, h);

  if (plain >= 0)
    return plain;
  if (plain == WEIR_PLAIN_not)
    weir_parse(packet->data, packet->end, h);
  return weir_decide_parsed(tables, packet, h);
}

#endif
