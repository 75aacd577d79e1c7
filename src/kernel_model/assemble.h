// SPDX-License-Identifier: BSD-2-Clause
/// A plan as BPF instructions: no compiler is needed where a model is loaded.
///
/// Shape     one global function a tree, `weir_model` that calls them, and, where sums near the
///           decision are added once more, `weir_add` and `weir_divide`: float64 in whole numbers.
///           Each takes a pointer to the features, so that the verifier looks at each on its own
///           and its work grows with the trees, not with their combinations.
/// Needs     32-bit comparisons (kernel 5.1) and pointers to global functions (5.13).
/// Errors    none: a plan fits.
#pragma once

#include <linux/bpf.h>

#include <cstdint>
#include <string>
#include <vector>

#include "kernel_model/plan.h"

namespace weir::kernel_model {

struct Code {
  /// What a function takes, which its type has to say.
  enum class Takes : std::uint8_t { features, features_and_which, two_numbers };
  struct Part {
    std::string name;
    std::size_t first = 0, count = 0;  ///< in `instructions`
    Takes takes = Takes::features;
  };
  std::vector<bpf_insn> instructions;
  std::vector<Part> functions;
  std::vector<std::uint64_t> table;     ///< `weir_leaves`; empty where no sum needs it
  std::vector<std::size_t> table_uses;  ///< instructions that load its address
};

Code assemble(const Plan& plan);

}  // namespace weir::kernel_model
