// SPDX-License-Identifier: BSD-2-Clause
/// What SkimXDP's program makes of a model, as a plan: the same verdicts, whatever writes it. Inside
/// of plan.h; nobody else includes this. cli/skx.h judges the same by itself, and the tests hold
/// both together.
///
/// Trees     a threshold is cut to an integer towards zero and compared as C compares it; a leaf is
///           its likeliest class, the first of equals; the last class where more than half of the
///           trees (rounded down) say so.
/// Linear    coefficients times 10^4, cut to integers towards zero, added in one C expression:
///           `int`, from the first feature of `unsigned int` on unsigned, from the first coefficient
///           that no `int` holds on `long`; overflow wraps. A decision's threshold likewise.
/// Errors    a model, or an option, that SkimXDP does not have: one sentence.
#pragma once

#include <vector>

#include "kernel_model/plan_trees.h"

namespace weir::kernel_model {

/// `options` as they were given: the threshold in a model's file is none of SkimXDP's for trees.
Status has_skx(const forest::Model& model, const Options& options);
Status plan_skx(const forest::Model& model, const Options& options, const std::vector<int>& slots,
                Plan& plan);
Cut skx_cut(int feature, double threshold) noexcept;

}  // namespace weir::kernel_model
