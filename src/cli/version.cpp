// SPDX-License-Identifier: BSD-2-Clause
#include <fmt/core.h>

#include "../../bpf/abi.h"
#include "cli/commands.h"

namespace weir::cli {

void add_version(Command app, Run& run) {
  Command command = app.add_subcommand("version", "Print weir's version");
  command.footer(help_footer("  weir version\n", {kOk}));
  command.callback([&run] {
    run = [] {
      fmt::print("weir {} (ABI of the kernel's tables: {})\n", WEIR_VERSION, WEIR_ABI_VERSION);
      return static_cast<int>(kOk);
    };
  });
}

}  // namespace weir::cli
