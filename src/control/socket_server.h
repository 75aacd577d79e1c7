// SPDX-License-Identifier: BSD-2-Clause
/// The control socket: a Unix socket, one JSON object a line each way.
///
/// Answers   {"ok": true, ...} or {"ok": false, "kind": "bad_request"|"not_permitted"|"failed",
///           "error": SENTENCE}; a connection may ask again and again.
/// Rights    the socket's mode is 0660. Verbs that change something are for root and for the
///           daemon's own user, told by SO_PEERCRED.
/// Bounds    `kClients` connections: a further one takes the place of the one that was idle
///           longest. A request is a line of at most `kLine_bytes`, and must be whole within
///           `patience`; an answer must be read within `patience`. What breaks that is closed; how
///           long others were served before it is no client's fault.
/// Threads   one of its own, which calls the handler: no channel ever waits for a client. What a
///           handler throws is that request's answer, and ends nothing.
/// Errors    `start` only: where the socket cannot be made, or another weir answers there.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "base/clock.h"
#include "base/result.h"
#include "control/tables.h"

namespace weir::control {

class SocketServer {
 public:
  static constexpr std::size_t kClients = 16;
  static constexpr std::size_t kLine_bytes = 16'384;  ///< the longest request has 200
  static constexpr Nanoseconds kPatience = std::chrono::seconds(5);

  /// Answers one request; runs on the server's thread.
  using Handler = std::function<Answer(const Json& request)>;

  static Result<std::unique_ptr<SocketServer>> start(const std::string& path, Handler handler,
                                                     Nanoseconds patience = kPatience);
  ~SocketServer();  ///< closes everything and removes the socket
  SocketServer(const SocketServer&) = delete;
  SocketServer& operator=(const SocketServer&) = delete;

 private:
  struct Loop;
  explicit SocketServer(std::unique_ptr<Loop> loop);
  std::unique_ptr<Loop> loop_;
  std::thread thread_;
};

}  // namespace weir::control
