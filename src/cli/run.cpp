// SPDX-License-Identifier: BSD-2-Clause
#include <fmt/format.h>

#include <memory>

#include "cli/commands.h"
#include "cli/daemon.h"
#include "cli/replay_setup.h"
#include "control/service.h"

namespace weir::cli {
namespace {

struct RunOptions {
  std::string file, screen;
  bool screen_ssdp = false;
  control::HostOptions host;
};

Result<control::Config> config_of(const RunOptions& options) {
  const control::HostOptions& host = options.host;
  if (!host.interface.empty()) return control::host_config(host);
  WEIR_ASSIGN(control::Config config,
              control::load_config(options.file.empty() ? kDefaultConfig : options.file,
                                   control::Purpose::run));
  if (!host.model.empty()) config.model_path = host.model;
  return config;
}

int run_appliance(const RunOptions& options) {
  auto config = config_of(options);
  if (!config) return report(config.error(), kBadInput);
  if (const auto named = control::name_screen(*config, options.screen, options.screen_ssdp); !named)
    return report(named.error(), kBadInput);
  const auto ran = control::run_service(*config);
  if (!ran) return report(Error{ran.error().message}, status_of(ran.error().kind));
  return kOk;
}

/// One line of what is gone.
void print_detached(const control::Detached& found, const std::string& pins, bool dpdk,
                    bool keep_blocks) {
  std::string line =
      found.stopped != 0 ? fmt::format("weir, process {}, has stopped", found.stopped)
      : found.attached   ? std::string("the program that a weir left on its interfaces is off")
                         : std::string("no weir ran or was attached");
  if (!dpdk && keep_blocks)
    line += fmt::format("; block- and allowlist stay in {} for the next start", pins);
  else if (!dpdk)
    line += fmt::format("; nothing of it is left in {}", pins);
  fmt::print("{}\n", line);
}

int detach(const Target& target, bool keep_blocks) {
  const auto config = load_target(target);
  if (!config) return report(config.error());
  const auto detached = control::detach_all(*config, keep_blocks);
  if (!detached) return report(Error{detached.error().message}, status_of(detached.error().kind));
  const std::string& pins = config->kernel.pin_directory;
  if (!detached->nothing()) {
    print_detached(*detached, pins, config->dpdk, keep_blocks);
    return kOk;
  }
  return report(
      Error{config->dpdk ? "nothing to detach: no weir runs"
                         : fmt::format("nothing to detach: no weir runs, and none left {} in {}",
                                       keep_blocks ? "a program" : "anything", pins)},
      kNotRunning);
}

}  // namespace

void add_run(Command app, Run& run) {
  auto options = std::make_shared<RunOptions>();
  Command command = app.add_subcommand(
      "run",
      "Be the appliance: attach, forward, judge, block, until SIGTERM. Each new block is a line on "
      "stdout");
  command.add_option("-c,--config", options->file, "Configuration file")
      .default_str(kDefaultConfig);
  command
      .add_option("-i,--interface", options->host.interface,
                  "Look after this interface of this machine (host mode), without a configuration")
      .type_name("NAME");
  command.add_option("-m,--model", options->host.model, "Model, instead of the configuration's")
      .type_name("FILE");
  add_screen_options(command, options->screen, options->screen_ssdp);
  command
      .add_option("--judge", options->host.judge,
                  "With --interface: observe judges copies, guard holds packets back meanwhile "
                  "(default: observe)")
      .one_of({"observe", "guard"});
  command
      .add_option("--ports", options->host.ports,
                  "With --interface: UDP ports to judge, as 1900,5353, or all (default: 1900)")
      .type_name("PORTS");
  command.add_flag("--all-ip", options->host.all_ip,
                   "With --interface: judge every IP packet, TCP too, by a model over headers");
  command.footer(help_footer(
      "  weir run -c weir.toml\n  weir run --interface eth0 --model tree.pmml --ports all\n"
      "  weir run --interface eth0 --model forest.json --ports all --screen tree.json\n",
      {kOk, kFailure, kBadInput, kNotPermitted}));
  command.callback([options, &run] { run = [options] { return run_appliance(*options); }; },
                   {excludes("--interface", {"--config"}, "it is in the place of a configuration"),
                    needs("--judge", {"--interface"}, "in a configuration it is host.judge"),
                    needs("--ports", {"--interface"}, "in a configuration it is steer.udp_ports"),
                    needs("--all-ip", {"--interface"}, "in a configuration it is steer.protocols"),
                    excludes("--all-ip", {"--ports"}, "all of IP is every port too")});
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
