// SPDX-License-Identifier: BSD-2-Clause
/// Why an address is blocked or a packet was dropped, as one JSON document: the source of `weir why`,
/// live and for replays.
///
/// {"address", "state": "blocked"|"would_be_blocked"|"expired"|"removed"|"not_blocked",
///  "dropped": {rule: packets}, "asked_for",                           where it was dropped at all
///  "block": {"address", "target": "source"|"network"|"victim", "strikes", "age_ms",
///            "expires_in_ms"},                                        where it is or was blocked
///  "rule", "rule_help", "score", "threshold",
///  "packet": {"number", "time_ns", "side", "method", "source", "source_port", "destination",
///             "destination_port", "solicited", "late", "client_flow", "wrong_side"},
///  "model": {"name", "sha256"},
///  "features": [{"name", "value", "unit", "help", "adds"}],            the strongest first
///  "neutral": true where the row decided with its sender's features at neutral values,
///  "margin", "expected", "votes": {"for", "against"}, "trees": [{"tree", "adds", "path"}]}
///
/// `rule` to the end are there where the row that decided is still kept. A block that a person or an
/// earlier weir made has none: its "block" is as `block.list` has it.
/// Threads   the caller's.
#pragma once

#include <optional>

#include "control/tables.h"
#include "detect/ledger.h"
#include "forest/model.h"

namespace weir::control {

struct WhySources {
  const forest::Model* model = nullptr;  ///< nullptr: none judged
  std::vector<std::string> columns;      ///< the names of a row's features, in its order
  float threshold = 0;
  bool shadow = false;
  bool score_alone = false;  ///< scores are the model's own (pipeline::Scores)
  std::size_t trees = 3;     ///< paths to tell
};

/// What is known of `address` at `now`.
Json why_address(const WhySources& from, const Address& address, const detect::Ledger& ledger,
                 PacketTime now);
/// Makes what the ledger says of `address` agree with the blocks that stand, an answer of
/// `block.list`: people take blocks away and add their own, and a start takes over what it finds.
void agree_with(Json& why, const Address& address, const Json& blocks);
/// One packet's decision with its row: all from "rule" on.
Json why_packet(const WhySources& from, const detect::Evidence& evidence);

}  // namespace weir::control
