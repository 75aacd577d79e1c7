/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* What the XDP program and userspace share: map keys, map values, configuration. Plain C, fixed widths, no padding that
 * is not named. A change to a layout that is pinned (block, allow key, control) raises WEIR_ABI_VERSION, so that a
 * restart never misreads what an older build left behind.
 */
#ifndef WEIR_ABI_H
#define WEIR_ABI_H

#include <linux/types.h>

#define WEIR_ABI_VERSION 2

/* Which interface a packet came in by; the index of the peers map is the side it leaves by. */
enum weir_side { WEIR_SIDE_wan = 0, WEIR_SIDE_lan = 1 };

/* At most this many rx queues an interface. The XSKMAP index is side * WEIR_CHANNELS_MAX + queue. */
#define WEIR_CHANNELS_MAX 64

/* What a block drops. */
enum weir_scope {
  WEIR_SCOPE_ssdp = 1, /* what is steered, by port or start line; with `blocked_fragments` UDP fragments after the first */
  WEIR_SCOPE_all = 2,  /* everything from the source */
};

/* Who made a block. */
enum weir_origin { WEIR_ORIGIN_policy = 1, WEIR_ORIGIN_manual = 2 };

/* What a block is of. One pair of maps holds all of them: the target is part of the key. */
enum weir_target {
  WEIR_TARGET_source = 0,  /* packets from this address */
  WEIR_TARGET_network = 1, /* packets from this /24 (IPv4) or /64 (IPv6); host bits of the key are zero */
  WEIR_TARGET_victim = 2,  /* SSDP start lines to this address, but to its open ports */
};

struct weir_key4 {
  __be32 address;
  __u32 target; /* enum weir_target */
};

struct weir_key6 {
  __u8 address[16];
  __u32 target; /* enum weir_target */
};

/* Ports of a victim that stay open: those that it searched from last. */
#define WEIR_OPEN_PORTS 8

/* A value of the blocklist. The program reads scope, expiry and open ports and adds to hits; all else is userspace's. */
struct weir_block {
  __u64 expires_ns; /* CLOCK_MONOTONIC; 0: never. Expired entries do nothing; userspace sweeps them. */
  __u64 created_ns; /* CLOCK_MONOTONIC */
  __u64 hit_packets; /* atomic adds by the program */
  __u64 hit_bytes;
  __u32 scope;   /* enum weir_scope */
  __u32 origin;  /* enum weir_origin */
  __u32 reason;  /* policy's reason number (src/detect/policy.h) */
  __u32 strikes; /* how often this source was blocked before: expiry grows with it */
  __u16 open_ports[WEIR_OPEN_PORTS]; /* host order; of a victim's block alone, 0: none */
};

/* Keys of the allowlist (BPF_MAP_TYPE_LPM_TRIE); the value is a __u32 that nobody reads. */
struct weir_prefix4 {
  __u32 length;
  __be32 address;
};

struct weir_prefix6 {
  __u32 length;
  __u8 address[16];
};

/* The one value of the control map: what userspace changes while the program runs. */
struct weir_control {
  __u32 abi_version;
  __u32 blocks_all;  /* how many blocks have scope all; 0: no address of unsteered traffic is looked up */
  __u32 allow_count; /* prefixes in the allowlist; 0: it is never looked up */
  __u32 blocks;      /* blocks of sources; 0: none is looked up */
  __u32 networks;    /* the same of networks */
  __u32 victims;     /* the same of victims */
};

/* A value of the counters map, per CPU; key: side * WEIR_OUTCOME_SLOTS + outcome. */
struct weir_counter {
  __u64 packets;
  __u64 bytes;
};

/* Redirects that failed after the program returned, counted at the kernel's tracepoints; per CPU, key: see below. */
enum weir_redirect_error {
  WEIR_REDIRECT_ERROR_socket = 0, /* AF_XDP ring full, or no frame in the fill ring */
  WEIR_REDIRECT_ERROR_peer = 1,   /* the peer interface was down, or its ring was full */
};
#define WEIR_REDIRECT_ERROR_SLOTS 4

/* Configuration of the program: const volatile .rodata, so that the verifier prunes what is off. */
struct weir_config {
  __u32 ifindex[2];         /* by side */
  __u32 host_mode;          /* 1: "to the peer" means up this host's stack (XDP_PASS) */
  __u32 fail_closed;        /* 1: what has no live socket is dropped */
  __u32 drop_fragments;     /* 1: UDP fragments after the first are dropped */
  __u32 blocked_fragments;  /* 1: those of a blocked source or network are */
  __u32 ssdp_payload;       /* 1: an SSDP start line steers, whatever the ports */
  __u32 single_port;        /* host order; steer this port only, without a map. 0: ask the ports map */
  __u32 heartbeat_limit_ms; /* a heartbeat older than this is a stalled channel */
  __u32 shadow;             /* 1: no block has an effect */
  __u32 multi_buffer;       /* 1: loaded as xdp.frags, so a packet may go on behind `data_end` */
  __u32 all_ports;          /* 1: all of UDP is steered, without a map */
  __u32 all_ip;             /* 1: all of IPv4 and IPv6 is, whatever it carries */
  __u32 observe;            /* 1: what is steered goes on to the peer, and a copy of it into the ring `copies` */
  __u32 screen_ssdp;        /* 1: where there is a screen, it judges SSDP too */
  __u32 coarse_clock;       /* 1: the kernel's clock of the last tick will do (5.11): a tenth of the time, some ms behind */
};

/* A value of the heartbeats map (mapped into the appliance), key: channel. */
struct weir_heartbeat {
  __u64 time_ns;   /* CLOCK_MONOTONIC of the channel's last progress; 0: withdrawn */
  __u64 unused[7]; /* a cache line a channel: the channels' threads write theirs at once */
};

/* A record of the ring `copies` (host mode): a packet as it came in by the WAN side, or as this host sent it, which is its
 * LAN side; from the Ethernet header on, `bytes` long.
 */
#define WEIR_COPY_MAX 3584 /* above the largest frame that single-buffer XDP takes */
struct weir_copy {
  __u32 side;  /* enum weir_side */
  __u32 bytes; /* of `data` */
  __u8 data[WEIR_COPY_MAX];
};

/* What send.bpf.c sends. Key of the map `outgoing`: channel * WEIR_SEND_MAX + number in the batch. A live frame has its
 * page with the kernel's headroom (256 bytes), what it keeps of it, and what an skb needs at the end: 3,176 bytes are left
 * where cache lines have 256 bytes (s390x), 3,368 where they have 64. One that is not filled yet is WEIR_SEND_BLANK_BYTES
 * long, and as many bytes more as its channel's number.
 */
#define WEIR_SEND_MAX 256 /* frames of a batch, a power of two */
#define WEIR_SEND_BLANK_BYTES 64
#define WEIR_SEND_LEAST_BYTES 14
#define WEIR_SEND_MOST_BYTES 3168
struct weir_outgoing {
  __u32 length;
  __u32 unused;
  __u8 data[4088]; /* in a page of its own */
};

/* Of the map `turns`, by channel. */
struct weir_send_turn {
  __u32 next;       /* frame of the batch that is sent next; userspace sets it to 0 */
  __u32 refused;    /* frames that did not get as far as the driver's ring */
  __u32 unused[14]; /* a cache line a channel */
};

/* The ports map: an array of 1024 __u64, bit (port % 64) of entry port / 64. */
#define WEIR_PORT_WORDS 1024

#endif
