// SPDX-License-Identifier: BSD-2-Clause
/// What is remembered of the networks of destinations, a /24 or /64 each: a flood that is spread
/// like a carpet, a packet or two for each address, is plain here and nowhere else.
///
/// Lasting   a network that was seen over 10 s and in at least 64 packets (bounded_table.h).
#pragma once

#include "base/address.h"
#include "detect/bounded_table.h"
#include "detect/sketch.h"
#include "detect/window.h"

namespace weir::detect {

/// The /24 or /64 that `address` is in: what one site or one attacker usually holds.
inline Address network_of(const Address& address) noexcept {
  return address.first_bits(address.is_v4() ? 24 : 64);
}

struct NetworkEntry {
  using Key = Address;  // host bits are zero
  Key key;
  PacketTime first_seen;
  FadeClock clock;
  float packets = 0;      // short
  float unsolicited = 0;  // long
  std::uint32_t total = 0;
  DistinctSketch<1> destinations;  // that got what they did not ask for
  DistinctSketch<4> sources;       // of that

  void begin(PacketTime now) noexcept {
    first_seen = now;
    clock.begin(now);
  }

  [[nodiscard]] bool lasting(PacketTime now) const noexcept {
    return total >= 64 && now - first_seen >= std::chrono::seconds(10);
  }

  void fade_to(PacketTime now) noexcept {
    const Factors f = clock.advance(now);
    if (!f.changed) return;
    packets *= f.short_window;
    unsolicited *= f.long_window;
  }
};

using NetworkTable = BoundedTable<NetworkEntry>;

}  // namespace weir::detect
