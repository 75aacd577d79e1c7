// SPDX-License-Identifier: BSD-2-Clause
// What a kernel model costs: ns a packet over trees and depth, as weir writes it and as clang compiles the C that weir
// emits; what of a bare redirect's rate is left; a call of the model against a tail call; the largest forests that the
// kernel loads, and what it says of larger ones.
//
//   kernel_model_bench [cost] [rate] [calls] [largest]
//
// Prints Markdown. Needs root. Models are random: each split cuts one of eight features where half of the packets are.
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fmt/format.h>
#include <linux/bpf.h>
#include <net/if.h>
#include <sys/mman.h>
#include <sys/utsname.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <map>

#include "bare.skel.h"
#include "frames.h"
#include "kernel_model/emit_c.h"
#include "kernel_model/load.h"
#include "kernel_model/object.h"
#include "kernel_model_calls.skel.h"
#include "kernel_model_redirect.skel.h"
#include "kernel_model_rows.skel.h"
#include "perf/generator/generator.h"
#include "tests/kernel_model/models.h"
#include "tests/kernel_model/packets.h"
#include "tests/support/wire.h"

namespace weir::perf {
namespace {

using kernel_model::Bytes;
using kernel_model::Plan;
using kernel_model::Values;

constexpr std::size_t kRows = 16'384;
constexpr int kRounds = 9;

/// A row of features of each of many packets, and what is found in a column of them.
class Packets {
 public:
  Packets() {
    test::PacketsAtCuts packets(1, nullptr);
    rows.resize(kRows);
    for (Values& row : rows) packets.next(row);
    for (std::size_t f = 0; f < columns_.size(); ++f) {
      for (const Values& row : rows) columns_[f].push_back(row[f]);
      std::sort(columns_[f].begin(), columns_[f].end());
    }
  }
  /// A number between two quantiles.
  [[nodiscard]] double cut(std::size_t feature, double low, double high) const {
    const auto at = static_cast<std::size_t>((low + high) / 2 * (kRows - 1));
    return columns_[feature][at] + 0.5;
  }
  std::vector<Values> rows;

 private:
  std::array<std::vector<std::uint32_t>, WEIR_HEADER_SLOTS> columns_;
};

constexpr std::array kFeatures = {
    WEIR_HEADER_FEATURE_ip_total_length,  WEIR_HEADER_FEATURE_ip_ttl,
    WEIR_HEADER_FEATURE_source_port,      WEIR_HEADER_FEATURE_dest_port,
    WEIR_HEADER_FEATURE_tcp_sequence_num, WEIR_HEADER_FEATURE_tcp_ack_num,
    WEIR_HEADER_FEATURE_tcp_window_size,  WEIR_HEADER_FEATURE_ip_dscp};

class RandomForest {
 public:
  explicit RandomForest(const Packets& packets) : packets_(packets) {}

  forest::Model make(int trees, unsigned depth) {
    std::vector<std::string> names;
    for (const auto feature : kFeatures) names.emplace_back(kernel_model::feature_name(feature));
    model_ = test::two_classes(names);
    for (int t = 0; t < trees; ++t) {
      model_.trees.push_back({static_cast<std::uint32_t>(model_.nodes.size()), -1});
      std::array<std::pair<double, double>, kFeatures.size()> open;
      open.fill({0, 1});
      add(depth, open);
    }
    return std::move(model_);
  }

 private:
  std::uint32_t add(unsigned depth, std::array<std::pair<double, double>, kFeatures.size()> open) {
    if (depth == 0) return test::add_leaf(model_, static_cast<double>(random_() % 1000) / 1000);
    const std::size_t f = random_() % kFeatures.size();
    const auto [low, high] = open[f];
    const auto at = static_cast<std::uint32_t>(model_.nodes.size());
    model_.nodes.emplace_back();
    model_.nodes[at].feature = static_cast<std::int32_t>(f);
    model_.nodes[at].threshold = packets_.cut(kFeatures[f], low, high);
    open[f] = {low, (low + high) / 2};
    const std::uint32_t left = add(depth - 1, open);
    open[f] = {(low + high) / 2, high};
    const std::uint32_t right = add(depth - 1, open);
    model_.nodes[at].left = left;
    model_.nodes[at].right = right;
    return at;
  }

  const Packets& packets_;
  forest::Model model_;
  std::mt19937 random_{2};
};

Plan plan_of(const forest::Model& model) {
  auto plan = kernel_model::make_plan(model, {});
  if (!plan) fmt::print(stderr, "{}\n", plan.error().message);
  WEIR_CHECK(plan);
  return *plan;
}

struct Object {
  explicit Object(std::span<const std::uint8_t> bytes) {
    object = bpf_object__open_mem(bytes.data(), bytes.size(), nullptr);
    loaded = object != nullptr && bpf_object__load(object) == 0;
  }
  ~Object() { bpf_object__close(object); }
  Object(const Object&) = delete;
  Object& operator=(const Object&) = delete;
  bpf_object* object = nullptr;
  bool loaded = false;
};

/// ns a row, the median of some rounds; none where the kernel refuses it.
std::optional<double> ns_a_row(const Packets& packets, std::span<const std::uint8_t> model) {
  std::size_t bytes = 0;
  const void* const driver = kernel_model_rows_bpf::elf_bytes(&bytes);
  const auto linked = kernel_model::link({static_cast<const std::uint8_t*>(driver), bytes}, model);
  if (!linked) {
    fmt::print(stderr, "{}\n", linked.error().message);
    return std::nullopt;
  }
  const Object object(*linked);
  if (!object.loaded) return std::nullopt;
  const int rows = bpf_object__find_map_fd_by_name(object.object, "rows");
  void* const memory =
      ::mmap(nullptr, kRows * sizeof(Values), PROT_READ | PROT_WRITE, MAP_SHARED, rows, 0);
  WEIR_CHECK(memory != MAP_FAILED);
  std::memcpy(memory, packets.rows.data(), kRows * sizeof(Values));
  ::munmap(memory, kRows * sizeof(Values));
  const int program =
      bpf_program__fd(bpf_object__find_program_by_name(object.object, "judge_rows"));
  std::vector<double> found;
  std::array<std::uint8_t, 64> frame{};
  for (int round = 0; round < kRounds; ++round) {
    bpf_test_run_opts options{};
    options.sz = sizeof options;
    options.data_in = frame.data();
    options.data_size_in = frame.size();
    options.repeat = 4;
    WEIR_CHECK(bpf_prog_test_run_opts(program, &options) == 0);
    found.push_back(static_cast<double>(options.duration) / kRows);  // a mean over the repeats
  }
  std::sort(found.begin(), found.end());
  return found[kRounds / 2];
}

/// The model part of what clang makes of the C that weir emits; none where it takes over 30 s.
std::optional<Bytes> by_clang(const Plan& plan) {
  const std::string stem = fmt::format("/tmp/weir-kernel-model-{}", ::getpid());
  std::string text = c_source(plan);
  // Its own program is left out: the driver has one.
  text.resize(text.find("\nstruct {\n  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY)"));
  std::ofstream(stem + ".c") << text;
  const auto ran = test::run({"clang-14", "-O2", "-g", "-target", "bpf", "-mcpu=v3", "-idirafter",
                              WEIR_MULTIARCH, "-c", stem + ".c", "-o", stem + ".o"});
  if (ran.status != 0) return std::nullopt;
  std::ifstream in(stem + ".o", std::ios::binary);
  Bytes bytes{std::istreambuf_iterator<char>(in), {}};
  std::filesystem::remove(stem + ".c");
  std::filesystem::remove(stem + ".o");
  return bytes;
}

void cost() {
  const Packets packets;
  const auto empty =
      ns_a_row(packets, *model_object(assemble(plan_of(RandomForest(packets).make(1, 0)))));
  fmt::print(
      "ns a packet for the model alone (the loop's own {:.1f} ns taken off), median of {} rounds "
      "over {} packets\n\n"
      "| trees | depth | splits | weir | the C by clang 14 | verified | load ms |\n"
      "| --- | --- | --- | --- | --- | --- | --- |\n",
      *empty, kRounds, kRows);
  for (const auto& [trees, depth] : std::vector<std::pair<int, unsigned>>{{1, 4},
                                                                          {1, 8},
                                                                          {1, 12},
                                                                          {1, 16},
                                                                          {10, 4},
                                                                          {10, 6},
                                                                          {10, 8},
                                                                          {50, 6},
                                                                          {100, 6},
                                                                          {100, 8}}) {
    const Plan plan = plan_of(RandomForest(packets).make(trees, depth));
    const auto started = std::chrono::steady_clock::now();
    const auto program = kernel_model::Program::load(plan);
    const std::chrono::duration<double, std::milli> took =
        std::chrono::steady_clock::now() - started;
    WEIR_CHECK(program);
    const auto ours = ns_a_row(packets, *model_object(assemble(plan)));
    const auto compiled = by_clang(plan);
    const auto theirs = compiled ? ns_a_row(packets, *compiled) : std::nullopt;
    fmt::print("| {} | {} | {} | {:.1f} | {} | {} | {:.0f} |\n", trees, depth, plan.splits,
               *ours - *empty,
               theirs     ? fmt::format("{:.1f}", *theirs - *empty)
               : compiled ? "refused"
                          : "over 30 s",
               program->verified(), took.count());
    std::fflush(stdout);
  }
}

/// Packets a second across a redirect between two interfaces, with a model in front or without.
double redirected(std::span<const std::uint8_t> program, std::uint64_t packets) {
  test::Wire wire;
  const test::Inside inside(wire.box);
  const Object object(program);
  WEIR_CHECK(object.loaded);
  const std::uint32_t key = 0, lan = if_nametoindex("lan");
  WEIR_CHECK(bpf_map_update_elem(bpf_object__find_map_fd_by_name(object.object, "peer"), &key, &lan,
                                 0) == 0);
  bpf_link* const link =
      bpf_program__attach_xdp(bpf_object__find_program_by_name(object.object, "redirect"),
                              static_cast<int>(if_nametoindex("wan")));
  WEIR_CHECK(link != nullptr);
  const auto at = [](const test::Namespace& where, const auto& make) {
    const test::Inside there(where);
    auto made = make();
    WEIR_CHECK(made);
    return std::move(*made);
  };
  const auto sink = at(wire.lan, [] { return Sink::attach("lan0", false); });
  const test::OnCpu cpu(test::kGeneratorCpu);
  const auto generator = at(wire.wan, [] { return Generator::create("wan0"); });
  Stream stream;
  stream.frame = test::udp_frame(test::Shape::ip4, test::device(test::Shape::ip4),
                                 test::host(test::Shape::ip4), 4000, 4001, "");
  stream.flow = 1;
  stream.sources = 65'536;
  WEIR_CHECK(generator->set(std::span<const Stream>(&stream, 1)));
  WEIR_CHECK(generator->send(packets / 10));
  sink->reset();
  const auto started = std::chrono::steady_clock::now();
  WEIR_CHECK(generator->send(packets));
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - started;
  const std::uint64_t arrived = sink->flow(1).packets;
  if (arrived != packets) fmt::print("{} of {} arrived\n", arrived, packets);
  bpf_link__destroy(link);
  return static_cast<double>(arrived) / took.count();
}

void rate() {
  const Packets packets;
  std::size_t bytes = 0;
  const auto* const data =
      static_cast<const std::uint8_t*>(kernel_model_redirect_bpf::elf_bytes(&bytes));
  std::map<std::string, std::vector<double>> found;
  std::map<std::string, Bytes> programs;
  programs["0 bare redirect"] = Bytes{};
  for (const auto& [trees, depth] :
       std::vector<std::pair<int, unsigned>>{{1, 8}, {10, 6}, {100, 6}})
    programs[fmt::format("{} trees of depth {}", trees, depth)] = *kernel_model::link(
        {data, bytes}, *model_object(assemble(plan_of(RandomForest(packets).make(trees, depth)))));
  std::size_t bare_bytes = 0;
  const auto* const bare = static_cast<const std::uint8_t*>(bare_bpf::elf_bytes(&bare_bytes));
  programs["0 bare redirect"].assign(bare, bare + bare_bytes);
  for (int round = 0; round < 5; ++round)
    for (const auto& [name, program] : programs)
      found[name].push_back(redirected(program, 3'000'000));
  const auto median = [](std::vector<double> v) {
    std::sort(v.begin(), v.end());
    return v[v.size() / 2];
  };
  const double bare_rate = median(found["0 bare redirect"]);
  fmt::print("\n| in front of a redirect | Mpps | of the bare one's rate |\n| --- | --- | --- |\n");
  for (const auto& [name, rates] : found)
    fmt::print("| {} | {:.2f} | {:.2f} |\n", name, median(rates) / 1e6, median(rates) / bare_rate);
}

/// ns a packet of one program over packets that differ little, as those of a flow do.
double ns_a_packet(int program) {
  test::Bytes frame = test::udp_frame(test::Shape::ip4, test::device(test::Shape::ip4),
                                      test::host(test::Shape::ip4), 4000, 4001, "");
  bpf_test_run_opts options{};
  options.sz = sizeof options;
  options.data_in = frame.data();
  options.data_size_in = static_cast<std::uint32_t>(frame.size());
  options.repeat = 1'000'000;
  WEIR_CHECK(bpf_prog_test_run_opts(program, &options) == 0 && options.retval != XDP_ABORTED);
  return options.duration;
}

/// The same model by a call and by a tail call, in turn.
void calls() {
  const Packets packets;
  std::size_t bytes = 0;
  const auto* const data =
      static_cast<const std::uint8_t*>(kernel_model_calls_bpf::elf_bytes(&bytes));
  fmt::print(
      "\nns a packet of one flow from the frame to the verdict (BPF_PROG_TEST_RUN, a million times "
      "a "
      "round), medians of {} rounds in turn\n\n"
      "| trees | depth | call | tail call |\n| --- | --- | --- | --- |\n",
      kRounds);
  for (const auto& [trees, depth] :
       std::vector<std::pair<int, unsigned>>{{1, 0}, {1, 8}, {10, 6}, {100, 6}}) {
    const auto linked = kernel_model::link(
        {data, bytes}, *model_object(assemble(plan_of(RandomForest(packets).make(trees, depth)))));
    WEIR_CHECK(linked);
    const Object object(*linked);
    WEIR_CHECK(object.loaded);
    const auto program = [&](const char* name) {
      return bpf_program__fd(bpf_object__find_program_by_name(object.object, name));
    };
    const std::uint32_t key = 0;
    const int tail = program("tail");
    WEIR_CHECK(bpf_map_update_elem(bpf_object__find_map_fd_by_name(object.object, "models"), &key,
                                   &tail, 0) == 0);
    std::array<std::vector<double>, 2> found;
    for (int round = 0; round < kRounds; ++round) {
      found[0].push_back(ns_a_packet(program("call")));
      found[1].push_back(ns_a_packet(program("tail_call")));
    }
    for (auto& times : found) std::sort(times.begin(), times.end());
    fmt::print("| {} | {} | {:.0f} ({:.0f}-{:.0f}) | {:.0f} ({:.0f}-{:.0f}) |\n", trees, depth,
               found[0][kRounds / 2], found[0].front(), found[0].back(), found[1][kRounds / 2],
               found[1].front(), found[1].back());
  }
}

struct Forest {
  int trees = 0;
  std::size_t functions = 0, splits = 0, instructions = 0;
  std::uint64_t verified = 0;
  double load_ms = 0;
  std::string refusal;  // of one that does not load
};

Forest try_forest(const Packets& packets, int trees, unsigned depth) {
  Forest tried;
  tried.trees = trees;
  const auto plan = kernel_model::make_plan(RandomForest(packets).make(trees, depth), {});
  if (!plan) {
    tried.refusal = plan.error().message;
    return tried;
  }
  tried.functions = plan->functions.size();
  tried.splits = plan->splits;
  tried.instructions = assemble(*plan).instructions.size();
  const auto started = std::chrono::steady_clock::now();
  const auto program = kernel_model::Program::load(*plan);
  const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - started;
  tried.load_ms = took.count();
  if (program)
    tried.verified = program->verified();
  else
    tried.refusal = program.error().message;
  return tried;
}

/// The largest forest of a depth, to within a hundredth: each try costs seconds, in a guest more.
void largest_of(const Packets& packets, unsigned depth) {
  Forest good = try_forest(packets, 16, depth), bad;
  if (!good.refusal.empty()) {
    fmt::print("| {} | fewer than {} | | | | | | {} |\n", depth, good.trees, good.refusal);
    return;
  }
  // A million instructions are in the way, if nothing else is: near there it begins.
  int next = static_cast<int>(1'000'000 / (good.instructions / 16));
  while (bad.trees == 0 || bad.trees - good.trees > std::max(1, good.trees / 100)) {
    Forest tried = try_forest(packets, next, depth);
    (tried.refusal.empty() ? good : bad) = std::move(tried);
    next = bad.trees == 0 ? good.trees + good.trees / 50 + 1
           : bad.trees - good.trees > good.trees / 20
               ? std::max(good.trees + 1, bad.trees - bad.trees / 50)
               : (good.trees + bad.trees) / 2;
  }
  fmt::print("| {} | {} | {} | {} | {} | {} | {:.0f} | {}: {} |\n", depth, good.trees,
             good.functions, good.splits, good.instructions, good.verified, good.load_ms, bad.trees,
             bad.refusal);
  std::fflush(stdout);
}

void largest() {
  const Packets packets;
  utsname system{};
  ::uname(&system);
  fmt::print(
      "\nLinux {}, the largest forests that it loads\n\n"
      "| depth | trees | functions | splits | instructions | verified | load ms | refused |\n"
      "| --- | --- | --- | --- | --- | --- | --- | --- |\n",
      system.release);
  for (const unsigned depth : {6U, 8U, 10U}) largest_of(packets, depth);
}

}  // namespace
}  // namespace weir::perf

int main(int argc, char** argv) {
  const std::vector<std::string> parts(argv + 1, argv + argc);
  const auto wanted = [&](const char* part) {
    return parts.empty() || std::find(parts.begin(), parts.end(), part) != parts.end();
  };
  libbpf_set_print(nullptr);
  if (const auto mounts = weir::test::own_mounts(); !mounts) {
    fmt::print(stderr, "{}\n", mounts.error().message);
    return 1;
  }
  if (wanted("cost")) weir::perf::cost();
  if (wanted("rate")) weir::perf::rate();
  if (wanted("calls")) weir::perf::calls();
  if (wanted("largest")) weir::perf::largest();
  return 0;
}
