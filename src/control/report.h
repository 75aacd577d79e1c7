// SPDX-License-Identifier: BSD-2-Clause
/// What was dropped, or would have been in shadow, as one JSON document: the source of `weir report`
/// and of `weir replay --report`.
///
/// {"mode": "active"|"shadow", "since_ms",
///  "rules": [{"rule", "help", "packets", "asked_for"}],       judged in userspace; those that spoke
///  "blocks": {"made", "standing", "hit_packets", "hit_bytes"}, what standing blocks dropped since
///  "sources": [{"address", "packets", "asked_for", "blocks", "rules": {rule: packets},
///               "hit_packets", "first_ago_ms", "last_ago_ms"}], the most packets first
///  "sources_seen", "sources_forgotten"}
///
/// Asked for detect/ledger.h. In shadow nothing is dropped and no block is made: all numbers are what
///           would have been.
/// Threads   the caller's.
#pragma once

#include <span>

#include "control/tables.h"
#include "detect/ledger.h"

namespace weir::control {

struct ReportSources {
  detect::Ledger::Snapshot ledger;
  std::span<const datapath::Block> blocks;  ///< of the datapath, with their hits
  bool shadow = false;
  PacketTime since, now;
  std::size_t sources = 20;  ///< to list
};

Json report_document(const ReportSources& from);

}  // namespace weir::control
