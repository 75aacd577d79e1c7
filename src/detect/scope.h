// SPDX-License-Identifier: BSD-2-Clause
/// What no score is needed for: packets that SSDP never sends, and those that are not legitimate in
/// the direction that they go.
///
/// Source    UPnP Device Architecture 2.0, 1.2 and 1.3 (answers go to one address; searches and
///           announcements go to a group, or a search to one address); RFC 6890 (addresses that no
///           packet comes from).
/// Threads   pure functions.
#pragma once

#include "detect/context.h"
#include "detect/policy.h"

namespace weir::detect {

/// Whoever sends it, whatever the network: a source address that is none, a port 0, or a reply or
/// malformed text to a group.
bool is_impossible(const Context& context) noexcept;

/// By `rules`, not in its direction. Solicited packets and client flows are not asked about.
bool is_out_of_scope(const Context& context, const ScopeRules& rules) noexcept;

}  // namespace weir::detect
