// SPDX-License-Identifier: BSD-2-Clause
/// What is remembered of each destination address: what arrives at it, and from how many sources.
///
/// Lasting   a destination that was seen over 10 s and in at least 16 packets. A carpet of packets
///           over a prefix churns through the rest (bounded_table.h); what it is as a whole, the
///           network table says.
#pragma once

#include "base/address.h"
#include "detect/bounded_table.h"
#include "detect/sketch.h"
#include "detect/window.h"

namespace weir::detect {

struct DestinationEntry {
  using Key = Address;
  Key key;
  PacketTime first_seen;
  FadeClock clock;
  std::uint32_t searched_ticks = 0;  // window.h; of its own latest search by the LAN
  bool searched = false;             // it did search
  float packets = 0, bytes = 0;      // short
  float unsolicited = 0, searches = 0, new_sources = 0, wanted = 0;  // long
  std::uint32_t total = 0;                                           // packets ever, saturating
  SecondsSeen seconds;      // with packets that it did not ask for
  DistinctSketch<1> ports;  // that such packets went to
  DistinctSketch<4> sources;

  void begin(PacketTime now) noexcept {
    first_seen = now;
    clock.begin(now);
  }

  [[nodiscard]] bool lasting(PacketTime now) const noexcept {
    return total >= 16 && now - first_seen >= std::chrono::seconds(10);
  }

  void fade_to(PacketTime now) noexcept {
    const Factors f = clock.advance(now);
    if (!f.changed) return;
    packets *= f.short_window;
    bytes *= f.short_window;
    unsolicited *= f.long_window;
    searches *= f.long_window;
    new_sources *= f.long_window;
    wanted *= f.long_window;
    seconds.advance(f.seconds_begun);
  }
};

using DestinationTable = BoundedTable<DestinationEntry>;

}  // namespace weir::detect
