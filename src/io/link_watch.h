// SPDX-License-Identifier: BSD-2-Clause
/// Whether the two interfaces of the wire are still there and carry, while weir runs.
///
/// Shape     the kernel's link messages only say that there is something to look at: state is read
///           anew each time, so that messages that were lost, or came in a burst, do not matter.
/// Errors    set-up only: no more file descriptors, or no netlink.
/// Threads   one owner.
/// Source    rtnetlink(7), netdevice(7); /sys is that of the namespace that mounted it, hence not.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/types.h"

namespace weir::io {

enum class Link : std::uint8_t {
  up,
  no_carrier,  ///< up, but nothing at the other end of the cable
  down,        ///< taken down by an administrator
  gone,        ///< deleted, in another namespace, or another interface of the old name
};
const char* name(Link link) noexcept;

/// Of the interface with this name; `ifindex` 0: whichever has it.
Link link_of(const std::string& interface, std::uint32_t ifindex = 0) noexcept;

class LinkWatch {
 public:
  /// An empty name is a side that there is none of (host mode).
  static Result<LinkWatch> open(const std::array<std::string, kSides>& interfaces);
  ~LinkWatch();
  LinkWatch(LinkWatch&& other) noexcept;
  LinkWatch& operator=(LinkWatch&&) = delete;

  /// Readable once something may have changed.
  [[nodiscard]] int fd() const noexcept { return fd_; }

  struct Change {
    Side side{};
    Link before{}, now{};
  };
  /// What has changed since it was last asked (the first time: what is not up), at most one change
  /// a side.
  std::vector<Change> changes();

 private:
  LinkWatch(int fd, const std::array<std::string, kSides>& interfaces);

  int fd_;
  std::array<std::string, kSides> interfaces_;
  std::array<std::uint32_t, kSides> ifindex_{};
  std::array<Link, kSides> links_{};  // up
};

}  // namespace weir::io
