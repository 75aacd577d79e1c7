// SPDX-License-Identifier: BSD-2-Clause
#include "cli/daemon.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "control/privileges.h"
#include "datapath/kernel.h"

namespace weir::cli {
namespace {

tl::unexpected<Failure> fail_with(std::string message, Exit status) {
  return tl::unexpected(Failure{std::move(message), status});
}

Exit status_of(control::AskError::Kind kind) {
  switch (kind) {
    case control::AskError::Kind::not_running:
      return kNotRunning;
    case control::AskError::Kind::not_permitted:
      return kNotPermitted;
    case control::AskError::Kind::bad_request:
      return kBadInput;
    case control::AskError::Kind::failed:
      return kFailure;
  }
  return kFailure;
}

tl::unexpected<Failure> unanswered(const control::AskError& error) {
  return fail_with(error.message, status_of(error.kind));
}

/// What an operator who asks a weir that is not there needs first: whether its wire still is.
std::string left_behind(const control::Config& config) {
  const std::string& pins = config.kernel.pin_directory;
  if (config.dpdk || !datapath::Kernel::forwards(pins)) return "start it by `weir run`";
  return fmt::format(
      "what an earlier one left in {} still forwards; `weir run` takes it over, `weir detach` "
      "takes "
      "it away",
      pins);
}

Outcome<control::Json> ask_pinned(const control::Config& config, const control::Json& request,
                                  const std::string& nobody) {
  if (auto missing = control::missing_privileges(); !missing.empty()) {
    return fail_with(
        fmt::format("{}, and the kernel's tables are out of reach: {}", nobody, missing),
        kNotPermitted);
  }
  const std::string& pins = config.kernel.pin_directory;
  std::error_code error;
  if (!std::filesystem::exists(pins, error)) {
    return fail_with(fmt::format("{}, and none left its tables in {}", nobody, pins), kNotRunning);
  }
  auto kernel = datapath::Kernel::open_pinned(pins);
  if (!kernel) return fail_with(fmt::format("{}; {}", nobody, kernel.error().message), kNotRunning);
  auto answer = control::answer_tables(**kernel, request, monotonic_now());
  WEIR_CHECK(answer.has_value());  // only verbs of the tables get here
  if (*answer) return std::move(**answer);
  const bool bad = answer->error().kind == control::Refused::Kind::bad_request;
  return fail_with(answer->error().message, bad ? kBadInput : kFailure);
}

}  // namespace

void add_target(Command command, Target& target) {
  command.add_option("-c,--config", target.config, "Configuration file of the weir that is meant")
      .capture_default_str();
  command.add_option("--control-socket", target.socket,
                     "Its control socket, instead of the configuration's");
  command.add_flag("-j,--json", target.json, "Answer as JSON, for programs");
}

Outcome<control::Config> load_target(const Target& target) {
  std::error_code error;
  const bool defaults =
      target.config == kDefaultConfig && !std::filesystem::exists(target.config, error);
  auto config = defaults ? Result<control::Config>(control::default_config())
                         : control::load_config(target.config, control::Purpose::replay);
  if (!config) return fail_with(config.error().message, kBadInput);
  if (!target.socket.empty()) config->settings.control_socket = target.socket;
  return std::move(*config);
}

Outcome<control::Json> ask_daemon(const control::Config& config, const control::Json& request) {
  auto answer = control::ask(config.settings.control_socket, request);
  if (answer) return std::move(*answer);
  if (answer.error().kind == control::AskError::Kind::not_running)
    answer.error().message += "; " + left_behind(config);
  return unanswered(answer.error());
}

Outcome<control::Json> ask_tables(const control::Config& config, const control::Json& request) {
  if (config.dpdk) return ask_daemon(config, request);  // its tables are nowhere else
  auto answer = control::ask(config.settings.control_socket, request);
  if (answer) return std::move(*answer);
  if (answer.error().kind != control::AskError::Kind::not_running)
    return unanswered(answer.error());
  return ask_pinned(config, request, answer.error().message);
}

Status all_prefixes(const std::vector<std::string>& words) {
  for (const auto& word : words) WEIR_TRY(Prefix::parse(word));
  return {};
}

Exit status_of(control::Refused::Kind kind) {
  switch (kind) {
    case control::Refused::Kind::bad_request:
      return kBadInput;
    case control::Refused::Kind::not_permitted:
      return kNotPermitted;
    case control::Refused::Kind::failed:
      return kFailure;
  }
  return kFailure;
}

int report(const Failure& failure) { return report(Error{failure.message}, failure.status); }

std::string columns(const std::vector<std::vector<std::string>>& rows,
                    const std::vector<bool>& right) {
  std::vector<std::size_t> widths(right.size());
  for (const auto& row : rows) {
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  std::string text;
  for (const auto& row : rows) {
    std::string line;
    for (std::size_t i = 0; i < row.size(); ++i) {
      if (i > 0) line += "  ";
      line += right[i] ? fmt::format("{:>{}}", row[i], widths[i])
                       : fmt::format("{:<{}}", row[i], widths[i]);
    }
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + "\n";
  }
  return text;
}

}  // namespace weir::cli
