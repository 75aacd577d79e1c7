// SPDX-License-Identifier: BSD-2-Clause
#include "control/block_lines.h"

#include <fmt/format.h>
#include <limits.h>
#include <poll.h>
#include <unistd.h>

#include "control/tables.h"
#include "detect/policy.h"

namespace weir::control {
namespace {

/// With room for the line that tells of others.
constexpr std::size_t kPiece_bytes = PIPE_BUF - 64;

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
  const std::uint64_t ms = (v.expires_ns - v.created_ns) / 1'000'000;
  const std::string before = v.strikes == 0 ? ""
                                            : fmt::format(", again ({} {} before)", v.strikes,
                                                          v.strikes == 1 ? "time" : "times");
  const std::string how_long =
      v.expires_ns == 0 ? "until it is taken off" : "for " + duration_text(ms);
  return fmt::format("blocked {} {}{}: {}\n", what(block), how_long, before,
                     detect::help(static_cast<detect::Reason>(v.reason)));
}

/// A pipe that is writable takes a piece at once (pipe(7), PIPE_BUF); files always do.
bool BlockLines::takes_more() const noexcept {
  pollfd out{fd_, POLLOUT, 0};
  return poll(&out, 1, 0) == 1 && (out.revents & POLLOUT) != 0;
}

void BlockLines::send(std::string& text, std::uint64_t& lines) {
  if (lines > 0 && !takes_more()) {
    unsaid_ += lines;
  } else if (lines > 0) {
    if (unsaid_ > 0) text.insert(0, fmt::format("blocked {} more, which nobody read\n", unsaid_));
    unsaid_ = 0;
    [[maybe_unused]] const auto ignored = write(fd_, text.data(), text.size());
  }
  text.clear();
  lines = 0;
}

void BlockLines::print(std::span<const datapath::Block> blocks) {
  std::string text;
  std::uint64_t lines = 0;
  for (const datapath::Block& block : blocks) {
    const std::string line = block_line(block);
    if (text.size() + line.size() > kPiece_bytes) send(text, lines);
    text += line;
    ++lines;
  }
  send(text, lines);
}

}  // namespace weir::control
