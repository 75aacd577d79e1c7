// SPDX-License-Identifier: BSD-2-Clause
/// What every kind of channel counts, and where it says that its frames are.
///
/// Layout    both sides of a channel have one writer, so their counts may share cache lines;
///           channels do not, for each is an allocation of its own.
/// Threads   the channel's own writes; any reads.
#pragma once

#include <array>

#include "base/count.h"
#include "io/frame_pool.h"
#include "io/interface.h"

namespace weir::io {

/// Of a side; the words are those of `ChannelCounters`.
struct SideCounts {
  Count rx_packets, rx_bytes, tx_packets, tx_bytes, released, tx_full, fill_short;

  [[nodiscard]] ChannelCounters read() const noexcept {
    ChannelCounters out;
    out.rx_packets = rx_packets.value();
    out.rx_bytes = rx_bytes.value();
    out.tx_packets = tx_packets.value();
    out.tx_bytes = tx_bytes.value();
    out.released = released.value();
    out.tx_full = tx_full.value();
    out.fill_short = fill_short.value();
    return out;
  }
};

/// Where a channel's frames are, at one moment.
struct Census {
  std::array<std::uint32_t, kPlaces> frames{};
  bool conserved = true;

  /// `agree`: what else the channel knows of its frames fits to it.
  static Census of(const FramePool& pool, bool agree) noexcept {
    Census census;
    for (std::size_t i = 0; i < kPlaces; ++i) census.frames[i] = pool.count(static_cast<Place>(i));
    census.conserved = agree;
    return census;
  }
};

}  // namespace weir::io
