// SPDX-License-Identifier: BSD-2-Clause
#include "cli/replay.h"

#include <fmt/format.h>

#include <memory>
#include <optional>

#include "cli/output_file.h"
#include "cli/progress.h"
#include "cli/replay_compare.h"
#include "cli/replay_features.h"
#include "cli/replay_files.h"
#include "cli/replay_live.h"
#include "cli/replay_plot.h"
#include "cli/replay_report.h"
#include "cli/replay_setup.h"
#include "cli/replay_sweep.h"
#include "cli/report_text.h"
#include "control/report.h"
#include "pipeline/replay.h"

namespace weir::cli {
namespace {

struct ReplayCommandOptions {
  std::vector<std::string> captures;
  std::string wan;
  std::string lan;
  ReplayOptions replay;
  std::string features;
  std::optional<std::uint32_t> workers;
  std::optional<std::uint32_t> channels;
  std::uint32_t loops = 1;
  std::uint32_t repeat = 0;
  double rate = 0;
  double speed = 0;
  std::string sweep;
  std::string write_forwarded;
  std::string write_dropped;
  std::string plot;
  std::string compare;
  std::string header_features;
  PortOptions live;
  bool report = false;
  bool json = false;
};

constexpr const char* kReplayExamples =
    "  weir replay flood.pcapng\n"
    "  weir replay --wan outside.pcap --lan inside.pcap --workers 2 --json\n"
    "  weir replay office.pcap --lan-prefix 198.51.100.0/24 --features rows.csv\n"
    "  weir replay flood.pcap.zst --write-dropped dropped.pcapng --plot flood.html\n"
    "  weir replay flood.pcapng --sweep workers=0,1,2,4\n"
    "  weir replay flood.pcapng --speed 1x\n"
    "  weir replay office.pcap --screen screen.json\n"
    "  weir replay office.pcap --header-features rows.csv\n"
    "  weir replay office.pcap --model tree.json --compare skx\n"
    "  weir replay flood.pcapng --live eth0 --rate 100000\n";

constexpr std::uint32_t kSweepRounds = 5;

Result<std::vector<pipeline::ReplayInput>> inputs(const ReplayCommandOptions& options) {
  std::vector<pipeline::ReplayInput> found;
  for (const std::string& path : options.captures) found.push_back({path, std::nullopt});
  if (!options.wan.empty()) found.push_back({options.wan, Side::wan});
  if (!options.lan.empty()) found.push_back({options.lan, Side::lan});
  for (std::size_t i = 0; i < found.size(); ++i)
    for (std::size_t j = 0; j < i; ++j)
      if (is_same_file(found[i].path, found[j].path))
        return fail(
            fmt::format("'{}' is given twice; --loops reads captures again", found[i].path));
  if (found.empty())
    return fail(
        "no capture was given: name one, or one a side with --wan and --lan "
        "(weir replay --help)");
  return found;
}

/// What a replay needs, whatever is done with it.
struct ReplayReady {
  std::vector<pipeline::ReplayInput> files;
  pipeline::ReplayConfig settings;
  std::optional<forest::Model> model;
  std::string screen;
};

Result<ReplayReady> prepare(const ReplayCommandOptions& options) {
  ReplayReady ready;
  WEIR_ASSIGN(ready.files, inputs(options));
  ReplayOptions wanted = options.replay;
  wanted.model_optional = wanted.all_features = !options.features.empty();
  WEIR_ASSIGN(ReplaySetup setup, set_up_replay(wanted));
  ready.settings = std::move(setup.replay);
  ready.model = std::move(setup.model);
  ready.screen = std::move(setup.screen);
  if (options.workers) ready.settings.engine.workers = *options.workers;
  if (options.channels) ready.settings.channels = *options.channels;
  ready.settings.loops = options.loops;
  ready.settings.pace = {options.rate, options.speed};
  if (!ready.model)
    fmt::print(stderr, "weir: no model at {}: every score is 0\n", setup.model_path);
  return ready;
}

Result<pipeline::ReplayReport> run(const ReplayReady& ready, const pipeline::ReplayConfig& settings,
                                   const pipeline::ReplayWatch& watch) {
  WEIR_ASSIGN(auto source, pipeline::ReplaySource::open(ready.files));
  WEIR_ASSIGN(auto replay, pipeline::Replay::make(settings, ready.model ? &*ready.model : nullptr));
  return replay->run(source, watch);
}

Status once(const ReplayCommandOptions& options, const ReplayReady& ready) {
  Progress progress("weir replay");
  pipeline::ReplayWatch watch;
  watch.progress = [&progress](double fraction) { progress.show(fraction); };
  std::unique_ptr<FeatureWriter> features;
  if (!options.features.empty()) {
    WEIR_ASSIGN(features, FeatureWriter::create(options.features));
    watch.batch = [&features](const pipeline::Batch& batch,
                              const std::vector<pipeline::LabelTally>& labels,
                              std::span<const std::int32_t> label_of) {
      features->write(batch, labels, label_of);
    };
  }
  std::unique_ptr<VerdictFiles> verdicts;
  if (!options.write_forwarded.empty() || !options.write_dropped.empty()) {
    WEIR_ASSIGN(verdicts, VerdictFiles::create(options.write_forwarded, options.write_dropped));
    watch.packet = [&verdicts](const pipeline::JudgedPacket& packet) { verdicts->write(packet); };
  }
  WEIR_ASSIGN(const auto report, run(ready, ready.settings, watch));
  if (features) WEIR_TRY(features->close());
  if (verdicts) WEIR_TRY(verdicts->close());
  const ReplaySetting setting{ready.settings.engine.workers, ready.settings.channels,
                              ready.model ? ready.model->name : std::string(), ready.screen,
                              memory_bytes()};
  if (!options.plot.empty()) WEIR_TRY(write_plot(options.plot, report));
  control::Json dropped;
  if (options.report)
    dropped = control::report_document({.ledger = report.ledger->snapshot(),
                                        .blocks = report.blocks_standing,
                                        .shadow = ready.settings.policy.shadow,
                                        .since = report.first,
                                        .now = report.last});
  if (options.json) {
    fmt::print("{}", replay_json(report, setting, options.report ? &dropped : nullptr));
    return {};
  }
  fmt::print("{}", replay_text(report, setting));
  if (options.report) fmt::print("\n{}", report_text(dropped));
  return {};
}

Status several(const ReplayCommandOptions& options, const ReplayReady& ready) {
  Sweep values{{}, {0}};
  if (!options.sweep.empty()) {
    WEIR_ASSIGN(values, parse_sweep(options.sweep));
    if ((values.setting == "workers" && options.workers) ||
        (values.setting == "channels" && options.channels))
      return fail(
          fmt::format("--sweep sets {0}, and --{0} does; leave one of them out", values.setting));
  }
  const std::uint32_t rounds = options.repeat == 0 ? kSweepRounds : options.repeat;
  const double runs = static_cast<double>(rounds) * static_cast<double>(values.values.size());
  Progress progress("weir replay");
  double done = 0;
  pipeline::ReplayWatch watch;
  watch.progress = [&](double fraction) { progress.show((done + fraction) / runs); };
  WEIR_ASSIGN(const SweepResult result,
              sweep(values, rounds,
                    [&](std::uint32_t value, std::uint32_t) -> Result<pipeline::ReplayReport> {
                      pipeline::ReplayConfig settings = ready.settings;
                      apply(values.setting, value, settings);
                      auto report = run(ready, settings, watch);
                      ++done;
                      return report;
                    }));
  fmt::print("{}", options.json ? sweep_json(result) : sweep_text(result));
  return {};
}

/// What judges or reads each packet by itself.
Status by_headers(const ReplayCommandOptions& options) {
  CompareOptions wanted{{}, options.features, options.json};
  WEIR_ASSIGN(wanted.captures, inputs(options));
  if (!options.header_features.empty()) {
    wanted.features = options.header_features;
    return write_header_rows(wanted);
  }
  WEIR_ASSIGN(const ReplaySetup setup, set_up_replay(options.replay));
  return compare_skx(wanted, *setup.model);
}

Status spares_what_it_reads(const ReplayCommandOptions& options) {
  const OutputFile outputs[] = {{"--features", options.features},
                                {"--write-forwarded", options.write_forwarded},
                                {"--write-dropped", options.write_dropped},
                                {"--plot", options.plot},
                                {"--header-features", options.header_features}};
  std::vector<std::string> inputs = options.captures;
  for (const std::string& input : {options.wan, options.lan, options.replay.model,
                                   options.replay.config, options.replay.screen})
    inputs.push_back(input);
  return keeps_inputs(outputs, inputs);
}

Status replay(const ReplayCommandOptions& options) {
  WEIR_TRY(spares_what_it_reads(options));
  if (!options.compare.empty() || !options.header_features.empty()) return by_headers(options);
  if (!options.live.port.empty()) {
    WEIR_ASSIGN(auto captures, inputs(options));
    return play_live({.captures = std::move(captures),
                      .port = options.live,
                      .pace = {options.rate, options.speed},
                      .loops = options.loops,
                      .json = options.json});
  }
  WEIR_ASSIGN(const ReplayReady ready, prepare(options));
  return options.repeat > 0 || !options.sweep.empty() ? several(options, ready)
                                                      : once(options, ready);
}

/// A replay judges; three options have it do something else, and two do it again and again.
std::vector<OptionRule> rules() {
  const std::vector<std::string> whole = {
      "--lan-prefix", "--screen", "--screen-ssdp",     "--workers",       "--channels", "--repeat",
      "--sweep",      "--report", "--write-forwarded", "--write-dropped", "--plot"};
  const auto and_more = [&](std::initializer_list<const char*> more) {
    std::vector<std::string> all = whole;
    all.insert(all.end(), more.begin(), more.end());
    return all;
  };
  const std::vector<std::string> kept = {"--features", "--write-forwarded", "--write-dropped",
                                         "--plot", "--report"};
  std::vector<OptionRule> table = {
      excludes("--live",
               and_more({"--config", "--model", "--features", "--compare", "--header-features"}),
               "it sends, and judges nothing"),
      excludes("--header-features",
               and_more({"--loops", "--rate", "--speed", "--config", "--model", "--features",
                         "--compare"}),
               "it writes the headers of each packet, and judges nothing"),
      excludes("--compare", and_more({"--loops", "--rate", "--speed"}),
               "it judges each packet by its headers alone"),
      excludes("--repeat", kept, "it measures, and keeps nothing of what it judged"),
      excludes("--sweep", kept, "it measures, and keeps nothing of what it judged"),
      excludes("--rate", {"--speed"}, "both set the pace"),
      needs("--dpdk", {"--live"})};
  for (OptionRule& rule : port_rules()) table.push_back(std::move(rule));
  return table;
}

}  // namespace

void add_replay(Command app, Run& run) {
  const auto options = std::make_shared<ReplayCommandOptions>();
  Command command = app.add_subcommand(
      "replay", "Judge captures (pcap, pcapng) as weir would have judged them live");
  command.add_option("captures", options->captures, "Captures, merged by time")
      .type_name("CAPTURE");
  command.add_option("--wan", options->wan, "A capture of what came in by the WAN interface")
      .type_name("FILE");
  command.add_option("--lan", options->lan, "A capture of what came in by the LAN interface")
      .type_name("FILE");
  add_replay_options(command, options->replay);
  command.add_option("-w,--workers", options->workers, "Threads that judge; 0: the reading one")
      .type_name("N");
  command.add_option("--channels", options->channels, "Channels that batches are dealt to")
      .type_name("N");
  command
      .add_option("--features", options->features,
                  "Write every feature of every judged packet to this CSV file; needs no model")
      .type_name("FILE");
  command
      .add_option("--loops", options->loops,
                  "Read the captures so often in one replay, on and on in time")
      .type_name("N")
      .range(1, 1e9);
  command.add_option("--rate", options->rate, "Packets a second at most (default: no limit)")
      .type_name("PPS")
      .positive();
  command
      .add_option(
          "--speed", options->speed,
          "Times as fast as it was captured: 1x is the capture's own pace (default: no limit)")
      .type_name("X")
      .unit('x')
      .positive();
  command
      .add_option("--repeat", options->repeat, "Replay so often, each time anew; print the medians")
      .type_name("N")
      .range(1, 1e6);
  command
      .add_option("--sweep", options->sweep,
                  "Replay with each value of workers, channels or batch, 5 rounds or --repeat N; "
                  "print the medians side by side")
      .type_name("workers=0,1,2");
  command
      .add_option("--write-forwarded", options->write_forwarded,
                  "Write what is forwarded to this pcapng file, with reasons as packet comments")
      .type_name("FILE");
  command
      .add_option("--write-dropped", options->write_dropped,
                  "Write what is dropped to this pcapng file, with reasons as packet comments")
      .type_name("FILE");
  command
      .add_option("--plot", options->plot,
                  "Draw packets, drops and blocks over time into this HTML file")
      .type_name("FILE");
  command
      .add_option("--header-features", options->header_features,
                  "Judge nothing: write the header features of every IP packet to this CSV file, "
                  "to train on; needs no model")
      .type_name("FILE");
  command
      .add_option("--compare", options->compare,
                  "Judge every IP packet by its headers alone, exactly and as SkimXDP would, and "
                  "say where they differ and why; --features then writes both readings")
      .type_name("WITH")
      .one_of({"skx"});
  command
      .add_option("--live", options->live.port,
                  "Judge nothing: send the captures out of this interface, at --rate or --speed")
      .type_name("INTERFACE");
  add_port_options(command, options->live);
  command.add_flag("--report", options->report,
                   "Add what was dropped, by rule and source, as weir report does live");
  command.add_flag("--json", options->json, "Print one JSON object");
  command.footer(help_footer(kReplayExamples, {kOk, kBadInput}));
  command.callback(
      [options, &run] {
        run = [options] {
          if (auto status = replay(*options); !status) return report(status.error(), kBadInput);
          return static_cast<int>(kOk);
        };
      },
      rules());
}

}  // namespace weir::cli
