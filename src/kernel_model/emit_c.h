// SPDX-License-Identifier: BSD-2-Clause
/// A plan as C: one function a tree, to be read, and to be compiled by anybody's clang.
///
/// Shape     one file with all that it needs but <linux/bpf.h> and <bpf/bpf_helpers.h>; compiled by
///           `clang -O2 -g -target bpf -c`, it gives the verdicts of the instructions that weir
///           writes itself.
#pragma once

#include <string>

#include "kernel_model/plan.h"

namespace weir::kernel_model {

std::string c_source(const Plan& plan);

}  // namespace weir::kernel_model
