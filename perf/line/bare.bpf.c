// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* The floor of every forwarder by XDP: one redirect through a devmap, nothing read. */
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

struct {
  __uint(type, BPF_MAP_TYPE_DEVMAP);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, __u32);
} peer SEC(".maps");

SEC("xdp")
int redirect(struct xdp_md *ctx) {
  (void)ctx;
  return bpf_redirect_map(&peer, 0, XDP_ABORTED);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
