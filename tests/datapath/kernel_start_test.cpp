// SPDX-License-Identifier: BSD-2-Clause
// Privileged: starts and ends of the real program, over whatever was there before.
#include <bpf/bpf.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <functional>

#include "datapath/kernel_claim.h"
#include "kernel_fixture.h"
#include "support/kernel_judge.h"

namespace weir::datapath {
namespace {

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

TEST_F(KernelTest, AnotherWeirsProgramIsNamedAsSuchWithTheWayToTakeItOff) {
  const auto kernel = attach();
  ASSERT_TRUE(kernel);
  const std::uint32_t id = program_on("wan");
  options_.pin_directory = std::string(kPins) + "-other";
  EXPECT_THAT(error(), testing::AllOf(HasSubstr("a weir with another pin directory"),
                                      HasSubstr("`weir detach`, and -c FILE where"),
                                      HasSubstr(std::to_string(id))));
  EXPECT_EQ(program_on("wan"), id);
  EXPECT_FALSE(std::filesystem::exists(options_.pin_directory));
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

}  // namespace
}  // namespace weir::datapath
