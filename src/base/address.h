// SPDX-License-Identifier: BSD-2-Clause
/// IP addresses of both families as one type, and prefixes of them.
///
/// Shape     16 bytes and the family, so that tables have one key type. IPv4 is kept as
///           ::ffff:a.b.c.d (RFC 4291, 2.5.5.2), but is not equal to the IPv6 address of these
///           bytes: nothing keeps a stranger from sending IPv6 packets from there, and what is
///           held against them must not fall on the IPv4 host. Inside, everything is done in two
///           words: bytes that are written one by one and read together stall a processor.
/// Errors    parsing returns an `Error` that names what was found.
/// Threads   values.
#pragma once

#include <array>
#include <bit>
#include <compare>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/types.h"

namespace weir {

class Address {
  using Words = std::array<std::uint64_t, 2>;  // the bytes in network order, as they stand

 public:
  constexpr Address() noexcept = default;
  static Address v4(be32 address) noexcept {
    constexpr std::uint64_t kMapped = 0xffff;  // the two bytes before the address
    const std::uint64_t raw = address.wire();  // as it stands in memory
    const std::uint64_t low = std::endian::native == std::endian::little
                                  ? kMapped << 16U | raw << 32U
                                  : kMapped << 32U | raw;
    return {{0, low}, 1};
  }
  /// `bytes` points at 16 bytes in network order.
  static Address v6(const std::uint8_t* bytes) noexcept {
    Words w;
    std::memcpy(w.data(), bytes, sizeof w);
    return {w, 0};
  }
  /// "192.0.2.1" or "2001:db8::1"; "::ffff:192.0.2.1" is an IPv6 address.
  static Result<Address> parse(std::string_view text);

  [[nodiscard]] bool is_v4() const noexcept { return v4_ != 0; }
  [[nodiscard]] be32 as_v4() const noexcept {  ///< Only where `is_v4()`.
    const std::uint64_t low = words()[1];
    return be32::from_wire(
        static_cast<std::uint32_t>(std::endian::native == std::endian::little ? low >> 32U : low));
  }
  [[nodiscard]] const std::array<std::uint8_t, 16>& bytes() const noexcept { return bytes_; }
  /// Of the address in its own family.
  [[nodiscard]] std::uint8_t first_byte() const noexcept {
    const Words w = words();
    const std::uint64_t word = is_v4() ? w[1] : w[0];
    const unsigned at = is_v4() ? kV4_offset % sizeof word : 0;
    return static_cast<std::uint8_t>(
        word >> 8 * (std::endian::native == std::endian::little ? at : sizeof word - 1 - at));
  }
  [[nodiscard]] bool is_multicast() const noexcept {  ///< 224/4, 255.255.255.255 and ff00::/8.
    if (!is_v4()) return first_byte() == 0xff;
    return (first_byte() & 0xf0U) == 0xe0U || as_v4().wire() == 0xffffffffU;
  }
  /// Its first `length` bits (0-32 or 0-128, of its own family), the others zero: its network.
  [[nodiscard]] Address first_bits(unsigned length) const noexcept {
    const Words mask = first_ones(is_v4() ? length + 8 * kV4_offset : length);
    const Words w = words();
    return {{w[0] & mask[0], w[1] & mask[1]}, v4_};
  }
  [[nodiscard]] std::string text() const;  ///< IPv4 dotted, IPv6 as in RFC 5952.
  /// A 64-bit hash keyed by `seed`: tables that strangers can fill take a random seed, replays a
  /// fixed one. Every step is a bijection of what it is given, so no seed is weak: with any one,
  /// different IPv4 addresses, or IPv6 addresses that differ in one half, have different hashes.
  [[nodiscard]] std::uint64_t hash(std::uint64_t seed) const noexcept {
    Words w = words();
    if constexpr (std::endian::native == std::endian::big)  // the same on all machines
      for (std::uint64_t& word : w) word = __builtin_bswap64(word);
    const auto mix = [](std::uint64_t x, std::uint64_t odd) noexcept {
      x *= odd;
      return x ^ (x >> 32U);
    };
    std::uint64_t h = mix(seed + 0x9e3779b97f4a7c15ULL, 0xd6e8feb86659fd93ULL);
    h = mix(h ^ w[0], 0xff51afd7ed558ccdULL);
    h = mix(h + w[1], 0xbf58476d1ce4e5b9ULL);
    h = mix(h ^ seed ^ (v4_ ^ 1U), 0x94d049bb133111ebULL);
    return mix(h, 0xc4ceb9fe1a85ec53ULL);
  }
  friend auto operator<=>(const Address&, const Address&) noexcept = default;
  /// Two words: the default would call memcmp, which showed in profiles of the tables.
  friend bool operator==(const Address& a, const Address& b) noexcept {
    const Words x = a.words();
    const Words y = b.words();
    return ((x[0] ^ y[0]) | (x[1] ^ y[1])) == 0 && a.v4_ == b.v4_;
  }

 private:
  friend class Prefix;
  static constexpr unsigned kV4_offset = 12;
  Address(const Words& words, std::uint8_t v4) noexcept : v4_(v4) {
    std::memcpy(bytes_.data(), &words[0], sizeof words[0]);
    std::memcpy(bytes_.data() + sizeof words[0], &words[1], sizeof words[1]);
  }
  [[nodiscard]] Words words() const noexcept {
    Words w;
    std::memcpy(&w[0], bytes_.data(), sizeof w[0]);
    std::memcpy(&w[1], bytes_.data() + sizeof w[0], sizeof w[1]);
    return w;
  }
  /// Words whose first `bits` bits are ones.
  static Words first_ones(unsigned bits) noexcept {
    constexpr unsigned kWord = 64;
    const auto ones = [](unsigned n) noexcept {
      const std::uint64_t m = n == 0 ? 0 : ~std::uint64_t{0} << (kWord - n);
      return std::endian::native == std::endian::little ? __builtin_bswap64(m) : m;
    };
    return {ones(bits < kWord ? bits : kWord), ones(bits < kWord ? 0 : bits - kWord)};
  }

  std::array<std::uint8_t, 16> bytes_{};
  std::uint8_t v4_ = 0;  // 1: IPv4
};

class Prefix {
 public:
  Prefix() noexcept = default;
  /// `length` in bits of the address's own family (0-32 or 0-128); host bits are cleared.
  Prefix(const Address& address, unsigned length) noexcept;
  /// "192.168.0.0/16", "fe80::/10", or an address alone (then /32 or /128). Host bits set are an
  /// error.
  static Result<Prefix> parse(std::string_view text);
  [[nodiscard]] bool contains(const Address& address) const noexcept {
    const Address::Words a = address.words();
    const Address::Words p = address_.words();
    return address.is_v4() == address_.is_v4() &&
           (((a[0] ^ p[0]) & mask_[0]) | ((a[1] ^ p[1]) & mask_[1])) == 0;
  }
  [[nodiscard]] const Address& address() const noexcept { return address_; }
  [[nodiscard]] unsigned length() const noexcept { return length_; }
  [[nodiscard]] std::string text() const;
  friend auto operator<=>(const Prefix&, const Prefix&) noexcept = default;

 private:
  Address address_;
  unsigned length_ = 0;
  Address::Words mask_{};  // its bits
};

/// The private and link-local ranges of both families: the default LAN side of a capture (RFC 1918,
/// 3927, 4193, 4291).
const std::vector<Prefix>& private_prefixes();

}  // namespace weir
