// SPDX-License-Identifier: BSD-2-Clause
// Privileged: the XDP program as the kernel runs it, against the native build of the same source,
// frame by frame: the same verdict, the same outcome, the same counters; and the header features
// that models ask for.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <map>
#include <random>
#include <set>

#include "datapath/kernel.h"
#include "datapath/native.h"
#include "header_features.skel.h"
#include "io/copy_channel.h"
#include "kernel_model/assembler.h"
#include "kernel_model/load.h"
#include "kernel_model/models.h"
#include "kernel_model/object.h"
#include "kernel_model/screen.h"
#include "support/frame_generator.h"
#include "support/kernel_judge.h"
#include "support/wire.h"

namespace weir::datapath {
namespace {

using test::Bytes;
using test::FrameGenerator;
using test::PacketBuilder;

constexpr const char* kPins = "/sys/fs/bpf/weir-equal";
// Eighteen configurations, each with as many: 396,000 frames, and those cut at every length.
constexpr std::size_t kFrames = 22'000;

/// Three trees over ports, TTL and length, each leaf of which says something at random.
std::shared_ptr<const Screen> random_screen(unsigned seed) {
  forest::Model model = test::two_classes({"source_port", "ip_ttl", "ip_total_length"});
  std::mt19937 random(seed);
  constexpr std::array kWidths = {16U, 8U, 11U};
  for (std::size_t f = 0; f < kWidths.size(); ++f) {
    const std::size_t first = model.nodes.size();
    test::add_tree(model, 5, kWidths[f], [&] { return random() % 10 / 30.0; });
    for (std::size_t i = first; i < model.nodes.size(); ++i)
      if (model.nodes[i].feature == 0) model.nodes[i].feature = static_cast<std::int32_t>(f);
  }
  auto screen = kernel_model::make_screen(model, {}, "screen.json");
  EXPECT_TRUE(screen) << (screen ? "" : screen.error().message);
  return screen ? *screen : nullptr;
}

/// A function that reads behind the features, which no verifier lets through.
class BadScreen final : public Screen {
 public:
  int judge(const weir_header_features&) const noexcept override { return 1; }
  Result<std::vector<std::uint8_t>> link(std::span<const std::uint8_t> program) const override {
    kernel_model::Assembler assembler;
    assembler.load32(kernel_model::r0, kernel_model::r1, sizeof(weir_header_features));
    assembler.exit();
    kernel_model::Code code;
    code.instructions = assembler.code;
    code.functions.push_back({.name = "weir_model", .first = 0, .count = assembler.code.size()});
    WEIR_ASSIGN(const auto model, kernel_model::model_object(code));
    return kernel_model::link(program, model);
  }
  std::string explain(std::string_view log, int error) const override {
    return kernel_model::explain(log, error);
  }
};

struct Arrangement {
  const char* name;
  Config config;
  bool socket = true;     // AF_XDP sockets in queue 0 of both sides
  bool beating = true;    // a fresh heartbeat of channel 0
  bool scope_all = true;  // blocks of scope all exist
  bool wide = false;      // and of networks and a victim
};

std::vector<Arrangement> arrangements() {
  std::vector<Arrangement> list(12);
  list[0] = {.name = "plain", .config = {}};
  list[1] = {.name = "fail_closed without a socket", .config = {}, .socket = false};
  list[1].config.fail_closed = true;
  list[2] = {.name = "drop_fragments, several ports", .config = {}};
  list[2].config.drop_fragments = true;
  list[2].config.blocked_fragments = true;
  list[2].config.udp_ports = {1900, 5353, 53, 65'535};
  list[3] = {.name = "ssdp_payload off, no block of scope all", .config = {}, .scope_all = false};
  list[3].config.ssdp_payload = false;
  list[4] = {.name = "host mode, all of UDP observed behind a screen", .config = {}};
  list[4].config.host_mode = list[4].config.observe = list[4].config.all_ports = true;
  list[4].config.screen_ssdp = true;
  list[4].config.screen = random_screen(2);
  list[5] = {.name = "fail_closed with a stale heartbeat", .config = {}, .beating = false};
  list[5].config.fail_closed = true;
  list[6] = {.name = "no socket, no port", .config = {}, .socket = false};
  list[6].config.udp_ports = {};
  list[7] = {.name = "stale heartbeat", .config = {}, .beating = false};
  list[8] = {.name = "shadow", .config = {}, .wide = true};
  list[8].config.shadow = true;
  list[9] = {.name = "networks and a victim, blocked fragments", .config = {}, .wide = true};
  list[9].config.blocked_fragments = true;
  list[10] = {.name = "a screen over all of UDP", .config = {}};
  list[10].config.all_ports = true;
  list[10].config.screen = random_screen(1);
  list[11] = {.name = "all of IP steered, and screened", .config = {}};
  list[11].config.all_ip = list[11].config.drop_fragments = true;
  list[11].config.screen = random_screen(2);
  // Most traffic is decided by a glance where no block is of all that its source sends.
  for (const std::size_t i : {0U, 2U, 6U, 8U, 9U}) {
    list.push_back(list[i]);
    list.back().scope_all = false;
  }
  // A screen over what a glance finds to be steered, whose headers it has read.
  list.push_back({.name = "a screen over SSDP", .config = {}, .scope_all = false});
  list.back().config.screen_ssdp = true;
  list.back().config.screen = random_screen(3);
  return list;
}

/// One source each that is blocked, blocked in scope all, expired, blocked but allowed, and free.
void fill(Datapath& datapath, const Arrangement& given) {
  const bool scope_all = given.scope_all;
  std::vector<Block> blocks;
  if (given.wide) {
    for (const char* network : {"203.0.113.0", "198.51.100.0", "2001:db8::", "2001:db8:6::"})
      blocks.push_back({test::address(network), {}, WEIR_TARGET_network});
    for (const char* victim : {"192.0.2.1", "2001:db8:f::1"}) {
      blocks.push_back({test::address(victim), {}, WEIR_TARGET_victim});
      blocks.back().value.open_ports[0] = 1900;
    }
  }
  const auto add = [&](const char* source, weir_scope scope, std::uint64_t expires_ns) {
    Block block;
    block.source = test::address(source);
    block.value.scope = scope;
    block.value.expires_ns = expires_ns;
    blocks.push_back(block);
  };
  const std::uint64_t later_ns = (monotonic_now() + std::chrono::hours(1)).ns;
  for (const auto& sources : {FrameGenerator::kSources4, FrameGenerator::kSources6}) {
    add(sources[0], WEIR_SCOPE_ssdp, 0);
    add(sources[1], scope_all ? WEIR_SCOPE_all : WEIR_SCOPE_ssdp, later_ns);
    add(sources[2], scope_all ? WEIR_SCOPE_all : WEIR_SCOPE_ssdp, 1);
    add(sources[4], WEIR_SCOPE_ssdp, later_ns);
  }
  ASSERT_EQ(*datapath.add_blocks(blocks), blocks.size());
  ASSERT_TRUE(datapath.add_allow(*Prefix::parse("198.51.100.0/29")));
  ASSERT_TRUE(datapath.add_allow(*Prefix::parse("2001:db8:5::/48")));
}

class EqualTest : public testing::Test {
 protected:
  static void SetUpTestSuite() { mounts_ = test::own_mounts(); }
  void SetUp() override {
    if (!mounts_) GTEST_SKIP() << mounts_.error().message;
    wire_ = std::make_unique<test::Wire>();
    wire_->silence();
    inside_ = std::make_unique<test::Inside>(wire_->box);
    socket_ = ::socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0);
    ASSERT_GE(socket_, 0);
  }
  void TearDown() override {
    if (mounts_) static_cast<void>(Kernel::remove(kPins, false));
    close(socket_);
  }

  /// Both builds in the same state; `visit` is given a function that judges a frame by both.
  template <typename Visit>
  void with(const Arrangement& given, Visit visit) {
    ASSERT_TRUE(Kernel::remove(kPins, false));  // counters live on with their pins
    screened_ = 0;
    KernelOptions options;
    options.pin_directory = kPins;
    options.interfaces = {"wan", given.config.host_mode ? "" : "lan"};
    auto attached = Kernel::attach(given.config, options);
    ASSERT_TRUE(attached) << attached.error().message;
    Kernel& kernel = **attached;
    Native native(given.config);
    ASSERT_NO_FATAL_FAILURE(fill(kernel, given));
    ASSERT_NO_FATAL_FAILURE(fill(native, given));
    for (const Side side : {Side::wan, Side::lan}) {
      native.set_socket(side, 0, given.socket);
      if (given.socket) {
        ASSERT_TRUE(kernel.add_socket(side, 0, socket_));
      }
    }
    // Fresh and stale by a wide margin, whatever the machine is doing.
    const PacketTime beat = given.beating ? monotonic_now() + std::chrono::hours(1) : PacketTime{1};
    kernel.heartbeat(0, beat);
    native.set_heartbeat(0, beat);
    test::KernelJudge judge(kernel.program_fd(), options.interfaces);
    std::uint64_t number = 0;
    std::unique_ptr<io::Channel> copies;
    if (given.config.observe) {
      auto opened = io::open_copies(
          {.ring_fd = kernel.copies_fd(), .ring_bytes = given.config.copies_bytes, .frames = 2},
          nullptr);
      ASSERT_TRUE(opened) << opened.error().message;
      copies = std::move(*opened);
    }
    visit([&](const Bytes& bytes) {
      const Side side = given.config.host_mode || number % 2 == 0 ? Side::wan : Side::lan;
      packet::Frame frame;
      frame.data = bytes.data();
      frame.length = static_cast<std::uint32_t>(bytes.size());
      frame.side = side;
      frame.time = monotonic_now();
      packet::Headers headers;
      const Outcome expected = native.judge(frame, headers);
      if (const auto plain = native.glance(frame.bytes())) {
        ++glanced_;
        ASSERT_STREQ(name(plain->outcome), name(expected)) << given.name << ": " << hex(bytes);
        ASSERT_EQ(plain->source(bytes), packet::source(bytes, headers)) << hex(bytes);
      }
      if (const auto read = native.read_at_a_glance(bytes)) {
        ++read_;
        packet::Headers whole;
        weir_parse(bytes.data(), bytes.data() + bytes.size(), &whole);
        ASSERT_EQ(std::memcmp(&*read, &whole, sizeof whole), 0) << given.name << hex(bytes);
      }
      const auto judged = judge(bytes, side);
      ASSERT_STREQ(name(judged.outcome), name(expected))
          << given.name << ", frame " << number << ": " << hex(bytes);
      ASSERT_EQ(judged.action, test::action_of(expected, given.config.host_mode));
      ASSERT_EQ(judged.bytes, bytes.size());
      const packet::Headers parsed = packet::parse(bytes);
      ASSERT_EQ(std::memcmp(&parsed, &headers, sizeof parsed), 0);
      seen_.insert(expected);
      screened_ += expected == Outcome::peer_screened ? 1U : 0U;
      if (copies) expect_copy(*copies, bytes, expected);
      ++number;
    });
    ASSERT_FALSE(HasFatalFailure());
    expect_equal_tables(kernel, native);
  }

  /// What is copied is the frame, all of it; what is not copied is not there.
  static void expect_copy(io::Channel& copies, const Bytes& bytes, Outcome outcome) {
    std::array<packet::Frame, 2> found;
    const std::size_t number = copies.receive(Side::wan, found, monotonic_now());
    ASSERT_EQ(number, outcome == Outcome::peer_copied ? 1U : 0U) << hex(bytes);
    if (number == 0) return;
    const auto copy = found[0].bytes();
    ASSERT_TRUE(std::equal(copy.begin(), copy.end(), bytes.begin(), bytes.end())) << hex(bytes);
    ASSERT_EQ(found[0].side, Side::wan);
    copies.release({found.data(), 1});
  }

  static std::string hex(const Bytes& bytes) {
    std::string text;
    for (const std::uint8_t byte : bytes) text += fmt::format("{:02x}", byte);
    return text;
  }

  /// Counters and the blocks' hits.
  static void expect_equal_tables(const Kernel& kernel, const Native& native) {
    const Counters one = *kernel.counters();
    const Counters other = *native.counters();
    for (std::size_t side = 0; side < kSides; ++side)
      for (std::size_t i = 0; i < kOutcomes; ++i) {
        EXPECT_EQ(one.outcomes[side][i].packets, other.outcomes[side][i].packets);
        EXPECT_EQ(one.outcomes[side][i].bytes, other.outcomes[side][i].bytes);
      }
    std::map<Address, std::pair<__u64, __u64>> hits;
    const std::vector<Block> in_kernel = *kernel.list_blocks();
    for (const Block& block : in_kernel)
      hits[block.source] = {block.value.hit_packets, block.value.hit_bytes};
    const std::vector<Block> in_memory = *native.list_blocks();
    EXPECT_EQ(in_kernel.size(), in_memory.size());
    for (const Block& block : in_memory)
      EXPECT_EQ(hits[block.source], std::pair(block.value.hit_packets, block.value.hit_bytes))
          << block.source.text();
  }

  static inline Status mounts_;
  std::unique_ptr<test::Wire> wire_;
  std::unique_ptr<test::Inside> inside_;
  int socket_ = -1;
  std::set<Outcome> seen_;
  std::uint64_t glanced_ = 0;   // frames that a glance decided
  std::uint64_t read_ = 0;      // and whose headers it read
  std::uint64_t screened_ = 0;  // frames that a screen let go on, in this arrangement
};

TEST_F(EqualTest, GeneratedAndMutatedFrames) {
  const char* chosen = std::getenv("WEIR_SEED");
  std::uint64_t seed = chosen != nullptr ? std::strtoull(chosen, nullptr, 10) : 20'260'101;
  std::printf("seed %llu (WEIR_SEED sets another)\n", static_cast<unsigned long long>(seed));
  for (const Arrangement& given : arrangements()) {
    FrameGenerator generator(seed++);
    with(given, [&](const auto& judge) {
      for (std::size_t i = 0; i < kFrames && !HasFatalFailure(); ++i) judge(generator.next());
    });
    ASSERT_FALSE(HasFatalFailure());
    EXPECT_EQ(screened_ > 0, given.config.screen != nullptr) << given.name;
  }
  // The frames reached every end there is but the one for foreign interfaces.
  for (unsigned number = 0; number < WEIR_OUTCOME_drop_not_ours; ++number)
    EXPECT_TRUE(seen_.contains(static_cast<Outcome>(number)))
        << "no frame ended in " << name(static_cast<Outcome>(number));
  EXPECT_TRUE(seen_.contains(Outcome::peer_screened));
  EXPECT_GT(glanced_, kFrames / 2);
  EXPECT_GT(read_, kFrames / 4);
}

TEST_F(EqualTest, AScreenIsExchangedInPlaceAndOneThatTheKernelRefusesIsNot) {
  ASSERT_TRUE(Kernel::remove(kPins, false));
  KernelOptions options;
  options.pin_directory = kPins;
  options.interfaces = {"wan", "lan"};
  Config config;
  config.all_ports = true;
  const auto attached = Kernel::attach(config, options);
  ASSERT_TRUE(attached) << attached.error().message;
  Kernel& kernel = **attached;
  kernel.heartbeat(0, monotonic_now() + std::chrono::hours(1));
  ASSERT_TRUE(kernel.add_socket(Side::wan, 0, socket_));
  // Outcomes by the program that is on the interface, of which nobody here holds a descriptor.
  const auto screened_of = [&] {
    bpf_xdp_query_opts query{};
    query.sz = sizeof query;
    EXPECT_EQ(bpf_xdp_query(static_cast<int>(if_nametoindex("wan")), 0, &query), 0);
    const Fd program(bpf_prog_get_fd_by_id(query.prog_id));
    test::KernelJudge judge(program.get(), options.interfaces);
    FrameGenerator generator(7);
    std::size_t screened = 0;
    for (int i = 0; i < 500; ++i)
      screened += judge(generator.next(), Side::wan).outcome == Outcome::peer_screened ? 1U : 0U;
    return screened;
  };
  EXPECT_EQ(screened_of(), 0U);
  ASSERT_TRUE(kernel.use_screen(random_screen(3)));
  const std::size_t first = screened_of();
  EXPECT_GT(first, 0U);
  const Status refused = kernel.use_screen(std::make_shared<BadScreen>());
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, testing::HasSubstr("the kernel will not have this model"));
  EXPECT_EQ(screened_of(), first);
  // The same before a start, beside what runs.
  Config tried;
  tried.screen = random_screen(3);
  EXPECT_TRUE(Kernel::try_load(tried, options));
  tried.screen = std::make_shared<BadScreen>();
  const Status tried_bad = Kernel::try_load(tried, options);
  ASSERT_FALSE(tried_bad);
  EXPECT_EQ(tried_bad.error().message, refused.error().message);
  EXPECT_EQ(screened_of(), first);
  ASSERT_TRUE(kernel.use_screen(nullptr));
  EXPECT_EQ(screened_of(), 0U);
}

TEST_F(EqualTest, EveryShapeCutAtEveryLength) {
  std::vector<Bytes> shapes;
  for (const int tags : {0, 1, 2})
    for (const bool session : {false, true}) {
      PacketBuilder link;
      for (int i = 0; i < tags; ++i) link.vlan(100, i == 0 && tags == 2 ? 0x88a8 : 0x8100);
      if (session) link.pppoe();
      const std::string_view reply = "HTTP/1.1 200 OK\r\n\r\n";
      const char* source4 = FrameGenerator::kSources4[1];
      const char* source6 = FrameGenerator::kSources6[1];
      shapes.push_back(
          PacketBuilder(link).ip4(source4, "192.0.2.1").udp(9, 9).payload(reply).build());
      shapes.push_back(PacketBuilder(link)
                           .ip4("203.0.113.9", "192.0.2.1", {.options = Bytes(40, 1)})
                           .udp(9, 9)
                           .payload(reply)
                           .build());
      shapes.push_back(PacketBuilder(link).ip6(source6, "2001:db8::ff").tcp(1900, 80).build());
      shapes.push_back(
          PacketBuilder(link).ip6(source6, "2001:db8::ff").udp(9, 1900).payload(reply).build());
      shapes.push_back(PacketBuilder(link).ip4(source4, "192.0.2.1").udp(1900, 9).build());
      PacketBuilder deep(link);
      deep.ip6("2001:db8::99", "2001:db8::ff").extension(0).extension(43, 24).extension(51, 16);
      deep.fragment6(0, true).extension(60, 32);
      shapes.push_back(deep.udp(9, 9).payload("NOTIFY * HTTP/1.1\r\n").build());
    }
  // Without and with a glance at first.
  for (const Arrangement& given : {arrangements().front(), arrangements().back()})
    with(given, [&](const auto& judge) {
      for (const Bytes& whole : shapes)
        for (std::size_t length = 14; length <= whole.size() && !HasFatalFailure(); ++length)
          judge(Bytes(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(length)));
    });
  EXPECT_GT(glanced_, 0U);
  EXPECT_GT(read_, 0U);
}

TEST_F(EqualTest, HeaderFeaturesOfBothReadings) {
  const std::unique_ptr<header_features_bpf, decltype(&header_features_bpf::destroy)> program(
      header_features_bpf::open_and_load(), &header_features_bpf::destroy);
  ASSERT_NE(program, nullptr);
  const std::array programs = {program->progs.read_exact, program->progs.read_skx};
  std::array<std::size_t, 2> judged{};
  FrameGenerator generator(20'261'127);
  for (std::size_t i = 0; i < kFrames; ++i) {
    const Bytes frame = generator.next();
    const packet::Headers headers = packet::parse(frame);
    for (const weir_reading reading : {WEIR_READING_exact, WEIR_READING_skx}) {
      packet::HeaderFeatures expected;
      const bool any = packet::header_features(frame, headers, reading, expected);
      LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = frame.data(),
                  .data_size_in = static_cast<std::uint32_t>(frame.size()), .repeat = 1);
      ASSERT_EQ(bpf_prog_test_run_opts(bpf_program__fd(programs[reading]), &options), 0);
      ASSERT_EQ(options.retval, any ? 1U : 0U) << hex(frame);
      ASSERT_EQ(std::memcmp(&program->bss->features, &expected, sizeof expected), 0)
          << "reading " << reading << ": " << hex(frame);
      if (any) ++judged[reading];
    }
  }
  EXPECT_GT(judged[WEIR_READING_exact], kFrames / 2);
  EXPECT_GT(judged[WEIR_READING_skx], kFrames / 50);
}

}  // namespace
}  // namespace weir::datapath
