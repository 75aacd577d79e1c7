/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Frames of userspace, sent by the way that redirected ones take. Userspace puts a batch into `outgoing` and runs this
 * program once for each frame of it, on live frames (BPF_PROG_RUN, 5.18), as if they had come in by the other side: so
 * that the tracepoints see of them what they see of unsteered traffic. A frame's channel is told by the length that it has
 * before it is filled: the kernel gives live frames no queue, and sets lengths anew where it uses a page again, but not
 * the bytes in it, which drivers and tunnels write to.
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
  __u32 blank = ctx->data_end - ctx->data;
  struct weir_send_turn *turn;
  struct weir_outgoing *frame;
  __u32 channel, key, length;

  asm volatile("" : "+r"(blank)); /* clang would subtract `data_end` alone, which the verifier refuses */
  channel = blank - WEIR_SEND_BLANK_BYTES;
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
  if (bpf_xdp_adjust_tail(ctx, (int)(length - blank)) ||
      bpf_xdp_store_bytes(ctx, 0, frame->data, length) ||
      bpf_redirect_map(&peers, side, XDP_DROP) != XDP_REDIRECT) {
    turn->refused += 1;
    return XDP_DROP;
  }
  return XDP_REDIRECT;
}

char weir_license[] SEC("license") = "Dual BSD/GPL";
