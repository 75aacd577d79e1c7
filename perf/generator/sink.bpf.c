// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* The far end: counts stamped frames by flow, records frames where that is asked for, and passes or drops the rest. */
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

#include "layout.h"

const volatile __u32 pass_others; /* 1: frames without a stamp go up the stack; 0: they are dropped */

struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, GENERATOR_STREAMS);
  __type(key, __u32);
  __type(value, struct flow_count);
} counts SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, GENERATOR_STREAMS);
  __type(key, __u32);
  __type(value, struct flow_order);
} orders SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_RINGBUF);
  __uint(max_entries, 16 * 1024 * 1024);
} records SEC(".maps");

__u32 recording;          /* 1: every frame is copied to `records` */
__u64 others;             /* frames without a stamp */
__u64 records_lost;       /* `records` was full */

static __always_inline void keep(struct xdp_md *ctx, __u32 length) {
  struct record *r = bpf_ringbuf_reserve(&records, sizeof *r, 0);
  if (!r) {
    __sync_fetch_and_add(&records_lost, 1);
    return;
  }
  r->time_ns = bpf_ktime_get_ns();
  r->queue = ctx->rx_queue_index;
  if (length >= GENERATOR_RECORD_BYTES) length = GENERATOR_RECORD_BYTES - 1;
  asm volatile("" : "+r"(length)); /* the verifier must see the bound in the register that is used */
  length &= GENERATOR_RECORD_BYTES - 1;
  r->length = length;
  if (length == 0 || bpf_xdp_load_bytes(ctx, 0, r->bytes, length)) r->length = 0;
  bpf_ringbuf_submit(r, 0);
}

SEC("xdp")
int sink(struct xdp_md *ctx) {
  __u32 length = (__u32)(ctx->data_end - ctx->data);
  if (recording) keep(ctx, length);

  struct stamp stamp = {};
  if (length >= sizeof stamp) {
    void *at = (void *)(long)ctx->data + ((length - sizeof stamp) & 0xfff);
    if (at + sizeof stamp <= (void *)(long)ctx->data_end) __builtin_memcpy(&stamp, at, sizeof stamp);
  }
  if (stamp.magic != GENERATOR_STAMP_MAGIC) {
    __sync_fetch_and_add(&others, 1);
    return pass_others ? XDP_PASS : XDP_DROP;
  }
  struct flow_count *count = bpf_map_lookup_elem(&counts, &stamp.flow);
  struct flow_order *order = bpf_map_lookup_elem(&orders, &stamp.flow);
  if (!count || !order) return XDP_DROP;
  count->packets += 1;
  count->bytes += length;
  /* A queue's packets come one after the other; those of two may cross here, which is what is looked for. */
  if (stamp.sequence < order->next) __sync_fetch_and_add(&order->out_of_order, 1);
  else order->next = stamp.sequence + 1;
  if (stamp.sequence % GENERATOR_CLOCK && order->first_ns) return XDP_DROP;
  order->last_ns = bpf_ktime_get_ns();
  if (!order->first_ns) order->first_ns = order->last_ns;
  return XDP_DROP;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
