// SPDX-License-Identifier: BSD-2-Clause
#include <fmt/format.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "control/config.h"
#include "io/machine.h"

namespace weir::cli {
namespace {

using io::Finding;

struct DoctorOptions {
  std::string config;
  control::HostOptions host;
  std::string wan;
  std::string lan;
  bool json = false;
};

const char* name(Finding::State state) {
  switch (state) {
    case Finding::State::good:
      return "good";
    case Finding::State::slower:
      return "slower";
    case Finding::State::stops:
      return "stops";
  }
  return "";
}

/// Green, yellow, red.
std::string painted(Finding::State state) {
  std::string text = fmt::format("{:<7}", name(state));
  if (!colours()) return text;
  constexpr std::array kColours = {32, 33, 31};
  return fmt::format("\x1b[{}m{}\x1b[0m", kColours[static_cast<std::size_t>(state)], text);
}

/// Defaults, where neither a file nor an interface is named.
Result<control::Config> config_of(const DoctorOptions& options) {
  if (!options.host.interface.empty()) return control::host_config(options.host);
  if (!options.config.empty())
    return control::load_config(options.config, control::Purpose::replay);
  return control::default_config();
}

io::MachineQuestion question_of(const control::Config& config, const DoctorOptions& options) {
  io::MachineQuestion question;
  if (!config.dpdk) question.interfaces = config.kernel.interfaces;
  question.host = config.host;
  question.guards_all_ip = config.guards_all_ip();
  if (!options.wan.empty()) question.interfaces[index(Side::wan)] = options.wan;
  if (!options.lan.empty()) question.interfaces[index(Side::lan)] = options.lan;
  question.channels = config.settings.channels_count;
  question.cpus = config.settings.channels_io_cpus;
  question.cpus.insert(question.cpus.end(), config.settings.workers_cpus.begin(),
                       config.settings.workers_cpus.end());
  if (!options.config.empty() && config.dpdk && options.wan.empty() && options.lan.empty())
    question.devices = config.poll.devices;
  question.hugepages = config.poll.hugepages;
  question.memory_mb = config.poll.memory_mb;
  question.arguments = config.poll.arguments;
  // Packets of 2.25 KiB: those under way, and two rings at least of the devices' four.
  question.channel_mb = (config.poll.frames + 2 * config.poll.ring) / 1024 * 9 / 4;
  question.busy_poll = config.settings.channels_busy_poll;
  question.may_redirect = !config.host && !config.redirect && !config.kernel.generic_only;
  question.tuning = config.tuning;
  question.pin_directory = config.settings.control_pin_directory;
  return question;
}

int doctor(const DoctorOptions& options) {
  const auto config = config_of(options);
  if (!config) return report(config.error(), kBadInput);
  auto findings = io::examine(question_of(*config, options));
  if (!options.config.empty() && options.wan.empty() && options.lan.empty()) {
    const auto runs = control::load_config(options.config, control::Purpose::run);
    if (!runs)
      findings.insert(findings.begin(), {Finding::State::stops, "configuration",
                                         runs.error().message, "see `weir check`"});
  }
  auto json = nlohmann::ordered_json::array();
  bool stops = false;
  for (const Finding& finding : findings) {
    stops = stops || finding.state == Finding::State::stops;
    if (options.json)
      json.push_back({{"state", name(finding.state)},
                      {"subject", finding.subject},
                      {"found", finding.found},
                      {"remedy", finding.remedy}});
    else
      fmt::print("{} {:<22} {}{}{}\n", painted(finding.state), finding.subject, finding.found,
                 finding.remedy.empty() ? "" : "; ", finding.remedy);
  }
  if (options.json) fmt::print("{}\n", json.dump(2));
  return stops ? kFailure : kOk;
}

}  // namespace

void add_doctor(Command app, Run& run) {
  auto options = std::make_shared<DoctorOptions>();
  Command command = app.add_subcommand(
      "doctor", "Look at this machine: what would stop weir or slow it down, and what to change");
  command
      .add_option("-c,--config", options->config,
                  "Configuration: its interfaces or DPDK devices, CPUs, channels")
      .type_name("FILE");
  command
      .add_option("-i,--interface", options->host.interface,
                  "Interface that host mode is to look after, without a configuration")
      .type_name("NAME");
  command
      .add_option("--judge", options->host.judge, "With --interface: as `weir run` is to be told")
      .one_of({"observe", "guard"});
  command.add_flag("--all-ip", options->host.all_ip, "With --interface: the same");
  command.add_option("--wan", options->wan, "Interface on the WAN side").type_name("NAME");
  command.add_option("--lan", options->lan, "Interface on the LAN side").type_name("NAME");
  command.add_flag("-j,--json", options->json, "Answer as JSON, for programs");
  command.footer(
      help_footer("  weir doctor -c weir.toml\n  weir doctor --wan eth0 --lan eth1\n"
                  "  weir doctor --interface eth0 --judge guard --all-ip\n",
                  {kOk, kFailure, kBadInput}));
  command.callback(
      [options, &run] { run = [options] { return doctor(*options); }; },
      {excludes("--interface", {"--config", "--wan", "--lan"},
                "host mode looks after one interface, and asks for no file"),
       needs("--judge", {"--interface"}, "in a configuration it is host.judge"),
       needs("--all-ip", {"--interface"}, "in a configuration it is steer.protocols")});
}

}  // namespace weir::cli
