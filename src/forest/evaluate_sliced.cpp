// SPDX-License-Identifier: BSD-2-Clause
#include "forest/evaluate_sliced.h"

// VBMI and GFNI halve the time; Highway leaves them out unless asked. SSSE3 and SVE machines take
// the next target: not worth their compile time.
#define HWY_WANT_AVX3_DL
#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128)
// With g++ before 12.3 Highway's fallback has vectors of one lane: there everything is walked.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "forest/evaluate_sliced-inl.h"
#include <hwy/foreach_target.h>
//
#include "forest/evaluate_sliced-inl.h"

namespace weir::forest {

HWY_EXPORT(kernel);

Kernel sliced_kernel() {
#if HWY_ARCH_X86 && (HWY_TARGETS & HWY_AVX3_DL)
  if (__builtin_cpu_supports("gfni") == 0) hwy::DisableTargets(HWY_AVX3_DL);
#endif
  return HWY_DYNAMIC_DISPATCH(kernel)();
}

Scratch::Scratch(const Plan& plan)
    : planes(plan.planes * kBlockRowsMax / 8),
      fields(plan.vectors * kBlockRowsMax / 8),
      leaves(kGroupTrees * kBlockRowsMax),
      low(plan.model.outputs * kBlockRowsMax * sizeof(std::uint32_t)),
      high(plan.model.outputs * kBlockRowsMax * sizeof(std::uint32_t)) {}

}  // namespace weir::forest
