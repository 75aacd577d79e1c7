// SPDX-License-Identifier: BSD-2-Clause
#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <memory>

#include "base/whole_file.h"
#include "cli/commands.h"
#include "cli/daemon.h"
#include "cli/kernel_model_state.h"
#include "cli/output_file.h"
#include "detect/extractor.h"
#include "forest/evaluate.h"
#include "forest/import.h"
#include "io/capture.h"
#include "kernel_model/emit_c.h"
#include "kernel_model/load.h"
#include "kernel_model/object.h"

namespace weir::cli {
namespace {

using control::Json;
using kernel_model::LoadError;
using kernel_model::Plan;
using kernel_model::Values;

struct Options {
  std::string model, capture, interface, output;
  std::string pins = kernel_model::kDefaultPins;
  std::optional<double> threshold, decision, precision;
  std::vector<std::string> drop;
  std::string compat, fallback;
  bool generic = false, json = false, c = false, object = false;
};

int report_load(const LoadError& error) {
  switch (error.why) {
    case LoadError::Why::refused:
    case LoadError::Why::interface:
      return report({error.message}, kBadInput);
    case LoadError::Why::permission:
      return report({error.message}, kNotPermitted);
    case LoadError::Why::failed:
      break;
  }
  if (geteuid() == 0) return report({error.message}, kFailure);
  return report({error.message + "; run it as root"}, kNotPermitted);
}

Result<kernel_model::Options> plan_options(const Options& options) {
  if (options.threshold && options.decision)
    return fail(
        "--threshold and --decision are both given, and a packet is dropped above one of them; "
        "leave the other out");
  kernel_model::Options made;
  made.threshold = options.threshold ? options.threshold : options.decision;
  made.on_decision = options.decision.has_value();
  made.precision = options.precision;
  made.drop = options.drop;
  made.reading = options.compat == "skx" ? WEIR_READING_skx : WEIR_READING_exact;
  return made;
}

/// A model as the command is to take it.
struct Ready {
  forest::Model model;
  kernel_model::Options options;
};
Result<Ready> ready(const Options& options) {
  Ready made;
  WEIR_ASSIGN(made.model, forest::load_model(options.model));
  WEIR_TRY(detect::name_features(made.model.features, {}, {}));
  WEIR_ASSIGN(made.options, plan_options(options));
  if (const Status fits = check_threshold(made.model, made.options); !fits)
    return fail(fmt::format("{}: {}", options.model, fits.error().message));
  // Its scores are to have their 0.5 where packets are dropped from.
  if (made.options.threshold && made.model.classes.size() == 2)
    made.model.decision = {
        made.options.on_decision ? forest::Decision::On::margin : forest::Decision::On::probability,
        *made.options.threshold};
  return made;
}

Result<Plan> plan_of(const Options& options, const Ready& model) {
  auto plan = make_plan(model.model, model.options);
  if (!plan) return fail(fmt::format("{}: {}", options.model, plan.error().message));
  return plan;
}

struct Planned : Ready {
  Plan plan;
};
Result<Planned> planned(const Options& options) {
  WEIR_ASSIGN(Ready model, ready(options));
  WEIR_ASSIGN(Plan plan, plan_of(options, model));
  return Planned{std::move(model), std::move(plan)};
}

std::string size_text(const Plan& plan) {
  if (plan.kind == Plan::Kind::linear && plan.reading == WEIR_READING_skx)
    return "linear, in four digits and C's integers";
  if (plan.kind == Plan::Kind::linear)
    return fmt::format("linear, a decision is off by {:.3g} at most", plan.error);
  return fmt::format("{} trees, {} splits, {} functions", plan.calls.size(), plan.splits,
                     plan.functions.size());
}

/// What cannot run in the kernel is judged in userspace, by host mode, until SIGTERM: each packet
/// that the kernel would have judged, by the score alone.
int judge_by_sockets(const Options& options, const Ready& made) {
  auto config = control::host_config({.interface = options.interface,
                                      .model = options.model,
                                      .judge = "guard",
                                      .ports = {},
                                      .all_ip = true,
                                      .score_alone = true,
                                      .generic = options.generic});
  if (!config) return report(config.error(), kBadInput);
  if (made.model.classes.size() == 2)
    config->decision = made.model.decision;
  else if (made.options.threshold)
    config->policy.threshold = static_cast<float>(*made.options.threshold);
  const auto ran = control::run_service(*config, [&] {
    fmt::print(stderr, "weir: warning: userspace judges {} instead, until SIGTERM\n",
               options.interface);
  });
  return ran ? kOk : report(Failure{ran.error().message, status_of(ran.error().kind)});
}

/// What userspace would not judge as it was asked for is refused before anything is loaded.
Status fits_userspace(const Options& options) {
  if (!options.compat.empty() || !options.drop.empty())
    return fail(
        "--fallback sockets was given with --drop or --compat, which userspace does not know: "
        "leave them, or the fallback");
  if (options.pins != kernel_model::kDefaultPins)
    return fail(
        "--fallback sockets was given with --pins, and userspace pins where `weir detach` looks: "
        "leave one of the two");
  return {};
}

Status fits_userspace(const Options& options, const Ready& made) {
  const auto refuse = [&](const std::string& why) {
    return fail(fmt::format("{}: {}", options.model, why));
  };
  const std::size_t classes = made.model.classes.size();
  if (classes > 2)
    return refuse(fmt::format(
        "the model has {} classes, and userspace, which --fallback sockets asks for, judges by "
        "two: leave the fallback, and name with --drop the classes whose packets are dropped",
        classes));
  if (classes == 0 && !made.options.threshold)
    return refuse("the model has no classes; give a threshold, above which packets are dropped");
  return {};
}

int load(const Options& options) {
  const bool sockets = !options.fallback.empty();
  if (const auto fits = fits_userspace(options); sockets && !fits)
    return report(fits.error(), kBadInput);
  const auto made = ready(options);
  if (!made) return report(made.error(), kBadInput);
  if (const auto fits = fits_userspace(options, *made); sockets && !fits)
    return report(fits.error(), kBadInput);
  const auto plan = plan_of(options, *made);
  if (!plan) {
    const int status = report(plan.error(), kBadInput);
    // A bound that was asked for is the planner's alone: userspace rounds nothing.
    return sockets && !options.precision ? judge_by_sockets(options, *made) : status;
  }
  const auto attached = attach(*plan, {options.interface, options.pins, options.generic});
  if (!attached) {
    const int status = report_load(attached.error());
    return sockets && attached.error().why == LoadError::Why::refused
               ? judge_by_sockets(options, *made)
               : status;
  }
  if (!attached->native && !options.generic)
    fmt::print(
        stderr, "weir: warning: {} judges in generic mode, which is slower: {}\n",
        options.interface,
        attached->why_generic.empty() ? "an earlier model runs in it" : attached->why_generic);
  fmt::print(
      "{}: model '{}' judges every packet in {} mode{}: {}; its verifier went through {} "
      "instructions\n",
      options.interface, made->model.name, attached->native ? "native" : "generic",
      attached->replaced ? ", in place of the one before" : "", size_text(*plan),
      attached->verified);
  return kOk;
}

/// The interfaces that the command is about.
std::vector<std::string> chosen(const Options& options) {
  if (!options.interface.empty()) return {options.interface};
  return kernel_model::interfaces(options.pins);
}

int none_there(const Options& options) {
  if (geteuid() != 0)
    return report({"what is pinned by root cannot be seen; run this as root"}, kNotPermitted);
  return report(
      {options.interface.empty()
           ? fmt::format("no kernel model is loaded (nothing is pinned in {})", options.pins)
           : fmt::format("no kernel model is loaded on {}", options.interface)},
      kNotRunning);
}

int status(const Options& options) {
  Json all = Json::array();
  for (const std::string& interface : chosen(options)) {
    const auto state = kernel_model::state(interface, options.pins);
    if (!state) return report_load(state.error());
    if (!*state) continue;
    if (!options.json) print_state(**state);
    all.push_back(json_of(**state));
  }
  if (all.empty()) return none_there(options);
  if (options.json) fmt::print("{}\n", all.dump(2));
  return kOk;
}

int detach(const Options& options) {
  bool any = false;
  for (const std::string& interface : chosen(options)) {
    const auto gone = kernel_model::detach(interface, options.pins);
    if (!gone) return report_load(gone.error());
    if (*gone) fmt::print("{}: the kernel model is taken away\n", interface);
    any = any || *gone;
  }
  return any ? kOk : none_there(options);
}

int emit(const Options& options) {
  if (options.c == options.object)
    return report({fmt::format("{}: --c for C, or --object for an ELF object",
                               options.c ? "say which of the two to write, and leave the other out"
                                         : "say what to write")},
                  kBadInput);
  const OutputFile output{"--output", options.output};
  if (const auto spared = keeps_inputs({&output, 1}, {&options.model, 1}); !spared)
    return report(spared.error(), kBadInput);
  const auto made = planned(options);
  if (!made) return report(made.error(), kBadInput);
  std::string text;
  if (options.c) {
    text = c_source(made->plan);
  } else {
    const auto object = whole_object(assemble(made->plan), made->plan.reading);
    if (!object) return report(object.error(), kFailure);
    text.assign(object->begin(), object->end());
  }
  if (options.output.empty() || options.output == "-") {
    fmt::print("{}", text);
    return kOk;
  }
  if (const int error = write_whole(options.output, text); error != 0)
    return report({fmt::format("cannot write {}: {}; name a file that can be written",
                               options.output, std::strerror(error))},
                  kBadInput);
  return kOk;
}

struct Counts {
  std::size_t packets = 0, others = 0, dropped = 0, by_precision = 0, not_as_userspace = 0;
};

/// Rows of a capture, and what userspace says of them.
class Judged {
 public:
  explicit Judged(const Planned& made, const Plan& finest)
      : made_(made),
        finest_(finest),
        evaluator_(*forest::make_evaluator(made.model)),
        columns_(made.model.features.size()),
        scores_(kRows * made.model.outputs) {
    for (const Column& column : columns_) starts_.push_back(column.values.data());
    for (const std::string& feature : made.model.features)  // a plan has header features alone
      for (int i = 0; i < WEIR_HEADER_FEATURE_COUNT; ++i)
        if (feature == kernel_model::feature_name(i))
          places_.push_back(static_cast<std::size_t>(i));
  }

  void add(const Values& values) {
    for (std::size_t f = 0; f < columns_.size(); ++f)
      columns_[f].values[rows_.size()] = static_cast<float>(values[places_[f]]);
    rows_.push_back(values);
    if (rows_.size() == kRows) flush();
  }

  void flush() {
    evaluator_->evaluate(starts_.data(), rows_.size(), scores_.data());
    for (std::size_t r = 0; r < rows_.size(); ++r) {
      const int verdict = judge(made_.plan, rows_[r]);
      counts.dropped += verdict == 1 ? 1 : 0;
      counts.by_precision += verdict != judge(finest_, rows_[r]) ? 1 : 0;
      counts.not_as_userspace += verdict != userspace(r) ? 1 : 0;
    }
    counts.packets += rows_.size();
    rows_.clear();
  }

  Counts counts;

 private:
  static constexpr std::size_t kRows = 16 * forest::kRowAlign;
  struct alignas(64) Column {
    std::array<float, kRows> values{};
  };

  [[nodiscard]] int userspace(std::size_t r) const {
    const auto score = [&](std::size_t c) { return scores_[c * rows_.size() + r]; };
    const auto& model = made_.model;
    std::size_t number = 0;
    if (forest::score_columns(model) == 1) {
      const double least = model.classes.empty() ? made_.options.threshold.value_or(0.5) : 0.5;
      number = static_cast<double>(score(0)) > least ? 1 : 0;
    } else {
      for (std::size_t c = 1; c < model.outputs; ++c)
        if (score(c) > score(number)) number = c;
    }
    return static_cast<int>(made_.plan.drop >> number & 1U);
  }

  const Planned& made_;
  const Plan& finest_;
  std::unique_ptr<forest::Evaluator> evaluator_;
  std::vector<Column> columns_;
  std::vector<const float*> starts_;  // of the columns
  std::vector<std::size_t> places_;   // the header feature of each
  std::vector<float> scores_;
  std::vector<Values> rows_;
};

int check(const Options& options) {
  const auto made = planned(options);
  if (!made) return report(made.error(), kBadInput);
  kernel_model::Options exact = made->options;
  exact.precision.reset();
  const auto finest = make_plan(made->model, exact);
  if (!finest) return report(finest.error(), kBadInput);
  const auto reader = io::CaptureReader::open(options.capture);
  if (!reader) return report(reader.error(), kBadInput);
  Judged judged(*made, *finest);
  io::CapturedPacket packet;
  io::Step step = io::Step::packet;
  for (; (step = (*reader)->next(packet)) == io::Step::packet;) {
    const std::uint8_t* const end = packet.bytes.data() + packet.bytes.size();
    weir_headers headers;
    weir_header_features features;
    weir_parse(packet.bytes.data(), end, &headers);
    if (weir_read_header_features(packet.bytes.data(), end, &headers, made->plan.reading,
                                  &features) == 0) {
      ++judged.counts.others;
      continue;
    }
    Values values;
    std::copy_n(features.value, values.size(), values.begin());
    judged.add(values);
  }
  judged.flush();
  if (step == io::Step::error) report((*reader)->error(), kFailure);
  const Counts& counts = judged.counts;
  const bool decision = made->options.on_decision;
  if (options.json) {
    Json all{{"packets", counts.packets},
             {"not_ip", counts.others},
             {"dropped", counts.dropped},
             {"error_bound", made->plan.error},
             {"changed_by_precision", counts.by_precision}};
    if (!decision) all["not_as_userspace"] = counts.not_as_userspace;
    fmt::print("{}\n", all.dump(2));
  } else {
    fmt::print("{} packets judged, {} dropped, {} without an IP header; {}\n", counts.packets,
               counts.dropped, counts.others, size_text(made->plan));
    fmt::print("  the precision changes {} verdicts of {}\n", counts.by_precision, counts.packets);
    if (!decision) fmt::print("  userspace judges {} otherwise\n", counts.not_as_userspace);
  }
  return step == io::Step::error ? kFailure : kOk;
}

void add_model_options(Command command, Options& options) {
  command.add_option("MODEL", options.model, "Model over header features (`weir model features`)")
      .required();
  command.add_option("--drop", options.drop, "Class whose packets are dropped; the last, else")
      .type_name("CLASS");
  command.add_option("--threshold", options.threshold, "Drop above this probability")
      .type_name("P");
  command
      .add_option("--decision", options.decision, "Drop above this value of the decision function")
      .type_name("X");
  command
      .add_option("--precision", options.precision,
                  "Linear models: how far a decision may be off; as little as can be, else")
      .type_name("E")
      .positive();
  command
      .add_option("--compat", options.compat,
                  "Judge as that program does (its reading of headers, cut numbers, votes by "
                  "majority): skx")
      .one_of({"skx"});
}

void add_place_options(Command command, Options& options) {
  command.add_option("--pins", options.pins, "Folder of a bpffs with what outlives this command")
      .capture_default_str();
}

}  // namespace

void add_kernel_model(Command app, Run& run) {
  Command group = app.add_subcommand("kernel-model", "Models that judge inside the kernel");
  group.require_subcommand(1);
  group.footer(
      help_footer("  weir kernel-model load tree.json --interface eth0\n"
                  "  weir kernel-model status\n  weir kernel-model detach\n",
                  {kOk, kFailure, kBadInput, kNotRunning, kNotPermitted}));
  auto options = std::make_shared<Options>();
  const auto add = [&](const std::string& name, const std::string& help, const std::string& example,
                       int (*work)(const Options&)) {
    Command command = group.add_subcommand(name, help);
    command.footer(help_footer("  weir kernel-model " + example + "\n",
                               {kOk, kFailure, kBadInput, kNotRunning, kNotPermitted}));
    command.callback([options, work, &run] { run = [options, work] { return work(*options); }; });
    return command;
  };

  Command command = add("load", "Judge every packet of an interface in its XDP program",
                        "load forest.json --interface eth0", load);
  add_model_options(command, *options);
  command.add_option("--interface", options->interface, "Interface").type_name("IF").required();
  command.add_flag("--generic", options->generic, "Generic mode, though native may be there");
  command
      .add_option(
          "--fallback", options->fallback,
          "Where the model cannot run in the kernel: judge every IP packet in userspace, by "
          "its score alone, until SIGTERM")
      .one_of({"sockets"});
  add_place_options(command, *options);

  command =
      add("status", "Mode, model, and what each CPU passed and dropped", "status --json", status);
  command.add_option("--interface", options->interface, "This one only").type_name("IF");
  command.add_flag("--json", options->json, "As JSON");
  add_place_options(command, *options);

  command = add("detach", "Take the model away", "detach --interface eth0", detach);
  command.add_option("--interface", options->interface, "This one only").type_name("IF");
  add_place_options(command, *options);

  command = add("emit", "Write the program instead of loading it",
                "emit forest.json --c -o forest.bpf.c", emit);
  add_model_options(command, *options);
  command.add_flag("--c", options->c, "C, one function a tree, for clang -target bpf");
  command.add_flag("--object", options->object, "An ELF object, for libbpf, bpftool and ip link");
  command.add_option("-o,--output", options->output, "File; stdout, else").type_name("FILE");

  command = add("check", "Judge a capture as the kernel would: what the precision changes",
                "check logistic.json day.pcapng --precision 0.01", check);
  add_model_options(command, *options);
  command.add_option("CAPTURE", options->capture, "Capture").required();
  command.add_flag("--json", options->json, "As JSON");
}

}  // namespace weir::cli
