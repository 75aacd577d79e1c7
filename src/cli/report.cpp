// SPDX-License-Identifier: BSD-2-Clause
#include <fmt/format.h>

#include <memory>

#include "cli/commands.h"
#include "cli/daemon.h"
#include "cli/report_text.h"

namespace weir::cli {
namespace {

struct ReportOptions {
  Target target;
  std::uint64_t sources = 20;
};

int report_command(const ReportOptions& options) {
  const auto config = load_target(options.target);
  if (!config) return report(config.error());
  const auto answer = ask_daemon(*config, {{"verb", "report"}, {"sources", options.sources}});
  if (!answer) return report(answer.error());
  fmt::print("{}", options.target.json ? answer->dump(2) + "\n" : report_text(*answer));
  return kOk;
}

}  // namespace

void add_report(Command app, Run& run) {
  auto options = std::make_shared<ReportOptions>();
  Command command = app.add_subcommand(
      "report", "What was dropped, by rule and source, or in shadow mode would have been");
  add_target(command, options->target);
  command.add_option("-n,--sources", options->sources, "Sources to list, the most packets first")
      .capture_default_str();
  command.footer(
      help_footer("  weir report\n  weir report --json | jq '.rules'\n"
                  "  weir replay capture.pcap --report    (the same of a capture)\n",
                  {kOk, kFailure, kBadInput, kNotRunning, kNotPermitted}));
  command.callback([options, &run] { run = [options] { return report_command(*options); }; });
}

}  // namespace weir::cli
