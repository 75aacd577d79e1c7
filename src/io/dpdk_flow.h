// SPDX-License-Identifier: BSD-2-Clause
/// Rules in a NIC, by DPDK's generic flow API (rte_flow). Inside of the DPDK module.
///
/// Drop      ingress, group 0: Ethernet, IPv4 or IPv6 with the source, UDP with a port or without;
///           action COUNT, where the device takes that beside it, and DROP. What a device reads of
///           tagged or tunnelled frames is its own affair: the source and the port are matched
///           wherever it sees them, and what it does not see comes up as before.
/// Spread    UDP over IPv4 and IPv6 by one address alone, over the queues that RSS has.
/// Checked   by rte_flow_validate, before anything is put into the device.
/// Threads   one at a time.
/// Errors    the device's own words.
/// Source    doc.dpdk.org/guides-22.11/prog_guide/rte_flow.html
#pragma once

#include <cstdint>
#include <optional>

#include "io/poll_device.h"

namespace weir::io::flow {

Status try_drop(std::uint16_t port, const DropMatch& match);
Result<DropRule> add_drop(std::uint16_t port, const DropMatch& match);
Status remove(std::uint16_t port, const DropRule& rule);
std::optional<DropHits> hits(std::uint16_t port, const DropRule& rule);

/// Has the device spread UDP by the source address, or by the destination's. The families for which
/// it does; "" where for none.
const char* spread(std::uint16_t port, bool by_source);

}  // namespace weir::io::flow
