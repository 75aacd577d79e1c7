/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Copies of packets for userspace, through the ring `copies`.
 *
 * Returns  1 where a copy was made; 0 where the ring is full, or the packet longer than WEIR_COPY_MAX.
 * Cost     about 100 ns for 300 bytes, of what is steered alone. bpf_xdp_load_bytes would be quicker, and is of 5.18.
 */
#ifndef WEIR_COPY_H
#define WEIR_COPY_H

#include "datapath.h"

/* Nothing that is steered is shorter: Ethernet and IPv4 headers are 34 bytes. */
#define WEIR_COPY_STEP 32

static __always_inline int weir_send_copy(struct weir_copy *room, __u32 side, __u32 bytes)
{
  if (bytes > WEIR_COPY_MAX)
    return 0;
  room->side = side;
  room->bytes = bytes;
  return bpf_ringbuf_output(&copies, room, sizeof(*room) - WEIR_COPY_MAX + bytes, 0) == 0;
}

/* Of a packet that is all in one piece. */
static __always_inline int weir_copy_packet(const struct weir_packet *packet)
{
  const __u8 *p = packet->data, *end = packet->end;
  __u32 key = WEIR_SIDE_wan, length = packet->bytes, offset, i, k;
  struct weir_copy *room = bpf_map_lookup_elem(&copy_room, &key);

  if (!room || length < WEIR_COPY_STEP || length > WEIR_COPY_MAX)
    return 0;
#pragma clang loop unroll(disable)
  for (i = 0; i < WEIR_COPY_MAX / WEIR_COPY_STEP; ++i) {
    if (p + WEIR_COPY_STEP > end)
      break;
    /* Two bytes at once: headers begin at an even address on every machine. */
    for (k = 0; k < WEIR_COPY_STEP / 2; ++k)
      ((__u16 *)room->data)[i * (WEIR_COPY_STEP / 2) + k] = ((const __u16 *)p)[k];
    p += WEIR_COPY_STEP;
  }
  /* The last bytes, over some of those before. */
  offset = weir_forget(packet->data, end, length - WEIR_COPY_STEP);
  p = (const __u8 *)packet->data + offset;
  if (offset > WEIR_COPY_MAX - WEIR_COPY_STEP || p + WEIR_COPY_STEP > end)
    return 0;
  for (k = 0; k < WEIR_COPY_STEP; ++k)
    room->data[offset + k] = p[k];
  return weir_send_copy(room, WEIR_SIDE_wan, offset + WEIR_COPY_STEP);
}

static __always_inline int weir_copy_own(struct __sk_buff *skb)
{
  __u32 key = WEIR_SIDE_lan;
  __u64 behind_first = (__u64)skb->len - 1;
  struct weir_copy *room = bpf_map_lookup_elem(&copy_room, &key);

  /* From "not 0" a verifier before 6.8 does not learn "1 or more": so it is told of one byte less, and the compiler is
   * kept from undoing that.
   */
  __asm__ volatile("" : "+r"(behind_first));
  if (!room || behind_first >= WEIR_COPY_MAX ||
      bpf_skb_load_bytes(skb, 0, room->data, (__u32)behind_first + 1) != 0)
    return 0;
  return weir_send_copy(room, WEIR_SIDE_lan, (__u32)behind_first + 1);
}

#endif
