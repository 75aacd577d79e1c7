// SPDX-License-Identifier: BSD-2-Clause
/// A line on stdout for each new block of the policy, once: who is blocked, for how long, and why.
///
///   blocked 203.0.113.7 for 10m: scored as an attack
///   blocked 203.0.113.0/24 for 10m, again (1 time before): scored as an attack
///   blocked unasked SSDP to 192.0.2.9 for 1m: scored as an attack
///
/// In pieces of up to PIPE_BUF, so that a flood of new blocks costs the enforcer few system calls.
/// Never waits: while nobody reads, lines are left out, and the next one that goes says how many.
/// Threads   one owner (the enforcer).
/// Errors    none: a descriptor that is closed takes no lines.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "datapath/datapath.h"

namespace weir::control {

std::string block_line(const datapath::Block& block);

class BlockLines {
 public:
  explicit BlockLines(int fd) noexcept : fd_(fd) {}
  void print(std::span<const datapath::Block> blocks);

 private:
  [[nodiscard]] bool takes_more() const noexcept;
  void send(std::string& text, std::uint64_t& lines);

  const int fd_;
  std::uint64_t unsaid_ = 0;
};

}  // namespace weir::control
