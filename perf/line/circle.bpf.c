// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* At the LAN's end: sends each frame back to where the WAN's end sends from, so that it goes round for ever. */
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

#define CIRCLE_CPUS 256 /* two that are told apart by their lowest eight bits may lose laps to each other */

struct {
  __uint(type, BPF_MAP_TYPE_DEVMAP);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, __u32);
} start SEC(".maps");

__u32 length; /* of the frames that go round; what has another is the stacks' own */
__u32 ending; /* 1: they go no further */
__u64 ended;
__u64 split; /* of those that ended, the ones of several buffers */

/* By CPU, a cache line each. */
struct {
  __u64 frames;
  __u64 unused[7];
} laps[CIRCLE_CPUS];

SEC("xdp.frags")
int turn(struct xdp_md *ctx) {
  if (bpf_xdp_get_buff_len(ctx) != length) return XDP_DROP;
  if (ending) {
    if (ctx->data_end - ctx->data < length) __sync_fetch_and_add(&split, 1);
    __sync_fetch_and_add(&ended, 1);
    return XDP_DROP;
  }
  laps[bpf_get_smp_processor_id() & (CIRCLE_CPUS - 1)].frames++;
  return bpf_redirect_map(&start, 0, XDP_ABORTED);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
