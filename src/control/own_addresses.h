// SPDX-License-Identifier: BSD-2-Clause
/// The addresses of this machine and of its gateways: what must never be blocked, whatever it is
/// said to have sent.
///
/// Source    getifaddrs(3), proc_net_route(5): /proc/net/route and /proc/net/ipv6_route.
/// Errors    none: what cannot be read is left out.
/// Threads   any.
#pragma once

#include <string_view>
#include <vector>

#include "base/address.h"

namespace weir::control {

std::vector<Prefix> own_addresses();

/// The gateways in the text of these two files; lines that are none are passed over.
std::vector<Prefix> gateways4(std::string_view route);
std::vector<Prefix> gateways6(std::string_view ipv6_route);

}  // namespace weir::control
