// SPDX-License-Identifier: BSD-2-Clause
#include <fmt/format.h>

#include "../../bpf/abi.h"
#include "cli/commands.h"

namespace weir::cli {

void add_version(Command app, Run& run) {
  const std::string text =
      fmt::format("weir {} (ABI of the kernel's tables: {})", WEIR_VERSION, WEIR_ABI_VERSION);
  app.version(text);
  Command command = app.add_subcommand("version", "Print weir's version");
  command.footer(help_footer("  weir version\n", {kOk}));
  command.callback([text, &run] {
    run = [text] {
      fmt::print("{}\n", text);
      return static_cast<int>(kOk);
    };
  });
}

}  // namespace weir::cli
