// SPDX-License-Identifier: BSD-2-Clause
/// How commands reach a weir: its control socket, or the tables that it pinned while none runs.
///
/// Errors    each with the exit status that it means.
/// Threads   the main thread.
#pragma once

#include "cli/command.h"
#include "control/client.h"
#include "control/config.h"
#include "control/service.h"

namespace weir::cli {

/// Which weir is meant, and how it should answer.
struct Target {
  std::string config = kDefaultConfig;
  std::string socket;  ///< empty: the configuration's
  bool json = false;
};

struct Failure {
  std::string message;
  Exit status = kFailure;
};
template <typename T>
using Outcome = tl::expected<T, Failure>;

/// -c, --control-socket and --json.
void add_target(Command command, Target& target);

/// The target's configuration; the defaults where the default file does not exist.
Outcome<control::Config> load_target(const Target& target);

/// Asks the daemon alone; where there is none, the error says what the one before left.
Outcome<control::Json> ask_daemon(const control::Config& config, const control::Json& request);
/// Asks the daemon, or answers a request of control/tables.h from the pinned tables.
Outcome<control::Json> ask_tables(const control::Config& config, const control::Json& request);

/// The first of these that is neither an address nor a prefix is an error, before any is acted on.
Status all_prefixes(const std::vector<std::string>& words);

int report(const Failure& failure);

/// The exit status of an appliance that would not start.
Exit status_of(control::Refused::Kind kind);

/// Rows as columns: each as wide as its widest cell; numbers (`right`) to the right.
std::string columns(const std::vector<std::vector<std::string>>& rows,
                    const std::vector<bool>& right);

}  // namespace weir::cli
