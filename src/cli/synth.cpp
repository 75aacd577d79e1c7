// SPDX-License-Identifier: BSD-2-Clause
#include "synth/synth.h"

#include <fmt/format.h>

#include <map>
#include <memory>

#include "cli/commands.h"
#include "cli/daemon.h"
#include "synth/profiles.h"

namespace weir::cli {
namespace {

struct SynthOptions {
  synth::Options synth;
  std::string out;
  std::string lan;
  bool list = false;
  bool json = false;
};

constexpr const char* kSynthExamples =
    "  weir synth -o day.pcapng\n"
    "  weir synth --scenario discovery --scenario reflection --seed 7 -o flood.pcapng\n"
    "  weir synth --list\n";

int list() {
  std::vector<std::vector<std::string>> rows{{"SCENARIO", "KIND", "WHAT IT IS"}};
  for (const auto& scenario : synth::scenarios()) {
    rows.push_back({scenario.name, scenario.attack ? "attack" : "benign", scenario.help});
  }
  fmt::print("{}\n", columns(rows, {false, false, false}));
  rows = {{"DEVICE", "FAMILY", "SERVER"}};
  for (const auto& p : synth::all_profiles()) rows.push_back({p.name, p.family, p.server});
  fmt::print("{}\n", columns(rows, {false, false, false}));
  rows = {{"CONTROL POINT", "FAMILY", "ASKS FOR"}};
  for (const auto& c : synth::all_controllers()) rows.push_back({c.name, c.family, c.targets});
  fmt::print("{}", columns(rows, {false, false, false}));
  return kOk;
}

int synthesize(SynthOptions options) {
  if (options.list) return list();
  if (options.out.empty()) {
    return report(Error{"no file was named; give one by -o, as -o flood.pcapng"}, kBadInput);
  }
  if (!options.lan.empty()) {
    const auto lan = Prefix::parse(options.lan);
    if (!lan) return report(Error{"--lan-prefix: " + lan.error().message}, kBadInput);
    options.synth.lan = *lan;
  }
  const auto format =
      options.out.ends_with(".pcap") ? io::CaptureFormat::pcap : io::CaptureFormat::pcapng;
  const auto written = synth::write(options.synth, options.out, format);
  if (!written) return report(written.error(), kBadInput);
  if (written->packets == 0) {
    fmt::print(stderr,
               "weir: warning: {} has no packet: none falls into {} s; attacks begin at second {} "
               "(--attack-after)\n",
               options.out, options.synth.seconds, options.synth.attack_after_s);
  }
  if (options.json) {
    fmt::print(
        "{{\"file\": {}, \"packets\": {}, \"attack_packets\": {}}}\n",
        control::Json(options.out).dump(-1, ' ', false, control::Json::error_handler_t::replace),
        written->packets, written->attack_packets);
  } else {
    fmt::print("{}: {} packets, {} of them of attacks\n", options.out, written->packets,
               written->attack_packets);
  }
  return kOk;
}

void add_options(Command command, SynthOptions& options) {
  auto& synth = options.synth;
  std::vector<std::string> names;
  for (const auto& scenario : synth::scenarios()) names.emplace_back(scenario.name);
  command.add_option("-o,--output", options.out, "File to write; .pcap: classic, else pcapng");
  command.add_flag("--list", options.list, "Print the scenarios, devices and control points");
  command.add_option("--scenario", synth.scenarios, "Scenario; may be given several times")
      .one_of(names)
      .capture_default_str();
  command.add_option("--seed", synth.seed, "The same seed gives the same bytes")
      .capture_default_str();
  command.add_option("--seconds", synth.seconds, "Length in packet time")
      .positive()
      .capture_default_str();
  command.add_option("--packets", synth.packets, "Stop after so many; 0: only time ends it")
      .capture_default_str();
  command.add_option("--rate", synth.rate_pps, "Packets a second of each attack")
      .positive()
      .capture_default_str();
  command
      .add_option("--attack-share", synth.attack_share,
                  "At most this share of all packets are an attack's; 0: no limit")
      .range(0, 1)
      .capture_default_str();
  command.add_option("--attack-after", synth.attack_after_s, "Second in which attacks begin")
      .not_negative()
      .capture_default_str();
  command.add_option("--attackers", synth.attackers, "Sources of each attack")
      .capture_default_str();
  command.add_option("--devices", synth.devices_a_side, "UPnP devices on each side")
      .capture_default_str();
  command.add_option("--searchers", synth.searchers_a_side, "Control points on each side")
      .capture_default_str();
  command.add_option("--lan-prefix", options.lan, "IPv4 prefix of the LAN, /8 to /28")
      .default_str("192.168.1.0/24");
  command.add_flag("--ipv6", synth.ipv6, "IPv6 throughout");
  const std::map<std::string, synth::Encapsulation> encapsulations{
      {"none", synth::Encapsulation::none},
      {"vlan", synth::Encapsulation::vlan},
      {"qinq", synth::Encapsulation::qinq},
      {"pppoe", synth::Encapsulation::pppoe}};
  command.add_choice("--encapsulation", encapsulations, synth.encapsulation,
                     "none, vlan, qinq or pppoe");
  command
      .add_option("--only", synth.only,
                  "Device, control point or family of them that exists (default: all); repeat it")
      .type_name("NAME")
      .allow_extra_args(false);
  command.add_option("--without", synth.without, "Device, control point or family that does not")
      .type_name("NAME")
      .allow_extra_args(false);
  command.add_flag("-j,--json", options.json, "Answer as JSON, for programs");
}

}  // namespace

void add_synth(Command app, Run& run) {
  auto options = std::make_shared<SynthOptions>();
  Command command = app.add_subcommand("synth", "Write labelled traffic as a capture");
  add_options(command, *options);
  command.footer(help_footer(kSynthExamples, {kOk, kBadInput}));
  command.callback(
      [options, &run] { run = [options] { return synthesize(*options); }; },
      {excludes("--list",
                {"--output", "--json", "--scenario", "--seed", "--seconds", "--packets", "--rate",
                 "--attack-share", "--attack-after", "--attackers", "--devices", "--searchers",
                 "--lan-prefix", "--ipv6", "--encapsulation", "--only", "--without"},
                "it prints what there is, and writes nothing")});
}

}  // namespace weir::cli
