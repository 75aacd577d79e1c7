// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* A model over rows of features that differ, as packets do: a single packet judged again and again would teach the CPU's
 * branch predictor its way through the trees.
 */
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

#include "../../bpf/header_features.h"

#define ROWS 16384

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(map_flags, BPF_F_MMAPABLE);
  __uint(max_entries, ROWS);
  __type(key, __u32);
  __type(value, struct weir_header_features);
} rows SEC(".maps");

__u64 dropped;

__weak __noinline int weir_model(struct weir_header_features *f)
{
  return f ? 0 : -1;
}

static long judge(__u32 index, void *context)
{
  struct weir_header_features *row = bpf_map_lookup_elem(&rows, &index);

  if (row)
    *(__u64 *)context += weir_model(row) > 0;
  return 0;
}

SEC("xdp")
int judge_rows(struct xdp_md *ctx)
{
  __u64 count = 0;

  (void)ctx;
  bpf_loop(ROWS, judge, &count, 0);
  dropped = count;
  return XDP_PASS;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
