// SPDX-License-Identifier: BSD-2-Clause
#include <fmt/core.h>

#include <memory>

#include "cli/commands.h"
#include "control/preflight.h"
#include "control/privileges.h"
#include "pipeline/bind.h"

namespace weir::cli {
namespace {

struct CheckOptions {
  std::string config = kDefaultConfig;
  bool defaults = false;
  bool file_only = false;
};

/// What a start would find wrong with the model and the machine, without changing either.
Status check_things(control::Config config) {
  WEIR_ASSIGN(const forest::Model model, control::load_judge(config, config.model_path));
  warn(control::judge_warnings(config, model));
  const auto bound = pipeline::bind(&model, config.tables, pipeline::Extract::model_features);
  if (!bound) return tl::unexpected(bound.error());
  WEIR_ASSIGN(const auto screen, control::load_screen(config));
  warn(control::screen_warnings(config, screen.get()));
  WEIR_TRY(control::check_machine(config));
  if (config.dpdk) return {};
  if (const auto missing = control::missing_privileges(); !missing.empty()) {
    fmt::print(stderr,
               "weir: warning: what is on the interfaces was not looked at, and the kernel was not "
               "asked whether it takes the XDP program{}: {}\n",
               screen ? " and the screen" : "", missing);
    return {};
  }
  config.datapath.screen = screen;
  return control::try_datapath(config);
}

int check(const CheckOptions& options) {
  if (options.defaults) {
    fmt::print("{}", control::render_defaults());
    return kOk;
  }
  const auto config = control::load_config(options.config, control::Purpose::run);
  if (!config) return report(config.error(), kBadInput);
  warn(config->warnings);
  if (!options.file_only) {
    const Status things = check_things(*config);
    if (!things) return report(things.error(), kBadInput);
  }
  fmt::print("{}: good\n", options.config);
  return kOk;
}

}  // namespace

void add_check(Command app, Run& run) {
  auto options = std::make_shared<CheckOptions>();
  Command command = app.add_subcommand(
      "check",
      "Check a configuration, its model, its screen and its interfaces, and change nothing");
  command.add_option("-c,--config", options->config, "Configuration file").capture_default_str();
  command.add_flag("--file-only", options->file_only,
                   "Leave out whether its model can be used, and what a start asks of the machine");
  command.add_flag("--defaults", options->defaults, "Print a file with every key and its default");
  command.footer(help_footer("  weir check -c weir.toml\n  weir check --defaults > weir.toml\n",
                             {kOk, kBadInput}));
  command.callback([options, &run] { run = [options] { return check(*options); }; },
                   {excludes("--defaults", {"--config", "--file-only"}, "it reads no file")});
}

}  // namespace weir::cli
