// SPDX-License-Identifier: BSD-2-Clause
/// What this process may do, asked before anything is tried.
#pragma once

#include <string>

namespace weir::control {

/// A sentence that names the capabilities that `weir run` needs and this process lacks; else empty.
/// Needed    CAP_NET_ADMIN (interfaces, XDP), CAP_NET_RAW (AF_XDP), CAP_BPF and
///           CAP_PERFMON (program, maps).
/// Source    capabilities(7); CapEff in /proc/self/status.
std::string missing_privileges();

}  // namespace weir::control
