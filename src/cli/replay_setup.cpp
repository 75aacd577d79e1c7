// SPDX-License-Identifier: BSD-2-Clause
#include "cli/replay_setup.h"

#include <fmt/format.h>

#include "control/preflight.h"

namespace weir::cli {
namespace {

/// The configuration, with what a replay changes of it.
Result<pipeline::ReplayConfig> replay_config(const ReplayOptions& options,
                                             const control::Config& config) {
  pipeline::ReplayConfig replay;
  replay.datapath = config.datapath;
  replay.tables = config.tables;
  replay.policy = config.policy;
  replay.engine = config.engine;
  replay.engine.worker_cpus.clear();  // those of another machine, perhaps
  // Only a table that strangers can fill on purpose needs a secret seed: a replay is to be
  // repeated.
  replay.tables.hash_seed = detect::TableConfig{}.hash_seed;
  replay.policy.hash_seed = detect::PolicyConfig{}.hash_seed;
  if (!options.lan_prefixes.empty()) replay.lan_prefixes.clear();
  for (const std::string& text : options.lan_prefixes) {
    auto prefix = Prefix::parse(text);
    if (!prefix) return fail(fmt::format("--lan-prefix {}: {}", text, prefix.error().message));
    replay.lan_prefixes.push_back(*prefix);
  }
  if (options.all_features) replay.extract = pipeline::Extract::all_features;
  return replay;
}

/// The model of the command line, else of the configuration.
Result<std::optional<forest::Model>> model(const ReplayOptions& options,
                                           const control::Config& config, const std::string& path) {
  auto loaded = control::load_judge(config, path);
  if (loaded) return std::optional<forest::Model>(std::move(*loaded));
  if (options.model_optional && options.model.empty() && options.config.empty())
    return std::optional<forest::Model>();
  if (options.model.empty())
    return fail(fmt::format("{}; name a model with --model", loaded.error().message));
  return tl::unexpected<Error>(std::move(loaded).error());
}

}  // namespace

Result<ReplaySetup> set_up_replay(const ReplayOptions& options) {
  WEIR_ASSIGN(control::Config config,
              options.config.empty()
                  ? Result<control::Config>(control::default_config())
                  : control::load_config(options.config, control::Purpose::replay));
  warn(config.warnings);
  WEIR_TRY(control::name_screen(config, options.screen, options.screen_ssdp));
  WEIR_ASSIGN(const auto screen, control::load_screen(config));
  warn(control::screen_warnings(config, screen.get()));
  config.datapath.screen = screen;
  ReplaySetup setup;
  if (screen) setup.screen = fmt::format("{} ({})", screen->plan().model_name, screen->shape());
  setup.model_path = options.model.empty() ? config.model_path : options.model;
  WEIR_ASSIGN(setup.model, model(options, config, setup.model_path));
  if (setup.model) {
    control::settle_others(config, *setup.model);
    warn(control::judge_warnings(config, *setup.model));
  }
  WEIR_ASSIGN(setup.replay, replay_config(options, config));
  return setup;
}

void add_screen_options(Command command, std::string& screen, bool& ssdp) {
  command
      .add_option("--screen", screen,
                  "Screen, instead of the configuration's: a model over header features that says "
                  "of the WAN's steered packets which the model need not see")
      .type_name("FILE");
  command.add_flag("--screen-ssdp", ssdp,
                   "The screen judges announcements and answers of SSDP too");
}

void add_replay_options(Command command, ReplayOptions& options) {
  command
      .add_option("--lan-prefix", options.lan_prefixes,
                  "Sources that are on the LAN, where a capture does not say so by interfaces "
                  "named wan and lan (default: the private and link-local ranges)")
      .type_name("PREFIX")
      .allow_extra_args(false)  // else a capture behind it would be taken for a prefix
      .delimiter(',');
  command.add_option("-c,--config", options.config, "Configuration (default: every key's default)")
      .type_name("FILE");
  command.add_option("-m,--model", options.model, "Model, instead of the configuration's")
      .type_name("FILE");
  add_screen_options(command, options.screen, options.screen_ssdp);
}

}  // namespace weir::cli
