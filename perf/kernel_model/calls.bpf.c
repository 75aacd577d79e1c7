// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* Two ways from the datapath to a model: a call of a function that is linked in, and a tail call through a program array. A
 * tail call takes nothing along but the context, so what the headers say waits in a map of each CPU.
 */
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

#include "../../bpf/header_features.h"

struct {
  __uint(type, BPF_MAP_TYPE_PROG_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, __u32);
} models SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, struct weir_header_features);
} read SEC(".maps");

__weak __noinline int weir_model(struct weir_header_features *f)
{
  return f ? 0 : -1;
}

static __always_inline int read_headers(struct xdp_md *ctx, struct weir_header_features *features)
{
  const void *data = (const void *)(long)ctx->data;
  const void *end = (const void *)(long)ctx->data_end;
  struct weir_headers headers;

  weir_parse(data, end, &headers);
  return weir_read_header_features(data, end, &headers, WEIR_READING_exact, features);
}

SEC("xdp")
int call(struct xdp_md *ctx)
{
  struct weir_header_features features;

  if (!read_headers(ctx, &features))
    return XDP_ABORTED;
  return weir_model(&features) > 0 ? XDP_DROP : XDP_PASS;
}

SEC("xdp")
int tail_call(struct xdp_md *ctx)
{
  __u32 key = 0;
  struct weir_header_features *features = bpf_map_lookup_elem(&read, &key);

  if (!features || !read_headers(ctx, features))
    return XDP_ABORTED;
  bpf_tail_call(ctx, &models, 0);
  return XDP_ABORTED;
}

SEC("xdp")
int tail(struct xdp_md *ctx)
{
  __u32 key = 0;
  struct weir_header_features *features = bpf_map_lookup_elem(&read, &key);

  (void)ctx;
  if (!features)
    return XDP_ABORTED;
  return weir_model(features) > 0 ? XDP_DROP : XDP_PASS;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
