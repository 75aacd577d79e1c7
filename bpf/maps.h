/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The maps of the XDP program. Sizes that the configuration rules stand here with their default; the loader sets them
 * before the maps are made (src/datapath/kernel.cpp). Which of them outlive a restart stands there too.
 */
#ifndef WEIR_MAPS_H
#define WEIR_MAPS_H

#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

#include "abi.h"
#include "outcomes.h"

/* Preallocated (the default of a hash): a flood of new blocks never allocates in the kernel. */
struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 131072);
  __type(key, struct weir_key4);
  __type(value, struct weir_block);
} block4 SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 131072);
  __type(key, struct weir_key6);
  __type(value, struct weir_block);
} block6 SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_LPM_TRIE);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __uint(max_entries, 4096);
  __type(key, struct weir_prefix4);
  __type(value, __u32);
} allow4 SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_LPM_TRIE);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __uint(max_entries, 4096);
  __type(key, struct weir_prefix6);
  __type(value, __u32);
} allow6 SEC(".maps");

/* One bit a UDP port; asked only where more than one port is steered. */
struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, WEIR_PORT_WORDS);
  __type(key, __u32);
  __type(value, __u64);
} ports SEC(".maps");

/* The interface of each side. DEVMAP, not DEVMAP_HASH: two entries, and no hash a packet. */
struct {
  __uint(type, BPF_MAP_TYPE_DEVMAP);
  __uint(max_entries, 2);
  __uint(key_size, sizeof(__u32));
  __uint(value_size, sizeof(__u32));
} peers SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_XSKMAP);
  __uint(max_entries, 2 * WEIR_CHANNELS_MAX);
  __uint(key_size, sizeof(__u32));
  __uint(value_size, sizeof(__u32));
} sockets SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, 2 * WEIR_OUTCOME_SLOTS);
  __type(key, __u32);
  __type(value, struct weir_counter);
} counters SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, WEIR_REDIRECT_ERROR_SLOTS);
  __type(key, __u32);
  __type(value, struct weir_counter);
} redirect_errors SEC(".maps");

/* Mapped into the appliance: a heartbeat is a store, not a system call. */
struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(map_flags, BPF_F_MMAPABLE);
  __uint(max_entries, WEIR_CHANNELS_MAX);
  __type(key, __u32);
  __type(value, struct weir_heartbeat);
} heartbeats SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(map_flags, BPF_F_MMAPABLE);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, struct weir_control);
} control SEC(".maps");

/* Copies for userspace, of both directions in the order in which they were made: a search of this host stands before its
 * answers. The loader sets the size, and makes the map only where something is copied (host mode).
 */
struct {
  __uint(type, BPF_MAP_TYPE_RINGBUF);
  __uint(max_entries, 1 << 20);
} copies SEC(".maps");

/* Where a copy is put together, by side: a record of the ring itself must have a size that the verifier knows. */
struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, 2);
  __type(key, __u32);
  __type(value, struct weir_copy);
} copy_room SEC(".maps");

#endif
