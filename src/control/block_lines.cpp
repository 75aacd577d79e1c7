// SPDX-License-Identifier: BSD-2-Clause
#include "control/block_lines.h"

#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include "control/tables.h"
#include "detect/policy.h"

namespace weir::control {
namespace {

std::string what(const datapath::Block& block) {
  switch (block.target) {
    case WEIR_TARGET_network:
      return fmt::format("{}/{}", block.source.text(), block.source.is_v4() ? 24 : 64);
    case WEIR_TARGET_victim:
      return "unasked SSDP to " + block.source.text();
    case WEIR_TARGET_source:
      break;
  }
  return block.source.text() + (block.value.scope == WEIR_SCOPE_all ? ", all of its traffic," : "");
}

}  // namespace

std::string block_line(const datapath::Block& block) {
  const weir_block& v = block.value;
  const std::uint64_t ms = v.expires_ns == 0 ? 0 : (v.expires_ns - v.created_ns) / 1'000'000;
  const std::string before = v.strikes == 0 ? ""
                                            : fmt::format(", again ({} {} before)", v.strikes,
                                                          v.strikes == 1 ? "time" : "times");
  return fmt::format("blocked {} for {}{}: {}\n", what(block), duration_text(ms), before,
                     detect::help(static_cast<detect::Reason>(v.reason)));
}

/// A pipe that is writable takes a line at once (pipe(7), PIPE_BUF); files always do.
bool BlockLines::takes_more() const noexcept {
  pollfd out{fd_, POLLOUT, 0};
  return poll(&out, 1, 0) == 1 && (out.revents & POLLOUT) != 0;
}

void BlockLines::print(const datapath::Block& block) {
  if (!takes_more()) {
    ++unsaid_;
    return;
  }
  std::string text;
  if (unsaid_ > 0) text = fmt::format("blocked {} more, which nobody read\n", unsaid_);
  unsaid_ = 0;
  text += block_line(block);
  [[maybe_unused]] const auto ignored = write(fd_, text.data(), text.size());
}

}  // namespace weir::control
