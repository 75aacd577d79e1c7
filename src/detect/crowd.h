// SPDX-License-Identifier: BSD-2-Clause
/// Strangers in numbers: what no single packet, and no single source, gives away.
///
/// Shape     a count of the packets of one sort that come in by one side from sources that are not
///           known. Once there are `most` of them in the short window there is a crowd: until
///           `kHold` after the count was last that high, every stranger's packet of that sort is
///           one of it. A known source is one that was seen `kKnown` before the crowd began, so
///           that a crowd does not become known by lasting.
/// Cost      one of these for each sort and side: a multiplication and two comparisons a packet,
///           whatever number of addresses is forged.
/// Threads   values.
#pragma once

#include "base/clock.h"
#include "detect/window.h"

namespace weir::detect {

/// A count that fades by itself (window.h): of about a second, or of half a minute.
class FadingCount {
 public:
  float add_short(PacketTime now) noexcept { return add(advance(now).short_window); }
  float add_long(PacketTime now) noexcept { return add(advance(now).long_window); }

 private:
  Factors advance(PacketTime now) noexcept {
    if (count_ == 0) clock_.begin(now);
    return clock_.advance(now);
  }
  float add(float factor) noexcept {
    count_ = count_ * factor + 1;
    return count_;
  }
  FadeClock clock_;
  float count_ = 0;
};

class Crowd {
 public:
  static constexpr Nanoseconds kKnown = std::chrono::seconds(5);
  static constexpr Nanoseconds kHold = std::chrono::seconds(2);

  /// Counts a packet of now, whose source was first seen at `first_seen`; true where it is one of a
  /// crowd.
  bool add(PacketTime first_seen, PacketTime now, float most) noexcept {
    const bool stands = now < until_;
    if ((stands ? since_ : now) - first_seen >= kKnown) return false;
    if (count_.add_short(now) >= most) {
      if (!stands) since_ = now;
      until_ = now + kHold;
    }
    return now < until_;
  }

 private:
  FadingCount count_;
  PacketTime since_, until_;
};

}  // namespace weir::detect
