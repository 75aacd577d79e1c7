// SPDX-License-Identifier: BSD-2-Clause
#include "io/frame_pool.h"

#include <algorithm>

#include "base/result.h"

namespace weir::io {

namespace {

#ifdef NDEBUG
constexpr bool kExact = false;
#else
constexpr bool kExact = true;
#endif

constexpr std::size_t slot(Place place) noexcept { return static_cast<std::size_t>(place); }

}  // namespace

const char* name(Place place) noexcept {
  switch (place) {
    case Place::free:
      return "free";
    case Place::fill:
      return "fill";
    case Place::rx:
      return "rx";
    case Place::batch:
      return "batch";
    case Place::tx:
      return "tx";
    case Place::completion:
      return "completion";
  }
  return "?";
}

FramePool::FramePool(std::uint32_t frames)
    : frames_(frames), free_(frames), places_(kExact ? frames : 0, Place::free) {
  WEIR_CHECK(frames > 0);
  // The lowest number lies on top, so that a lightly loaded channel stays in few pages.
  for (std::uint32_t i = 0; i < frames; ++i) free_[i] = frames - 1 - i;
  counts_[slot(Place::free)] = frames;
}

std::size_t FramePool::take(std::span<std::uint32_t> out, Place to) noexcept {
  WEIR_DCHECK(to != Place::free);
  const std::uint32_t have = count(Place::free);
  const auto taken = static_cast<std::uint32_t>(std::min<std::size_t>(out.size(), have));
  for (std::uint32_t i = 0; i < taken; ++i) {
    const std::uint32_t frame = free_[have - 1 - i];
    if constexpr (kExact) {
      WEIR_CHECK(places_[frame] == Place::free);
      places_[frame] = to;
    }
    out[i] = frame;
  }
  counts_[slot(Place::free)] -= taken;
  counts_[slot(to)] += taken;
  return taken;
}

void FramePool::move(std::span<const std::uint32_t> frames, Place from, Place to) noexcept {
  WEIR_CHECK(from != Place::free);  // only `take` knows which frames those are
  const auto moved = static_cast<std::uint32_t>(frames.size());
  // In release builds too: behind this lies a write outside the stack, and two owners of a packet.
  WEIR_CHECK(frames.size() <= count(from));
  if constexpr (kExact) {
    for (const std::uint32_t frame : frames) {
      WEIR_CHECK(frame < frames_);
      WEIR_CHECK(places_[frame] == from);
      places_[frame] = to;
    }
  }
  if (to == Place::free && from != Place::free) {
    std::copy(frames.begin(), frames.end(), free_.begin() + count(Place::free));
  }
  counts_[slot(from)] -= moved;
  counts_[slot(to)] += moved;
}

std::uint32_t FramePool::count(Place place) const noexcept { return counts_[slot(place)]; }

bool FramePool::conserved() const noexcept {
  std::uint64_t sum = 0;
  for (const std::uint32_t count : counts_) sum += count;
  if (sum != frames_) return false;
  if constexpr (kExact) {
    std::array<std::uint32_t, kPlaces> seen{};
    for (const Place place : places_) ++seen[slot(place)];
    for (std::size_t i = 0; i < kPlaces; ++i) {
      if (seen[i] != counts_[i]) return false;
    }
  }
  return true;
}

}  // namespace weir::io
