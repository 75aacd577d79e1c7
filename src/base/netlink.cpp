// SPDX-License-Identifier: BSD-2-Clause
#include "base/netlink.h"

#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "base/fd.h"

namespace weir {

NetlinkRequest::NetlinkRequest(std::uint16_t type, std::uint16_t flags) {
  nlmsghdr header{};
  header.nlmsg_type = type;
  header.nlmsg_flags = static_cast<std::uint16_t>(NLM_F_REQUEST | flags);
  append(&header, sizeof header);
}

void NetlinkRequest::append(const void* bytes, std::size_t length) {
  const std::size_t at = bytes_.size();
  bytes_.resize(at + NLMSG_ALIGN(length));
  std::memcpy(bytes_.data() + at, bytes, length);
}

void NetlinkRequest::add(std::uint16_t attribute, std::span<const std::uint8_t> value) {
  const rtattr header{static_cast<unsigned short>(RTA_LENGTH(value.size())), attribute};
  append(&header, sizeof header);
  if (!value.empty()) append(value.data(), value.size());
}

void NetlinkRequest::add(std::uint16_t attribute, std::uint32_t value) {
  add_struct(attribute, value);
}

void NetlinkRequest::add(std::uint16_t attribute, const std::string& value) {
  add(attribute, {reinterpret_cast<const std::uint8_t*>(value.c_str()), value.size() + 1});
}

std::size_t NetlinkRequest::begin(std::uint16_t attribute) {
  const std::size_t at = bytes_.size();
  add(attribute, std::span<const std::uint8_t>{});
  return at;
}

void NetlinkRequest::end(std::size_t begun) {
  const auto length = static_cast<unsigned short>(bytes_.size() - begun);
  std::memcpy(bytes_.data() + begun + offsetof(rtattr, rta_len), &length, sizeof length);
}

int NetlinkRequest::send() { return exchange({}); }

int NetlinkRequest::dump(const std::function<void(std::span<const std::uint8_t>)>& visit) {
  return exchange(visit);
}

int NetlinkRequest::exchange(const std::function<void(std::span<const std::uint8_t>)>& visit) {
  const auto length = static_cast<std::uint32_t>(bytes_.size());
  std::memcpy(bytes_.data() + offsetof(nlmsghdr, nlmsg_len), &length, sizeof length);
  if (!visit) {
    nlmsghdr header{};
    std::memcpy(&header, bytes_.data(), sizeof header);
    header.nlmsg_flags |= NLM_F_ACK;
    std::memcpy(bytes_.data(), &header, sizeof header);
  }
  const Fd socket(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
  if (!socket) return errno;
  if (::send(socket.get(), bytes_.data(), bytes_.size(), 0) < 0) return errno;
  alignas(nlmsghdr) std::array<std::uint8_t, 32768> answer{};
  for (;;) {
    const ssize_t got = ::recv(socket.get(), answer.data(), answer.size(), 0);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return errno;
    auto left = static_cast<std::size_t>(got);
    const std::uint8_t* at = answer.data();
    while (left >= sizeof(nlmsghdr)) {
      nlmsghdr header{};
      std::memcpy(&header, at, sizeof header);
      if (header.nlmsg_len < sizeof header || header.nlmsg_len > left) return EBADMSG;
      const std::span<const std::uint8_t> body(at + NLMSG_HDRLEN, header.nlmsg_len - NLMSG_HDRLEN);
      if (header.nlmsg_type == NLMSG_DONE) return 0;
      if (header.nlmsg_type == NLMSG_ERROR) {
        int error = -EBADMSG;
        if (body.size() >= sizeof error) std::memcpy(&error, body.data(), sizeof error);
        return -error;
      }
      if (visit) visit(body);
      const std::size_t step = std::min<std::size_t>(NLMSG_ALIGN(header.nlmsg_len), left);
      at += step;
      left -= step;
    }
  }
}

}  // namespace weir
