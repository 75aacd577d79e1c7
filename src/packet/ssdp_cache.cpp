// SPDX-License-Identifier: BSD-2-Clause
#include "packet/ssdp_cache.h"

#include <array>
#include <bit>
#include <cstring>

namespace weir::packet {
namespace {

constexpr std::size_t kWays = 4;
constexpr std::size_t kSets = SsdpCache::kPlaces / kWays;
constexpr std::size_t kSeen = 4096;
constexpr std::size_t kShortest_bytes = 32;  // four words; no message with a header ends before

std::uint64_t word_at(const std::uint8_t* bytes) noexcept {
  std::uint64_t word = 0;
  std::memcpy(&word, bytes, sizeof word);
  return word;
}

/// Of at least `kShortest_bytes`. Four sums at once: a multiplication takes three cycles, and waits
/// for none of the others. Who finds texts that collide has them parsed, as they would be without.
std::uint64_t hash(const std::uint8_t* text, std::size_t size) noexcept {
  constexpr std::uint64_t kOdd = 0x9e3779b97f4a7c15;
  std::array<std::uint64_t, 4> sums = {1, 2, 3, size};
  const auto add = [&sums](const std::uint8_t* bytes) {
    for (std::size_t i = 0; i < sums.size(); ++i)
      sums[i] = std::rotl((sums[i] ^ word_at(bytes + sizeof(std::uint64_t) * i)) * kOdd, 29);
  };
  constexpr std::size_t kStep = sizeof(std::uint64_t) * sums.size();
  std::size_t at = 0;
  for (; at + kStep <= size; at += kStep) add(text + at);
  add(text + size - kStep);
  std::uint64_t all = 0;
  for (const std::uint64_t sum : sums) all = (all ^ sum ^ sum >> 32U) * kOdd;
  return all ^ all >> 29U;
}

/// `view`, which is of the text at `from`, in the same text at `to`.
void move(std::string_view& view, const std::uint8_t* from, const std::uint8_t* to) noexcept {
  if (view.empty()) return;
  const std::ptrdiff_t at = view.data() - reinterpret_cast<const char*>(from);
  view = {reinterpret_cast<const char*>(to) + at, view.size()};
}

Ssdp moved(Ssdp ssdp, const std::uint8_t* from, const std::uint8_t* to) noexcept {
  move(ssdp.st, from, to);
  move(ssdp.usn, from, to);
  move(ssdp.location, from, to);
  move(ssdp.server, from, to);
  return ssdp;
}

}  // namespace

struct SsdpCache::Tables {
  /// A text and what it says, whose views are of this copy.
  struct alignas(kCacheLine_bytes) Place {
    Ssdp ssdp;
    std::size_t size = 0;
    std::array<std::uint8_t, SsdpCache::kText_bytes> text;
  };

  struct Set {
    std::array<std::uint32_t, kWays> tags{};  // of a hash; 0: nothing there
    std::uint32_t next = 0;                   // to be taken
  };

  std::array<Set, kSets> sets{};
  std::array<std::uint16_t, kSeen> seen{};  // of the hash that came last, by other bits of it
  std::array<Place, kPlaces> places;
};

SsdpCache::SsdpCache() noexcept = default;
SsdpCache::~SsdpCache() = default;

Ssdp SsdpCache::parse(std::span<const std::uint8_t> payload) {
  const std::size_t size = payload.size();
  if (size < kShortest_bytes || size > kText_bytes) return parse_ssdp(payload);
  if (tables_ == nullptr) tables_ = std::make_unique<Tables>();
  const std::uint8_t* const text = payload.data();
  const std::uint64_t key = hash(text, size);
  const std::size_t s = key % kSets;
  const auto tag = static_cast<std::uint32_t>(key >> 32U) | 1U;
  Tables::Set& set = tables_->sets[s];
  for (std::size_t way = 0; way < kWays; ++way) {
    if (set.tags[way] != tag) continue;
    const Tables::Place& place = tables_->places[s * kWays + way];
    if (place.size != size || std::memcmp(place.text.data(), text, size) != 0) continue;
    ++hits_;
    return moved(place.ssdp, place.text.data(), text);
  }
  const Ssdp ssdp = parse_ssdp(payload);
  if (ssdp.method == Method::none) return ssdp;
  std::uint16_t& seen = tables_->seen[key / kSets % kSeen];
  const auto mark = static_cast<std::uint16_t>(tag >> 16U);
  if (seen != mark) {
    seen = mark;
    return ssdp;
  }
  set.tags[set.next] = tag;
  Tables::Place& place = tables_->places[s * kWays + set.next];
  set.next = (set.next + 1) % kWays;
  std::memcpy(place.text.data(), text, size);
  place.size = size;
  place.ssdp = moved(ssdp, text, place.text.data());
  return ssdp;
}

}  // namespace weir::packet
