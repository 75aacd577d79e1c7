// SPDX-License-Identifier: BSD-2-Clause
#include <fmt/format.h>

#include <algorithm>
#include <memory>

#include "cli/commands.h"
#include "cli/daemon.h"

namespace weir::cli {
namespace {

using control::Json;

constexpr const char* kDefaultFor = "1h";

struct BlockOptions {
  Target target;
  std::vector<std::string> addresses;
  std::string scope;
  std::string duration = kDefaultFor;
};

std::string number(const Json& value) { return fmt::format("{}", value.get<std::uint64_t>()); }

/// "4h" of milliseconds; what is nearly nothing is a second, for 0 means forever.
std::string duration(const Json& ms) {
  return control::duration_text(std::max<std::uint64_t>(ms.get<std::uint64_t>(), 1));
}

int list(const BlockOptions& options) {
  const auto config = load_target(options.target);
  if (!config) return report(config.error());
  const auto answer = ask_tables(*config, {{"verb", "block.list"}});
  if (!answer) return report(answer.error());
  if (options.target.json) {
    fmt::print("{}\n", answer->dump(2));
    return kOk;
  }
  std::vector<std::vector<std::string>> rows{
      {"ADDRESS", "OF", "DROPS", "BY", "REASON", "AGE", "ENDS IN", "STRIKES", "PACKETS", "BYTES"}};
  // A block of scope ssdp drops what is steered: with steer.protocols = "all" that is everything.
  const bool all = answer->value("steered", "") == "all";
  for (const Json& block : (*answer)["blocks"]) {
    const Json& ends = block["expires_in_ms"];
    rows.push_back({block["address"], block["target"], all ? Json("all") : block["scope"],
                    block["origin"], block["reason"], duration(block["age_ms"]),
                    ends.is_null() ? "never" : duration(ends), number(block["strikes"]),
                    number(block["hit_packets"]), number(block["hit_bytes"])});
  }
  fmt::print("{}",
             columns(rows, {false, false, false, false, false, true, true, true, true, true}));
  return kOk;
}

/// One request an address; the first that the daemon refuses ends it, and what was done before
/// stays done.
int each(const BlockOptions& options, const Json& request, const char* key) {
  const auto config = load_target(options.target);
  if (!config) return report(config.error());
  if (auto all = all_prefixes(options.addresses); !all) return report(all.error(), kBadInput);
  Json answers = Json::array();
  const auto stop = [&](const std::string& message, Exit status) {
    const std::string before = options.addresses.size() == 1
                                   ? ""
                                   : fmt::format("; {} of {} addresses were done before it",
                                                 answers.size(), options.addresses.size());
    return report(Error{message + before}, status);
  };
  for (const auto& address : options.addresses) {
    Json one = request;
    one["address"] = address;
    const auto answer = ask_tables(*config, one);
    if (!answer) return stop(answer.error().message, answer.error().status);
    if (std::string_view(key) == "removed" && (*answer)[key] == 0)
      return stop(fmt::format("{} is not blocked", address), kFailure);
    answers.push_back(*answer);
  }
  if (options.target.json) fmt::print("{}\n", answers.dump(2));
  return kOk;
}

int add(const BlockOptions& options) {
  const auto for_ms = control::parse_duration_ms(options.duration);
  if (!for_ms) return report(Error{"--for: " + for_ms.error().message}, kBadInput);
  return each(options,
              {{"verb", "block.add"},
               {"scope", options.scope.empty() ? "ssdp" : options.scope},
               {"for_ms", *for_ms}},
              "added");
}

int del(const BlockOptions& options) {
  Json request{{"verb", "block.del"}};
  if (!options.scope.empty()) request["scope"] = options.scope;
  return each(options, request, "removed");
}

void add_selectors(Command command, BlockOptions& options) {
  add_target(command, options.target);
  command.add_option("ADDRESS", options.addresses, "IPv4 or IPv6 address, or several").required();
  command.add_option("--scope", options.scope, "ssdp: SSDP and the steered ports; all: everything")
      .one_of({"ssdp", "all"});
}

}  // namespace

void add_block(Command app, Run& run) {
  Command block = app.add_subcommand("block", "The sources that the kernel drops");
  block.require_subcommand(1);
  const auto statuses = {kOk, kFailure, kBadInput, kNotRunning, kNotPermitted};
  block.footer(help_footer("  weir block list\n  weir block add 192.0.2.1 --for 4h\n", statuses) +
               "\nWithout a running weir, these commands work on the tables that it left.\n");

  auto options = std::make_shared<BlockOptions>();
  Command command = block.add_subcommand("list", "Print every block");
  add_target(command, options->target);
  command.footer(help_footer("  weir block list\n", statuses));
  command.callback([options, &run] { run = [options] { return list(*options); }; });

  command = block.add_subcommand("add", "Block a source, or replace its block");
  add_selectors(command, *options);
  command.add_option("--for", options->duration, "How long: 90s, 10m, 4h, 7d or forever")
      .capture_default_str();
  command.footer(
      help_footer("  weir block add 192.0.2.1 --for 4h\n  weir block add 2001:db8::1 --scope all "
                  "--for forever\n",
                  statuses));
  command.callback([options, &run] { run = [options] { return add(*options); }; });

  command = block.add_subcommand("del", "Take a block away, and forget what the source did");
  add_selectors(command, *options);
  command.add_option("--for", options->duration,
                     "No effect: there so that the words of an add work here");
  command.footer(help_footer("  weir block del 192.0.2.1\n", statuses) +
                 "\nA source that goes on attacking is blocked again, on new evidence; "
                 "`weir allow add` keeps it off.\n");
  command.callback([options, &run] { run = [options] { return del(*options); }; });
}

}  // namespace weir::cli
