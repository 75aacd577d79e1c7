// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* A bare redirect with a model in front of it: what of the redirect's rate a kernel model leaves. */
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

#include "../../bpf/header_features.h"

struct {
  __uint(type, BPF_MAP_TYPE_DEVMAP);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, __u32);
} peer SEC(".maps");

__weak __noinline int weir_model(struct weir_header_features *f)
{
  return f ? 0 : -1;
}

SEC("xdp")
int redirect(struct xdp_md *ctx)
{
  const void *data = (const void *)(long)ctx->data;
  const void *end = (const void *)(long)ctx->data_end;
  struct weir_headers headers;
  struct weir_header_features features;

  weir_parse(data, end, &headers);
  /* The verdict is counted on, but not followed: each packet is to cross, so that rates compare. */
  if (weir_read_header_features(data, end, &headers, WEIR_READING_exact, &features) && weir_model(&features) < 0)
    return XDP_ABORTED;
  return bpf_redirect_map(&peer, 0, XDP_ABORTED);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
