// SPDX-License-Identifier: BSD-2-Clause
/// What the commands that load a real box share: which port, how fast, until when.
///
/// Pace      packets are sent when they are due and never later in a heap: a sender that was kept
///           from running catches up a batch at a time.
/// Threads   one owner.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "cli/command_line.h"
#include "io/load_port.h"

namespace weir::cli {

struct PortOptions {
  std::string port;  ///< an interface, or DPDK's device
  bool dpdk = false;
  bool no_hugepages = false;
  std::vector<std::string> eal;
};
/// --dpdk, --no-hugepages, --eal.
void add_port_options(Command command, PortOptions& options);
/// What these ask of each other.
std::vector<OptionRule> port_rules();
Result<std::unique_ptr<io::LoadPort>> open_port(const PortOptions& options, io::LoadUse use);

/// Sends frames one after another; whoever makes them says where they are and when there are no
/// more.
class LoadSender {
 public:
  using Bytes = io::LoadPort::Bytes;
  explicit LoadSender(io::LoadPort& port) : port_(port) {}

  /// Takes a frame to be sent; sends once there are as many as go at once.
  void post(Bytes frame);
  /// Sends all that was posted, as soon as the port takes it; false where it does not within 5 s.
  bool flush();
  [[nodiscard]] std::uint64_t packets() const noexcept { return packets_; }
  [[nodiscard]] std::uint64_t bytes() const noexcept { return bytes_; }
  [[nodiscard]] bool stuck() const noexcept { return stuck_; }

 private:
  static constexpr std::size_t kAtOnce = 64;
  io::LoadPort& port_;
  std::array<std::array<std::uint8_t, io::LoadPort::kFrame_bytes>, kAtOnce> memory_{};
  std::array<Bytes, kAtOnce> frames_{};
  std::size_t posted_ = 0;
  std::uint64_t packets_ = 0, bytes_ = 0;
  bool stuck_ = false;
};

/// Set once the user asks for an end (SIGINT, SIGTERM), from `watch_for_end` on.
bool end_wanted() noexcept;
void watch_for_end() noexcept;

}  // namespace weir::cli
