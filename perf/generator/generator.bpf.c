// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* Writes one frame of the mix over the page that BPF_PROG_TEST_RUN hands in, and sends it out of the interface. */
#include <linux/bpf.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "layout.h"

struct {
  __uint(type, BPF_MAP_TYPE_DEVMAP);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, __u32);
} port SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, GENERATOR_STREAMS);
  __type(key, __u32);
  __type(value, struct stream);
} streams SEC(".maps");

const volatile __u32 spreads; /* tx queues to spread the frames over; 0: they are redirected */

__u8 schedule[GENERATOR_SCHEDULE];
__u32 schedule_length = 1;
__u32 slot;                    /* of the schedule: the next packet's */
__u64 position;                /* packets sent since the streams were set */
__u64 sent[GENERATOR_STREAMS]; /* by stream */

static __always_inline __u16 fold(__u64 sum) {
  sum = (sum & 0xffff) + (sum >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  return (__u16)~sum;
}

/* RFC 1624: the checksum at `offset` after the word pair at the address changed from `before` to `after`. */
static __always_inline int patch_checksum(struct xdp_md *ctx, __u32 offset, __u32 before, __u32 after, int udp) {
  __u16 *check = (void *)(long)ctx->data + (offset & (GENERATOR_FRAME_BYTES - 1));
  if ((void *)(check + 1) > (void *)(long)ctx->data_end) return -1;
  __u64 sum = (__u16)~bpf_ntohs(*check);
  sum += (__u16)~(before >> 16);
  sum += (__u16)~before;
  sum += after >> 16;
  sum += after & 0xffff;
  __u16 value = fold(sum);
  if (udp && value == 0) value = 0xffff;
  *check = bpf_htons(value);
  return 0;
}

static __always_inline int vary_source(struct xdp_md *ctx, const struct stream *s, __u64 sequence) {
  __u32 after = s->address + (__u32)(sequence % s->sources);
  __u32 *address = (void *)(long)ctx->data + (s->address_offset & (GENERATOR_FRAME_BYTES - 1));
  if ((void *)(address + 1) > (void *)(long)ctx->data_end) return -1;
  *address = bpf_htonl(after);
  if (s->ip_check_offset && patch_checksum(ctx, s->ip_check_offset, s->address, after, 0)) return -1;
  if (s->l4_check_offset && patch_checksum(ctx, s->l4_check_offset, s->address, after, 1)) return -1;
  return 0;
}

SEC("xdp")
int generate(struct xdp_md *ctx) {
  __u32 now = slot & (GENERATOR_SCHEDULE - 1);
  __u32 index = schedule[now] & (GENERATOR_STREAMS - 1);
  __u32 key = index;
  struct stream *s = bpf_map_lookup_elem(&streams, &key);
  if (!s) return XDP_ABORTED;

  /* The page is recycled as the last packet left it, so each packet is written in full; it has the length of one that
   * was cut only where streams differ in theirs.
   */
  __u32 length = s->length;
  if (length < 14 || length > GENERATOR_LENGTH_MAX) return XDP_ABORTED;
  int have = (int)(ctx->data_end - ctx->data);
  if (have != (int)length && bpf_xdp_adjust_tail(ctx, (int)length - have)) return XDP_ABORTED;
  if (bpf_xdp_store_bytes(ctx, 0, s->bytes, length)) return XDP_ABORTED;

  __u64 sequence = sent[index];
  if (s->sources > 1 && vary_source(ctx, s, sequence)) return XDP_ABORTED;
  if (s->stamped) {
    void *at = (void *)(long)ctx->data + ((length - sizeof(struct stamp)) & (GENERATOR_FRAME_BYTES - 1));
    struct stamp *stamp = at;
    if (at + sizeof(struct stamp) > (void *)(long)ctx->data_end) return XDP_ABORTED;
    __builtin_memcpy(stamp, &(struct stamp){GENERATOR_STAMP_MAGIC, s->flow, sequence}, sizeof *stamp);
  }
  sent[index] = sequence + 1;
  slot = now + 1 < schedule_length ? now + 1 : 0;
  position += 1;
  return spreads ? XDP_PASS : bpf_redirect_map(&port, 0, XDP_ABORTED);
}

/* At the interface's ingress, where the stack gets what `generate` passes: out again, by the flow's queue. */
SEC("tc")
int spread(struct __sk_buff *skb) {
  skb->queue_mapping = bpf_get_hash_recalc(skb) % spreads + 1; /* as of a received one: 0 is none */
  return bpf_redirect(skb->ifindex, 0);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
