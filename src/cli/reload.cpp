// SPDX-License-Identifier: BSD-2-Clause
#include <fmt/format.h>

#include <memory>

#include "cli/commands.h"
#include "cli/daemon.h"

namespace weir::cli {
namespace {

int reload(const Target& target) {
  const auto config = load_target(target);
  if (!config) return report(config.error());
  const auto answer = ask_daemon(*config, {{"verb", "reload"}});
  if (!answer) return report(answer.error());
  if (target.json) {
    fmt::print("{}\n", answer->dump(2));
    return kOk;
  }
  const control::Json& model = (*answer)["model"];
  fmt::print("model {} ({}), sha256 {}, from {}{}\n", model["name"].get<std::string>(),
             model["evaluator"].get<std::string>(), model["sha256"].get<std::string>(),
             model["path"].get<std::string>(),
             (*answer)["changed"].get<bool>() ? "" : ": the same as before");
  if (answer->contains("screen")) {
    const control::Json& screen = (*answer)["screen"];
    fmt::print("screen {} ({}), sha256 {}, from {}{}\n", screen["name"].get<std::string>(),
               screen["shape"].get<std::string>(), screen["sha256"].get<std::string>(),
               screen["path"].get<std::string>(),
               (*answer)["screen_changed"].get<bool>() ? "" : ": the same as before");
  }
  return kOk;
}

}  // namespace

void add_reload(Command app, Run& run) {
  auto target = std::make_shared<Target>();
  Command command = app.add_subcommand("reload",
                                       "Have a running weir read the files of its model and screen "
                                       "again; a bad one changes nothing");
  add_target(command, *target);
  command.footer(
      help_footer("  weir model test NEW.json ROWS.csv && mv NEW.json MODEL && weir reload\n",
                  {kOk, kFailure, kBadInput, kNotRunning, kNotPermitted}));
  command.callback([target, &run] { run = [target] { return reload(*target); }; });
}

}  // namespace weir::cli
