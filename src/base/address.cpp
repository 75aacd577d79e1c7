// SPDX-License-Identifier: BSD-2-Clause
#include "base/address.h"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>

namespace weir {
namespace {
constexpr std::array<std::uint8_t, 12> kMapped = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
}  // namespace

Address Address::v4(be32 address) noexcept {
  Address a;
  std::copy(kMapped.begin(), kMapped.end(), a.bytes_.begin());
  const std::uint32_t raw = address.wire();
  std::memcpy(a.bytes_.data() + kMapped.size(), &raw, sizeof raw);
  a.v4_ = 1;
  return a;
}

Address Address::v6(const std::uint8_t* bytes) noexcept {
  Address a;
  std::memcpy(a.bytes_.data(), bytes, a.bytes_.size());
  return a;
}

Result<Address> Address::parse(std::string_view text) {
  const std::string copy(text);
  std::uint32_t v4_raw = 0;
  if (inet_pton(AF_INET, copy.c_str(), &v4_raw) == 1) return v4(be32::from_wire(v4_raw));
  Address a;
  if (inet_pton(AF_INET6, copy.c_str(), a.bytes_.data()) == 1) return a;
  return fail("'" + copy + "' is not an IPv4 or IPv6 address");
}

be32 Address::as_v4() const noexcept {
  std::uint32_t raw = 0;
  std::memcpy(&raw, bytes_.data() + kMapped.size(), sizeof raw);
  return be32::from_wire(raw);
}

bool Address::is_multicast() const noexcept {
  if (!is_v4()) return bytes_[0] == 0xff;
  return (bytes_[12] & 0xf0U) == 0xe0U || as_v4().wire() == 0xffffffffU;
}

std::string Address::text() const {
  char buffer[INET6_ADDRSTRLEN] = {};
  if (is_v4()) {
    inet_ntop(AF_INET, bytes_.data() + kMapped.size(), buffer, sizeof buffer);
  } else {
    inet_ntop(AF_INET6, bytes_.data(), buffer, sizeof buffer);
  }
  return buffer;
}

namespace {
/// Clears the bits of `bytes` from `bit` on.
void clear_from(std::array<std::uint8_t, 16>& bytes, unsigned bit) noexcept {
  for (unsigned i = 0; i < bytes.size(); ++i) {
    const unsigned first = i * 8;
    if (first >= bit) {
      bytes[i] = 0;
    } else if (first + 8 > bit) {
      bytes[i] = static_cast<std::uint8_t>(bytes[i] & (0xff00U >> (bit - first)));
    }
  }
}
}  // namespace

Prefix::Prefix(const Address& address, unsigned length) noexcept
    : address_(address), length_(length) {
  WEIR_CHECK(length <= (address.is_v4() ? 32U : 128U));
  clear_from(address_.bytes_, address.is_v4() ? length + 96 : length);
}

Result<Prefix> Prefix::parse(std::string_view text) {
  const auto slash = text.find('/');
  auto address = Address::parse(text.substr(0, slash));
  if (!address)
    return fail("'" + std::string(text) +
                "' is not an address or prefix such as 192.168.0.0/16 or fe80::/10");
  const unsigned most = address->is_v4() ? 32 : 128;
  unsigned length = most;
  if (slash != std::string_view::npos) {
    const auto digits = text.substr(slash + 1);
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), length);
    if (error != std::errc{} || end != digits.data() + digits.size() || length > most) {
      return fail("'" + std::string(text) +
                  "' has a prefix length that is not a number from 0 to " + std::to_string(most));
    }
  }
  Prefix prefix(*address, length);
  if (prefix.address() != *address) {
    return fail("'" + std::string(text) + "' has bits set behind its prefix length; did you mean " +
                prefix.text() + "?");
  }
  return prefix;
}

bool Prefix::contains(const Address& address) const noexcept {
  if (address.is_v4() != address_.is_v4()) return false;
  const unsigned bits = address_.is_v4() ? length_ + 96 : length_;
  const auto& a = address.bytes();
  const auto& b = address_.bytes();
  if (std::memcmp(a.data(), b.data(), bits / 8) != 0) return false;
  if (bits % 8 == 0) return true;
  const unsigned mask = (0xff00U >> (bits % 8)) & 0xffU;
  return ((a[bits / 8] ^ b[bits / 8]) & mask) == 0;
}

std::string Prefix::text() const { return address_.text() + "/" + std::to_string(length_); }

const std::vector<Prefix>& private_prefixes() {
  static const std::vector<Prefix> prefixes = [] {
    std::vector<Prefix> list;
    for (const char* text : {"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16",
                             "fc00::/7", "fe80::/10"}) {
      list.push_back(*Prefix::parse(text));
    }
    return list;
  }();
  return prefixes;
}

bool any_contains(const std::vector<Prefix>& prefixes, const Address& address) noexcept {
  return std::any_of(prefixes.begin(), prefixes.end(),
                     [&](const Prefix& p) { return p.contains(address); });
}

}  // namespace weir
