// SPDX-License-Identifier: BSD-2-Clause
/// `weir replay --header-features`, and `--compare skx`: what a model of header features says of each packet, exactly, and
/// what SkimXDP's program of that model would say; where they differ, and why.
///
/// Judged    every IP packet of the captures, by itself: no steering, tables, policy or blocks. A
///           packet that a side has no features of is forwarded by it (bpf/header_features.h).
/// Causes    each packet of two verdicts has one, the first of these that holds:
///             not judged   SkimXDP does not look at it: IPv6, a tag, PPPoE, below 54 bytes
///             feature      with this one feature as SkimXDP reads it, the exact model changes its
///                          verdict; the first in the model's order, where several do
///             features     with all of them, and with no single one
///             vote         trees: the majority of the trees, not their mean probability
///             threshold    trees: thresholds cut to integers
///             coefficient  linear: coefficients cut after four digits
///             arithmetic   linear: 32-bit overflow, or a sum that C takes for unsigned
/// Rows      `features`: one line of CSV an IP packet: number (from 0), time, both verdicts, score,
///           cause, and each header feature in both readings.
/// Errors    a model that asks for other features, or that SkimXDP does not have: one sentence.
/// Threads   the main thread.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "forest/model.h"
#include "pipeline/replay_source.h"

namespace weir::cli {

struct CompareOptions {
  std::vector<pipeline::ReplayInput> captures;
  std::string features;  ///< path of the rows; empty: none are written
  bool json = false;
};

/// Prints the comparison.
Status compare_skx(const CompareOptions& options, const forest::Model& model);

/// What a model of headers learns from: one line of CSV in `options.features` for each IP packet,
/// number (from 0), time, addresses, label and kind (of the packet's comment, where it has one), and
/// every header feature by its name. Prints how many.
Status write_header_rows(const CompareOptions& options);

}  // namespace weir::cli
