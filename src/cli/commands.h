// SPDX-License-Identifier: BSD-2-Clause
/// The commands that run a weir, talk to a running one, look at its configuration, or make
/// captures.
#pragma once

#include "cli/command.h"

namespace weir::cli {

void add_allow(Command app, Run& run);
void add_blast(Command app, Run& run);
void add_block(Command app, Run& run);
void add_check(Command app, Run& run);
void add_detach(Command app, Run& run);
void add_doctor(Command app, Run& run);
void add_kernel_model(Command app, Run& run);
void add_reload(Command app, Run& run);
void add_report(Command app, Run& run);
void add_run(Command app, Run& run);
void add_status(Command app, Run& run);
void add_synth(Command app, Run& run);
void add_version(Command app, Run& run);
void add_why(Command app, Run& run);

}  // namespace weir::cli
