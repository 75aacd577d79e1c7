// SPDX-License-Identifier: BSD-2-Clause
// Plans, and programs in the kernel: what is cut, split, added, refused, swapped and counted.
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <bit>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <random>
#include <thread>

#include "in_kernel.h"
#include "kernel_model/emit_c.h"
#include "kernel_model/load.h"
#include "kernel_model/object.h"
#include "kernel_model/plan_trees.h"
#include "models.h"
#include "support/wire.h"

namespace weir::kernel_model {
namespace {

using forest::Compare;
using forest::Model;
using test::add_tree;
using test::deep_tree;
using test::forest_of;
using test::linear_model;
using test::two_classes;
using test::wide_sums;
using testing::AllOf;
using testing::HasSubstr;

TEST(Plan, CutIsTheLargestNumberThatGoesLeft) {
  std::mt19937_64 random(1);
  for (int i = 0; i < 20'000; ++i) {
    const unsigned bits = 1 + static_cast<unsigned>(random() % 33);
    double threshold = static_cast<double>(random() & ((std::uint64_t{1} << bits) - 1));
    if (i % 3 == 1) threshold += 0.5;
    if (i % 3 == 2) threshold = static_cast<double>(static_cast<float>(threshold));
    if (i % 17 == 0) threshold = std::nextafter(threshold, i % 2 != 0 ? -1.0 : 1e300);
    for (const Compare compare : {Compare::less_equal, Compare::less}) {
      const auto left = [&](std::uint32_t x) {
        const auto row = static_cast<double>(static_cast<float>(x));
        return compare == Compare::less ? row < threshold : row <= threshold;
      };
      const Cut cut = cut_of(threshold, compare);
      ASSERT_EQ(cut.none, !left(0)) << threshold;
      if (cut.none) continue;
      ASSERT_TRUE(left(cut.cut)) << threshold;
      ASSERT_TRUE(cut.cut == 0xffffffffU || !left(cut.cut + 1)) << threshold << " " << cut.cut;
    }
  }
}

TEST(Plan, RoundsWideFeaturesAsRowsDo) {
  EXPECT_EQ(as_row(16'777'217), 16'777'216U);
  EXPECT_EQ(as_row(16'777'219), 16'777'220U);
  EXPECT_EQ(as_row(0xffffffffU), std::uint64_t{1} << 32U);
}

TEST(Plan, LeavesOutWhatIsAnsweredAlready) {
  Model model = two_classes({"ip_ttl"});
  add_tree(model, 3, 8, [] { return 0.0; });  // all leaves say the same
  const Plan same = plan_of(model);
  EXPECT_EQ(same.splits, 0U);
  EXPECT_EQ(same.leaves, 1U);
}

TEST(Plan, SaysWhatTheKernelCannotCompute) {
  Model model = two_classes({"tcp_windw_size"});
  add_tree(model, 1, 8, [] { return 1.0; });
  EXPECT_THAT(error_of(model), HasSubstr("'tcp_windw_size' is none that the kernel reads"));
  EXPECT_THAT(error_of(model), HasSubstr("did you mean tcp_window_size?"));
  Model ridge = linear_model();
  ridge.probabilities = false;
  for (const weir_reading reading : {WEIR_READING_exact, WEIR_READING_skx}) {
    EXPECT_THAT(error_of(ridge, {.threshold = 0.7, .reading = reading}),
                AllOf(HasSubstr("has no probabilities"), HasSubstr("; --decision is for")));
    EXPECT_EQ(plan_of(ridge, {.threshold = 0.7, .on_decision = true, .reading = reading}).outputs,
              1U);
  }
  model.features = {"ip_ttl"};
  EXPECT_THAT(error_of(model, {.precision = 0.1}), HasSubstr("a precision is for linear models"));
  EXPECT_THAT(error_of(model, {.threshold = 0.3, .on_decision = true}),
              HasSubstr("has no decision function"));
  EXPECT_THAT(error_of(model, {.threshold = 7.0}), HasSubstr("is no probability"));
  EXPECT_THAT(error_of(model, {.drop = {"good"}}), HasSubstr("it has 'fine', 'bad'"));
  model.classes.clear();
  EXPECT_THAT(error_of(model), HasSubstr("give --threshold"));
  EXPECT_EQ(plan_of(model, {.threshold = 0.3}).leaves, 1U);
  model.classes.resize(3);
  model.outputs = 3;
  model.values.resize(6);
  model.bias.resize(3);
  EXPECT_THAT(error_of(model), HasSubstr("name by --drop those whose packets are dropped"));
}

TEST(Plan, GoesByTheModelsOwnThreshold) {
  using forest::Decision;
  Model forest = forest_of(4, 1);
  EXPECT_EQ(plan_of(forest).cut, 0.5);
  forest.decision = {Decision::On::probability, 0.8};
  EXPECT_EQ(plan_of(forest).cut, 0.8);
  EXPECT_EQ(plan_of(forest, {.threshold = 0.3}).cut, 0.3) << "what is asked for goes before";
  Model linear = linear_model();
  linear.decision = {Decision::On::margin, 0.25};
  EXPECT_EQ(plan_of(linear).cut, 0.25);
  linear.decision = {Decision::On::probability, 0.8};
  EXPECT_NEAR(plan_of(linear).cut, std::log(4.0), 1e-12);
}

TEST(Plan, PrecisionBoundsTheError) {
  Model model = two_classes({"dest_port", "ip_ttl"});
  model.kind = Model::Kind::linear;
  model.link = forest::Link::sigmoid;
  model.weights = {0.0123456789, -1.0 / 3};
  model.bias = {-12.7};
  const Plan finest = plan_of(model);
  EXPECT_LT(finest.error, 1e-9);
  const Plan coarse = plan_of(model, {.precision = 0.5});
  EXPECT_LE(coarse.error, 0.5);
  EXPECT_LT(coarse.shift, finest.shift - 20);
  EXPECT_THAT(error_of(model, {.precision = 1e-30}), HasSubstr("finer than 64 bits allow"));
  // From -12.7 - 255 / 3 to 65535 * 0.0123456789 - 12.7: an error of 796.4 may change any verdict.
  EXPECT_EQ(plan_of(model, {.precision = 796}).outputs, 1U);
  EXPECT_THAT(error_of(model, {.precision = 797}),
              HasSubstr("never farther than 796 from where it decides"));
  model.outputs = 2;  // of two outputs it is their difference that decides
  model.link = forest::Link::softmax;
  model.weights = {0.01, 0, 0.01, 1};
  model.bias = {0, 0};
  EXPECT_EQ(plan_of(model, {.precision = 254}).outputs, 2U);
  EXPECT_THAT(error_of(model, {.precision = 256}), HasSubstr("never farther than 255 from"));
}

TEST(Explain, VerifiersReasonsInWords) {
  EXPECT_THAT(explain("BPF program is too large. Processed 1000001 insn\nprocessed 1000001 insns "
                      "(limit 1000000) max_states_per_insn 4\n",
                      E2BIG),
              HasSubstr("gave up after a million instructions"));
  EXPECT_THAT(explain("magic: 0xeb9f\n[1] PTR (anon) type_id=3\n", E2BIG),
              AllOf(HasSubstr("more than a million instructions"),
                    HasSubstr("(it said: Argument list too long)")));
  EXPECT_THAT(explain("R1 invalid mem access 'scalar'\nprocessed 4 insns\n", EACCES),
              HasSubstr("(its verifier said: R1 invalid mem access 'scalar')"));
  EXPECT_THAT(explain("", EPERM), HasSubstr("it needs CAP_BPF"));
}

/// In the kernel, but on no interface.
class KernelModel : public InKernel {
 protected:
  /// Packets at the plan's cuts: the kernel's verdict is the plan's. How many were added exactly?
  static std::size_t compare(const Plan& plan, std::size_t packets) {
    const auto program = Program::load(plan);
    EXPECT_TRUE(program) << program.error().message;
    if (!program) return 0;
    test::PacketsAtCuts at_cuts(7, &plan);
    std::size_t exact = 0, drops = 0;
    Values values;
    for (std::size_t i = 0; i < packets; ++i) {
      const test::Bytes& frame = at_cuts.next(values);
      bool was_exact = false;
      const int planned = judge(plan, values, &was_exact);
      const int in_kernel = run(*program, frame);
      EXPECT_EQ(in_kernel, planned) << "packet " << i;
      if (in_kernel != planned) return 0;
      exact += was_exact ? 1 : 0;
      drops += planned == 1 ? 1 : 0;
    }
    EXPECT_GT(drops, packets / 50);
    EXPECT_LT(drops, packets - packets / 50);
    return exact;
  }
};

TEST_F(KernelModel, ATreeTooLargeForOneFunctionIsCut) {
  const Plan plan = plan_of(deep_tree(15));
  EXPECT_EQ(plan.leaves, 32'768U);
  EXPECT_GT(plan.functions.size(), 4U);
  for (const Function& function : plan.functions)
    EXPECT_LE(2 * function.nodes.size(), kFunctionInstructionsMax);
  compare(plan, 5'000);
}

TEST_F(KernelModel, MoreTreesThanFunctionsShareThem) {
  Model model = two_classes({"tcp_sequence_num"});
  std::mt19937 random(3);
  for (int t = 0; t < 3'000; ++t)
    add_tree(model, 2, 32 - static_cast<unsigned>(t % 4), [&] { return random() % 1000 / 1000.0; });
  const Plan plan = plan_of(model);
  EXPECT_LE(plan.functions.size(), kFunctionsMax);
  EXPECT_EQ(plan.calls.size(), 3'000U);
  compare(plan, 200);
}

/// Sums of floats of every size and sign, so chosen that the cut stands amid them: each is added
/// in the kernel, and the last bit decides.
void add_floats(forest::Sums sums, forest::Vote vote, int trees) {
  std::mt19937_64 random(5);
  std::size_t exact = 0;
  for (int round = 0; round < 6; ++round) {
    Model model = two_classes({"tcp_sequence_num"});
    model.vote = vote;
    model.sums = sums;
    const int spread = 1 + round * 12;
    for (int t = 0; t < trees; ++t) {
      const auto base = [&] {
        const int exponent =
            static_cast<int>(random() % static_cast<unsigned>(spread)) - spread / 2;
        double x = std::ldexp(1.0 + static_cast<double>(random() >> 12U) * 0x1p-52, exponent);
        if (vote == forest::Vote::sum && random() % 2 == 0) x = -x;
        return sums == forest::Sums::float32 ? static_cast<double>(static_cast<float>(x)) : x;
      };
      const double first = base();
      add_tree(model, 5, 32 - static_cast<unsigned>(t % 5), [&] {
        double x = first;  // leaves of one tree are a few steps apart, or far
        if (random() % 8 == 0) x = base();
        for (unsigned step = random() % 4; step > 0; --step)
          x = sums == forest::Sums::float32
                  ? static_cast<double>(std::nextafter(static_cast<float>(x), 1e30F))
                  : std::nextafter(x, 1e300);
        return x;
      });
    }
    // The cut is the sum of a row of them.
    Plan plan = plan_of(model);
    if (plan.kind != Plan::Kind::sum) FAIL() << "not a sum";
    double cut = 0;
    float cut32 = 0;
    for (const auto& tree : model.trees) {
      std::uint32_t n = tree.root;
      while (model.nodes[n].feature >= 0)
        n = round % 2 != 0 ? model.nodes[n].left : model.nodes[n].right;
      cut += model.values[model.nodes[n].value];
      cut32 += static_cast<float>(model.values[model.nodes[n].value]);
    }
    if (sums == forest::Sums::float32) cut = static_cast<double>(cut32);
    if (vote == forest::Vote::mean) cut /= trees;
    plan = plan_of(model, {.threshold = cut});
    EXPECT_TRUE(plan.exact.needed);
    plan.other_to = -1;  // all are added exactly
    plan.last_from = std::uint64_t{1} << Plan::kRowShift;
    const auto program = Program::load(plan);
    ASSERT_TRUE(program) << program.error().message;
    test::PacketsAtCuts at_cuts(static_cast<std::uint64_t>(round), &plan);
    Values values;
    for (int i = 0; i < 2'000; ++i) {
      const test::Bytes& frame = at_cuts.next(values);
      bool was_exact = false;
      const int planned = judge(plan, values, &was_exact);
      exact += was_exact ? 1 : 0;
      bpf_test_run_opts options{};
      options.sz = sizeof options;
      options.data_in = frame.data();
      options.data_size_in = static_cast<std::uint32_t>(frame.size());
      options.repeat = 1;
      ASSERT_EQ(bpf_prog_test_run_opts(program->fd(), &options), 0);
      ASSERT_EQ(options.retval == XDP_DROP, planned == 1) << "round " << round << " packet " << i;
    }
  }
  EXPECT_EQ(exact, 12'000U);
}

TEST_F(KernelModel, AddsFloat64) { add_floats(forest::Sums::float64, forest::Vote::sum, 7); }
TEST_F(KernelModel, AddsFloat32) { add_floats(forest::Sums::float32, forest::Vote::sum, 7); }
TEST_F(KernelModel, DividesFloat64) { add_floats(forest::Sums::float64, forest::Vote::mean, 7); }
TEST_F(KernelModel, DividesByManyTrees) {
  add_floats(forest::Sums::float64, forest::Vote::mean, 41);
}

TEST_F(KernelModel, EmittedCGivesTheSameVerdicts) {
  const std::string folder = testing::TempDir() + "weir-emit-" + std::to_string(::getpid());
  std::filesystem::create_directory(folder);
  Options of_three;
  Model three = forest_of(6, 3);
  three.classes[1].name = "bad";
  three.classes[2].name = "*/ worse";
  three.name = "*/ #error";
  of_three.drop = {"bad"};
  for (const Plan& plan :
       {plan_of(deep_tree(8)), plan_of(forest_of(60, 1)), plan_of(three, of_three),
        plan_of(linear_model()), plan_of(wide_sums(), {.reading = WEIR_READING_skx})}) {
    const std::string source = folder + "/model.bpf.c", object = folder + "/model.bpf.o";
    std::ofstream(source) << c_source(plan);
    // By the command that the file itself gives.
    const std::string text_of_it = c_source(plan);
    const std::size_t begin = text_of_it.find("clang -O2");
    ASSERT_NE(begin, std::string::npos);
    std::string command = text_of_it.substr(begin, text_of_it.find('\n', begin) - begin);
    ASSERT_NE(command.find(" -c FILE.c -o FILE.o"), std::string::npos) << command;
    command = "clang-14 -Wall -Wextra -Werror" + command.substr(5, command.find(" -c FILE.c") - 5) +
              " -c " + source + " -o " + object;
    const auto compiled = test::run({"sh", "-c", command});
    ASSERT_EQ(compiled.status, 0) << compiled.err;
    std::ifstream in(object, std::ios::binary);
    const std::string text{std::istreambuf_iterator<char>(in), {}};
    const auto by_clang =
        Program::load_object({reinterpret_cast<const std::uint8_t*>(text.data()), text.size()});
    ASSERT_TRUE(by_clang) << by_clang.error().message;
    test::PacketsAtCuts packets(17, &plan);
    Values values;
    for (int i = 0; i < 2'000; ++i) {
      const test::Bytes& frame = packets.next(values);
      ASSERT_EQ(run(*by_clang, frame), judge(plan, values)) << "packet " << i;
    }
  }
  std::filesystem::remove_all(folder);
}

/// On the interface `wan` of a box; frames come from `wan0` at the other end of the wire.
class Attached : public KernelModel {
 protected:
  static void SetUpTestSuite() { mounts_ = test::own_mounts(); }
  void SetUp() override {
    if (!mounts_) GTEST_SKIP() << mounts_.error().message;
    wire_ = std::make_unique<test::Wire>();
    inside_ = std::make_unique<test::Inside>(wire_->box);
    options_.interface = "wan";
  }
  std::string refusal(const Plan& plan) {
    const auto attached = attach(plan, options_);
    EXPECT_FALSE(attached);
    return attached ? "" : attached.error().message;
  }
  weir_model_counter counted(weir_model_verdict verdict) {
    const auto now = state("wan", options_.pins);
    EXPECT_TRUE(now && *now);
    weir_model_counter sum{};
    for (const auto& cpu : (*now)->counters) {
      sum.packets += cpu[verdict].packets;
      sum.bytes += cpu[verdict].bytes;
    }
    return sum;
  }
  /// A socket that sends frames out of `wan0`, or takes what passes at `wan`.
  static int open_socket(const char* interface) {
    const int fd = ::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(ETH_P_ALL));
    sockaddr_ll address{};
    address.sll_family = AF_PACKET;
    address.sll_protocol = htons(ETH_P_ALL);
    address.sll_ifindex = static_cast<int>(if_nametoindex(interface));
    WEIR_CHECK(fd >= 0 && ::bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
    return fd;
  }

  static inline Status mounts_;
  std::unique_ptr<test::Wire> wire_;
  std::unique_ptr<test::Inside> inside_;
  AttachOptions options_;
};

TEST_F(Attached, SwapsRefusesAndGoesAway) {
  const auto first = attach(plan_of(deep_tree(3)), options_);
  ASSERT_TRUE(first) << first.error().message;
  EXPECT_TRUE(first->native) << first->why_generic;
  EXPECT_FALSE(first->replaced);
  const auto before = state("wan", options_.pins);
  ASSERT_TRUE(before && *before);
  EXPECT_TRUE((*before)->there && (*before)->native);
  EXPECT_STREQ((*before)->about.sha256, std::string(64, 'a').c_str());

  // The least of these trees that has more than a million instructions.
  const auto refused = attach(plan_of(deep_tree(19)), options_);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().why, LoadError::Why::refused);
  EXPECT_THAT(refused.error().message, HasSubstr("a million instructions"));
  const auto still = state("wan", options_.pins);
  ASSERT_TRUE(still && *still);
  EXPECT_EQ((*still)->program_id, (*before)->program_id);

  const auto second = attach(plan_of(deep_tree(4)), options_);
  ASSERT_TRUE(second) << second.error().message;
  EXPECT_TRUE(second->replaced);
  EXPECT_NE((*state("wan", options_.pins))->program_id, (*before)->program_id);
  EXPECT_THAT(interfaces(options_.pins), testing::ElementsAre("wan"));
  EXPECT_TRUE(*detach("wan", options_.pins));
  EXPECT_FALSE(*detach("wan", options_.pins));
  EXPECT_FALSE(*state("wan", options_.pins));
  options_.interface = "nowhere";
  EXPECT_THAT(refusal(plan_of(deep_tree(3))), HasSubstr("there is no interface 'nowhere'"));
  EXPECT_THAT(interfaces(options_.pins), testing::IsEmpty());
}

TEST_F(Attached, TheObjectIsOneThatIproute2Loads) {
  const std::string path = testing::TempDir() + "weir-object-" + std::to_string(::getpid()) + ".o";
  const auto object = whole_object(assemble(plan_of(forest_of(6, 1))));
  ASSERT_TRUE(object) << object.error().message;
  std::ofstream(path, std::ios::binary)
      .write(reinterpret_cast<const char*>(object->data()),
             static_cast<std::streamsize>(object->size()));
  wire_->box.must("ip link set dev wan xdp obj " + path + " sec xdp");
  EXPECT_THAT(wire_->box.must("ip link show wan"), HasSubstr("prog/xdp"));
  EXPECT_THAT(refusal(plan_of(deep_tree(3))),
              HasSubstr("take it off with `weir kernel-model detach"));
  wire_->box.must("ip link set dev wan xdp off");
  std::filesystem::remove(path);
}

/// Sends packets while others swap models, and owns both descriptors: a batch when the one before has been judged,
/// for a packet that no program sees is in no counter, and stays missing.
class Traffic {
 public:
  Traffic(int sender, int verdicts, std::vector<test::Bytes> frames)
      : sender_(sender), verdicts_(verdicts), frames_(std::move(frames)) {
    thread_ = std::thread([this] { run(); });
  }
  ~Traffic() {
    stop_ = true;
    thread_.join();
    ::close(sender_);
    ::close(verdicts_);
  }
  /// Waits until some more were judged; false where none are any more.
  [[nodiscard]] bool flows() const {
    const std::uint64_t before = judged;
    for (int wait = 0; wait < 10'000 && judged == before; ++wait) ::usleep(1'000);
    return judged != before;
  }
  [[nodiscard]] std::uint64_t count() const {
    std::uint64_t sum = 0;
    for (std::uint32_t verdict = 0; verdict < WEIR_MODEL_VERDICTS; ++verdict) {
      std::vector<weir_model_counter> of_cpu(static_cast<std::size_t>(libbpf_num_possible_cpus()));
      WEIR_CHECK(bpf_map_lookup_elem(verdicts_, &verdict, of_cpu.data()) == 0);
      for (const auto& counter : of_cpu) sum += counter.packets;
    }
    return sum;
  }
  std::atomic<std::uint64_t> sent{0}, judged{0};

 private:
  void run() {
    const std::uint64_t first = count();
    while (!stop_ && judged == sent) {
      for (const test::Bytes& frame : frames_)
        sent += ::send(sender_, frame.data(), frame.size(), 0) > 0 ? 1 : 0;
      for (int wait = 0; wait < 10'000 && !stop_ && count() - first < sent; ++wait)
        if (wait > 100) ::usleep(1'000);
      judged = count() - first;
      ::usleep(200);  // the kernel exchanges programs when no CPU runs one
    }
  }

  int sender_, verdicts_;
  std::vector<test::Bytes> frames_;
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

TEST_F(Attached, ASwapLosesNoPacketAndLetsNonePassUnjudged) {
  wire_->wan.must("ip link set wan0 arp off");
  const Plan one = plan_of(deep_tree(8)), other = plan_of(forest_of(10, 1));
  ASSERT_TRUE(attach(one, options_));
  const int verdicts = bpf_obj_get((options_.pins + "/wan/verdicts").c_str());
  ASSERT_GE(verdicts, 0);
  int sender = -1;
  {
    const test::Inside there(wire_->wan);
    // Nor does the far end's stack send anything of its own, which would be judged as well.
    std::ofstream("/proc/sys/net/ipv6/conf/wan0/disable_ipv6") << 1;
    sender = open_socket("wan0");
  }
  test::PacketsAtCuts packets(11, &one);
  Values values;
  std::vector<test::Bytes> frames;  // a veth's ring has 256
  for (int i = 0; i < 64; ++i) {
    frames.push_back(packets.next(values));
    // A destination that the box's own stack leaves alone, so that it sends no answer.
    std::copy_n("\x02\x00\x00\x00\x00\x63", 6, frames.back().begin());
  }
  Traffic traffic(sender, verdicts, std::move(frames));
  for (int swap = 0; swap < 12; ++swap) {
    ASSERT_TRUE(traffic.flows()) << "before swap " << swap;
    const auto attached = attach(swap % 2 == 0 ? other : one, options_);
    ASSERT_TRUE(attached) << attached.error().message;
    EXPECT_TRUE(attached->replaced);
  }
  EXPECT_TRUE(traffic.flows()) << traffic.judged << " of " << traffic.sent << " were judged";
  EXPECT_EQ(counted(WEIR_MODEL_unjudged).packets + counted(WEIR_MODEL_other).packets, 0U);
  EXPECT_TRUE(*detach("wan", options_.pins));
}

}  // namespace
}  // namespace weir::kernel_model
