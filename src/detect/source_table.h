// SPDX-License-Identifier: BSD-2-Clause
/// What is remembered of each source address: counts in fading windows, how many addresses it sends
/// to, when it was first seen, and on which side it lives.
///
/// Lasting   a source that was seen over 10 s and in at least 4 packets: a single volley of forged
///           packets does not get there (bounded_table.h says what lasting means).
/// Side      that of its first packet; a packet from the LAN makes it the LAN's at once, for the
///           LAN's addresses are those that are worth forging. A WAN packet takes a LAN address
///           over only after `kSideKept` without a packet from the LAN (a laptop that was carried
///           over).
#pragma once

#include "base/address.h"
#include "base/types.h"
#include "detect/bounded_table.h"
#include "detect/sketch.h"
#include "detect/window.h"

namespace weir::detect {

struct SourceEntry {
  using Key = Address;
  Key key;
  // These fit in behind the key's 17 bytes.
  Side side = Side::wan;
  std::uint8_t total = 0;            // packets ever, saturating
  bool device : 1 = false;           // it announced itself, or answered
  bool announced : 1 = false;        // to a group
  std::uint32_t from_lan_ticks = 0;  // window.h; of the latest packet from the LAN
  PacketTime first_seen;
  SecondsSeen seconds;           // with packets that nobody asked for
  FadeClock clock;               // at the latest packet
  float packets = 0, bytes = 0;  // short
  float packets_long = 0, unsolicited = 0, searches = 0, notifies = 0, broken = 0;  // long
  float wanted = 0;                                                                 // long
  DistinctSketch<1> destinations;

  static constexpr Nanoseconds kSideKept = std::chrono::minutes(5);

  void begin(PacketTime now) noexcept {
    first_seen = now;
    clock.begin(now);
  }

  [[nodiscard]] bool lasting(PacketTime now) const noexcept {
    return total >= 4 && now - first_seen >= std::chrono::seconds(10);
  }

  /// Whether it was known at `then`: for longer, or by its announcement.
  [[nodiscard]] bool known(PacketTime then) const noexcept {
    return lasting(then) || (announced && first_seen < then);
  }

  /// Moves on to `now`; returns the ticks since the packet before.
  std::uint32_t fade_to(PacketTime now) noexcept {
    const Factors f = clock.advance(now);
    if (!f.changed) return 0;
    packets *= f.short_window;
    bytes *= f.short_window;
    packets_long *= f.long_window;
    unsolicited *= f.long_window;
    searches *= f.long_window;
    notifies *= f.long_window;
    broken *= f.long_window;
    wanted *= f.long_window;
    seconds.advance(f.seconds_begun);
    return f.ticks;
  }

  /// Of the packets in the short window, about how many were of the kind that the long one counts
  /// as `kind`.
  [[nodiscard]] float share(float kind) const noexcept {
    return packets_long > 0 ? packets * kind / packets_long : 0;
  }

  /// Notes a packet that came in by `from`; true where the address lives on the other side.
  bool note_side(Side from, PacketTime now, bool fresh) noexcept {
    const auto ticks = static_cast<std::uint32_t>(tick(now));
    if (from == Side::lan) {
      side = Side::lan;
      from_lan_ticks = ticks;
      return false;
    }
    if (fresh || side == Side::wan) return false;
    const auto since = static_cast<std::int32_t>(ticks - from_lan_ticks);
    if (since <= kSideKept.count() >> kTickShift) return true;
    side = Side::wan;
    return false;
  }
};
static_assert(sizeof(SourceEntry) <= 96, "a million of them are most of weir's memory");

using SourceTable = BoundedTable<SourceEntry>;

}  // namespace weir::detect
