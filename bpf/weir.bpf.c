/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The XDP program: context in, outcome counted, verdict out. The decision stands in datapath.h. In host mode there is a
 * second one, `weir_own`, on what this host sends: userspace gets copies of what is steered.
 *
 * Compiled with WEIR_WITH_SCREEN it is another object, with a screen: a model over header features that says of steered
 * packets which of them userspace need not see. weir writes the model's functions itself and links them in
 * (src/kernel_model/), so that there is a call and no map between headers and verdict. Without, there is no call, no
 * function that the verifier must look at, and no need for a kernel that knows functions that take pointers (5.13).
 */
#include "maps.h"

#include <linux/pkt_cls.h>

#include "copy.h"
#include "datapath.h"

/* Set by the loader, then frozen: the verifier follows only the branches that this configuration has. */
const volatile struct weir_config weir_config;

static __always_inline const volatile struct weir_config *weir_configuration(struct weir_tables *tables)
{
  (void)tables;
  return &weir_config;
}

static __always_inline const volatile struct weir_control *weir_control_value(struct weir_tables *tables)
{
  __u32 zero = 0;

  (void)tables;
  return bpf_map_lookup_elem(&control, &zero);
}

static __always_inline struct weir_block *weir_find_block4(struct weir_tables *tables, const struct weir_key4 *key)
{
  (void)tables;
  return bpf_map_lookup_elem(&block4, key);
}

static __always_inline struct weir_block *weir_find_block6(struct weir_tables *tables, const struct weir_key6 *key)
{
  (void)tables;
  return bpf_map_lookup_elem(&block6, key);
}

static __always_inline int weir_is_allowed4(struct weir_tables *tables, const struct weir_prefix4 *key)
{
  (void)tables;
  return bpf_map_lookup_elem(&allow4, key) != 0;
}

static __always_inline int weir_is_allowed6(struct weir_tables *tables, const struct weir_prefix6 *key)
{
  (void)tables;
  return bpf_map_lookup_elem(&allow6, key) != 0;
}

static __always_inline __u64 weir_port_word(struct weir_tables *tables, __u32 word)
{
  __u64 *value = bpf_map_lookup_elem(&ports, &word);

  (void)tables;
  return value ? *value : 0;
}

static __always_inline int weir_has_socket(struct weir_tables *tables, __u32 index)
{
  (void)tables;
  return bpf_map_lookup_elem(&sockets, &index) != 0;
}

static __always_inline __u64 weir_heartbeat_ns(struct weir_tables *tables, __u32 channel)
{
  const volatile struct weir_heartbeat *beat = bpf_map_lookup_elem(&heartbeats, &channel);

  (void)tables;
  return beat ? beat->time_ns : 0;
}

static __always_inline __u64 weir_now_ns(struct weir_tables *tables)
{
  (void)tables;
  return weir_config.coarse_clock ? bpf_ktime_get_coarse_ns() : bpf_ktime_get_ns();
}

static __always_inline void weir_count_hit(struct weir_tables *tables, struct weir_block *block, __u32 bytes)
{
  (void)tables;
  __sync_fetch_and_add(&block->hit_packets, 1);
  __sync_fetch_and_add(&block->hit_bytes, bytes);
}

#ifdef WEIR_WITH_SCREEN
/* The model's own function takes the place of this one, which gives no verdict. */
__weak __noinline int weir_model(struct weir_header_features *f)
{
  return f ? -1 : -2;
}

static __always_inline int weir_has_screen(struct weir_tables *tables)
{
  (void)tables;
  return 1;
}

static __always_inline int weir_ask_screen(struct weir_tables *tables, struct weir_header_features *f)
{
  (void)tables;
  return weir_model(f);
}
#else
static __always_inline int weir_has_screen(struct weir_tables *tables)
{
  (void)tables;
  return 0;
}

static __always_inline int weir_ask_screen(struct weir_tables *tables, struct weir_header_features *f)
{
  (void)tables;
  (void)f;
  return -1;
}
#endif

static __always_inline void weir_count(void *map, __u32 key, __u32 bytes)
{
  struct weir_counter *counter = bpf_map_lookup_elem(map, &key);

  if (counter) {
    counter->packets += 1;
    counter->bytes += bytes;
  }
}

/* Whether the packet goes to its channel's socket: that may have gone since weir_decide found it. */
static __always_inline int weir_to_socket(const struct weir_packet *packet)
{
  return bpf_redirect_map(&sockets, packet->side * WEIR_CHANNELS_MAX + packet->queue, XDP_ABORTED) == XDP_REDIRECT;
}

static __always_inline void weir_count_outcome(__u32 side, int outcome, __u32 bytes)
{
  weir_count(&counters, side * WEIR_OUTCOME_SLOTS + (__u32)outcome, bytes);
}

/* XDP_PASS, XDP_DROP or XDP_REDIRECT, by the outcome's effect. */
static __always_inline int weir_act(const struct weir_packet *packet, int outcome)
{
  int action;

  switch (outcome) {
#define WEIR_EFFECT_peer break
#define WEIR_EFFECT_socket return XDP_REDIRECT /* weir_to_socket has done it */
#define WEIR_EFFECT_drop return XDP_DROP
#define WEIR_CASE(number, name, effect, help)                                                                          \
  case number:                                                                                                         \
    WEIR_EFFECT_##effect;
    WEIR_OUTCOMES(WEIR_CASE)
#undef WEIR_CASE
  default:
    return XDP_ABORTED; /* there is no other outcome */
  }
  if (weir_config.host_mode)
    return XDP_PASS;
  action = (int)bpf_redirect_map(&peers, packet->side ^ 1, XDP_DROP);
  if (action != XDP_REDIRECT) /* the kernel takes an interface out of the map when that goes away */
    weir_count(&redirect_errors, WEIR_REDIRECT_ERROR_peer, packet->bytes);
  return action;
}

SEC("xdp")
int weir(struct xdp_md *ctx)
{
  struct weir_packet packet = {};
  struct weir_headers headers;
  int outcome;

  packet.data = (const void *)(long)ctx->data;
  packet.end = (const void *)(long)ctx->data_end;
  packet.bytes = (__u32)(ctx->data_end - ctx->data);
  packet.queue = ctx->rx_queue_index;
  if (weir_config.multi_buffer) { /* the helper is as old as multi-buffer XDP: 5.18 */
    __u32 linear = packet.bytes;

    packet.bytes = (__u32)bpf_xdp_get_buff_len(ctx);
    packet.continues = packet.bytes - linear;
  }
  packet.side = ctx->ingress_ifindex == weir_config.ifindex[WEIR_SIDE_lan];
  if (!packet.side && ctx->ingress_ifindex != weir_config.ifindex[WEIR_SIDE_wan]) {
    weir_count(&counters, WEIR_OUTCOME_drop_not_ours, packet.bytes);
    return XDP_DROP;
  }
  packet.side = weir_forget(packet.data, packet.end, packet.side) & 1; /* both sides are verified as one */
  outcome = weir_decide(0, &packet, &headers);
  if (outcome == WEIR_OUTCOME_socket_steered && !weir_to_socket(&packet))
    outcome = weir_config.fail_closed ? WEIR_OUTCOME_drop_no_socket : WEIR_OUTCOME_peer_no_socket;
  else if (outcome == WEIR_OUTCOME_peer_copied && !weir_copy_packet(&packet))
    outcome = WEIR_OUTCOME_peer_copy_lost;
  weir_count_outcome(packet.side, outcome, packet.bytes);
  return weir_act(&packet, outcome);
}

/* What this host sends by the interface: its searches, and the flows that it opens. Nothing happens to any of it. */
SEC("tc")
int weir_own(struct __sk_buff *skb)
{
  struct weir_packet packet = {};
  struct weir_headers headers;
  int copied;

  packet.data = (const void *)(long)skb->data;
  packet.end = (const void *)(long)skb->data_end;
  packet.bytes = skb->len;
  packet.side = WEIR_SIDE_lan;
  weir_parse(packet.data, packet.end, &headers);
  if (!weir_is_steered(0, &packet, &headers) || !weir_is_alive(0, 0))
    return TC_ACT_UNSPEC; /* what other filters there are have their say */
  copied = weir_copy_own(skb);
  weir_count_outcome(WEIR_SIDE_lan, copied ? WEIR_OUTCOME_peer_copied : WEIR_OUTCOME_peer_copy_lost, packet.bytes);
  return TC_ACT_UNSPEC;
}

char weir_license[] SEC("license") = "Dual BSD/GPL";
