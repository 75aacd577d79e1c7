// SPDX-License-Identifier: BSD-2-Clause
#include <fmt/core.h>

#include <memory>

#include "cli/commands.h"
#include "control/config.h"

namespace weir::cli {
namespace {

struct Options {
  std::string config = kDefaultConfig;
  bool defaults = false;
};

int check(const Options& options) {
  if (options.defaults) {
    fmt::print("{}", control::render_defaults());
    return kOk;
  }
  const auto config = control::load_config(options.config, control::Purpose::run);
  if (!config) return report(config.error(), kBadInput);
  for (const auto& warning : config->warnings) fmt::print(stderr, "weir: warning: {}\n", warning);
  fmt::print("{}: good\n", options.config);
  return kOk;
}

}  // namespace

void add_check(CLI::App& app, Run& run) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("check", "Check a configuration, and change nothing");
  command->add_option("-c,--config", options->config, "Configuration file")->capture_default_str();
  command->add_flag("--defaults", options->defaults, "Print a file with every key and its default");
  command->footer(help_footer("  weir check -c weir.toml\n  weir check --defaults > weir.toml\n",
                              {kOk, kBadInput}));
  command->callback([options, &run] { run = [options] { return check(*options); }; });
}

}  // namespace weir::cli
