// SPDX-License-Identifier: BSD-2-Clause
/// Packet time: when a packet arrived, in nanoseconds of an epoch that is the interface's business.
///
/// Live it is CLOCK_MONOTONIC (the clock of bpf_ktime_get_ns, so that the kernel's block expiries
/// agree); in a replay it is the capture's time stamp. Detection and policy know no other clock,
/// which is what makes a replay repeatable.
///
/// Units     ns; unsigned, so differences go through `operator-`, which is signed and saturates.
/// Threads   values.
#pragma once

#include <algorithm>
#include <chrono>
#include <compare>
#include <cstdint>

namespace weir {

using Nanoseconds = std::chrono::nanoseconds;

struct PacketTime {
  std::uint64_t ns = 0;

  friend constexpr auto operator<=>(PacketTime, PacketTime) noexcept = default;
  /// Signed distance: negative where `a` is before `b`; 292 years at most, either way.
  friend constexpr Nanoseconds operator-(PacketTime a, PacketTime b) noexcept {
    constexpr auto most = static_cast<std::uint64_t>(Nanoseconds::max().count());
    if (a.ns >= b.ns) return Nanoseconds{static_cast<std::int64_t>(std::min(a.ns - b.ns, most))};
    return Nanoseconds{-static_cast<std::int64_t>(std::min(b.ns - a.ns, most))};
  }
  friend constexpr PacketTime operator+(PacketTime t, Nanoseconds d) noexcept {
    return {t.ns + static_cast<std::uint64_t>(d.count())};
  }
};

/// CLOCK_MONOTONIC now, in the clock of live packet time.
PacketTime monotonic_now() noexcept;

constexpr double seconds(Nanoseconds d) noexcept { return static_cast<double>(d.count()) * 1e-9; }

}  // namespace weir
