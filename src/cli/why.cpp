// SPDX-License-Identifier: BSD-2-Clause
#include <fmt/format.h>

#include <charconv>
#include <memory>
#include <optional>

#include "cli/commands.h"
#include "cli/daemon.h"
#include "cli/replay_setup.h"
#include "cli/report_text.h"
#include "control/why.h"
#include "pipeline/replay.h"

namespace weir::cli {
namespace {

using control::Json;

struct WhyOptions {
  Target target;
  ReplayOptions replay;  // its config is the target's
  std::string what;      // ADDRESS or CAPTURE#N
  std::string capture;
  std::uint64_t trees = 3;
};

/// CAPTURE#N, with N from 1 on as packet analysers count.
struct PacketOf {
  std::string capture;
  std::uint64_t number = 0;
};

std::optional<PacketOf> parse_packet(const std::string& text) {
  const auto hash = text.rfind('#');
  if (hash == std::string::npos || hash == 0) return std::nullopt;
  PacketOf packet{text.substr(0, hash), 0};
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data() + hash + 1, end, packet.number);
  if (error != std::errc{} || stop != end || packet.number == 0) return std::nullopt;
  return packet;
}

std::vector<std::string> all_feature_names() {
  std::vector<std::string> names;
  for (const auto& info : detect::all_features()) names.emplace_back(info.name);
  return names;
}

/// What became of one packet, judged or not.
struct Ended {
  Address source, destination;
  PacketTime time;
  bool dropped = false;
  std::string by, reason;
};

Ended ended(const pipeline::JudgedPacket& packet) {
  Ended end;
  const std::span<const std::uint8_t> bytes(packet.captured.bytes);
  const packet::Headers headers = packet::parse(bytes);
  end.source = packet::source(bytes, headers);
  end.destination = packet::destination(bytes, headers);
  end.time = packet.captured.time;
  end.dropped = packet.verdict == Verdict::drop;
  end.by = packet.by;
  end.reason = packet.reason;
  return end;
}

/// A replay with what explanations need, and what it said of one packet.
struct Replayed {
  ReplaySetup setup;
  pipeline::ReplayReport report;
  std::optional<detect::Evidence> packet;
  std::optional<Ended> ended;
};

Result<Replayed> replay(const WhyOptions& options, const std::string& capture,
                        std::optional<std::uint64_t> number) {
  ReplayOptions wanted = options.replay;
  wanted.all_features = true;
  wanted.model_optional = true;
  Replayed done;
  WEIR_ASSIGN(done.setup, set_up_replay(wanted));
  WEIR_ASSIGN(auto source, pipeline::ReplaySource::open({{capture, std::nullopt}}));
  WEIR_ASSIGN(auto run, pipeline::Replay::make(done.setup.replay,
                                               done.setup.model ? &*done.setup.model : nullptr));
  pipeline::ReplayWatch watch;
  watch.batch = [&](const pipeline::Batch& batch, const std::vector<pipeline::LabelTally>&,
                    std::span<const std::int32_t>) {
    for (std::size_t i = 0; number && i < batch.size; ++i) {
      if (batch.frames[i].number != *number) continue;
      detect::Evidence evidence{batch.contexts[i].source, batch.contexts[i], batch.decisions[i],
                                batch.scores[i],          *number,           {}};
      for (const float* column : batch.columns) evidence.row.push_back(column[i]);
      done.packet = std::move(evidence);
    }
  };
  std::uint64_t seen = 0;
  if (number)
    watch.packet = [&](const pipeline::JudgedPacket& packet) {
      if (seen++ == *number) done.ended = ended(packet);
    };
  WEIR_ASSIGN(done.report, run->run(source, watch));
  return done;
}

control::WhySources sources_of(const Replayed& done, const WhyOptions& options) {
  return {.model = done.setup.model ? &*done.setup.model : nullptr,
          .columns = all_feature_names(),
          .threshold = done.setup.replay.policy.threshold,
          .shadow = done.setup.replay.policy.shadow,
          .score_alone = done.setup.replay.policy.score_alone,
          .trees = options.trees};
}

std::string outcome_help(const std::string& name) {
#define WEIR_OUTCOME_HELP(number, name_, effect, help) \
  if (name == #name_) return help;
  WEIR_OUTCOMES(WEIR_OUTCOME_HELP)
#undef WEIR_OUTCOME_HELP
  return {};
}

Result<Json> why_in_capture(const WhyOptions& options, const PacketOf& asked) {
  WEIR_ASSIGN(const Replayed done, replay(options, asked.capture, asked.number - 1));
  const auto from = sources_of(done, options);
  if (!done.ended)
    return fail(fmt::format("{} has {} packets: number {} is not there", asked.capture,
                            done.report.packets, asked.number));
  const Ended& end = *done.ended;
  Json json;
  // What a block did is explained by the block.
  const auto because = [&](const Address& address) {
    Json block = control::why_address(from, address, *done.report.ledger, end.time);
    if (block.contains("rule")) json["because"] = std::move(block);
  };
  if (!done.packet) {
    json["verdict"] =
        fmt::format("packet {} was {} by the datapath: {} ({})", asked.number,
                    end.dropped ? "dropped" : "forwarded", end.reason, outcome_help(end.reason));
    json["outcome"] = end.reason;
    if (end.dropped) because(end.reason == "drop_block_victim" ? end.destination : end.source);
    return json;
  }
  json["verdict"] =
      fmt::format("packet {} was {}", asked.number, end.dropped ? "dropped" : "forwarded");
  json.update(control::why_packet(from, *done.packet));
  const auto rule = done.packet->decision.rule;
  if (rule == detect::Reason::blocked || rule == detect::Reason::network) because(end.source);
  if (rule == detect::Reason::victim) because(end.destination);
  return json;
}

Result<Json> why_replayed(const WhyOptions& options) {
  WEIR_ASSIGN(const Address address, Address::parse(options.what));
  WEIR_ASSIGN(const Replayed done, replay(options, options.capture, std::nullopt));
  return control::why_address(sources_of(done, options), address, *done.report.ledger,
                              done.report.last);
}

int print(const Json& json, const WhyOptions& options) {
  fmt::print("{}", options.target.json
                       ? json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n"
                       : why_text(json));
  return kOk;
}

/// What would have no effect on the way that WHAT and --replay choose.
Status check_way(const WhyOptions& options) {
  const bool packet = parse_packet(options.what).has_value();
  if (packet && !options.capture.empty())
    return fail(fmt::format("'{}' names its capture, and --replay another; leave one of them out",
                            options.what));
  if (packet || !options.capture.empty()) {
    if (options.target.socket.empty()) return {};
    return fail("--control-socket has no effect on a replay, which no running weir is asked about");
  }
  const ReplayOptions& replay = options.replay;
  for (const auto& [name, given] : {std::pair{"--lan-prefix", !replay.lan_prefixes.empty()},
                                    {"--model", !replay.model.empty()},
                                    {"--screen", !replay.screen.empty()},
                                    {"--screen-ssdp", replay.screen_ssdp}})
    if (given)
      return fail(
          fmt::format("{} has no effect without a replay: name a packet as CAPTURE#N, or a "
                      "capture by --replay",
                      name));
  return {};
}

int why(const WhyOptions& options) {
  if (const auto way = check_way(options); !way) return report(way.error(), kBadInput);
  if (const auto packet = parse_packet(options.what)) {
    const auto json = why_in_capture(options, *packet);
    return json ? print(*json, options) : report(json.error(), kBadInput);
  }
  if (!options.capture.empty()) {
    const auto json = why_replayed(options);
    return json ? print(*json, options) : report(json.error(), kBadInput);
  }
  if (const auto address = Address::parse(options.what); !address)
    return report({fmt::format("{}, and no packet of a capture either: name one as "
                               "flood.pcapng#17",
                               address.error().message)},
                  kBadInput);
  const auto config = load_target(options.target);
  if (!config) return report(config.error());
  const auto answer =
      ask_daemon(*config, {{"verb", "why"}, {"address", options.what}, {"trees", options.trees}});
  if (!answer) return report(answer.error());
  return print(*answer, options);
}

}  // namespace

void add_why(Command app, Run& run) {
  auto options = std::make_shared<WhyOptions>();
  Command command = app.add_subcommand(
      "why", "Why an address is blocked, or a packet of a capture got its verdict");
  command.add_option("WHAT", options->what, "An address, or CAPTURE#N: packet N, from 1 on")
      .required();
  command
      .add_option("--replay", options->capture,
                  "Ask a replay of this capture about the address, not the running weir")
      .type_name("CAPTURE");
  command
      .add_option("--lan-prefix", options->replay.lan_prefixes,
                  "In a replay: sources that are on the LAN")
      .type_name("PREFIX")
      .allow_extra_args(false)
      .delimiter(',');
  command.add_option("-m,--model", options->replay.model, "In a replay: the model")
      .type_name("FILE");
  add_screen_options(command, options->replay.screen, options->replay.screen_ssdp);
  command.add_option("--trees", options->trees, "Trees whose paths are told, the strongest first")
      .capture_default_str();
  add_target(command, options->target);
  command.footer(
      help_footer("  weir why 203.0.113.7\n  weir why flood.pcapng#1200\n"
                  "  weir why 203.0.113.7 --replay flood.pcapng --json\n",
                  {kOk, kFailure, kBadInput, kNotRunning, kNotPermitted}));
  command.callback([options, command, &run] {
    // Where none is named, a replay has every key at its default, whatever a weir here runs with.
    if (command.is_given("--config")) options->replay.config = options->target.config;
    run = [options] { return why(*options); };
  });
}

}  // namespace weir::cli
