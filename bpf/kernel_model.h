/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* What the program of kernel_model.bpf.c counts: shared with userspace, which reads the map by these numbers. */
#ifndef WEIR_KERNEL_MODEL_H
#define WEIR_KERNEL_MODEL_H

#include <linux/types.h>

/* X(number, name, what becomes of the packet) */
#define WEIR_MODEL_VERDICT_LIST(X)                                                                                     \
  X(0, pass, "judged fine: passed")                                                                                    \
  X(1, drop, "judged bad: dropped")                                                                                    \
  X(2, other, "no IP header that could be read: passed, not judged")                                                   \
  X(3, unjudged, "the model gave no verdict: passed")

enum weir_model_verdict {
#define WEIR_MODEL_ENUM(number, name, help) WEIR_MODEL_##name = number,
  WEIR_MODEL_VERDICT_LIST(WEIR_MODEL_ENUM)
#undef WEIR_MODEL_ENUM
  WEIR_MODEL_VERDICTS
};

struct weir_model_counter {
  __u64 packets;
  __u64 bytes; /* of the frame's linear part */
};

/* What the program was made of; one entry, written by who loads it. Texts end in 0. */
struct weir_model_about {
  __u64 loaded_ns; /* CLOCK_REALTIME */
  __u64 functions; /* of the model */
  __u64 instructions;
  __u64 verified;  /* instructions that the verifier went through */
  __u64 reading;   /* enum weir_reading */
  char name[64];
  char sha256[72]; /* of the model's file */
  char trained[64]; /* kind and size, for people */
};

#endif
