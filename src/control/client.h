// SPDX-License-Identifier: BSD-2-Clause
/// Asks a running weir something over its control socket.
///
/// Errors    told apart, for commands answer them differently: nobody there, not permitted, refused
///           by the daemon, broken off.
/// Threads   the caller's; waits for at most `kAnswer_s`.
#pragma once

#include <string>

#include "control/tables.h"

namespace weir::control {

inline constexpr int kAnswer_s = 30;  ///< a full blocklist of 131,072 takes one
inline constexpr std::size_t kAnswer_bytes = 1U << 30U;

struct AskError {
  enum class Kind : std::uint8_t { not_running, not_permitted, bad_request, failed } kind{};
  std::string message;
};

/// The daemon's answer, without "ok".
tl::expected<Json, AskError> ask(const std::string& socket_path, const Json& request);

}  // namespace weir::control
