/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* What generator.bpf.c and generator.cpp share. Plain C, fixed widths. */
#ifndef WEIR_PERF_LAYOUT_H
#define WEIR_PERF_LAYOUT_H

#include <linux/types.h>

#define GENERATOR_STREAMS \
  64 /* frames that one generator can mix; also the flows that a sink tells apart */
#define GENERATOR_SCHEDULE 65536   /* slots of the schedule; each names a stream */
#define GENERATOR_FRAME_BYTES 4096 /* room for a frame with its stamp */
#define GENERATOR_LENGTH_MAX \
  3392 /* the longest frame that is sent; the kernel's own takes the rest of its page */
#define GENERATOR_RECORD_BYTES 2048 /* of a frame that is recorded; a longer one is cut */

/* The last bytes of each frame, behind the IP datagram, where Ethernet pads: no checksum covers
 * them. */
struct stamp {
  __u32 magic;
  __u32 flow;
  __u64 sequence; /* from 0, by flow */
};
#define GENERATOR_STAMP_MAGIC 0x77656972u

/* One stream: a frame, and how its source address varies. */
struct stream {
  __u32 length;          /* with the stamp, where there is one */
  __u32 sources;         /* addresses in use, from the frame's own on; 1: it never varies */
  __u32 address_offset;  /* of the last four bytes of the source address */
  __u32 address;         /* those bytes as a number */
  __u32 ip_check_offset; /* of the IPv4 header's checksum; 0: none */
  __u32 l4_check_offset; /* of the UDP checksum; 0: none */
  __u32 stamped;         /* 1: the stamp is written */
  __u32 flow;
  __u8 bytes[GENERATOR_FRAME_BYTES];
};

/* What one CPU's sink has counted of a flow. */
struct flow_count {
  __u64 packets;
  __u64 bytes;
};

/* What a sink has seen of a flow, on whatever CPU. */
struct flow_order {
  __u64 next;         /* one above the highest sequence number */
  __u64 out_of_order; /* a sequence number that is not above the one before */
  __u64 first_ns;     /* CLOCK_MONOTONIC */
  __u64 last_ns;      /* of the last packet whose sequence number a GENERATOR_CLOCK divides */
};
/* The clock is dear in a virtual machine: it is read for one packet of so many. */
#define GENERATOR_CLOCK 16

/* A frame that a sink has recorded. */
struct record {
  __u64 time_ns;
  __u32 length;
  __u32 queue;
  __u8 bytes[GENERATOR_RECORD_BYTES];
};

#endif
