// SPDX-License-Identifier: BSD-2-Clause
#include "cli/replay.h"

#include <fmt/format.h>

#include <memory>
#include <optional>

#include "cli/replay_features.h"
#include "cli/replay_report.h"
#include "control/config.h"
#include "forest/import.h"
#include "pipeline/replay.h"

namespace weir::cli {
namespace {

struct Options {
  std::vector<std::string> captures;
  std::string wan;
  std::string lan;
  std::vector<std::string> lan_prefixes;
  std::string config;
  std::string model;
  std::string features;
  std::optional<std::uint32_t> workers;
  std::optional<std::uint32_t> channels;
  bool json = false;
};

constexpr const char* kExamples =
    "  weir replay flood.pcapng\n"
    "  weir replay --wan outside.pcap --lan inside.pcap --workers 2 --json\n"
    "  weir replay office.pcap --lan-prefix 198.51.100.0/24 --features rows.csv\n";

Result<std::vector<pipeline::ReplayInput>> inputs(const Options& options) {
  std::vector<pipeline::ReplayInput> found;
  for (const std::string& path : options.captures) found.push_back({path, std::nullopt});
  if (!options.wan.empty()) found.push_back({options.wan, Side::wan});
  if (!options.lan.empty()) found.push_back({options.lan, Side::lan});
  if (found.empty())
    return fail(
        "no capture was given: name one, or one a side with --wan and --lan "
        "(weir replay --help)");
  return found;
}

/// The configuration, with what the command line changes of it.
Result<pipeline::ReplayConfig> replay_config(const Options& options,
                                             const control::Config& config) {
  pipeline::ReplayConfig replay;
  replay.datapath = config.datapath;
  replay.tables = config.tables;
  replay.policy = config.policy;
  replay.engine = config.engine;
  replay.engine.worker_cpus.clear();  // those of another machine, perhaps
  if (options.workers) replay.engine.workers = *options.workers;
  if (options.channels) replay.channels = *options.channels;
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
  if (!options.features.empty()) replay.extract = pipeline::Extract::all_features;
  return replay;
}

/// The model of the command line, else of the configuration. Features can be had without any.
Result<std::optional<forest::Model>> model(const Options& options, const control::Config& config) {
  const std::string& path = options.model.empty() ? config.model_path : options.model;
  auto loaded = forest::load_model(path);
  if (loaded) return std::optional<forest::Model>(std::move(*loaded));
  if (!options.features.empty() && options.model.empty() && options.config.empty())
    return std::optional<forest::Model>();
  if (options.model.empty())
    return fail(fmt::format("{}; name a model with --model", loaded.error().message));
  return tl::unexpected<Error>(std::move(loaded).error());
}

Status replay(const Options& options) {
  WEIR_ASSIGN(const auto files, inputs(options));
  WEIR_ASSIGN(const control::Config config,
              options.config.empty()
                  ? Result<control::Config>(control::default_config())
                  : control::load_config(options.config, control::Purpose::replay));
  WEIR_ASSIGN(const auto settings, replay_config(options, config));
  WEIR_ASSIGN(auto source, pipeline::ReplaySource::open(files));
  WEIR_ASSIGN(const auto forest, model(options, config));
  WEIR_ASSIGN(auto run, pipeline::Replay::make(settings, forest ? &*forest : nullptr));
  std::unique_ptr<FeatureWriter> features;
  pipeline::ReplayObserver observer;
  if (!options.features.empty()) {
    WEIR_ASSIGN(features, FeatureWriter::create(options.features));
    observer = [&features](const pipeline::Batch& batch,
                           const std::vector<pipeline::LabelTally>& labels,
                           std::span<const std::int32_t> label_of) {
      features->write(batch, labels, label_of);
    };
  }
  WEIR_ASSIGN(const auto report, run->run(source, observer));
  if (features) WEIR_TRY(features->close());
  if (!forest) fmt::print(stderr, "weir: no model at {}: every score is 0\n", config.model_path);
  const ReplaySetting setting{settings.engine.workers, settings.channels,
                              forest ? forest->name : std::string()};
  fmt::print("{}", options.json ? replay_json(report, setting) : replay_text(report, setting));
  return {};
}

}  // namespace

void add_replay(Command app, Run& run) {
  const auto options = std::make_shared<Options>();
  Command command = app.add_subcommand(
      "replay", "Judge captures (pcap, pcapng) as weir would have judged them live");
  command.add_option("captures", options->captures, "Captures, merged by time")
      .type_name("CAPTURE");
  command.add_option("--wan", options->wan, "A capture of what came in by the WAN interface")
      .type_name("FILE");
  command.add_option("--lan", options->lan, "A capture of what came in by the LAN interface")
      .type_name("FILE");
  command
      .add_option("--lan-prefix", options->lan_prefixes,
                  "Sources that are on the LAN, where a capture does not say so by interfaces "
                  "named wan and lan (default: the private and link-local ranges)")
      .type_name("PREFIX")
      .allow_extra_args(false)  // else a capture behind it would be taken for a prefix
      .delimiter(',');
  command.add_option("-c,--config", options->config, "Configuration (default: every key's default)")
      .type_name("FILE");
  command.add_option("-m,--model", options->model, "Model, instead of the configuration's")
      .type_name("FILE");
  command.add_option("-w,--workers", options->workers, "Threads that judge; 0: the reading one")
      .type_name("N");
  command.add_option("--channels", options->channels, "Channels that batches are dealt to")
      .type_name("N");
  command
      .add_option("--features", options->features,
                  "Write every feature of every judged packet to this CSV file; needs no model")
      .type_name("FILE");
  command.add_flag("--json", options->json, "Print one JSON object");
  command.footer(help_footer(kExamples, {kOk, kBadInput}));
  command.callback([options, &run] {
    run = [options] {
      if (auto status = replay(*options); !status) return report(status.error(), kBadInput);
      return static_cast<int>(kOk);
    };
  });
}

}  // namespace weir::cli
