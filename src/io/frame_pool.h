// SPDX-License-Identifier: BSD-2-Clause
/// Where each frame of a channel's UMEM is: free + fill + rx + batch + tx + completion = all,
/// always.
///
/// Places    free        in this pool
///           fill        given to the kernel for a side, to receive into
///           rx          received: in an RX ring, not yet handed to the pipeline
///           batch       with the pipeline
///           tx          given to the kernel to send
///           completion  sent: in a completion ring, not yet given back to this pool
/// Cost      release builds keep a count for each place; debug builds (no NDEBUG) keep each frame's
///           place too, and abort on a frame that leaks or is used twice.
/// Errors    none at run time: a move of more frames than a place holds is a programmer error.
/// Threads   owned by one channel, and only its I/O thread calls it.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

namespace weir::io {

enum class Place : std::uint8_t { free, fill, rx, batch, tx, completion };
inline constexpr std::size_t kPlaces = 6;
const char* name(Place place) noexcept;

class FramePool {
 public:
  /// All `frames` (numbers from 0) are free. Memory is allocated here and never again.
  explicit FramePool(std::uint32_t frames);

  /// Takes up to `out.size()` free frames, which go to `to`; returns how many there were.
  std::size_t take(std::span<std::uint32_t> out, Place to) noexcept;
  /// Moves frames from one place to another; `Place::free` gives them back.
  void move(std::span<const std::uint32_t> frames, Place from, Place to) noexcept;
  void move(std::uint32_t frame, Place from, Place to) noexcept { move({&frame, 1}, from, to); }

  [[nodiscard]] std::uint32_t count(Place place) const noexcept;
  [[nodiscard]] std::uint32_t frames() const noexcept { return frames_; }
  /// The conservation law: the counts add up to `frames()`. Debug builds also recount every frame.
  [[nodiscard]] bool conserved() const noexcept;

 private:
  const std::uint32_t frames_;
  std::vector<std::uint32_t> free_;  // a stack: what was used last is warm in the cache
  std::array<std::uint32_t, kPlaces> counts_{};
  std::vector<Place> places_;  // by frame; empty in release builds
};

}  // namespace weir::io
