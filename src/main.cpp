// SPDX-License-Identifier: BSD-2-Clause
// The program `weir`: runs the command that its arguments name.
#include <fmt/core.h>

#include <exception>

#include "cli/command.h"
#include "cli/commands.h"
#include "cli/model.h"
#include "cli/replay.h"

namespace {

using weir::cli::Run;

void add_commands(weir::cli::Command app, Run& run) {
  using namespace weir::cli;
  app.footer(help_footer("  weir check -c weir.toml && weir run -c weir.toml\n"
                         "  weir replay capture.pcapng\n",
                         {kOk, kFailure, kBadInput, kNotRunning, kNotPermitted}) +
             "\nEach command has its own help: weir COMMAND --help\n");
  weir::cli::add_run(app, run);
  weir::cli::add_check(app, run);
  weir::cli::add_doctor(app, run);
  weir::cli::add_status(app, run);
  weir::cli::add_reload(app, run);
  weir::cli::add_report(app, run);
  weir::cli::add_why(app, run);
  weir::cli::add_block(app, run);
  weir::cli::add_allow(app, run);
  weir::cli::add_detach(app, run);
  weir::cli::add_replay(app, run);
  weir::cli::add_model(app, run);
  weir::cli::add_kernel_model(app, run);
  weir::cli::add_synth(app, run);
  weir::cli::add_blast(app, run);
  weir::cli::add_version(app, run);
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return weir::cli::run_command_line(
        "weir", "weir: an inline appliance that stops SSDP reflection floods and lets SSDP work",
        argc, argv, add_commands);
  } catch (const std::exception& fault) {  // no module throws: memory is out, or a library's fault
    return weir::cli::report({fmt::format("ended by a fault: {}", fault.what())},
                             weir::cli::kFailure);
  }
}
