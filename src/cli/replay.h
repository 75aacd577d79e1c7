// SPDX-License-Identifier: BSD-2-Clause
/// `weir replay`: judges captures as weir would have judged them live; needs no privileges.
#pragma once

#include "cli/command.h"

namespace weir::cli {

void add_replay(Command app, Run& run);

}  // namespace weir::cli
