// SPDX-License-Identifier: BSD-2-Clause
/// Byte order as a type, and the names that every module shares.
///
/// `be16` and `be32` hold a number as it stands on the wire; they convert only where `host()` or
/// `from_host` says so.
#pragma once

#include <bit>
#include <compare>
#include <cstddef>
#include <cstdint>

namespace weir {

namespace detail {
constexpr std::uint16_t swap_bytes(std::uint16_t v) noexcept { return __builtin_bswap16(v); }
constexpr std::uint32_t swap_bytes(std::uint32_t v) noexcept { return __builtin_bswap32(v); }
}  // namespace detail

template <typename T>
class BigEndian {
 public:
  constexpr BigEndian() noexcept = default;
  /// `raw` is already in network order: what was read from the packet.
  static constexpr BigEndian from_wire(T raw) noexcept {
    BigEndian v;
    v.raw_ = raw;
    return v;
  }
  static constexpr BigEndian from_host(T value) noexcept { return from_wire(swap(value)); }
  [[nodiscard]] constexpr T host() const noexcept { return swap(raw_); }
  [[nodiscard]] constexpr T wire() const noexcept { return raw_; }
  friend constexpr bool operator==(BigEndian, BigEndian) noexcept = default;

 private:
  static constexpr T swap(T v) noexcept {
    return std::endian::native == std::endian::little ? detail::swap_bytes(v) : v;
  }
  T raw_ = 0;
};

using be16 = BigEndian<std::uint16_t>;
using be32 = BigEndian<std::uint32_t>;

/// Which interface a packet came in by. The numbers are those of `weir_side` in bpf/abi.h.
enum class Side : std::uint8_t { wan = 0, lan = 1 };
constexpr Side opposite(Side side) noexcept { return side == Side::wan ? Side::lan : Side::wan; }
constexpr std::size_t index(Side side) noexcept { return static_cast<std::size_t>(side); }
inline constexpr std::size_t kSides = 2;
/// As the configuration and every answer name it.
constexpr const char* side_name(Side side) noexcept { return side == Side::wan ? "wan" : "lan"; }

/// What happens to one packet.
enum class Verdict : std::uint8_t { forward = 0, drop = 1 };

/// x86-64 and arm64 lines are 64 bytes; Intel's spatial prefetcher pairs them, which is why hot
/// shared words get two.
inline constexpr std::size_t kCacheLine_bytes = 64;

}  // namespace weir
