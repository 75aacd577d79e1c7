// SPDX-License-Identifier: BSD-2-Clause
/// From a model's trees to functions of a size that the kernel takes.
///
/// Shape     one function a tree; a tree that is too large for one function's jumps is cut into
///           several, and where there are more trees than the kernel takes functions, several share
///           one. A condition that a path has answered already, or that is the same for every
///           value, takes no node; neither do two leaves of the same value.
#pragma once

#include <functional>
#include <vector>

#include "kernel_model/plan.h"

namespace weir::kernel_model {

/// The value that a leaf of the model has in the program.
using LeafValue = std::function<std::uint64_t(const forest::Tree&, const forest::Node&)>;

/// `slots[f]`: the header feature of the model's feature f.
Status add_functions(const forest::Model& model, const std::vector<int>& slots,
                     const LeafValue& value_of, Plan& plan);

/// The largest whole number that goes left; `none` where none does.
struct Cut {
  bool none = false;
  std::uint32_t cut = 0;
};
Cut cut_of(double threshold, forest::Compare compare) noexcept;

}  // namespace weir::kernel_model
