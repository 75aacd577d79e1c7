/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* An XDP program that judges every IP packet by a model inside the kernel: headers to features, features to a verdict,
 * verdict counted. The model's own functions are linked in by weir, which writes them itself (src/kernel_model/).
 */
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

#include "header_features.h"
#include "kernel_model.h"

struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, WEIR_MODEL_VERDICTS);
  __type(key, __u32);
  __type(value, struct weir_model_counter);
} verdicts SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, struct weir_model_about);
} about SEC(".maps");

/* Set by the loader, then frozen: enum weir_reading. */
const volatile __u32 weir_model_reading SEC(".rodata.reading") = WEIR_READING_exact;

#ifndef WEIR_MODEL_STANDS_HERE
/* 1: drop; 0: pass; below 0: no verdict. The model's own takes the place of this one. */
__weak __noinline int weir_model(struct weir_header_features *f)
{
  return f ? -1 : -2;
}
#endif

static __always_inline __u32 weir_model_judge(const void *data, const void *end)
{
  struct weir_headers headers;
  struct weir_header_features features;
  int verdict;

  weir_parse(data, end, &headers);
  if (!weir_read_header_features(data, end, &headers, weir_model_reading, &features))
    return WEIR_MODEL_other;
  verdict = weir_model(&features);
  return verdict > 0 ? WEIR_MODEL_drop : verdict == 0 ? WEIR_MODEL_pass : WEIR_MODEL_unjudged;
}

SEC("xdp")
int weir_kernel_model(struct xdp_md *ctx)
{
  const void *data = (const void *)(long)ctx->data;
  const void *end = (const void *)(long)ctx->data_end;
  __u32 verdict = weir_model_judge(data, end);
  struct weir_model_counter *counter = bpf_map_lookup_elem(&verdicts, &verdict);

  if (counter) {
    counter->packets += 1;
    counter->bytes += (__u64)(ctx->data_end - ctx->data);
  }
  return verdict == WEIR_MODEL_drop ? XDP_DROP : XDP_PASS;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
