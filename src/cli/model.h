// SPDX-License-Identifier: BSD-2-Clause
/// `weir model show` and `weir model test`: what a model file holds, and what it says of rows.
#pragma once

#include "cli/command.h"

namespace weir::cli {

void add_model(Command app, Run& run);

}  // namespace weir::cli
