// SPDX-License-Identifier: BSD-2-Clause
// In the kernel, in userspace and in the trainer's library: the same verdict for every packet. Works for parity.py.
//
//   training FOLDER COUNT           writes FOLDER/training.values: header features of packets, u32, a packet a row
//   values MODEL COUNT OUT          the same for packets at this model's cuts
//   judge FOLDER PART               judges one PARTth of the packets of every model that FOLDER/cases names
//   live FOLDER PART                sends one PARTth of the packets of three of them over a wire, at whose other end the
//                                   model is attached
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fmt/format.h>
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sstream>

#include "forest/evaluate.h"
#include "forest/import.h"
#include "kernel_model/load.h"
#include "packets.h"
#include "support/wire.h"

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

/// The library's class of each packet of this model.
std::string classes_of(const std::string& path) {
  std::ifstream in(path + ".classes", std::ios::binary);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

Result<Tally> judge_model(const std::string& path, std::size_t part) {
  WEIR_ASSIGN(const forest::Model model, forest::load_model(path));
  WEIR_ASSIGN(const Plan plan, plan_of(model));
  const auto program = Program::load(plan);
  if (!program) return fail(program.error().message);
  const std::string classes = classes_of(path);
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

/// A number in a frame's source address, which no model looks at: it tells at the far end which packet passed. The
/// destination is nobody's, so that the stack there sends no answer.
struct Stamp {
  static constexpr std::array<std::uint8_t, 8> kHead{0x02, 0, 0, 0, 0, 0x63, 0x02, 'w'};

  static void put(test::Bytes& frame, std::uint32_t number) {
    std::copy(kHead.begin(), kHead.end(), frame.begin());
    std::memcpy(&frame[kHead.size()], &number, sizeof number);
  }
  static std::optional<std::uint32_t> read(const std::uint8_t* frame) {
    if (!std::equal(kHead.begin(), kHead.end(), frame)) return std::nullopt;
    std::uint32_t number = 0;
    std::memcpy(&number, frame + kHead.size(), sizeof number);
    return number;
  }
};

/// Of an interface of the calling thread's namespace.
Fd packet_socket(const char* interface, int protocol) {
  Fd made(::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0));
  const int ours_alone = 1, room = 8 << 20;
  sockaddr_ll address{};
  address.sll_family = AF_PACKET;
  address.sll_protocol = htons(static_cast<std::uint16_t>(protocol));
  address.sll_ifindex = static_cast<int>(if_nametoindex(interface));
  WEIR_CHECK(made && ::setsockopt(made.get(), SOL_PACKET, PACKET_IGNORE_OUTGOING, &ours_alone,
                                  sizeof ours_alone) == 0);
  WEIR_CHECK(::setsockopt(made.get(), SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room) == 0);
  WEIR_CHECK(::bind(made.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
  return made;
}

/// A model at one end of a wire, packets at the other. A batch is sent when the one before has been judged and taken:
/// neither the veth's ring of 256 frames nor the socket ever has more than one.
class Live {
 public:
  static constexpr std::size_t kBatch = 128;
  static constexpr const char* kPins = "/sys/fs/bpf/live";

  Live() {
    wire_.wan.must("ip link set wan0 arp off");
    {
      const test::Inside there(wire_.wan);
      std::ofstream("/proc/sys/net/ipv6/conf/wan0/disable_ipv6")
          << 1;  // its stack would send by itself
      sender_ = packet_socket("wan0", 0);
    }
    const test::Inside here(wire_.box);
    receiver_ = packet_socket("wan", ETH_P_ALL);
  }

  ~Live() {
    const test::Inside here(wire_.box);
    (void)detach("wan", kPins);
  }
  Live(const Live&) = delete;
  Live& operator=(const Live&) = delete;

  Status attach_model(const Plan& plan) {
    const test::Inside here(wire_.box);
    const auto attached = attach(plan, {.interface = "wan", .pins = kPins});
    if (!attached) return fail(attached.error().message);
    if (!attached->native) return fail("the wire has no native XDP: " + attached->why_generic);
    verdicts_ = Fd(bpf_obj_get((std::string(kPins) + "/wan/verdicts").c_str()));
    return verdicts_ ? Status{} : fail_errno("open the model's counters", errno);
  }

  /// Sends, and waits until all that was sent so far is judged and all that passed is here.
  Status send(std::vector<test::Bytes>& frames, std::vector<std::uint8_t>& passed) {
    std::array<mmsghdr, kBatch> messages{};
    std::array<iovec, kBatch> places{};
    for (std::size_t i = 0; i < frames.size(); ++i) {
      places[i] = {frames[i].data(), frames[i].size()};
      messages[i].msg_hdr.msg_iov = &places[i];
      messages[i].msg_hdr.msg_iovlen = 1;
    }
    for (std::size_t done = 0; done < frames.size();) {
      const int sent = ::sendmmsg(sender_.get(), &messages[done],
                                  static_cast<unsigned>(frames.size() - done), 0);
      if (sent <= 0) return fail_errno(fmt::format("send frame {}", sent_ + done), errno);
      done += static_cast<std::size_t>(sent);
    }
    sent_ += frames.size();
    constexpr int kPatience_turns =
        20'000;  // of a millisecond each at most: for a wire that has lost a packet
    for (int turn = 0; turn < kPatience_turns; ++turn) {
      WEIR_TRY(take(passed));
      if (counted(WEIR_MODEL_pass) + counted(WEIR_MODEL_drop) >= sent_ &&
          taken_ >= counted(WEIR_MODEL_pass))
        return {};
      pollfd ready{receiver_.get(), POLLIN, 0};
      if (turn > 100) ::poll(&ready, 1, 1);
    }
    return fail(fmt::format("of {} packets {} were judged fine, {} bad, and {} arrived", sent_,
                            counted(WEIR_MODEL_pass), counted(WEIR_MODEL_drop), taken_));
  }

  [[nodiscard]] std::uint64_t counted(std::uint32_t verdict) const {
    std::vector<weir_model_counter> of_cpu(static_cast<std::size_t>(libbpf_num_possible_cpus()));
    WEIR_CHECK(bpf_map_lookup_elem(verdicts_.get(), &verdict, of_cpu.data()) == 0);
    std::uint64_t sum = 0;
    for (const auto& counter : of_cpu) sum += counter.packets;
    return sum;
  }

 private:
  /// What has passed, by its number: how often.
  Status take(std::vector<std::uint8_t>& passed) {
    std::array<std::uint8_t, 64> frame{};
    for (;;) {
      const ssize_t bytes = ::recv(receiver_.get(), frame.data(), frame.size(), MSG_DONTWAIT);
      if (bytes < 0) return errno == EAGAIN ? Status{} : fail_errno("receive", errno);
      const auto number = bytes < ETH_HLEN ? std::nullopt : Stamp::read(frame.data());
      if (!number || *number >= passed.size()) return fail("a frame arrived that was not sent");
      ++passed[*number];
      ++taken_;
    }
  }

  test::Wire wire_;
  Fd sender_, receiver_, verdicts_;
  std::uint64_t sent_ = 0, taken_ = 0;
};

Status judge_live(const std::string& path, std::size_t part) {
  WEIR_ASSIGN(const forest::Model model, forest::load_model(path));
  WEIR_ASSIGN(const Plan plan, plan_of(model));
  const std::string classes = classes_of(path);
  const std::size_t count = classes.size() / part;
  Live live;
  WEIR_TRY(live.attach_model(plan));
  test::PacketsAtCuts packets(kSeed, &plan);
  std::vector<std::uint8_t> passed(count, 0);
  std::vector<test::Bytes> frames;
  Values values;
  for (std::uint32_t i = 0; i < count; ++i) {
    frames.push_back(packets.next(values));
    Stamp::put(frames.back(), i);
    if (frames.size() < Live::kBatch && i + 1 < count) continue;
    WEIR_TRY(live.send(frames, passed));
    frames.clear();
  }
  std::size_t wrong = 0, dropped = 0;
  for (std::size_t i = 0; i < count; ++i) {
    const bool drop = (plan.drop >> static_cast<unsigned>(classes[i]) & 1U) != 0;
    dropped += drop ? 1 : 0;
    if (passed[i] == (drop ? 0 : 1)) continue;
    if (++wrong <= 5)
      fmt::print("{}: packet {}: trained class {}, arrived {} times\n", path, i,
                 static_cast<int>(classes[i]), passed[i]);
  }
  fmt::print(
      "{:28} on the wire: {} packets sent, {} arrived, {} dropped, {} by the library, {} wrong\n",
      path.substr(path.rfind('/') + 1), count, live.counted(WEIR_MODEL_pass),
      live.counted(WEIR_MODEL_drop), dropped, wrong);
  if (wrong != 0 || live.counted(WEIR_MODEL_drop) != dropped ||
      live.counted(WEIR_MODEL_unjudged) != 0)
    return fail("a packet was not judged on the wire as by the library");
  return {};
}

int judge_all_live(const std::string& folder, std::size_t part) {
  if (const auto mounts = test::own_mounts(); !mounts) return refuse(mounts.error().message);
  for (const char* name : {"tree-depth-20", "forest-100-depth-8", "logistic"})
    if (const auto judged = judge_live(fmt::format("{}/{}.json", folder, name), part); !judged)
      return refuse(std::string(name) + ": " + judged.error().message);
  return 0;
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
  if (words.size() == 3 && words[0] == "live") return judge_all_live(words[1], number(words[2]));
  return refuse("usage: kernel_model_parity training|values|judge|live ...");
}
