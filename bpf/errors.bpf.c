/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Redirects that fail after the XDP program returned: nobody but the kernel's tracepoints sees them. An object of its own,
 * because it may fail to load (no BTF, no CAP_PERFMON) without harm to the datapath.
 */
#include <linux/bpf.h>

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

#include "abi.h"

/* Of the kernel's own types, the fields read here; the loader relocates them. */
struct ns_common {
  unsigned int inum;
} __attribute__((preserve_access_index));

struct net {
  struct ns_common ns;
} __attribute__((preserve_access_index));

typedef struct {
  struct net *net;
} __attribute__((preserve_access_index)) possible_net_t;

struct net_device {
  int ifindex;
  possible_net_t nd_net;
} __attribute__((preserve_access_index));

struct bpf_map {
  enum bpf_map_type map_type;
} __attribute__((preserve_access_index));

/* The map of weir.bpf.c; the loader puts that one in its place. */
struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, WEIR_REDIRECT_ERROR_SLOTS);
  __type(key, __u32);
  __type(value, struct weir_counter);
} redirect_errors SEC(".maps");

const volatile __u32 weir_ifindex[2]; /* by side */
const volatile __u32 weir_namespace;  /* inode number of the network namespace: interface numbers repeat between those */

static __always_inline int weir_is_ours(__u64 device)
{
  const struct net_device *d = (const struct net_device *)device;
  __u32 ifindex;

  if (!d) /* no device: the packet was the host's own */
    return 0;
  ifindex = (__u32)BPF_CORE_READ(d, ifindex);
  return ifindex && (ifindex == weir_ifindex[0] || ifindex == weir_ifindex[1]) &&
         BPF_CORE_READ(d, nd_net.net, ns.inum) == weir_namespace;
}

static __always_inline void weir_count_errors(__u32 key, __u64 packets)
{
  struct weir_counter *counter = bpf_map_lookup_elem(&redirect_errors, &key);

  if (counter)
    counter->packets += packets;
}

/* From 5.13 on (device, program, target, error, map type, map id, index); before, the map itself stood fifth. */
SEC("raw_tp/xdp_redirect_err")
int redirect_err(struct bpf_raw_tracepoint_args *ctx)
{
  __u64 type = ctx->args[4];

  if (!weir_is_ours(ctx->args[0]))
    return 0;
  if (type > 0xffffffff)
    type = BPF_CORE_READ((const struct bpf_map *)type, map_type);
  weir_count_errors(type == BPF_MAP_TYPE_XSKMAP ? WEIR_REDIRECT_ERROR_socket : WEIR_REDIRECT_ERROR_peer, 1);
  return 0;
}

/* (device the packets came from, device they go to, sent, dropped, error), once for a bulk of up to 16. */
SEC("raw_tp/xdp_devmap_xmit")
int devmap_xmit(struct bpf_raw_tracepoint_args *ctx)
{
  __s32 drops = (__s32)ctx->args[3];

  if (drops > 0 && weir_is_ours(ctx->args[0]) && weir_is_ours(ctx->args[1]))
    weir_count_errors(WEIR_REDIRECT_ERROR_peer, (__u64)drops);
  return 0;
}

char weir_license[] SEC("license") = "Dual BSD/GPL";
