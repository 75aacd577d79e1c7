// SPDX-License-Identifier: BSD-2-Clause
// Privileged: the real program on veth pairs, in network namespaces of the test's own.
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>

#include "kernel_fixture.h"
#include "support/kernel_judge.h"
#include "support/packet_builder.h"
#include "weir.skel.h"

namespace weir::datapath {
namespace {

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
  {
    const auto kernel = attach();  // over what is there, in its mode
    ASSERT_TRUE(kernel);
    EXPECT_EQ(kernel->mode(Side::wan), AttachMode::generic);
    ASSERT_EQ(kernel->notes().size(), 1U);
    EXPECT_THAT(kernel->notes()[0], HasSubstr("weir detach --keep-blocks"));
  }
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

// Blocks of an earlier run, which a trial of weir must not be fooled by.
TEST_F(KernelTest, InShadowBlocksStandAndDoNothing) {
  const Bytes dns = PacketBuilder().ip4("192.0.2.7", "192.0.2.1").udp(53, 53).build();
  for (const bool shadow : {false, true, false}) {
    config_.shadow = shadow;
    const auto kernel = attach();
    ASSERT_TRUE(kernel);
    ASSERT_TRUE(kernel->add_blocks(std::array{block(address("192.0.2.7"), WEIR_SCOPE_all)}));
    test::KernelJudge judge(kernel->program_fd(), options_.interfaces);
    EXPECT_EQ(judge(dns, Side::wan).outcome,
              shadow ? Outcome::peer_not_steered : Outcome::drop_block_all);
    EXPECT_EQ(kernel->list_blocks()->size(), 1U);
  }
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
  std::vector<BlockKey> sources;
  for (const Address& source : expected) sources.push_back({source});
  sources.push_back({address("192.0.2.250")});
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
  EXPECT_EQ(*kernel->remove_blocks(std::array{BlockKey{numbered(3, false)}}), 1U);
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

// For machines that read no unaligned words; and with either clock, of which older kernels have one.
TEST_F(KernelTest, ReadsHeadersAtEvenAddressesAlone) {
  for (const bool several_ports : {false, true}) {
    for (const bool coarse : {false, true}) {
      if (coarse &&
          libbpf_probe_bpf_helper(BPF_PROG_TYPE_XDP, BPF_FUNC_ktime_get_coarse_ns, nullptr) != 1)
        continue;
      weir_bpf* const skeleton = weir_bpf__open();
      ASSERT_NE(skeleton, nullptr);
      skeleton->rodata->weir_config.single_port = several_ports ? 0 : 1900;
      skeleton->rodata->weir_config.ssdp_payload = 1;
      skeleton->rodata->weir_config.blocked_fragments = 1;
      skeleton->rodata->weir_config.coarse_clock = coarse;
      bpf_program__set_flags(skeleton->progs.weir, BPF_F_STRICT_ALIGNMENT);
      bpf_program__set_autoload(skeleton->progs.weir_own, false);
      EXPECT_EQ(weir_bpf__load(skeleton), 0)
          << "several ports " << several_ports << ", coarse " << coarse;
      weir_bpf__destroy(skeleton);
    }
  }
}

}  // namespace
}  // namespace weir::datapath
