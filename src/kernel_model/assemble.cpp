// SPDX-License-Identifier: BSD-2-Clause
#include "kernel_model/assemble.h"

#include <algorithm>
#include <bit>

#include "kernel_model/assemble_floats.h"

namespace weir::kernel_model {

namespace {

constexpr std::int32_t kNo_verdict = -1;

int value_offset(std::int32_t feature) noexcept { return 4 * feature; }
/// Of a sum's place on the stack.
int slot(std::size_t output) noexcept { return -8 * static_cast<int>(output + 1); }

class Writer {
 public:
  explicit Writer(const Plan& plan) : plan_(plan) {
    add_ = plan.functions.size();
    divide_ = add_ + (plan.exact.needed ? 1 : 0);
    divides_ = plan.exact.needed && !std::has_single_bit(plan.exact.divisor);
  }

  Code write() {
    for (const Function& function : plan_.functions) {
      begin(function.name,
            function.roots.size() > 1 ? Code::Takes::features_and_which : Code::Takes::features);
      write_function(function);
    }
    if (plan_.exact.needed) {
      begin("weir_add", Code::Takes::two_numbers);
      floats_.write_add();
    }
    if (divides_) {
      begin("weir_divide", Code::Takes::two_numbers);
      floats_.write_divide(plan_.exact.divisor);
    }
    begin("weir_model", Code::Takes::features);
    write_model();
    end();
    std::vector<std::size_t> firsts;
    for (const Code::Part& part : code_.functions) firsts.push_back(part.first);
    a_.finish(firsts);
    code_.instructions = std::move(a_.code);
    return std::move(code_);
  }

 private:
  void begin(const std::string& name, Code::Takes takes) {
    end();
    code_.functions.push_back({name, a_.code.size(), 0, takes});
  }
  void end() {
    a_.finish_function();
    if (!code_.functions.empty())
      code_.functions.back().count = a_.code.size() - code_.functions.back().first;
  }

  /// A pointer to a global function may be none, for the verifier.
  void check_pointer() {
    const auto there = a_.label();
    a_.jump(BPF_JNE, r1, 0, there);
    a_.exit(kNo_verdict);
    a_.bind(there);
  }

  std::size_t size_of(const Function& function, std::uint32_t n) {
    const Node& node = function.nodes[n];
    std::size_t size = instructions(node);
    if (node.feature >= 0) size += sizes_[node.left] + sizes_[node.right];
    return size;
  }

  void write_function(const Function& function) {
    check_pointer();
    sizes_.assign(function.nodes.size(), 0);
    for (std::size_t n = function.nodes.size(); n-- > 0;)
      sizes_[n] = size_of(function, static_cast<std::uint32_t>(n));
    std::vector<Assembler::Label> roots;
    for (std::size_t t = 0; t < function.roots.size(); ++t) roots.push_back(a_.label());
    for (std::size_t t = 1; t < function.roots.size(); ++t)
      a_.jump(BPF_JEQ, r2, static_cast<std::int32_t>(t), roots[t]);
    for (std::size_t t = 0; t < function.roots.size(); ++t) {
      a_.bind(roots[t]);
      write_node(function, function.roots[t], -1);
    }
  }

  /// The smaller side follows, so that the jump over it reaches; `loaded` is in r2.
  void write_node(const Function& function, std::uint32_t n, std::int32_t loaded) {
    const Node& node = function.nodes[n];
    if (node.feature == Node::kLeaf) {
      a_.exit(static_cast<std::int64_t>(node.value));
      return;
    }
    if (node.feature == Node::kCall) {
      a_.call(static_cast<std::size_t>(node.value));
      a_.exit();
      return;
    }
    if (node.feature != loaded) a_.load32(r2, r1, value_offset(node.feature));
    const auto other = a_.label();
    const bool left_first = sizes_[node.left] <= sizes_[node.right];
    a_.jump32(left_first ? BPF_JGT : BPF_JLE, r2, node.cut, other);
    write_node(function, left_first ? node.left : node.right, node.feature);
    a_.bind(other);
    write_node(function, left_first ? node.right : node.left, node.feature);
  }

  /// The tree's leaf value into r0; r6 are the features.
  void call_tree(const Call& call) {
    a_.move(r1, r6);
    if (plan_.functions[call.function].roots.size() > 1)
      a_.move(r2, static_cast<std::int64_t>(call.which));
    a_.call(call.function);
  }

  void exit_with(std::size_t number) {
    a_.exit(static_cast<std::int64_t>(plan_.drop >> number & 1U));
  }

  void write_model() {
    check_pointer();
    if (plan_.kind == Plan::Kind::verdict) {
      a_.move(r6, r1);
      call_tree(plan_.calls[0]);
      a_.exit();
      return;
    }
    a_.move(r6, r1);
    if (plan_.kind == Plan::Kind::linear) return write_linear();
    if (plan_.kind == Plan::Kind::sum)
      write_sum();
    else
      write_sums();
    if (plan_.exact.needed) write_exact();
  }

  void write_sum() {
    a_.move(r7, 0);
    for (const Call& call : plan_.calls) {
      call_tree(call);
      a_.alu(BPF_ADD, r7, r0);
    }
    if (plan_.exact.needed) {  // the rows of the leaves stand above the sum
      a_.alu(BPF_LSH, r7, 64 - static_cast<int>(Plan::kRowShift));
      a_.alu(BPF_RSH, r7, 64 - static_cast<int>(Plan::kRowShift));
    }
    const auto other = a_.label(), exact = a_.label();
    a_.move(r1, static_cast<std::int64_t>(plan_.last_from));
    a_.jump(BPF_JLT, r7, r1, other);
    exit_with(1);
    a_.bind(other);
    if (plan_.exact.needed) {
      a_.move(r1, plan_.other_to);
      a_.jump(BPF_JSGT, r7, r1, exact);
    }
    exit_with(0);
    a_.bind(exact);
  }

  /// r7: where the row of the leaf in r0 begins, `first` numbers into the table.
  void find_row(std::size_t first, std::size_t rows) {
    const auto there = a_.label();
    a_.jump(BPF_JLT, r0, static_cast<std::int32_t>(rows), there);
    a_.exit(kNo_verdict);  // no leaf has such a row
    a_.bind(there);
    a_.alu(BPF_MUL, r0, static_cast<std::int32_t>(8 * plan_.outputs));
    code_.table_uses.push_back(a_.code.size());
    a_.wide(r7, r0, 0);
    if (first != 0) a_.alu(BPF_ADD, r7, static_cast<std::int32_t>(8 * first));
    a_.alu(BPF_ADD, r7, r0);
  }

  [[nodiscard]] bool adds_to(const Call& call, std::size_t output) const noexcept {
    return call.output < 0 || static_cast<std::size_t>(call.output) == output;
  }

  void start_sums(const std::vector<std::int64_t>& start) {
    for (std::size_t o = 0; o < plan_.outputs; ++o) {
      a_.move(r1, start[o]);
      a_.store64(r10, slot(o), r1);
    }
  }

  void write_sums() {
    const std::size_t rows = plan_.exact.values.size() / plan_.outputs;
    code_.table.assign(plan_.addends.begin(), plan_.addends.end());
    start_sums(plan_.start);
    for (const Call& call : plan_.calls) {
      call_tree(call);
      find_row(0, rows);
      for (std::size_t o = 0; o < plan_.outputs; ++o) {
        if (!adds_to(call, o)) continue;
        a_.load64(r1, r7, slot_of_row(o));
        a_.load64(r2, r10, slot(o));
        a_.alu(BPF_ADD, r2, r1);
        a_.store64(r10, slot(o), r2);
      }
    }
    find_best(false);
    // r7 is the best sum, r8 its class: how many are near it?
    const auto exact = a_.label();
    a_.move(r9, 0);
    a_.move(r3, plan_.near);
    for (std::size_t o = 0; o < plan_.outputs; ++o) {
      const auto far = a_.label();
      a_.load64(r1, r10, slot(o));
      a_.move(r2, r7);
      a_.alu(BPF_SUB, r2, r1);
      a_.jump(BPF_JSGT, r2, r3, far);
      a_.alu(BPF_ADD, r9, 1);
      a_.bind(far);
    }
    a_.jump(BPF_JGT, r9, 1, exact);
    exit_with_class();
    a_.bind(exact);
  }

  static int slot_of_row(std::size_t output) noexcept { return 8 * static_cast<int>(output); }

  /// r7: the greatest of the sums, as they are or as floats; r8: its output, the first of several.
  void find_best(bool floats) {
    a_.load64(r7, r10, slot(0));
    if (floats) order(r7);
    a_.move(r8, 0);
    for (std::size_t o = 1; o < plan_.outputs; ++o) {
      const auto not_above = a_.label();
      a_.load64(r1, r10, slot(o));
      if (floats) order(r1);
      a_.jump(BPF_JSLE, r1, r7, not_above);
      a_.move(r7, r1);
      a_.move(r8, static_cast<std::int64_t>(o));
      a_.bind(not_above);
    }
  }

  /// The verdict of the class in r8.
  void exit_with_class() {
    a_.move(r0, static_cast<std::int64_t>(plan_.drop));
    a_.alu(BPF_RSH, r0, r8);
    a_.alu(BPF_AND, r0, 1);
    a_.exit();
  }

  /// A float64's bits as a number with a sign that compares as the float does (no negative zero).
  void order(Register bits) {
    a_.move(r3, bits);
    a_.alu(BPF_ARSH, r3, 63);
    a_.alu(BPF_RSH, r3, 1);
    a_.alu(BPF_XOR, bits, r3);
  }

  static std::int64_t ordered(double x) noexcept {
    const auto bits = std::bit_cast<std::int64_t>(x + 0.0);
    return bits ^ static_cast<std::int64_t>(static_cast<std::uint64_t>(bits >> 63) >> 1U);
  }

  /// All trees once more, float by float.
  void write_exact() {
    const std::size_t outputs = plan_.outputs, rows = plan_.exact.values.size() / outputs;
    const std::size_t first = code_.table.size();
    for (const double value : plan_.exact.values)
      code_.table.push_back(std::bit_cast<std::uint64_t>(value));
    std::vector<std::int64_t> start;
    for (const double value : plan_.exact.start)
      start.push_back(std::bit_cast<std::int64_t>(value));
    start_sums(start);
    for (const Call& call : plan_.calls) {
      call_tree(call);
      if (plan_.kind == Plan::Kind::sum)
        a_.alu(BPF_RSH, r0, static_cast<std::int32_t>(Plan::kRowShift));
      find_row(first, rows);
      for (std::size_t o = 0; o < outputs; ++o) {
        if (!adds_to(call, o)) continue;
        a_.load64(r1, r10, slot(o));
        a_.load64(r2, r7, slot_of_row(o));
        a_.call(add_);
        a_.store64(r10, slot(o), r0);
      }
    }
    // A power of two as a divisor changes no order; where there is a cut, it is multiplied instead.
    for (std::size_t o = 0; divides_ && o < outputs; ++o) {
      a_.load64(r1, r10, slot(o));
      a_.move(r2, static_cast<std::int64_t>(plan_.exact.divisor));
      a_.call(divide_);
      a_.store64(r10, slot(o), r0);
    }
    if (plan_.kind == Plan::Kind::sums || plan_.against_first) {
      find_best(true);
      exit_with_class();
      return;
    }
    const auto other = a_.label();
    a_.load64(r1, r10, slot(outputs - 1));
    order(r1);
    a_.move(r2, ordered(divides_ ? plan_.cut : plan_.cut * plan_.exact.divisor));
    a_.jump(BPF_JSLE, r1, r2, other);
    exit_with(1);
    a_.bind(other);
    exit_with(0);
  }

  // ---- Linear ---------------------------------------------------------------------------------

  void wrap(Register number, Term::Wrap wrap) {
    if (wrap == Term::Wrap::int64) return;
    a_.alu(BPF_LSH, number, 32);
    a_.alu(wrap == Term::Wrap::int32 ? BPF_ARSH : BPF_RSH, number, 32);
  }

  /// Adds a product of the feature in r4.
  void write_term(const Term& term) {
    a_.move(r1, term.weight);
    a_.move(r2, r4);
    if (term.part == Term::Part::low) a_.alu(BPF_AND, r2, 0xffff);
    if (term.part == Term::Part::high) a_.alu(BPF_RSH, r2, 16);
    a_.alu(BPF_MUL, r1, r2);
    wrap(r1, term.product);
    if (term.shift > 0) a_.alu(BPF_ARSH, r1, term.shift);
    a_.load64(r3, r10, slot(term.output));
    a_.alu(BPF_ADD, r3, r1);
    wrap(r3, term.sum);
    a_.store64(r10, slot(term.output), r3);
  }

  void write_linear() {
    start_sums(plan_.start);
    std::int32_t loaded = -1;
    for (const Term& term : plan_.terms) {
      if (term.feature != loaded) {
        a_.load32(r4, r6, value_offset(term.feature));
        if (is_rounded(term.feature, plan_.reading)) floats_.round_to_float(r4);
        loaded = term.feature;
      }
      write_term(term);
    }
    if (plan_.outputs > 1) {
      find_best(false);
      exit_with_class();
      return;
    }
    const auto other = a_.label();
    a_.load64(r1, r10, slot(0));
    a_.move(r2, plan_.above);
    a_.jump(BPF_JSLE, r1, r2, other);
    exit_with(1);
    a_.bind(other);
    exit_with(0);
  }

  const Plan& plan_;
  Assembler a_;
  FloatWriter floats_{a_, plan_.exact.significand_bits};
  Code code_;
  std::vector<std::size_t> sizes_;  ///< instructions below each node of the function at hand
  std::size_t add_ = 0, divide_ = 0;
  bool divides_ = false;
};

}  // namespace

Code assemble(const Plan& plan) { return Writer(plan).write(); }

}  // namespace weir::kernel_model
