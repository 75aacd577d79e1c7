/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The header features of a frame, left where the test reads them: what the kernel makes of bpf/header_features.h. */
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

#include "../../bpf/header_features.h"

struct weir_header_features features;

static __always_inline int read(struct xdp_md *ctx, int reading)
{
  const void *data = (const void *)(long)ctx->data;
  const void *end = (const void *)(long)ctx->data_end;
  struct weir_headers headers;

  weir_parse(data, end, &headers);
  return weir_read_header_features(data, end, &headers, reading, &features);
}

SEC("xdp")
int read_exact(struct xdp_md *ctx)
{
  return read(ctx, WEIR_READING_exact);
}

SEC("xdp")
int read_skx(struct xdp_md *ctx)
{
  return read(ctx, WEIR_READING_skx);
}

char weir_license[] SEC("license") = "Dual BSD/GPL";
