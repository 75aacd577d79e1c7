// SPDX-License-Identifier: BSD-2-Clause
/// What `weir kernel-model status` says of one interface.
///
/// Errors    none.
/// Threads   the main thread.
#pragma once

#include "control/client.h"
#include "kernel_model/load.h"

namespace weir::cli {

control::Json json_of(const kernel_model::State& state);
/// The same for people, to stdout.
void print_state(const kernel_model::State& state);

}  // namespace weir::cli
