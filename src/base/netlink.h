// SPDX-License-Identifier: BSD-2-Clause
/// One rtnetlink request: built part by part, sent, and answered by the kernel.
///
/// Shape     the fixed part of its type, then attributes, which may hold attributes.
/// Errors    an errno, 0 where the kernel did it.
/// Threads   one owner; a socket for each request.
/// Source    netlink(7), rtnetlink(7).
#pragma once

#include <linux/netlink.h>

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

namespace weir {

class NetlinkRequest {
 public:
  /// `type` RTM_*; `flags` NLM_F_* besides NLM_F_REQUEST.
  template <typename Fixed>
  NetlinkRequest(std::uint16_t type, std::uint16_t flags, const Fixed& fixed)
      : NetlinkRequest(type, flags) {
    append(&fixed, sizeof fixed);
  }

  void add(std::uint16_t attribute, std::span<const std::uint8_t> value);
  void add(std::uint16_t attribute, std::uint32_t value);
  void add(std::uint16_t attribute, const std::string& value);  ///< with its NUL
  template <typename T>
  void add_struct(std::uint16_t attribute, const T& value) {
    add(attribute, {reinterpret_cast<const std::uint8_t*>(&value), sizeof value});
  }
  /// What is appended from here on, until `end` of the number that it gives, is inside `attribute`.
  std::size_t begin(std::uint16_t attribute);
  void end(std::size_t begun);
  template <typename T>
  void append_struct(const T& value) {
    append(&value, sizeof value);
  }

  /// Sends it and waits for the answer.
  [[nodiscard]] int send();
  /// Of a request with NLM_F_DUMP: `visit` is given each message of the answer, behind its header.
  [[nodiscard]] int dump(const std::function<void(std::span<const std::uint8_t>)>& visit);

 private:
  NetlinkRequest(std::uint16_t type, std::uint16_t flags);
  void append(const void* bytes, std::size_t length);
  int exchange(const std::function<void(std::span<const std::uint8_t>)>& visit);

  std::vector<std::uint8_t> bytes_;
};

}  // namespace weir
