// SPDX-License-Identifier: BSD-2-Clause
/// Floats in whole numbers, as instructions: BPF has none. Rounded to the nearest, of two the even
/// one, as IEEE 754 has it; no infinities, no negative zero. Inside of assemble.h; nobody else
/// includes this.
#pragma once

#include <bit>

#include "kernel_model/assembler.h"

namespace weir::kernel_model {

class FloatWriter {
 public:
  FloatWriter(Assembler& assembler, int significand_bits) noexcept
      : a_(assembler), significand_bits_(significand_bits) {}

  /// r0 = r1 + r2, of floats.
  void write_add() {
    const auto ordered_now = a_.label(), near = a_.label(), aligned = a_.label(),
               minus = a_.label(), added = a_.label(), left = a_.label(), round = a_.label();
    a_.move(r3, r1);
    a_.alu(BPF_LSH, r3, 1);
    a_.move(r4, r2);
    a_.alu(BPF_LSH, r4, 1);
    a_.jump(BPF_JGE, r3, r4, ordered_now);
    a_.move(r0, r1);
    a_.move(r1, r2);
    a_.move(r2, r0);
    a_.bind(ordered_now);  // r1 has the larger magnitude
    unpack(r1, r3, r6);
    unpack(r2, r4, r7);
    a_.move(r5, r1);
    a_.alu(BPF_XOR, r5, r2);
    a_.move(r0, r6);
    a_.alu(BPF_SUB, r0, r7);
    a_.jump(BPF_JLE, r0, 62, near);
    a_.jump(BPF_JEQ, r4, 0, aligned);
    a_.move(r4, 1);  // far below: only that it is there counts
    a_.jump(aligned);
    a_.bind(near);
    a_.move(r8, r4);
    a_.alu(BPF_RSH, r4, r0);
    a_.move(r9, r4);
    a_.alu(BPF_LSH, r9, r0);
    a_.jump(BPF_JEQ, r9, r8, aligned);
    a_.alu(BPF_OR, r4, 1);  // bits were lost: rounding must know
    a_.bind(aligned);
    a_.jump(BPF_JSLT, r5, 0, minus);
    a_.alu(BPF_ADD, r3, r4);
    a_.jump(added);
    a_.bind(minus);
    a_.alu(BPF_SUB, r3, r4);
    a_.bind(added);
    const auto not_zero = a_.label();
    a_.jump(BPF_JNE, r3, 0, not_zero);
    a_.exit(0);
    a_.bind(not_zero);
    a_.move(r8, r3);
    a_.alu(BPF_RSH, r8, 62);
    a_.jump(BPF_JEQ, r8, 0, left);
    a_.move(r8, r3);
    a_.alu(BPF_AND, r8, 1);
    a_.alu(BPF_RSH, r3, 1);
    a_.alu(BPF_OR, r3, r8);
    a_.alu(BPF_ADD, r6, 1);
    a_.jump(round);
    a_.bind(left);
    for (const int step : {32, 16, 8, 4, 2, 1}) {
      const auto next = a_.label();
      a_.move(r8, r3);
      a_.alu(BPF_RSH, r8, 62 - step);
      a_.jump(BPF_JNE, r8, 0, next);
      a_.jump(BPF_JLE, r6, step, next);
      a_.alu(BPF_LSH, r3, step);
      a_.alu(BPF_SUB, r6, step);
      a_.bind(next);
    }
    a_.bind(round);
    round_and_exit(r3, r6, r1);
  }

  /// r0 = r1 / r2, a float by a whole number that is a constant of the plan.
  void write_divide(std::uint32_t divisor) {
    const auto there = a_.label(), exponent_there = a_.label();
    const int bits = std::bit_width(divisor) + 2;
    unpack(r1, r3, r6);
    a_.jump(BPF_JNE, r3, 0, there);
    a_.exit(0);
    a_.bind(there);
    a_.alu(BPF_RSH, r3, 9);
    // The quotient with `bits` more: of the whole part, then of the rest.
    a_.move(r4, r3);
    a_.alu(BPF_DIV, r3, r2);
    a_.move(r5, r3);
    a_.alu(BPF_MUL, r5, r2);
    a_.alu(BPF_SUB, r4, r5);
    a_.alu(BPF_LSH, r4, bits);
    a_.alu(BPF_LSH, r3, bits);
    a_.move(r5, r4);
    a_.alu(BPF_DIV, r4, r2);
    a_.alu(BPF_ADD, r3, r4);
    a_.alu(BPF_MUL, r4, r2);
    a_.alu(BPF_SUB, r6, bits - 9);
    const auto whole = a_.label();
    a_.jump(BPF_JEQ, r4, r5, whole);
    a_.alu(BPF_OR, r3, 1);
    a_.bind(whole);
    // Its first bit is 54, 55 or 56; at 61 it is to stand.
    for (const int step : {4, 2, 1}) {
      const auto next = a_.label();
      a_.move(r8, r3);
      a_.alu(BPF_RSH, r8, 62 - step);
      a_.jump(BPF_JNE, r8, 0, next);
      a_.alu(BPF_LSH, r3, step);
      a_.alu(BPF_SUB, r6, step);
      a_.bind(next);
    }
    a_.jump(BPF_JSGT, r6, 0, exponent_there);
    a_.exit(0);  // so near zero that no decision stands there
    a_.bind(exponent_there);
    round_and_exit(r3, r6, r1);
  }

  /// `x`, a feature, rounded as a float is: to 24 bits, of two numbers the even one. Uses r3.
  void round_to_float(Register x) {
    const auto done = a_.label();
    a_.jump32(BPF_JLT, x, 1U << 24U, done);
    for (int lost = 8; lost > 0; --lost) {
      const auto next = a_.label();
      if (lost > 1) a_.jump32(BPF_JLT, x, 1U << static_cast<unsigned>(23 + lost), next);
      a_.move(r3, x);
      a_.alu(BPF_RSH, r3, lost);
      a_.alu(BPF_AND, r3, 1);
      a_.alu(BPF_ADD, x, r3);
      a_.alu(BPF_ADD, x, (1 << (lost - 1)) - 1);
      a_.alu(BPF_RSH, x, lost);
      a_.alu(BPF_LSH, x, lost);
      if (lost > 1) a_.jump(done);
      a_.bind(next);
    }
    a_.bind(done);
  }

 private:
  /// The fraction of the float in `bits`, at bit 61, into `fraction`; its exponent into `exponent`.
  void unpack(Register bits, Register fraction, Register exponent) {
    const auto normal = a_.label(), done = a_.label();
    a_.move(exponent, bits);
    a_.alu(BPF_LSH, exponent, 1);
    a_.alu(BPF_RSH, exponent, 53);
    a_.move(fraction, bits);
    a_.alu(BPF_LSH, fraction, 12);
    a_.alu(BPF_RSH, fraction, 3);
    a_.jump(BPF_JNE, exponent, 0, normal);
    a_.move(exponent, 1);
    a_.jump(done);
    a_.bind(normal);
    a_.move(r0, std::int64_t{1} << 61);
    a_.alu(BPF_OR, fraction, r0);
    a_.bind(done);
  }

  /// `fraction`, at bit 61, rounded to the nearest number of so many bits, of two the even one;
  /// packed with `exponent` and the sign of `sign` into r0, and returned. Uses r0, r8, r9.
  void round_and_exit(Register fraction, Register exponent, Register sign) {
    const int away = 62 - significand_bits_;
    const auto up = a_.label(), done = a_.label();
    a_.move(r8, fraction);
    a_.alu(BPF_LSH, r8, 64 - away);
    a_.alu(BPF_RSH, fraction, away);
    a_.move(r0, std::numeric_limits<std::int64_t>::min());
    a_.jump(BPF_JGT, r8, r0, up);
    a_.jump(BPF_JNE, r8, r0, done);
    a_.move(r9, fraction);
    a_.alu(BPF_AND, r9, 1);
    a_.jump(BPF_JEQ, r9, 0, done);
    a_.bind(up);
    a_.alu(BPF_ADD, fraction, 1);
    a_.bind(done);
    if (away > 9) a_.alu(BPF_LSH, fraction, away - 9);
    // The leading bit adds one to the exponent; so does a carry.
    a_.move(r0, exponent);
    a_.alu(BPF_SUB, r0, 1);
    a_.alu(BPF_LSH, r0, 52);
    a_.alu(BPF_ADD, r0, fraction);
    a_.alu(BPF_RSH, sign, 63);
    a_.alu(BPF_LSH, sign, 63);
    a_.alu(BPF_OR, r0, sign);
    a_.exit();
  }

  Assembler& a_;
  int significand_bits_;
};

}  // namespace weir::kernel_model
