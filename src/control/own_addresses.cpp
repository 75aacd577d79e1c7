// SPDX-License-Identifier: BSD-2-Clause
#include "control/own_addresses.h"

#include <ifaddrs.h>
#include <netinet/in.h>

#include <algorithm>
#include <charconv>
#include <fstream>
#include <sstream>

namespace weir::control {
namespace {

void add(std::vector<Prefix>& list, const Address& address) {
  if (address == Address{} || address.is_multicast()) return;
  if (address.is_v4() && address.as_v4().host() == 0) return;
  const Prefix prefix(address, address.is_v4() ? 32 : 128);
  if (std::find(list.begin(), list.end(), prefix) == list.end()) list.push_back(prefix);
}

std::string text_of_file(const char* path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

/// The words of a line.
std::vector<std::string> words(const std::string& line) {
  std::istringstream text(line);
  std::vector<std::string> found;
  for (std::string word; text >> word;) found.push_back(word);
  return found;
}

/// `visit` is given the words of each line that has at least `least`.
template <typename Visit>
void each_line(std::string_view text, std::size_t least, Visit visit) {
  std::istringstream lines{std::string(text)};
  for (std::string line; std::getline(lines, line);)
    if (const auto found = words(line); found.size() >= least) visit(found);
}

}  // namespace

std::vector<Prefix> gateways4(std::string_view route) {
  std::vector<Prefix> list;
  constexpr std::size_t kGateway = 2;  // Iface Destination Gateway ...
  each_line(route, kGateway + 1, [&](const std::vector<std::string>& line) {
    const std::string& hex = line[kGateway];
    std::uint32_t raw = 0;  // as it stands in memory: network order
    const auto [end, error] = std::from_chars(hex.data(), hex.data() + hex.size(), raw, 16);
    if (error != std::errc{} || end != hex.data() + hex.size() || hex.size() != 8) return;
    add(list, Address::v4(be32::from_wire(raw)));
  });
  return list;
}

std::vector<Prefix> gateways6(std::string_view ipv6_route) {
  std::vector<Prefix> list;
  constexpr std::size_t kNextHop = 4;  // destination length source length next-hop ...
  each_line(ipv6_route, kNextHop + 1, [&](const std::vector<std::string>& line) {
    const std::string& hex = line[kNextHop];
    std::array<std::uint8_t, 16> bytes{};
    if (hex.size() != 2 * bytes.size()) return;
    for (std::size_t i = 0; i < bytes.size(); ++i) {
      const char* const at = hex.data() + 2 * i;
      if (std::from_chars(at, at + 2, bytes[i], 16).ptr != at + 2) return;
    }
    add(list, Address::v6(bytes.data()));
  });
  return list;
}

std::vector<Prefix> own_addresses() {
  std::vector<Prefix> list = gateways4(text_of_file("/proc/net/route"));
  for (const Prefix& gateway : gateways6(text_of_file("/proc/net/ipv6_route")))
    add(list, gateway.address());
  ifaddrs* all = nullptr;
  if (getifaddrs(&all) != 0) return list;
  for (const ifaddrs* one = all; one != nullptr; one = one->ifa_next) {
    if (one->ifa_addr == nullptr) continue;
    if (one->ifa_addr->sa_family == AF_INET) {
      sockaddr_in address{};
      std::memcpy(&address, one->ifa_addr, sizeof address);
      add(list, Address::v4(be32::from_wire(address.sin_addr.s_addr)));
    } else if (one->ifa_addr->sa_family == AF_INET6) {
      sockaddr_in6 address{};
      std::memcpy(&address, one->ifa_addr, sizeof address);
      add(list, Address::v6(address.sin6_addr.s6_addr));
    }
  }
  freeifaddrs(all);
  return list;
}

}  // namespace weir::control
