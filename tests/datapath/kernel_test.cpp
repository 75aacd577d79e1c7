// SPDX-License-Identifier: BSD-2-Clause
// Privileged: the real program on veth pairs, in network namespaces of the test's own.
#include "datapath/kernel.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <filesystem>
#include <functional>
#include <set>

#include "datapath/kernel_claim.h"
#include "kernel_helpers.h"
#include "support/kernel_judge.h"
#include "support/packet_builder.h"
#include "support/wire.h"

namespace weir::datapath {
namespace {

using test::address;
using test::Bytes;
using test::PacketBuilder;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr const char* kPins = "/sys/fs/bpf/weir-test";

Block block(const Address& source, weir_scope scope = WEIR_SCOPE_ssdp) {
  Block made;
  made.source = source;
  made.value.scope = scope;
  return made;
}

Address numbered(std::uint32_t n, bool six) {
  if (!six) return Address::v4(be32::from_host(0x0a000000U + n));
  std::array<std::uint8_t, 16> bytes = {0x20, 1, 0x0d, 0xb8};
  std::memcpy(&bytes[12], &n, sizeof n);
  return Address::v6(bytes.data());
}

std::set<std::string> pins() { return pins_in(kPins); }

class KernelTest : public testing::Test {
 protected:
  static void SetUpTestSuite() { mounts_ = test::own_mounts(); }
  void SetUp() override {
    if (!mounts_) GTEST_SKIP() << mounts_.error().message;
    wire_ = std::make_unique<test::Wire>();
    // The far ends are down: what they would send by themselves (IPv6) would be counted as well.
    wire_->wan.must("ip link set wan0 down");
    wire_->lan.must("ip link set lan0 down");
    inside_ = std::make_unique<test::Inside>(wire_->box);
    options_.pin_directory = kPins;
    options_.interfaces = {"wan", "lan"};
  }
  void TearDown() override {
    if (mounts_) static_cast<void>(Kernel::remove(kPins, false));
  }
  std::unique_ptr<Kernel> attach() {
    auto kernel = Kernel::attach(config_, options_);
    EXPECT_TRUE(kernel) << kernel.error().message;
    EXPECT_TRUE(kernel && (*kernel)->keep());
    return kernel ? std::move(*kernel) : nullptr;
  }
  std::string error() {
    auto kernel = Kernel::attach(config_, options_);
    EXPECT_FALSE(kernel);
    return kernel ? "" : kernel.error().message;
  }

  static inline Status mounts_;
  std::unique_ptr<test::Wire> wire_;
  std::unique_ptr<test::Inside> inside_;
  Config config_;
  KernelOptions options_;
};

TEST_F(KernelTest, AttachesNativelyAndPinsEverything) {
  const auto kernel = attach();
  ASSERT_TRUE(kernel);
  EXPECT_EQ(kernel->mode(Side::wan), AttachMode::native);
  EXPECT_THAT(kernel->notes(), IsEmpty());
  EXPECT_FALSE(kernel->took_over());
  const std::uint32_t id = test::ProgramInfo(kernel->program_fd()).info.id;
  EXPECT_EQ(program_on("wan"), id);
  EXPECT_EQ(program_on("lan"), id);
  EXPECT_THAT(pins(), testing::UnorderedElementsAre(
                          "block4", "block6", "allow4", "allow6", "control", "ports", "peers",
                          "sockets", "heartbeats", "counters", "redirect_errors", "link_wan",
                          "link_lan", "errors_redirect", "errors_devmap"));
}

TEST_F(KernelTest, DetachLeavesTheListsAndNothingElse) {
  auto kernel = attach();
  ASSERT_TRUE(kernel);
  ASSERT_TRUE(kernel->add_blocks(std::array{block(address("192.0.2.7"))}));
  const test::ProgramInfo info(kernel->program_fd());
  const Status detached = kernel->detach();
  ASSERT_TRUE(detached) << detached.error().message;
  kernel.reset();
  EXPECT_EQ(program_on("wan"), 0U);
  EXPECT_EQ(program_on("lan"), 0U);
  EXPECT_THAT(pins(),
              testing::UnorderedElementsAre("block4", "block6", "allow4", "allow6", "control"));
  auto view = Kernel::open_pinned(kPins);
  ASSERT_TRUE(view) << view.error().message;
  EXPECT_EQ((*view)->list_blocks()->size(), 1U);
  EXPECT_THAT((*view)->counters().error().message, HasSubstr("weir run"));
  view->reset();
  EXPECT_TRUE(*Kernel::remove(kPins, false));
  EXPECT_FALSE(std::filesystem::exists(kPins));
  EXPECT_FALSE(*Kernel::remove(kPins, false));
  for (const std::uint32_t id : info.map_ids)
    EXPECT_TRUE(gone_soon([id] {
      const int fd = bpf_map_get_fd_by_id(id);
      if (fd >= 0) close(fd);
      return fd < 0;
    })) << "map "
        << id << " is still there";
  EXPECT_TRUE(gone_soon([&] {
    const int fd = bpf_prog_get_fd_by_id(info.info.id);
    if (fd >= 0) close(fd);
    return fd < 0;
  }));
}

TEST_F(KernelTest, TheProgramOutlivesItsProcessAndIsTakenOver) {
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    auto kernel = Kernel::attach(config_, options_);
    const bool good = kernel && (*kernel)->keep() &&
                      (*kernel)->add_blocks(std::array{block(address("192.0.2.7"), WEIR_SCOPE_all),
                                                       block(address("2001:db8::7"))}) &&
                      (*kernel)->add_allow(*Prefix::parse("198.51.100.0/24"));
    if (!good) _exit(1);
    kill(getpid(), SIGKILL);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
  const std::uint32_t before = program_on("wan");
  EXPECT_NE(before, 0U);
  EXPECT_EQ(program_on("lan"), before);
  {
    auto view = Kernel::open_pinned(kPins);
    ASSERT_TRUE(view) << view.error().message;
    EXPECT_EQ((*view)->list_blocks()->size(), 2U);
    EXPECT_TRUE((*view)->counters());
  }
  const auto kernel = attach();
  ASSERT_TRUE(kernel);
  EXPECT_TRUE(kernel->took_over());
  EXPECT_NE(program_on("wan"), before);
  EXPECT_EQ(program_on("lan"), program_on("wan"));
  EXPECT_EQ(kernel->list_blocks()->size(), 2U);
  EXPECT_EQ(kernel->list_allow()->size(), 1U);
  // The old blocks work in the new program, and scope `all` is looked up again.
  test::KernelJudge judge(kernel->program_fd(), options_.interfaces);
  const Bytes dns = PacketBuilder().ip4("192.0.2.7", "192.0.2.1").udp(53, 53).build();
  EXPECT_EQ(judge(dns, Side::wan).outcome, Outcome::drop_block_all);
}

TEST_F(KernelTest, RefusesWhatIsMissingOrBusyAndLeavesNothing) {
  options_.interfaces = {"wan", "nowhere0"};
  EXPECT_THAT(error(), HasSubstr("no interface 'nowhere0'"));
  options_.interfaces = {"wan", "wan"};
  EXPECT_THAT(error(), HasSubstr("same interface"));
  options_.interfaces = {"wan", ""};
  EXPECT_THAT(error(), HasSubstr("no LAN interface"));
  options_.interfaces = {"wan", "lan"};
  const OtherProgram other("lan");
  const std::uint32_t id = program_on("lan");
  EXPECT_THAT(error(), testing::AllOf(HasSubstr("lan already carries an XDP program ('other', id " +
                                                std::to_string(id) + ")"),
                                      HasSubstr("ip link set dev lan xdp off")));
  EXPECT_EQ(program_on("wan"), 0U);
  EXPECT_EQ(program_on("lan"), id) << "somebody else's program is not touched";
  EXPECT_FALSE(std::filesystem::exists(kPins));
}

// A directory where a pin is to be made: the attach fails after both interfaces have the program.
TEST_F(KernelTest, TakesBackWhatItDidWhereALaterStepFails) {
  const std::string obstacle = std::string(kPins) + "/link_lan_new";
  std::filesystem::create_directory(kPins);
  std::filesystem::create_directory(obstacle);
  EXPECT_THAT(error(), HasSubstr("pin /sys/fs/bpf/weir-test/link_lan"));
  EXPECT_EQ(program_on("wan"), 0U);
  EXPECT_EQ(program_on("lan"), 0U);
  EXPECT_THAT(pins(), testing::UnorderedElementsAre("link_lan_new"));

  std::filesystem::remove(obstacle);
  attach().reset();
  const std::uint32_t before = program_on("wan");
  const std::set<std::string> pinned = pins();
  std::filesystem::create_directory(obstacle);
  EXPECT_THAT(error(), HasSubstr("pin /sys/fs/bpf/weir-test/link_lan"));
  EXPECT_EQ(program_on("wan"), before) << "the earlier weir's program is back";
  EXPECT_EQ(program_on("lan"), before);
  std::filesystem::remove(obstacle);
  EXPECT_EQ(pins(), pinned);
  const auto kernel = attach();
  ASSERT_TRUE(kernel);
  EXPECT_TRUE(kernel->took_over());
}

// Whatever was there, and whatever the start would have changed of it.
TEST_F(KernelTest, AStartThatIsNotKeptLeavesWhatItFound) {
  struct Change {
    const char* what;
    std::function<void()> make;
    bool new_links;  // another mode needs other links: the old program gets a new one
  };
  const Change changes[] = {{"none", [] {}, false},
                            {"mode", [&] { options_.generic_only = true; }, true},
                            {"size", [&] { config_.blocks_max = 2'048; }, false},
                            {"ports", [&] { config_.udp_ports = {5353}; }, false}};
  {
    auto claimed = Claim::take(options_);
    ASSERT_TRUE(claimed) << claimed.error().message;
    EXPECT_FALSE(claimed->attached());
    ASSERT_TRUE(Kernel::attach(config_, std::move(*claimed)));
  }
  EXPECT_EQ(program_on("wan"), 0U);
  EXPECT_FALSE(std::filesystem::exists(kPins)) << "nothing was there";

  ASSERT_TRUE(attach()->add_blocks(std::array{block(address("192.0.2.7"))}));
  const std::uint32_t before = program_on("wan");
  for (const Change& change : changes) {
    SCOPED_TRACE(change.what);
    auto pinned = pin_ids(kPins);
    const Config config = config_;
    const KernelOptions options = options_;
    change.make();
    {
      auto claimed = Claim::take(options_);
      ASSERT_TRUE(claimed) << claimed.error().message;
      EXPECT_TRUE(claimed->attached());
      auto kernel = Kernel::attach(config_, std::move(*claimed));
      ASSERT_TRUE(kernel) << kernel.error().message;
      EXPECT_NE(program_on("wan"), before);
    }
    config_ = config;
    options_ = options;
    EXPECT_EQ(program_on("wan"), before);
    EXPECT_EQ(program_on("lan"), before);
    EXPECT_EQ(xdp_mode("wan"), XDP_ATTACHED_DRV);
    auto now = pin_ids(kPins);
    if (change.new_links)
      for (const char* name : {"link_wan", "link_lan"}) now[name] = pinned[name];
    EXPECT_EQ(now, pinned);
  }
  const auto next = attach();
  ASSERT_TRUE(next);
  EXPECT_TRUE(next->took_over());
  EXPECT_EQ(next->list_blocks()->size(), 1U);
}

TEST_F(KernelTest, OneOwnerOfAPinDirectoryAtATime) {
  auto kernel = attach();
  ASSERT_TRUE(kernel);
  const std::uint32_t before = program_on("wan");
  const auto pinned = pin_ids(kPins);
  const std::string owner = "process " + std::to_string(getpid());
  const auto refused = testing::AllOf(HasSubstr(owner), HasSubstr(kPins));
  EXPECT_THAT(error(), refused);
  EXPECT_THAT(Kernel::remove(kPins, false).error().message, refused);
  EXPECT_THAT(Kernel::open_pinned(kPins).error().message, refused);
  EXPECT_EQ(program_on("wan"), before);
  EXPECT_EQ(pin_ids(kPins), pinned);
  kernel.reset();
  EXPECT_TRUE(Kernel::open_pinned(kPins)) << "its owner is gone";
  EXPECT_TRUE(attach());
}

TEST_F(KernelTest, LargeFramesTakeAProgramOfSeveralBuffers) {
  // Beyond the largest MTU that a driver takes a program of one buffer for.
  for (const char* name : {"wan", "lan"})
    wire_->box.must("ip link set " + std::string(name) + " mtu 9000");
  wire_->wan.must("ip link set wan0 mtu 9000");
  wire_->lan.must("ip link set lan0 mtu 9000");
  const auto kernel = attach();
  ASSERT_TRUE(kernel);
  EXPECT_EQ(kernel->mode(Side::lan), AttachMode::native);
  const int socket = ::socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0);
  ASSERT_TRUE(kernel->add_socket(Side::wan, 0, socket));
  kernel->heartbeat(0, monotonic_now() + std::chrono::hours(1));
  test::KernelJudge judge(kernel->program_fd(), options_.interfaces);
  const auto search = [](std::size_t bytes) {
    return PacketBuilder().ip4("192.0.2.5", "192.0.2.1").udp(9, 1900).payload(Bytes(bytes)).build();
  };
  const Bytes large = search(8'000);
  EXPECT_EQ(judge(search(1'000), Side::wan).outcome, Outcome::socket_steered);
  const auto judged = judge(large, Side::wan);
  EXPECT_EQ(judged.outcome, Outcome::peer_no_socket) << "no socket takes several buffers";
  EXPECT_EQ(judged.bytes, large.size()) << "all of it is counted";
  close(socket);
}

TEST_F(KernelTest, RefusesAPinDirectoryThatIsNone) {
  options_.pin_directory = "/tmp/weir-test-pins";
  EXPECT_THAT(error(), testing::AllOf(HasSubstr("not on a bpffs"), HasSubstr("mount -t bpf")));
  EXPECT_FALSE(std::filesystem::exists("/tmp/weir-test-pins"));
  options_.pin_directory = "weir";
  EXPECT_THAT(error(), HasSubstr("not an absolute path"));
  EXPECT_THAT(Kernel::open_pinned(kPins).error().message, HasSubstr("nothing of weir is pinned"));
}

TEST_F(KernelTest, RefusesPinsOfAnotherVersion) {
  attach().reset();
  const std::uint32_t before = program_on("wan");
  const int fd = bpf_obj_get((std::string(kPins) + "/control").c_str());
  const std::uint32_t zero = 0;
  weir_control control{};
  ASSERT_EQ(bpf_map_lookup_elem(fd, &zero, &control), 0);
  control.abi_version = WEIR_ABI_VERSION + 1;
  ASSERT_EQ(bpf_map_update_elem(fd, &zero, &control, BPF_ANY), 0);
  close(fd);
  EXPECT_THAT(error(), testing::AllOf(HasSubstr("another version"), HasSubstr("rm -r")));
  EXPECT_THAT(Kernel::open_pinned(kPins).error().message, HasSubstr("another version"));
  EXPECT_EQ(program_on("wan"), before) << "the old program goes on";
}

TEST_F(KernelTest, RefusesAPinDirectoryOfOtherInterfaces) {
  attach().reset();
  wire_->box.must("ip link add v0 type veth peer name v1");
  options_.interfaces = {"v0", "v1"};
  EXPECT_THAT(error(), HasSubstr("belongs to a weir on another interface"));
  EXPECT_EQ(program_on("v0"), 0U);
  EXPECT_NE(program_on("wan"), 0U);
}

TEST_F(KernelTest, FollowsAChangeOfSize) {
  {
    const auto kernel = attach();
    ASSERT_TRUE(kernel);
    std::vector<Block> blocks;
    for (std::uint32_t i = 0; i < 10; ++i) blocks.push_back(block(numbered(i, i % 2 == 0)));
    ASSERT_EQ(*kernel->add_blocks(blocks), 10U);
  }
  const std::uint32_t before = program_on("wan");
  config_.blocks_max = 4;
  EXPECT_THAT(error(), HasSubstr("10 blocks and the new limit only 8"));
  EXPECT_EQ(program_on("wan"), before);
  config_.blocks_max = 1'000;
  {
    const auto kernel = attach();
    ASSERT_TRUE(kernel);
    EXPECT_EQ(kernel->list_blocks()->size(), 10U);
  }
  EXPECT_EQ((*Kernel::open_pinned(kPins))->list_blocks()->size(), 10U);
}

TEST_F(KernelTest, FallsBackToGenericOnBothInterfaces) {
  wire_->box.must("ip link add bridge0 type bridge");  // a driver without native XDP
  options_.interfaces = {"wan", "bridge0"};
  {
    const auto kernel = attach();
    ASSERT_TRUE(kernel);
    EXPECT_EQ(kernel->mode(Side::wan), AttachMode::generic);
    ASSERT_EQ(kernel->notes().size(), 1U);
    EXPECT_THAT(kernel->notes()[0], HasSubstr("bridge0"));
  }
  ASSERT_TRUE(attach()) << "over what is there, in its mode";
  ASSERT_TRUE(Kernel::remove(kPins, false));
  options_.interfaces = {"wan", "lan"};
  options_.generic_only = true;
  EXPECT_EQ(attach()->mode(Side::lan), AttachMode::generic);
}

TEST_F(KernelTest, HostModeHasOneInterface) {
  config_.host_mode = true;
  EXPECT_THAT(error(), HasSubstr("host mode has one interface"));
  options_.interfaces = {"wan", ""};
  const auto kernel = attach();
  ASSERT_TRUE(kernel);
  EXPECT_EQ(program_on("lan"), 0U);
  test::KernelJudge judge(kernel->program_fd(), options_.interfaces);
  const Bytes arp = PacketBuilder().type(0x0806).payload(Bytes(28)).build();
  EXPECT_EQ(judge(arp, Side::wan).action, static_cast<std::uint32_t>(XDP_PASS));
}

TEST_F(KernelTest, KeepsManyBlocks) {
  config_.blocks_max = 20'000;
  const auto kernel = attach();
  ASSERT_TRUE(kernel);
  std::vector<Block> blocks;
  std::set<Address> expected;
  for (std::uint32_t i = 0; i < 30'000; ++i) {
    blocks.push_back(
        block(numbered(i, i % 3 == 0), i % 100 == 0 ? WEIR_SCOPE_all : WEIR_SCOPE_ssdp));
    expected.insert(blocks.back().source);
  }
  EXPECT_EQ(*kernel->add_blocks(blocks), 30'000U);
  std::set<Address> found;
  const std::vector<Block> listed = *kernel->list_blocks();
  for (const Block& each : listed) found.insert(each.source);
  EXPECT_EQ(found, expected);
  EXPECT_EQ(*kernel->add_blocks(blocks), 30'000U) << "replaced, not added";
  std::vector<Address> sources(expected.begin(), expected.end());
  sources.push_back(address("192.0.2.250"));
  EXPECT_EQ(*kernel->remove_blocks(sources), 30'000U);
  EXPECT_THAT(*kernel->list_blocks(), IsEmpty());
}

TEST_F(KernelTest, AFullBlocklistTakesWhatFits) {
  config_.blocks_max = 100;
  const auto kernel = attach();
  ASSERT_TRUE(kernel);
  std::vector<Block> blocks;
  for (std::uint32_t i = 0; i < 150; ++i) blocks.push_back(block(numbered(i, false)));
  EXPECT_EQ(*kernel->add_blocks(blocks), 100U);
  EXPECT_EQ(*kernel->add_blocks(blocks), 100U);
  EXPECT_EQ(kernel->list_blocks()->size(), 100U);
  EXPECT_EQ(*kernel->remove_blocks(std::array{numbered(3, false)}), 1U);
  EXPECT_EQ(*kernel->add_blocks(std::array{block(numbered(149, false))}), 1U);
}

TEST_F(KernelTest, AllowlistRoundTrip) {
  const auto kernel = attach();
  ASSERT_TRUE(kernel);
  for (const char* text : {"203.0.113.0/24", "2001:db8::/32", "203.0.113.0/24"})
    ASSERT_TRUE(kernel->add_allow(*Prefix::parse(text)));
  EXPECT_EQ(kernel->list_allow()->size(), 2U);
  ASSERT_TRUE(
      kernel->add_blocks(std::array{block(address("203.0.113.5")), block(address("2001:db8::5"))}));
  test::KernelJudge judge(kernel->program_fd(), options_.interfaces);
  const Bytes four = PacketBuilder().ip4("203.0.113.5", "192.0.2.1").udp(1900, 9).build();
  const Bytes six = PacketBuilder().ip6("2001:db8::5", "2001:db8:1::1").udp(1900, 9).build();
  EXPECT_EQ(judge(four, Side::wan).outcome, Outcome::peer_no_socket);
  EXPECT_EQ(judge(six, Side::wan).outcome, Outcome::peer_no_socket);
  EXPECT_TRUE(*kernel->remove_allow(*Prefix::parse("203.0.113.0/24")));
  EXPECT_FALSE(*kernel->remove_allow(*Prefix::parse("203.0.113.0/24")));
  EXPECT_EQ(judge(four, Side::wan).outcome, Outcome::drop_block_ssdp);
  EXPECT_EQ(judge(six, Side::wan).outcome, Outcome::peer_no_socket);
}

TEST_F(KernelTest, SocketsAndHeartbeatsDecide) {
  const auto kernel = attach();
  ASSERT_TRUE(kernel);
  test::KernelJudge judge(kernel->program_fd(), options_.interfaces);
  const Bytes search = PacketBuilder().ip4("192.0.2.5", "192.0.2.1").udp(9, 1900).build();
  const int socket = ::socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0);
  ASSERT_GE(socket, 0);
  EXPECT_EQ(judge(search, Side::wan).outcome, Outcome::peer_no_socket);
  ASSERT_TRUE(kernel->add_socket(Side::wan, 0, socket));
  EXPECT_EQ(judge(search, Side::wan).outcome, Outcome::peer_stalled) << "no heartbeat yet";
  kernel->heartbeat(0, monotonic_now() + std::chrono::hours(1));
  EXPECT_EQ(judge(search, Side::wan).outcome, Outcome::socket_steered);
  EXPECT_EQ(judge(search, Side::lan).outcome, Outcome::peer_no_socket);
  kernel->heartbeat(0, {1});
  EXPECT_EQ(judge(search, Side::wan).outcome, Outcome::peer_stalled);
  kernel->heartbeat(0, {0});
  EXPECT_EQ(judge(search, Side::wan).outcome, Outcome::peer_stalled);
  ASSERT_TRUE(kernel->remove_socket(Side::wan, 0));
  ASSERT_TRUE(kernel->remove_socket(Side::wan, 0));
  EXPECT_EQ(judge(search, Side::wan).outcome, Outcome::peer_no_socket);
  EXPECT_FALSE(kernel->add_socket(Side::wan, WEIR_CHANNELS_MAX, socket));
  close(socket);
}

TEST_F(KernelTest, CountsRedirectsThatFail) {
  const auto kernel = attach();
  ASSERT_TRUE(kernel);
  ASSERT_THAT(kernel->notes(), IsEmpty());
  const Bytes arp = PacketBuilder().type(0x0806).payload(Bytes(46)).build();
  const auto number = static_cast<std::size_t>(Outcome::peer_not_ip);
  run_live(kernel->program_fd(), arp, 100);
  Counters counters = *kernel->counters();
  const std::uint64_t good = counters.redirect_errors[WEIR_REDIRECT_ERROR_peer].packets;
  EXPECT_EQ(counters.outcomes[0][number].packets, 100U);
  wire_->box.must("ip link set lan down");
  run_live(kernel->program_fd(), arp, 100);
  counters = *kernel->counters();
  EXPECT_EQ(counters.outcomes[0][number].packets, 200U);
  EXPECT_EQ(counters.redirect_errors[WEIR_REDIRECT_ERROR_peer].packets, good + 100);
  wire_->box.must("ip link del lan");  // the kernel takes it out of the map
  run_live(kernel->program_fd(), arp, 100);
  counters = *kernel->counters();
  EXPECT_EQ(counters.outcomes[0][number].packets, 300U);
  EXPECT_EQ(counters.redirect_errors[WEIR_REDIRECT_ERROR_peer].packets, good + 200);
}

// Each switch of weir_config prunes other code: all of it must pass the verifier, far from its
// limit of 1,000,000 instructions.
TEST_F(KernelTest, EveryCombinationOfSwitchesLoads) {
  std::uint32_t most = 0;
  for (const std::uint32_t mtu : {1500U, 9000U}) {
    for (const char* name : {"wan", "lan"})
      wire_->box.must("ip link set " + std::string(name) + " mtu " + std::to_string(mtu));
    for (unsigned bits = 0; bits < 32; ++bits) {
      config_.fail_closed = (bits & 1U) != 0;
      config_.drop_fragments = (bits & 2U) != 0;
      config_.ssdp_payload = (bits & 4U) != 0;
      config_.host_mode = (bits & 8U) != 0;
      config_.udp_ports = {1900};
      if ((bits & 16U) != 0) config_.udp_ports.push_back(5353);
      options_.interfaces[1] = config_.host_mode ? "" : "lan";
      auto kernel = Kernel::attach(config_, options_);
      ASSERT_TRUE(kernel) << "switches " << bits << ", MTU " << mtu << ": "
                          << kernel.error().message;
      const std::uint32_t verified = test::ProgramInfo((*kernel)->program_fd()).info.verified_insns;
      most = std::max(most, verified);
      ASSERT_TRUE((*kernel)->detach());
    }
  }
  std::printf("verified instructions, at most: %u\n", most);
  RecordProperty("verified_instructions_max", static_cast<int>(most));
  EXPECT_LT(most, 100'000U);
}

}  // namespace
}  // namespace weir::datapath
