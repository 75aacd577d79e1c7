// SPDX-License-Identifier: BSD-2-Clause
#include <fmt/format.h>

#include <memory>

#include "cli/commands.h"
#include "cli/daemon.h"

namespace weir::cli {
namespace {

using control::Json;

struct AllowOptions {
  Target target;
  std::vector<std::string> prefixes;
};

int list(const AllowOptions& options) {
  const auto config = load_target(options.target);
  if (!config) return report(config.error());
  const auto answer = ask_tables(*config, {{"verb", "allow.list"}});
  if (!answer) return report(answer.error());
  if (options.target.json) {
    fmt::print("{}\n", answer->dump(2));
    return kOk;
  }
  for (const Json& prefix : (*answer)["prefixes"]) fmt::print("{}\n", prefix.get<std::string>());
  return kOk;
}

int change(const AllowOptions& options, const char* verb) {
  const auto config = load_target(options.target);
  if (!config) return report(config.error());
  if (auto all = all_prefixes(options.prefixes); !all) return report(all.error(), kBadInput);
  Json answers = Json::array();
  for (const auto& prefix : options.prefixes) {
    const auto answer = ask_tables(*config, {{"verb", verb}, {"prefix", prefix}});
    if (!answer) return report(answer.error());
    if (answer->contains("removed") && (*answer)["removed"] == 0) {
      return report(Error{fmt::format("{} is not on the allowlist", prefix)}, kFailure);
    }
    answers.push_back(*answer);
    if (answer->contains("added") && Prefix::parse(prefix)->length() == 0)
      fmt::print(stderr,
                 "weir: warning: {} is every address of its family: none of them is judged\n",
                 prefix);
  }
  if (options.target.json) fmt::print("{}\n", answers.dump(2));
  return kOk;
}

}  // namespace

void add_allow(Command app, Run& run) {
  Command allow = app.add_subcommand("allow", "The sources that are never dropped");
  allow.require_subcommand(1);
  const auto statuses = {kOk, kFailure, kBadInput, kNotRunning, kNotPermitted};
  allow.footer(
      help_footer("  weir allow list\n  weir allow add 192.0.2.0/24\n", statuses) +
      "\nThe list of allow.prefixes in the configuration is put there at each start. Without a\n"
      "running weir, these commands work on the tables that it left.\n");

  auto options = std::make_shared<AllowOptions>();
  Command command = allow.add_subcommand("list", "Print every prefix");
  add_target(command, options->target);
  command.footer(help_footer("  weir allow list\n", statuses));
  command.callback([options, &run] { run = [options] { return list(*options); }; });

  struct Change {
    const char* name;
    const char* verb;
    const char* help;
  };
  for (const auto& [name, verb, help] :
       {Change{"add", "allow.add", "Never drop what comes from a prefix"},
        Change{"del", "allow.del", "Take a prefix from the list"}}) {
    command = allow.add_subcommand(name, help);
    add_target(command, options->target);
    command.add_option("PREFIX", options->prefixes, "Address or prefix, or several").required();
    command.footer(help_footer(fmt::format("  weir allow {} 192.0.2.0/24\n", name), statuses));
    command.callback(
        [options, &run, verb = verb] { run = [options, verb] { return change(*options, verb); }; });
  }
}

}  // namespace weir::cli
