// SPDX-License-Identifier: BSD-2-Clause
/// The commands that run a weir, talk to a running one, look at its configuration, or make
/// captures.
#pragma once

#include "cli/command.h"

namespace weir::cli {

void add_allow(CLI::App& app, Run& run);
void add_block(CLI::App& app, Run& run);
void add_check(CLI::App& app, Run& run);
void add_detach(CLI::App& app, Run& run);
void add_run(CLI::App& app, Run& run);
void add_status(CLI::App& app, Run& run);
void add_synth(CLI::App& app, Run& run);
void add_version(CLI::App& app, Run& run);

}  // namespace weir::cli
