// SPDX-License-Identifier: BSD-2-Clause
/// A packet in one place of memory: a handle that moves, while its bytes stay.
///
/// Owner     a frame of a live interface belongs to its channel's `io::FramePool`, which knows
///           where it is; a frame of a capture points into the mapped file and is read-only by
///           convention.
/// Threads   the handle is a value; the bytes are read by one stage at a time.
#pragma once

#include <cstdint>
#include <span>

#include "base/clock.h"
#include "base/types.h"

namespace weir::packet {

struct Frame {
  const std::uint8_t* data = nullptr;
  std::uint32_t length = 0;  ///< bytes present, from the Ethernet header on
  std::uint32_t index = 0;   ///< the frame's number in its pool; in a replay unused
  std::uint64_t number =
      0;  ///< replay: the packet's number in the capture, from 0; live: per-channel arrival number
  PacketTime time;        ///< packet time
  Side side = Side::wan;  ///< the interface it came in by

  [[nodiscard]] std::span<const std::uint8_t> bytes() const noexcept { return {data, length}; }
};

}  // namespace weir::packet
