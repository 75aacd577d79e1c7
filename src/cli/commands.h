// SPDX-License-Identifier: BSD-2-Clause
/// The commands that talk to a running weir or to its configuration; one file each.
#pragma once

#include "cli/command.h"

namespace weir::cli {

void add_check(CLI::App& app, Run& run);
void add_version(CLI::App& app, Run& run);

}  // namespace weir::cli
