// SPDX-License-Identifier: BSD-2-Clause
#include "base/address.h"

#include <arpa/inet.h>

#include <charconv>

namespace weir {
Result<Address> Address::parse(std::string_view text) {
  const std::string copy(text);
  std::uint32_t v4_raw = 0;
  if (inet_pton(AF_INET, copy.c_str(), &v4_raw) == 1) return v4(be32::from_wire(v4_raw));
  std::array<std::uint8_t, 16> v6_raw{};
  if (inet_pton(AF_INET6, copy.c_str(), v6_raw.data()) == 1) return v6(v6_raw.data());
  return fail("'" + copy + "' is not an IPv4 or IPv6 address");
}

std::string Address::text() const {
  char buffer[INET6_ADDRSTRLEN] = {};
  if (is_v4()) {
    inet_ntop(AF_INET, &bytes_[kV4_offset], buffer, sizeof buffer);
  } else {
    inet_ntop(AF_INET6, bytes_.data(), buffer, sizeof buffer);
  }
  return buffer;
}

Prefix::Prefix(const Address& address, unsigned length) noexcept
    : address_(address), length_(length) {
  WEIR_CHECK(length <= (address.is_v4() ? 32U : 128U));
  mask_ = Address::first_ones(address.is_v4() ? length + 8 * Address::kV4_offset : length);
  address_ = address.first_bits(length);
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

}  // namespace weir
