// SPDX-License-Identifier: BSD-2-Clause
/// Finds and loads the module of a polled backend.
///
/// Place     beside the program, in the folder that a build leaves it in, or in LIBDIR/weir of the
///           prefix that the program was installed to.
/// Errors    a build without it, a file of another build, a library that the machine lacks: one
///           sentence each.
/// Threads   one owner; a module stays loaded until the process ends.
#pragma once

#include "io/poll_device.h"

namespace weir::io {

/// The module of DPDK.
Result<const PollModule*> load_dpdk_module();

}  // namespace weir::io
