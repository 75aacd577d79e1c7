// SPDX-License-Identifier: BSD-2-Clause
/// BPF instructions one behind the other, with labels.
///
/// Errors    a jump that does not reach its label aborts (`WEIR_CHECK`): functions are cut before.
#pragma once

#include <linux/bpf.h>

#include <cstdint>
#include <limits>
#include <vector>

#include "base/result.h"

namespace weir::kernel_model {

enum Register : std::uint8_t { r0, r1, r2, r3, r4, r5, r6, r7, r8, r9, r10 };

class Assembler {
 public:
  struct Label {
    std::size_t number;
  };
  [[nodiscard]] Label label() {
    labels_.push_back(kUnset);
    return {labels_.size() - 1};
  }
  void bind(Label label) { labels_[label.number] = code.size(); }

  void move(Register to, Register from) { put(BPF_ALU64 | BPF_MOV | BPF_X, to, from, 0, 0); }
  /// The shortest instruction that makes this number.
  void move(Register to, std::int64_t number) {
    if (number == static_cast<std::int32_t>(number)) {
      put(BPF_ALU64 | BPF_MOV | BPF_K, to, r0, 0, static_cast<std::int32_t>(number));
      return;
    }
    wide(to, r0, static_cast<std::uint64_t>(number));
  }
  void alu(int operation, Register to, Register from) {
    put(BPF_ALU64 | operation | BPF_X, to, from, 0, 0);
  }
  void alu(int operation, Register to, std::int32_t number) {
    put(BPF_ALU64 | operation | BPF_K, to, r0, 0, number);
  }
  void load32(Register to, Register base, int offset) {
    put(BPF_LDX | BPF_MEM | BPF_W, to, base, offset, 0);
  }
  void load64(Register to, Register base, int offset) {
    put(BPF_LDX | BPF_MEM | BPF_DW, to, base, offset, 0);
  }
  void store64(Register base, int offset, Register from) {
    put(BPF_STX | BPF_MEM | BPF_DW, base, from, offset, 0);
  }
  void jump(Label to) { branch(BPF_JMP | BPF_JA, r0, r0, 0, to); }
  void jump(int condition, Register a, Register b, Label to) {
    branch(BPF_JMP | condition | BPF_X, a, b, 0, to);
  }
  void jump(int condition, Register a, std::int32_t number, Label to) {
    branch(BPF_JMP | condition | BPF_K, a, r0, number, to);
  }
  /// Compares the lower 32 bits, without a sign.
  void jump32(int condition, Register a, std::uint32_t number, Label to) {
    branch(BPF_JMP32 | condition | BPF_K, a, r0, static_cast<std::int32_t>(number), to);
  }
  void call(std::size_t function) {
    calls_.push_back({code.size(), function});
    put(BPF_JMP | BPF_CALL, r0, static_cast<Register>(BPF_PSEUDO_CALL), 0, 0);
  }
  void exit() { put(BPF_JMP | BPF_EXIT, r0, r0, 0, 0); }
  void exit(std::int64_t result) {
    move(r0, result);
    exit();
  }
  /// Two slots, whose number somebody else fills in.
  void wide(Register to, Register kind, std::uint64_t number) {
    put(BPF_LD | BPF_IMM | BPF_DW, to, kind, 0, static_cast<std::int32_t>(number));
    put(0, r0, r0, 0, static_cast<std::int32_t>(number >> 32U));
  }

  /// Fills in all jumps so far; labels of what follows begin anew.
  void finish_function() {
    for (const Jump& jump : jumps_) {
      const std::size_t target = labels_[jump.label];
      WEIR_CHECK(target != kUnset);
      const auto distance =
          static_cast<std::int64_t>(target) - static_cast<std::int64_t>(jump.at) - 1;
      WEIR_CHECK(distance == static_cast<std::int16_t>(distance));
      code[jump.at].off = static_cast<std::int16_t>(distance);
    }
    jumps_.clear();
    labels_.clear();
  }
  /// Fills in all calls, by where each function begins.
  void finish(const std::vector<std::size_t>& firsts) {
    for (const Call& call : calls_)
      code[call.at].imm =
          static_cast<std::int32_t>(static_cast<std::int64_t>(firsts[call.function]) -
                                    static_cast<std::int64_t>(call.at) - 1);
  }

  std::vector<bpf_insn> code;

 private:
  static constexpr std::size_t kUnset = std::numeric_limits<std::size_t>::max();
  struct Jump {
    std::size_t at, label;
  };
  struct Call {
    std::size_t at, function;
  };

  void put(int operation, Register to, Register from, int offset, std::int32_t number) {
    bpf_insn made{};
    made.code = static_cast<std::uint8_t>(operation);
    made.dst_reg = to & 0xfU;
    made.src_reg = from & 0xfU;
    made.off = static_cast<std::int16_t>(offset);
    made.imm = number;
    code.push_back(made);
  }
  void branch(int operation, Register a, Register b, std::int32_t number, Label to) {
    jumps_.push_back({code.size(), to.number});
    put(operation, a, b, 0, number);
  }

  std::vector<std::size_t> labels_;
  std::vector<Jump> jumps_;
  std::vector<Call> calls_;
};

}  // namespace weir::kernel_model
