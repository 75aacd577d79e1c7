// SPDX-License-Identifier: BSD-2-Clause
/// The appliance: sets every module up in order, runs until it is told to stop, and takes
/// everything back in the reverse order.
///
/// Start     lock, model, checks of the machine, claim of the pins, host settings, datapath,
///           channels, enforcer, engine, I/O threads, control socket, allowlist, sockets into the
///           datapath. A step that fails undoes those before it: what an earlier weir left forwards
///           as it did, and where there was none nothing stays attached, pinned or changed.
/// Stop      control socket, sockets out of the datapath (steered packets take the fail mode), I/O
///           threads, what is in flight, enforcer, datapath, sockets, host settings, lock. Block-
///           and allowlist stay pinned.
/// Killed    the program goes on forwarding by its pinned links; the next start takes over.
/// Threads   owned by the main thread. One I/O thread a channel, workers, enforcer, control socket.
/// Logs      spdlog's default logger; nothing below a warning before the start has succeeded.
#pragma once

#include <functional>
#include <memory>

#include "control/config.h"
#include "control/tables.h"

namespace weir::control {

class Service {
 public:
  /// `Refused::Kind::bad_request`: configuration, model or interfaces are wrong.
  static tl::expected<std::unique_ptr<Service>, Refused> start(const Config& config);
  ~Service();  ///< the same as `stop`, for who does not want to know
  Service(const Service&) = delete;
  Service& operator=(const Service&) = delete;

  /// Readable once someone asked over the control socket that weir stop.
  [[nodiscard]] int stop_fd() const noexcept;
  /// Stops in order; the first thing that could not be given back is the error. Once.
  Status stop();

  [[nodiscard]] Result<Json> status() const;
  /// Reads the files of the model and of the screen again. Good ones judge from the next batch and
  /// packet on, with none lost and blocks, tables and counters as they are. One that is refused
  /// (by the kernel too, of a screen) leaves both in use as they are, and so does a model that asks
  /// for a feature that the model at the start did not. Either is logged. The answer is {"model":
  /// as in `status`, "changed": whether the file's content did}, with a screen "screen" and
  /// "screen_changed" too.
  /// From any thread.
  Answer reload();

 private:
  struct Impl;
  explicit Service(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

/// Starts a service, and runs it until SIGTERM, SIGINT or a request to stop; SIGHUP reads the model
/// again. Blocks these signals in the calling thread. `started` is called once it judges.
tl::expected<void, Refused> run_service(const Config& config,
                                        const std::function<void()>& started = {});

/// What there was to take away.
struct Detached {
  long stopped = 0;       ///< the process of the weir that ran; 0: none did
  bool attached = false;  ///< a program was on the interfaces
  bool left = false;      ///< anything else: tables, block- and allowlist, a socket, host settings
  [[nodiscard]] bool nothing() const noexcept { return stopped == 0 && !attached && !left; }
};
/// Takes away what a weir of this configuration left, running or not: asks a running one to stop,
/// then removes program and pins, and gives host settings back.
tl::expected<Detached, Refused> detach_all(const Config& config, bool keep_blocks);

}  // namespace weir::control
