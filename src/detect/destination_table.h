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
  // These fit in behind the key's 17 bytes.
  bool searched = false;             // it did search
  std::uint32_t searched_ticks = 0;  // window.h; of its own latest search by the LAN
  PacketTime first_seen;
  PacketTime flooded_since;                                          // zero: it is not flooded
  float packets = 0, bytes = 0;                                      // short
  float unsolicited = 0, searches = 0, new_sources = 0, wanted = 0;  // long
  FadeClock clock;
  std::uint32_t total = 0;  // packets ever, saturating
  SecondsSeen seconds;      // with packets that it did not ask for
  DistinctSketch<1> ports;  // that such packets went to
  DistinctSketch<4> sources;

  void begin(PacketTime now) noexcept {
    first_seen = now;
    clock.begin(now);
  }

  /// From so many unasked packets in the long window on it is flooded, until a quarter is left: on
  /// real captures and synthetic campuses it is a third at most.
  static constexpr float kFlood = 200;

  /// Counts a packet that it did not ask for.
  void count_unasked(PacketTime now, std::uint64_t port_hash) noexcept {
    unsolicited += 1;
    seconds.mark();
    ports.add(now, port_hash);
    if (unsolicited >= kFlood && flooded_since == PacketTime{}) flooded_since = now;
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
    if (unsolicited < kFlood / 4) flooded_since = {};
    seconds.advance(f.seconds_begun);
  }
};

using DestinationTable = BoundedTable<DestinationEntry>;

}  // namespace weir::detect
