// SPDX-License-Identifier: BSD-2-Clause
/// The bit-sliced evaluator's kernel: one block of rows through all sliced trees, on the best
/// instruction set of the CPU.
///
/// How       a bit a row, so one instruction works on 128 to 512 rows: rank every value, one bit
///           plane after another (a binary search in registers); from the planes what the
///           conditions of a feature are made of (plan.h); make them and carry them down each tree
///           with bitwise selects, from the leaves up, so that the number of the row's leaf comes
///           out bit by bit; turn the bits of eight rows into eight bytes; look the leaf values up,
///           a byte a digit; add.
/// Skip      a block whose rows fall into few groups of equal ranks (a flood) is evaluated by one
///           row of each group.
/// Threads   `Scratch` has one user at a time; the plan is shared.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "forest/lines.h"
#include "forest/plan.h"

namespace weir::forest {

/// Rows of the largest block of any target.
inline constexpr std::size_t kBlockRowsMax = 512;
/// Groups of equal rows that are looked for: each costs an operation a plane, and one row's walk.
inline constexpr std::size_t kLeadersMax = 4;

struct Scratch {
  explicit Scratch(const Plan& plan);
  Lines planes;     ///< by plane: a bit of the rank of the block's rows, the highest first
  Lines fields;     ///< by vector of a field (plan.h)
  Lines leaves;     ///< by tree of a group: the leaf number of each row, in lane order
  Lines low, high;  ///< by output, u32: sums of digits 0 and 1, of digits 2 and 3, in lane order
};

struct Block {
  /// Bit r: row r of the block is equal in all ranks to row `leader[i]`; valid for i < leaders.
  std::size_t leaders = 0;
  std::size_t leader[kLeadersMax] = {};
  std::uint8_t members[kLeadersMax][kBlockRowsMax / 8] = {};
};

struct Kernel {
  const char* target;
  double block_cost;  ///< of a block that is hardly filled, relative to AVX-512's; measured
  // The functions are null where the CPU has no vectors that Highway knows.
  /// Rows of a block for a batch of `rows`.
  std::size_t (*block_rows)(std::size_t rows);
  /// Planes of rows [first, first + rows) of the batch, at most a block. Then groups of equal rows,
  /// if `group`: all rows of the block are members, or there are no leaders.
  void (*rank)(const Plan&, Scratch&, const float* const* columns, std::size_t first,
               std::size_t rows, std::size_t block_rows, bool group, Block& block);
  /// From the planes: `sums[o * stride + r]`, r within the block.
  void (*descend)(const Plan&, Scratch&, std::size_t block_rows, std::size_t rows,
                  std::uint64_t* sums, std::size_t stride);
};

/// The kernel of the best target that is not disabled in Highway.
Kernel sliced_kernel();

}  // namespace weir::forest
