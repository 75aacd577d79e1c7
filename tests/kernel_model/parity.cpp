// SPDX-License-Identifier: BSD-2-Clause
// In the kernel, in userspace and in the trainer's library: the same verdict for every packet. Works for parity.py.
//
//   training FOLDER COUNT           writes FOLDER/training.values: header features of packets, u32, a packet a row
//   values MODEL COUNT OUT          the same for packets at this model's cuts
//   judge FOLDER PART               judges one PARTth of the packets of every model that FOLDER/cases names
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fmt/format.h>
#include <linux/bpf.h>

#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sstream>

#include "forest/evaluate.h"
#include "forest/import.h"
#include "kernel_model/load.h"
#include "packets.h"

namespace weir::kernel_model {
namespace {

constexpr std::uint64_t kSeed = 20261126;

int refuse(const std::string& message) {
  fmt::print(stderr, "{}\n", message);
  return 1;
}

int write_values(const Plan* plan, std::size_t count, const std::string& path) {
  std::ofstream out(path, std::ios::binary);
  test::PacketsAtCuts packets(kSeed + (plan == nullptr ? 1 : 0), plan);
  Values values;
  for (std::size_t i = 0; i < count; ++i) {
    packets.next(values);
    out.write(reinterpret_cast<const char*>(values.data()), sizeof values);
  }
  return out.flush() ? 0 : refuse("cannot write " + path);
}

Result<Plan> plan_of(const forest::Model& model) {
  Options options;
  if (model.classes.size() > 2) options.drop = {model.classes[1].name, model.classes.back().name};
  return make_plan(model, options);
}

int write_values_of(const std::string& path, std::size_t count, const std::string& out) {
  const auto model = forest::load_model(path);
  if (!model) return refuse(model.error().message);
  const auto plan = plan_of(*model);
  return plan ? write_values(&*plan, count, out) : refuse(plan.error().message);
}

/// The class that the evaluator's scores stand for.
std::size_t class_of(const forest::Model& model, const float* scores) {
  if (model.classes.size() == 2) return scores[0] > 0.5F ? 1 : 0;
  return static_cast<std::size_t>(std::max_element(scores, scores + model.outputs) - scores);
}

constexpr std::size_t kTogether = 1024;

/// Packets, and what userspace calls them: its evaluator has a batch of rows.
class Userspace {
 public:
  explicit Userspace(const forest::Model& model)
      : model_(model), evaluator_(*forest::make_evaluator(model)), slots_(model.features.size()) {
    for (std::size_t f = 0; f < slots_.size(); ++f)
      for (int i = 0; i < WEIR_HEADER_FEATURE_COUNT; ++i)
        if (model.features[f] == feature_name(i)) slots_[f] = static_cast<std::size_t>(i);
    scores_.resize(kTogether * model.outputs);
  }
  std::vector<std::size_t> classes(const std::vector<Values>& values) {
    for (std::size_t f = 0; f < slots_.size(); ++f)
      for (std::size_t r = 0; r < values.size(); ++r)
        memory_[f][r] = static_cast<float>(values[r][slots_[f]]);
    std::vector<const float*> columns;
    for (std::size_t f = 0; f < slots_.size(); ++f) columns.push_back(memory_[f].data());
    evaluator_->evaluate(columns.data(), values.size(), scores_.data());
    std::vector<std::size_t> made;
    std::array<float, kOutputsMax> scores{};
    for (std::size_t r = 0; r < values.size(); ++r) {
      for (std::size_t c = 0; c < forest::score_columns(model_); ++c)
        scores[c] = scores_[c * values.size() + r];
      made.push_back(class_of(model_, scores.data()));
    }
    return made;
  }

 private:
  const forest::Model& model_;
  std::unique_ptr<forest::Evaluator> evaluator_;
  std::vector<std::size_t> slots_;
  std::vector<float> scores_;
  alignas(64) std::array<std::array<float, kTogether>, WEIR_HEADER_SLOTS> memory_{};
};

std::uint32_t run(int program_fd, const test::Bytes& frame) {
  bpf_test_run_opts options{};
  options.sz = sizeof options;
  options.data_in = frame.data();
  options.data_size_in = static_cast<std::uint32_t>(frame.size());
  options.repeat = 1;
  WEIR_CHECK(bpf_prog_test_run_opts(program_fd, &options) == 0);
  return options.retval;
}

struct Tally {
  std::size_t packets = 0, dropped = 0, exact = 0, wrong = 0;
};

/// Judges packets in all four ways.
void compare(const std::string& path, const Plan& plan, int program_fd,
             const std::vector<test::Bytes>& frames, const std::vector<Values>& values,
             const std::vector<std::size_t>& trained, const std::vector<std::size_t>& ours,
             Tally& tally) {
  for (std::size_t i = 0; i < frames.size(); ++i) {
    bool exact = false;
    const int planned = judge(plan, values[i], &exact);
    const std::uint32_t action = run(program_fd, frames[i]);
    const int in_kernel = action == XDP_DROP ? 1 : action == XDP_PASS ? 0 : -1;
    const int wanted = static_cast<int>(plan.drop >> trained[i] & 1U);
    ++tally.packets;
    tally.dropped += in_kernel == 1 ? 1 : 0;
    tally.exact += exact ? 1 : 0;
    if (in_kernel == wanted && planned == wanted && ours[i] == trained[i]) continue;
    if (++tally.wrong <= 5)
      fmt::print("{}: packet {}: trained class {}, userspace {}, plan {}, kernel {}\n", path,
                 tally.packets, trained[i], ours[i], planned, in_kernel);
  }
}

Result<Tally> judge_model(const std::string& path, std::size_t part) {
  WEIR_ASSIGN(const forest::Model model, forest::load_model(path));
  WEIR_ASSIGN(const Plan plan, plan_of(model));
  const auto program = Program::load(plan);
  if (!program) return fail(program.error().message);
  std::ifstream in(path + ".classes", std::ios::binary);
  std::ostringstream text;
  text << in.rdbuf();
  const std::string classes = text.str();
  test::PacketsAtCuts packets(kSeed, &plan);
  const auto userspace = std::make_unique<Userspace>(model);
  Tally tally;
  std::vector<test::Bytes> frames;
  std::vector<Values> values;
  std::vector<std::size_t> trained;
  const std::size_t count = classes.size() / part;
  for (std::size_t i = 0; i < count; ++i) {
    Values of_this;
    frames.push_back(packets.next(of_this));
    values.push_back(of_this);
    trained.push_back(static_cast<std::size_t>(classes[i]));
    if (frames.size() < kTogether && i + 1 < count) continue;
    compare(path, plan, program->fd(), frames, values, trained, userspace->classes(values), tally);
    frames.clear();
    values.clear();
    trained.clear();
  }
  // Each packet is counted once, and none was without a verdict.
  std::vector<weir_model_counter> counted(static_cast<std::size_t>(libbpf_num_possible_cpus()));
  std::size_t sum = 0;
  for (const std::uint32_t verdict : {WEIR_MODEL_pass, WEIR_MODEL_drop}) {
    WEIR_CHECK(bpf_map_lookup_elem(program->map_fd("verdicts"), &verdict, counted.data()) == 0);
    for (const auto& counter : counted) sum += counter.packets;
  }
  if (sum != tally.packets)
    return fail(fmt::format("{}: {} of {} counted", path, sum, tally.packets));
  fmt::print(
      "{:44} {:3} functions {:6} splits {:7} verified {:6} packets {:6} dropped {:5} added exactly "
      "{} wrong\n",
      path.substr(path.rfind('/') + 1), plan.functions.size(), plan.splits, program->verified(),
      tally.packets, tally.dropped, tally.exact, tally.wrong);
  return tally;
}

int judge_all(const std::string& folder, std::size_t part) {
  std::ifstream cases(folder + "/cases");
  std::size_t models = 0, wrong = 0;
  for (std::string name; std::getline(cases, name); ++models) {
    const auto tally = judge_model(folder + "/" + name, part);
    if (!tally) return refuse(name + ": " + tally.error().message);
    wrong += tally->wrong;
  }
  fmt::print("{} models, {} packets judged otherwise\n", models, wrong);
  return models == 20 && wrong == 0 ? 0 : 1;
}

}  // namespace
}  // namespace weir::kernel_model

int main(int argc, char** argv) {
  using namespace weir::kernel_model;
  const std::vector<std::string> words(argv + 1, argv + argc);
  const auto number = [](const std::string& word) {
    return static_cast<std::size_t>(std::strtoul(word.c_str(), nullptr, 10));
  };
  if (words.size() == 3 && words[0] == "training")
    return write_values(nullptr, number(words[2]), words[1] + "/training.values");
  if (words.size() == 4 && words[0] == "values")
    return write_values_of(words[1], number(words[2]), words[3]);
  if (words.size() == 3 && words[0] == "judge") return judge_all(words[1], number(words[2]));
  return refuse("usage: kernel_model_parity training|values|judge ...");
}
