// SPDX-License-Identifier: BSD-2-Clause
/// What the service runs on, whichever backend makes it: two interfaces, the datapath in front of
/// them, and the channels.
///
/// Backends  wire_kernel.cpp  the XDP program and AF_XDP sockets
///           wire_poll.cpp    DPDK's devices, polled, with the native datapath
/// Order     attach, open_channels, connect, keep; then disconnect, detach (only after keep), close.
///           Each step may fail; `close` after a start that failed puts back what was found.
/// Owner     the service.
/// Threads   heartbeat: each channel's own thread, for its channel. `tables`: as datapath.h, through
///           the enforcer. interface_json, took_over: any. All else: the service's thread.
/// Errors    one sentence each.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "control/config.h"
#include "control/tables.h"
#include "io/interface.h"

namespace weir::control {

class Wire {
 public:
  virtual ~Wire() = default;

  /// Takes the interfaces, and puts the datapath in front of them: what is steered takes the fail
  /// mode.
  virtual Status attach(std::vector<std::string>& warnings) = 0;
  virtual Status open_channels(std::vector<std::string>& warnings) = 0;
  /// From here on the channels get what is steered; `disconnect` ends that.
  virtual Status connect() = 0;
  /// The start has succeeded.
  virtual Status keep() = 0;
  virtual Status disconnect() = 0;
  virtual Status detach() = 0;
  /// Nobody uses the channels any more.
  virtual Status close() = 0;

  [[nodiscard]] virtual datapath::Datapath& tables() noexcept = 0;
  [[nodiscard]] virtual const datapath::Datapath& tables() const noexcept = 0;
  [[nodiscard]] std::span<const std::unique_ptr<io::Channel>> channels() const noexcept {
    return channels_;
  }
  virtual void heartbeat(std::uint32_t channel, PacketTime now) noexcept = 0;

  /// Runs what it is given on the thread of the tables.
  using Changer = std::function<void(const std::function<void()>& change)>;
  /// Another screen judges from now on; where that is refused, the one in use does. The reload's
  /// thread.
  virtual Status use_screen(std::shared_ptr<const datapath::Screen> screen,
                            const Changer& changer) = 0;

  /// Logs how it is attached.
  virtual void say_hello() const = 0;
  /// A side's part of the status document.
  [[nodiscard]] virtual Json interface_json(Side side) const = 0;
  /// Blocks or links of an earlier run were found.
  [[nodiscard]] virtual bool took_over() const noexcept = 0;

 protected:
  std::vector<std::unique_ptr<io::Channel>> channels_;
};

/// The one that the configuration asks for; `config` outlives it. Nothing is touched yet.
std::unique_ptr<Wire> make_wire(const Config& config);

std::unique_ptr<Wire> make_kernel_wire(const Config& config);
std::unique_ptr<Wire> make_poll_wire(const Config& config);

}  // namespace weir::control
