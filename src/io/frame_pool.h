// SPDX-License-Identifier: BSD-2-Clause
/// Where each frame of a channel's UMEM is: free + fill + rx + batch + tx + completion = all,
/// always.
///
/// Places    free (in this pool), fill (given to the kernel for a side), rx (received, not yet in a
/// batch), batch, tx
///           (given to the kernel to send), completion (sent, not yet taken back).
/// Cost      release builds keep counts a place; debug builds keep each frame's place too, and
/// abort on a frame that
///           leaks or is used twice.
/// Owner     one channel; only its I/O thread calls this. Counts may be read by others (relaxed).
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <span>
#include <vector>

#include "base/result.h"

namespace weir::io {

enum class Place : std::uint8_t { free, fill, rx, batch, tx, completion };
inline constexpr std::size_t kPlaces = 6;
const char* name(Place place) noexcept;

class FramePool {
 public:
  explicit FramePool(std::uint32_t frames);

  /// Takes up to `out.size()` free frames and says that they go to `to`; returns how many there
  /// were.
  std::size_t take(std::span<std::uint32_t> out, Place to) noexcept;
  /// The frames move from one place to another; moving to `Place::free` gives them back.
  void move(std::span<const std::uint32_t> frames, Place from, Place to) noexcept;
  void move(std::uint32_t frame, Place from, Place to) noexcept { move({&frame, 1}, from, to); }

  [[nodiscard]] std::uint32_t count(Place place) const noexcept;
  [[nodiscard]] std::uint32_t frames() const noexcept { return frames_; }
  /// The conservation law: the counts add up to `frames()`. Debug builds also compare them with
  /// each frame's place.
  [[nodiscard]] bool conserved() const noexcept;

 private:
  const std::uint32_t frames_;
  std::vector<std::uint32_t> free_;  // a stack
  std::array<std::atomic<std::uint32_t>, kPlaces> counts_{};
#ifndef NDEBUG
  std::vector<Place> places_;
#endif
};

}  // namespace weir::io
