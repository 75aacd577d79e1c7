// SPDX-License-Identifier: BSD-2-Clause
#include "io/link_watch.h"

#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

namespace weir::io {

const char* name(Link link) noexcept {
  switch (link) {
    case Link::up:
      return "up";
    case Link::no_carrier:
      return "no carrier";
    case Link::down:
      return "down";
    case Link::gone:
      return "gone";
  }
  return "?";
}

Link link_of(const std::string& interface, std::uint32_t ifindex) noexcept {
  const std::uint32_t now = if_nametoindex(interface.c_str());
  if (now == 0 || (ifindex != 0 && now != ifindex)) return Link::gone;
  const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return Link::up;  // out of descriptors: that is not the interface's fault
  ifreq request{};
  interface.copy(request.ifr_name, sizeof request.ifr_name - 1);
  const bool known = ioctl(fd, SIOCGIFFLAGS, &request) == 0;
  close(fd);
  if (!known) return Link::gone;
  const auto flags = static_cast<unsigned>(request.ifr_flags);
  if ((flags & IFF_UP) == 0) return Link::down;
  return (flags & IFF_RUNNING) != 0 ? Link::up : Link::no_carrier;
}

Result<LinkWatch> LinkWatch::open(const std::array<std::string, kSides>& interfaces) {
  const int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
  if (fd < 0) return fail_errno("watching the interfaces (netlink socket)", errno);
  LinkWatch watch(fd, interfaces);
  sockaddr_nl address{};
  address.nl_family = AF_NETLINK;
  address.nl_groups = RTMGRP_LINK;
  if (bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    return fail_errno("watching the interfaces (netlink group)", errno);
  for (const Side side : {Side::wan, Side::lan}) {
    const std::string& interface = interfaces[index(side)];
    watch.ifindex_[index(side)] = if_nametoindex(interface.c_str());
  }
  return watch;
}

LinkWatch::LinkWatch(int fd, const std::array<std::string, kSides>& interfaces)
    : fd_(fd), interfaces_(interfaces) {}

LinkWatch::LinkWatch(LinkWatch&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)),
      interfaces_(std::move(other.interfaces_)),
      ifindex_(other.ifindex_),
      links_(other.links_) {}

LinkWatch::~LinkWatch() {
  if (fd_ >= 0) close(fd_);
}

std::vector<LinkWatch::Change> LinkWatch::changes() {
  std::array<char, 8192> ignored;
  // An overrun (ENOBUFS) is one error, and then there may be more to read.
  while (recv(fd_, ignored.data(), ignored.size(), 0) >= 0 || errno == ENOBUFS || errno == EINTR) {
  }
  std::vector<Change> found;
  for (const Side side : {Side::wan, Side::lan}) {
    if (interfaces_[index(side)].empty()) continue;
    const Link now = link_of(interfaces_[index(side)], ifindex_[index(side)]);
    const Link before = std::exchange(links_[index(side)], now);
    if (now != before) found.push_back({side, before, now});
  }
  return found;
}

}  // namespace weir::io
