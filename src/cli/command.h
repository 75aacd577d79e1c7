// SPDX-License-Identifier: BSD-2-Clause
/// What every command of `weir` shares: how it hangs into the command line, exit statuses, and how
/// it talks.
///
/// Shape     one file a command with one `add_NAME(app, run)`: it adds a command with its options,
///           and a callback that puts the work into `run`. `main` parses, then calls `run`
///           and exits with what it returns.
/// Streams   data on stdout, everything said to a person about the run on stderr.
/// Errors    `report` prints "weir: MESSAGE" as one line and gives back the status to exit with; `warn`
///           goes on.
/// Threads   the main thread.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "cli/command_line.h"

namespace weir::cli {

/// Exit statuses, also in `weir help` and each command's help. The numbers are an interface.
enum Exit : int {
  kOk = 0,
  kFailure = 1,       ///< tried, and it failed
  kBadInput = 2,      ///< usage, configuration, capture, model, interface: what was given is wrong
  kNotRunning = 3,    ///< no daemon, and nothing in the kernel to act on
  kNotPermitted = 4,  ///< privileges are missing
};

inline constexpr const char* kDefaultConfig = "/etc/weir/weir.toml";

/// Prints "weir: MESSAGE" on stderr, on one line whatever the message holds; returns `status`.
int report(const Error& error, Exit status);

/// Prints "weir: warning: SENTENCE" on stderr, a line each.
void warn(const std::vector<std::string>& sentences);

/// The footer of a command's help: an example or two, and the exit statuses that it uses.
std::string help_footer(std::string_view examples, std::initializer_list<Exit> statuses);

/// True where stdout is a terminal and NO_COLOR is not set (no-color.org).
bool colours();

}  // namespace weir::cli
