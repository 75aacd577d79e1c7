// SPDX-License-Identifier: BSD-2-Clause
#include "kernel_model/emit_c.h"

#include <fmt/format.h>

#include <bit>
#include <iterator>

#include "kernel_model_text.h"

namespace weir::kernel_model {

namespace {

/// What the exact sums need: the same steps as in assemble.cpp. @SIGNIFICAND@ bits are kept.
constexpr const char* kFloats = R"c(
/* Floats as whole numbers, for BPF has none: a sum that stands so near the decision that rounding could choose the class is
 * added once more as the trainer's library adds it, float by float.
 */
static __always_inline __u64 weir_fraction(__u64 bits) /* at bit 61 */
{
  return bits << 12 >> 3 | (bits << 1 >> 53 ? 1ull << 61 : 0);
}

static __always_inline __u64 weir_exponent(__u64 bits)
{
  return bits << 1 >> 53 ? bits << 1 >> 53 : 1;
}

/* The nearest float, of two the even one. */
static __always_inline __u64 weir_pack(__u64 fraction, __u64 exponent, __u64 sign)
{
  __u64 away = 62 - @SIGNIFICAND@;
  __u64 lost = fraction << (64 - away);

  fraction >>= away;
  if (lost > 1ull << 63 || (lost == 1ull << 63 && (fraction & 1)))
    fraction += 1;
  return (((exponent - 1) << 52) + (fraction << (away - 9))) | (sign >> 63 << 63);
}

#define WEIR_SHIFT(step)                                                                                               \
  if (!(a >> (62 - step)) && exponent > step) {                                                                        \
    a <<= step;                                                                                                        \
    exponent -= step;                                                                                                  \
  }

__noinline __u64 weir_add(__u64 x, __u64 y)
{
  __u64 larger = x << 1 >= y << 1 ? x : y;
  __u64 other = x << 1 >= y << 1 ? y : x;
  __u64 a = weir_fraction(larger), b = weir_fraction(other);
  __u64 exponent = weir_exponent(larger);
  __u64 apart = exponent - weir_exponent(other);

  if (apart > 62)
    b = b ? 1 : 0; /* far below: only that it is there counts */
  else
    b = b >> apart | (b >> apart << apart != b);
  a = (x ^ y) >> 63 ? a - b : a + b;
  if (!a)
    return 0;
  if (a >> 62) {
    a = a >> 1 | (a & 1);
    exponent += 1;
  } else {
    WEIR_SHIFT(32) WEIR_SHIFT(16) WEIR_SHIFT(8) WEIR_SHIFT(4) WEIR_SHIFT(2) WEIR_SHIFT(1)
  }
  return weir_pack(a, exponent, larger);
}

static __always_inline __s64 weir_order(__u64 bits) /* compares as the float does */
{
  return (__s64)(bits ^ ((__u64)((__s64)bits >> 63) >> 1));
}
)c";

constexpr const char* kDivide = R"c(
__noinline __u64 weir_divide(__u64 x, __u64 divisor)
{
  __u64 a = weir_fraction(x) >> 9;
  __s64 exponent = (__s64)weir_exponent(x) + 9 - @BITS@;
  __u64 rest;

  if (!a || !divisor)
    return 0;
  rest = a % divisor << @BITS@;
  a = (a / divisor << @BITS@) + rest / divisor;
  a |= rest % divisor != 0;
  WEIR_SHIFT(4) WEIR_SHIFT(2) WEIR_SHIFT(1)
  return exponent > 0 ? weir_pack(a, (__u64)exponent, x) : 0;
}
)c";

constexpr const char* kRound = R"c(
/* As a float holds it: rounded to 24 bits, of two numbers to the even one. */
static __always_inline __u64 weir_round(__u64 x)
{
#define WEIR_LOSE(lost)                                                                                                \
  if (x >> (23 + lost))                                                                                                \
    return (x + (x >> lost & 1) + (1 << (lost - 1)) - 1) >> lost << lost;
  WEIR_LOSE(8) WEIR_LOSE(7) WEIR_LOSE(6) WEIR_LOSE(5) WEIR_LOSE(4) WEIR_LOSE(3) WEIR_LOSE(2) WEIR_LOSE(1)
  return x;
}
)c";

constexpr const char* kTimes = R"c(
/* Overflow wraps. */
static __always_inline __s64 weir_times(__s64 weight, __u64 x)
{
  return (__s64)((__u64)weight * x);
}

static __always_inline __s64 weir_plus(__s64 a, __s64 b)
{
  return (__s64)((__u64)a + (__u64)b);
}
)c";

std::string replaced(std::string text, const std::string& what, const std::string& by) {
  for (std::size_t at = text.find(what); at != std::string::npos; at = text.find(what, at))
    text.replace(at, what.size(), by);
  return text;
}

class Text {
 public:
  explicit Text(const Plan& plan)
      : plan_(plan), divides_(plan.exact.needed && !std::has_single_bit(plan.exact.divisor)) {}

  std::string write() {
    write_head();
    if (plan_.exact.needed || !plan_.addends.empty()) write_table();
    if (plan_.exact.needed)
      out_ += replaced(kFloats, "@SIGNIFICAND@", fmt::format("{}", plan_.exact.significand_bits));
    if (divides_)
      out_ +=
          replaced(kDivide, "@BITS@", fmt::format("{}", std::bit_width(plan_.exact.divisor) + 2));
    for (const Function& function : plan_.functions)
      add("__noinline __s64 {}({});\n", function.name, parameters(function));
    for (const Function& function : plan_.functions) write_function(function);
    write_model();
    out_ += plan_.reading == WEIR_READING_skx
                ? replaced(kProgram_text, "= WEIR_READING_exact", "= WEIR_READING_skx")
                : kProgram_text;
    return std::move(out_);
  }

 private:
  template <typename... Words>
  void add(fmt::format_string<Words...> format, Words&&... words) {
    fmt::format_to(std::back_inserter(out_), format, std::forward<Words>(words)...);
  }
  static std::string parameters(const Function& function) {
    return std::string("struct weir_header_features *f") +
           (function.roots.size() > 1 ? ", __u32 which" : "");
  }
  static std::string feature(std::int32_t number) {
    return fmt::format("f->value[WEIR_HEADER_FEATURE_{}]", feature_name(number));
  }

  void write_head() {
    // A name is anybody's: it must not end the comment.
    add("/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */\n"
        "/* Model {}, sha256 {}, as `weir kernel-model emit --c` writes it.\n"
        " *\n"
        " *   clang -O2 -g -target bpf -idirafter /usr/include/$(uname -m)-linux-gnu -c FILE.c -o "
        "FILE.o\n"
        " *   (not with -mcpu=v1: that lacks comparisons; the folder is Debian's, for "
        "<asm/types.h>)\n"
        " *   ip link set dev IF xdp obj FILE.o sec xdp\n"
        " */\n"
        "#include <linux/bpf.h>\n\n#include <"
        "bpf/bpf_helpers.h>\n\n#define "
        "WEIR_MODEL_STANDS_HERE\n",
        replaced(plan_.model_name, "*/", "* /"), plan_.model_sha256);
    out_ += kHeaders_text;
  }

  void write_table() {
    add("\n/* What is compared is what is used, for the verifier; and what is added is added now, "
        "or clang would keep the addends on a\n"
        " * stack that has no room for them. */\n"
        "#define WEIR_AS_ONE(value) __asm__ volatile(\"\" : \"+r\"(value))\n");
    add("\nconst __u64 weir_leaves[] SEC(\".rodata.leaves\") = {{");
    std::size_t column = 0;
    const auto number = [&](std::uint64_t value) {
      add("{}{:#x},", column++ % 6 == 0 ? "\n  " : " ", value);
    };
    for (const std::int64_t value : plan_.addends) number(static_cast<std::uint64_t>(value));
    for (const double value : plan_.exact.values) number(std::bit_cast<std::uint64_t>(value));
    add("\n}};\n");
  }

  void write_function(const Function& function) {
    add("\n__noinline __s64 {}({})\n{{\n  if (!f)\n    return -1;\n", function.name,
        parameters(function));
    sizes_.assign(function.nodes.size(), 1);
    for (std::size_t n = function.nodes.size(); n-- > 0;)
      if (function.nodes[n].feature >= 0)
        sizes_[n] += sizes_[function.nodes[n].left] + sizes_[function.nodes[n].right];
    for (std::size_t t = function.roots.size(); t-- > 0;) {
      if (t != 0) add("  if (which == {}) {{\n", t);
      write_node(function, function.roots[t], t != 0 ? 4 : 2);
      if (t != 0) add("  }}\n");
    }
    add("}}\n");
  }

  /// The smaller side stands in braces, and the other goes on behind them: a deep tree stays flat.
  void write_node(const Function& function, std::uint32_t n, std::size_t indent) {
    for (;;) {
      const Node& node = function.nodes[n];
      if (node.feature == Node::kLeaf) return add("{:{}}return {:#x};\n", "", indent, node.value);
      if (node.feature == Node::kCall)
        return add("{:{}}return {}(f);\n", "", indent, plan_.functions[node.value].name);
      const bool left = sizes_[node.left] <= sizes_[node.right];
      add("{:{}}if ({} {} {}u) {{\n", "", indent, feature(node.feature), left ? "<=" : ">",
          node.cut);
      write_node(function, left ? node.left : node.right, indent + 2);
      add("{:{}}}}\n", "", indent);
      n = left ? node.right : node.left;
    }
  }

  std::string call_text(const Call& call) {
    const Function& function = plan_.functions[call.function];
    return function.roots.size() > 1 ? fmt::format("{}(f, {})", function.name, call.which)
                                     : fmt::format("{}(f)", function.name);
  }
  [[nodiscard]] unsigned drops(std::size_t number) const noexcept {
    return static_cast<unsigned>(plan_.drop >> number & 1U);
  }

  /// In a function of its own: in one, clang would keep every tree's value for it.
  void write_exact() {
    add("\n__noinline int weir_model_exactly(struct weir_header_features *f)\n{{\n"
        "  __u64 row, exact[{}] = {{{}}};\n\n  if (!f)\n    return -1;\n",
        plan_.outputs, starts());
    for (const Call& call : plan_.calls) {
      const std::string value = fmt::format("(__u64){}", call_text(call));
      write_exact_tree(call, plan_.kind == Plan::Kind::sum
                                 ? fmt::format("{} >> {}", value, Plan::kRowShift)
                                 : value);
    }
    write_exact_end();
    add("}}\n");
  }

  void write_model() {
    if (plan_.kind == Plan::Kind::linear) {
      out_ += kTimes;
      if (plan_.reading == WEIR_READING_exact) out_ += kRound;
    }
    if (plan_.exact.needed) write_exact();
    add("\n__noinline int weir_model(struct weir_header_features *f)\n{{\n");
    switch (plan_.kind) {
      case Plan::Kind::verdict:
        add("  if (!f)\n    return -1;\n  return (int){};\n}}\n\n", call_text(plan_.calls[0]));
        return;
      case Plan::Kind::sum:
        write_sum();
        break;
      case Plan::Kind::sums:
        write_sums();
        break;
      case Plan::Kind::linear:
        write_linear();
        break;
    }
    add("}}\n\n");
  }

  void write_sum() {
    add("  __u64 sum = 0;\n");
    add("\n  if (!f)\n    return -1;\n");
    for (const Call& call : plan_.calls) {
      if (plan_.exact.needed)
        add("  sum += (__u64){} << 24 >> 24; /* its row stands above */\n", call_text(call));
      else
        add("  sum += (__u64){};\n", call_text(call));
    }
    add("  if (sum >= {}ull)\n    return {};\n", plan_.last_from, drops(1));
    if (!plan_.exact.needed) return add("  return {};\n", drops(0));
    add("  if ((__s64)sum <= {}ll)\n    return {};\n", plan_.other_to, drops(0));
    add("  return weir_model_exactly(f);\n");
  }

  [[nodiscard]] std::string starts() const {
    std::string text;
    for (const double x : plan_.exact.start)
      text += fmt::format("{}{:#x}ull", text.empty() ? "" : ", ", std::bit_cast<std::uint64_t>(x));
    return text;
  }
  [[nodiscard]] bool adds_to(const Call& call, std::size_t output) const noexcept {
    return call.output < 0 || static_cast<std::size_t>(call.output) == output;
  }

  void write_row(const std::string& row) {
    add("  row = {};\n  WEIR_AS_ONE(row);\n  if (row >= {}) /* no leaf has such a row */\n    "
        "return -1;\n",
        row, plan_.exact.values.size() / plan_.outputs);
  }
  void write_exact_tree(const Call& call, const std::string& row) {
    write_row(row);
    for (std::size_t o = 0; o < plan_.outputs; ++o)
      if (adds_to(call, o))
        add("  exact[{0}] = weir_add(exact[{0}], weir_leaves[{1} + row * {2}]);\n"
            "  WEIR_AS_ONE(exact[{0}]);\n",
            o, plan_.addends.size() + o, plan_.outputs);
  }
  void write_exact_end() {
    for (std::size_t o = 0; divides_ && o < plan_.outputs; ++o)
      add("  exact[{0}] = weir_divide(exact[{0}], {1});\n", o, plan_.exact.divisor);
    if (plan_.kind == Plan::Kind::sum && !plan_.against_first) {
      const double cut = divides_ ? plan_.cut : plan_.cut * plan_.exact.divisor;
      return add("  return weir_order(exact[{}]) > weir_order({:#x}ull) ? {} : {};\n",
                 plan_.outputs - 1, std::bit_cast<std::uint64_t>(cut + 0.0), drops(1), drops(0));
    }
    write_best("weir_order(exact[{}])");
  }

  /// The first of the greatest values, and what becomes of its class.
  void write_best(const char* value) {
    add("  {{\n    __s64 best = {};\n    __u32 number = 0;\n\n",
        fmt::format(fmt::runtime(value), 0));
    for (std::size_t o = 1; o < plan_.outputs; ++o)
      add("    if ({0} > best) {{\n      best = {0};\n      number = {1};\n    }}\n",
          fmt::format(fmt::runtime(value), o), o);
    add("    return {:#x}ull >> number & 1;\n  }}\n", plan_.drop);
  }

  void write_sums() {
    add("  __u64 row;\n  __s64 sum[{}] = {{", plan_.outputs);
    for (std::size_t o = 0; o < plan_.outputs; ++o)
      add("{}{}ll", o == 0 ? "" : ", ", plan_.start[o]);
    add("}};\n  __s64 most;\n  int near = 0;\n\n  if (!f)\n    return -1;\n");
    for (const Call& call : plan_.calls) {
      write_row(fmt::format("(__u64){}", call_text(call)));
      for (std::size_t o = 0; o < plan_.outputs; ++o)
        if (adds_to(call, o))
          add("  sum[{0}] += (__s64)weir_leaves[{0} + row * {1}];\n  WEIR_AS_ONE(sum[{0}]);\n", o,
              plan_.outputs);
    }
    add("  most = sum[0];\n");
    for (std::size_t o = 1; o < plan_.outputs; ++o)
      add("  most = sum[{0}] > most ? sum[{0}] : most;\n", o);
    for (std::size_t o = 0; o < plan_.outputs; ++o)
      add("  near += most - sum[{}] <= {}ll;\n", o, plan_.near);
    add("  if (near == 1)");
    write_best("sum[{}]");
    add("  return weir_model_exactly(f);\n");
  }

  static const char* type(Term::Wrap wrap) noexcept {
    return wrap == Term::Wrap::int32 ? "(__s32)" : wrap == Term::Wrap::uint32 ? "(__u32)" : "";
  }
  [[nodiscard]] std::string operand(const Term& term) const {
    std::string value = feature(term.feature);
    if (is_rounded(term.feature, plan_.reading)) value = fmt::format("weir_round({})", value);
    if (term.part == Term::Part::low) return value + " & 0xffff";
    if (term.part == Term::Part::high) return value + " >> 16";
    return value;
  }

  void write_linear() {
    add("  __s64 sum[{}] = {{", plan_.outputs);
    for (std::size_t o = 0; o < plan_.outputs; ++o)
      add("{}{}ll", o == 0 ? "" : ", ", plan_.start[o]);
    add("}}; /* times 2^{} */\n\n  if (!f)\n    return -1;\n", plan_.shift);
    for (const Term& term : plan_.terms) {
      const std::string product = fmt::format("weir_times({}ll, {})", term.weight, operand(term));
      const std::string shift = term.shift > 0 ? fmt::format(" >> {}", term.shift) : "";
      add("  sum[{0}] = {1}weir_plus(sum[{0}], {2}{3}{4});\n", term.output, type(term.sum),
          type(term.product), product, shift);
    }
    if (plan_.outputs > 1) return write_best("sum[{}]");
    add("  return sum[0] > {}ll ? {} : {};\n", plan_.above, drops(1), drops(0));
  }

  const Plan& plan_;
  bool divides_;
  std::string out_;
  std::vector<std::size_t> sizes_;
};

}  // namespace

std::string c_source(const Plan& plan) { return Text(plan).write(); }

}  // namespace weir::kernel_model
