/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Frames of userspace, sent by the way that redirected ones take. Userspace puts a batch into `outgoing` and runs this
 * program once for each frame of it, on live frames (BPF_PROG_RUN, 5.18), as if they had come in by the other side: so
 * that the tracepoints see of them what they see of unsteered traffic. In front of each frame its channel stands as
 * metadata (the kernel gives no queue to live frames).
 */
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

#include "abi.h"

/* Both are mapped into the appliance. The loader sets the number of entries. */
struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(map_flags, BPF_F_MMAPABLE);
  __uint(max_entries, WEIR_SEND_MAX);
  __type(key, __u32);
  __type(value, struct weir_outgoing);
} outgoing SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(map_flags, BPF_F_MMAPABLE);
  __uint(max_entries, WEIR_CHANNELS_MAX);
  __type(key, __u32);
  __type(value, struct weir_send_turn);
} turns SEC(".maps");

/* The interface of each side, as in maps.h. */
struct {
  __uint(type, BPF_MAP_TYPE_DEVMAP);
  __uint(max_entries, 2);
  __uint(key_size, sizeof(__u32));
  __uint(value_size, sizeof(__u32));
} peers SEC(".maps");

const volatile __u32 weir_ifindex[2]; /* by side */

SEC("xdp")
int send(struct xdp_md *ctx)
{
  __u32 side = ctx->ingress_ifindex == weir_ifindex[WEIR_SIDE_wan] ? WEIR_SIDE_lan : WEIR_SIDE_wan;
  __u32 *mark = (__u32 *)(long)ctx->data_meta;
  struct weir_send_turn *turn;
  struct weir_outgoing *frame;
  __u32 channel, key, length, blank;

  if ((void *)(mark + 1) > (void *)(long)ctx->data)
    return XDP_ABORTED;
  channel = *mark;
  turn = bpf_map_lookup_elem(&turns, &channel);
  if (!turn)
    return XDP_ABORTED;
  key = channel * WEIR_SEND_MAX + (turn->next & (WEIR_SEND_MAX - 1));
  turn->next += 1;
  frame = bpf_map_lookup_elem(&outgoing, &key);
  if (!frame)
    return XDP_ABORTED;
  length = frame->length;
  if (length < WEIR_SEND_LEAST_BYTES || length > WEIR_SEND_MOST_BYTES)
    return XDP_DROP;
  blank = ctx->data_end - ctx->data;
  asm volatile("" : "+r"(blank)); /* clang would subtract `data_end` alone, which the verifier refuses */
  if (bpf_xdp_adjust_meta(ctx, sizeof(channel)) || bpf_xdp_adjust_tail(ctx, (int)(length - blank)) ||
      bpf_xdp_store_bytes(ctx, 0, frame->data, length) ||
      bpf_redirect_map(&peers, side, XDP_DROP) != XDP_REDIRECT) {
    turn->refused += 1;
    return XDP_DROP;
  }
  return XDP_REDIRECT;
}

char weir_license[] SEC("license") = "Dual BSD/GPL";
