// SPDX-License-Identifier: BSD-2-Clause
/// What a running weir says of itself, as one JSON document: the source of `weir status`.
///
/// {"version", "pid", "uptime_ms", "config", "mode": "active"|"shadow", "fail_mode", "workers",
///  "took_over": whether blocks or links of an earlier run were found,
///  "model": {"path", "name", "sha256", "evaluator"},
///  with a screen: "screen": {"path", "name", "sha256", "shape", "ssdp": whether it judges SSDP,
///                            "passed": {"packets", "bytes"}},
///  "interfaces": {"wan": {"name", "backend": "af_xdp"|"dpdk",
///                 "link": "up"|"no carrier"|"down"|"gone", "zero_copy",
///                 af_xdp: "attached": "native"|"generic",
///                         "redirects": whether large batches leave past the sockets
///                 dpdk: "driver", "spread", "promiscuous", "counters": {the device's own},
///                       wan: "flow_rules": {"on", "reason": why not, or "kinds", "rules",
///                       "rules_max", "blocks", "hit_packets", "hit_bytes", "added", "refused"}},
///                 "lan": ...},
///  "channels": [{"number", "frames": {"free", "fill", "rx", "batch", "tx", "completion"},
///                "frames_total", "conserved", "busy_poll", "headroom", "received", "forwarded",
///                "dropped", "shed_forwarded", "shed_dropped", "batches", "pool_empty",
///                "sleeps", "withdrawals", "wan": {one number a counter of io::ChannelCounters},
///                "lan": ...}],
///  "outcomes": [{"name", "effect", "help", "wan": {"packets", "bytes"}, "lan": ...}],
///  "redirect_errors": {"socket": packets, "peer": packets},
///  "verdicts": {"forwarded", "dropped", "shed_forwarded", "shed_dropped"},  judged in userspace
///  "reasons": [{"name", "help", "packets"}],
///  "blocks": {"standing", "sources", "ordered", "written", "lost", "refused", "expired"},
///  "time_to_block": {"count", "median_us", "p99_us"},   from a source's first packet to its block
///  "policy": {"suspects", "suspects_evicted", "blocks", "blocks_over_budget"}}
///
/// Counters  since the start of this process, but for outcomes: since the tables were pinned.
/// Threads   reads what may be read by anyone.
#pragma once

#include <span>

#include "control/config.h"
#include "control/enforcer.h"
#include "control/tables.h"
#include "control/wire.h"
#include "forest/model.h"
#include "kernel_model/screen.h"
#include "pipeline/channel.h"

namespace weir::control {

struct StatusSources {
  const Config& config;
  const forest::Model& model;
  const std::string& evaluator;
  const kernel_model::Screen* screen;  ///< none, or what judges first
  const Wire& wire;
  std::span<const std::unique_ptr<pipeline::ChannelLoop>> loops;
  const Enforcer& enforcer;
  PacketTime started;
};

/// An error is a system call's, while the counters were read.
Result<Json> status_document(const StatusSources& from);

/// The model's part of the document.
Json model_json(const Config& config, const forest::Model& model, const std::string& evaluator);

/// The screen's part of the document.
Json screen_json(const Config& config, const kernel_model::Screen& screen);

/// The outcomes alone: what a command can read of the pinned tables while no weir runs.
Json outcomes_json(const datapath::Counters& counters);

}  // namespace weir::control
