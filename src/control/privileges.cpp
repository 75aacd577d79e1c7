// SPDX-License-Identifier: BSD-2-Clause
#include "control/privileges.h"

#include <fmt/format.h>
#include <linux/capability.h>

#include <cstdint>
#include <cstdlib>
#include <fstream>

namespace weir::control {

std::string missing_privileges() {
  std::uint64_t effective = 0;
  std::ifstream status("/proc/self/status");
  constexpr std::string_view kField = "CapEff:";
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with(kField))
      effective = std::strtoull(line.c_str() + kField.size(), nullptr, 16);
  }
  std::string missing;
  struct Needed {
    unsigned bit;
    const char* name;
  };
  for (const auto& [bit, name] :
       {Needed{CAP_NET_ADMIN, "CAP_NET_ADMIN"}, Needed{CAP_NET_RAW, "CAP_NET_RAW"},
        Needed{CAP_BPF, "CAP_BPF"}, Needed{CAP_PERFMON, "CAP_PERFMON"}}) {
    if ((effective >> bit & 1U) != 0) continue;
    missing += fmt::format("{}{}", missing.empty() ? "" : ", ", name);
  }
  if (missing.empty()) return missing;
  return fmt::format("not permitted: {} missing; run it as root", missing);
}

}  // namespace weir::control
