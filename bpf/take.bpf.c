/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Everything that arrives goes to the AF_XDP socket of its queue: what `weir blast receive` counts by. */
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

#include "abi.h"

struct {
  __uint(type, BPF_MAP_TYPE_XSKMAP);
  __uint(max_entries, WEIR_CHANNELS_MAX);
  __uint(key_size, sizeof(__u32));
  __uint(value_size, sizeof(__u32));
} takers SEC(".maps");

SEC("xdp")
int take(struct xdp_md *ctx)
{
  return bpf_redirect_map(&takers, ctx->rx_queue_index, XDP_PASS);
}

char weir_license[] SEC("license") = "Dual BSD/GPL";
