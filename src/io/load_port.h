// SPDX-License-Identifier: BSD-2-Clause
/// One interface that a load is sent by, or that it is received by: for measuring a box from
/// another machine, and no part of one.
///
/// Backends  AF_XDP (xsk_load.cpp): every rx queue, one tx queue; while it receives, an XDP program
///           takes all that arrives from the host's stack. DPDK (load_poll.cpp): one device.
/// Owner     the caller; its end takes program and sockets away again.
/// Copies    what is sent, into the port's own memory; what is received is shown where it lies.
/// Threads   one owner.
/// Errors    set-up only, one sentence with interface and remedy; what a device has no room for is
///           simply not taken.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>

#include "base/result.h"
#include "io/poll_device.h"

namespace weir::io {

class LoadPort {
 public:
  using Bytes = std::span<const std::uint8_t>;
  static constexpr std::size_t kFrame_bytes = 2048;  ///< no longer one is sent

  virtual ~LoadPort() = default;
  /// Sends these in order; returns how many were taken, from the first on.
  virtual std::size_t send(std::span<const Bytes> frames) noexcept = 0;
  /// Waits, 100 ms at most, until what was taken has left; false where it has not.
  virtual bool flush() noexcept = 0;
  /// Shows what has arrived, frame by frame; returns how many there were.
  virtual std::size_t receive(const std::function<void(Bytes)>& see) noexcept = 0;
  /// Sleeps until something arrives or the time is over.
  virtual void wait(std::uint32_t at_most_us) noexcept = 0;
  /// How it is attached, for a person: "AF_XDP, zero-copy, 4 queues".
  [[nodiscard]] virtual std::string describe() const = 0;
  /// Packets that arrived and were lost before they could be shown.
  [[nodiscard]] virtual std::uint64_t lost() const noexcept = 0;
};

enum class LoadUse : std::uint8_t { send, receive };

Result<std::unique_ptr<LoadPort>> open_load_xdp(const std::string& interface, LoadUse use);
/// `config`: its first device, and how DPDK is started.
Result<std::unique_ptr<LoadPort>> open_load_dpdk(const PollConfig& config);

}  // namespace weir::io
