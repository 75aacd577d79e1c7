// SPDX-License-Identifier: BSD-2-Clause
#include <memory>

#include "cli/commands.h"
#include "cli/daemon.h"
#include "control/service.h"

namespace weir::cli {
namespace {

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

int run_appliance(const std::string& file) {
  const auto config = control::load_config(file, control::Purpose::run);
  if (!config) return report(config.error(), kBadInput);
  const auto ran = control::run_service(*config);
  if (!ran) return report(Error{ran.error().message}, status_of(ran.error().kind));
  return kOk;
}

int detach(const Target& target, bool keep_blocks) {
  const auto config = load_target(target);
  if (!config) return report(config.error());
  const auto detached = control::detach_all(*config, keep_blocks);
  if (!detached) return report(Error{detached.error().message}, status_of(detached.error().kind));
  if (*detached) return kOk;
  return report(Error{"nothing to detach: no weir runs, and none left anything in " +
                      config->kernel.pin_directory},
                kNotRunning);
}

}  // namespace

void add_run(Command app, Run& run) {
  auto file = std::make_shared<std::string>(kDefaultConfig);
  Command command =
      app.add_subcommand("run", "Be the appliance: attach, forward, judge, block, until SIGTERM");
  command.add_option("-c,--config", *file, "Configuration file").capture_default_str();
  command.footer(
      help_footer("  weir run -c weir.toml\n", {kOk, kFailure, kBadInput, kNotPermitted}));
  command.callback([file, &run] { run = [file] { return run_appliance(*file); }; });
}

void add_detach(Command app, Run& run) {
  struct Options {
    Target target;
    bool keep_blocks = false;
  };
  auto options = std::make_shared<Options>();
  Command command = app.add_subcommand(
      "detach", "Take away what weir left, whether it still runs or not, and cut the wire");
  command.add_option("-c,--config", options->target.config, "Configuration file")
      .capture_default_str();
  command.add_option("--control-socket", options->target.socket,
                     "Its control socket, instead of the configuration's");
  command.add_flag("--keep-blocks", options->keep_blocks,
                   "Leave block- and allowlist for the next start");
  command.footer(help_footer("  weir detach\n  weir detach --keep-blocks\n",
                             {kOk, kFailure, kBadInput, kNotRunning, kNotPermitted}));
  command.callback([options, &run] {
    run = [options] { return detach(options->target, options->keep_blocks); };
  });
}

}  // namespace weir::cli
