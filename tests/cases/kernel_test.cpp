// SPDX-License-Identifier: BSD-2-Clause
// Privileged: the cases, as the kernel's program ends them.
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cases.h"
#include "datapath/kernel.h"
#include "support/kernel_judge.h"
#include "support/wire.h"

namespace weir::datapath {
namespace {

TEST(Cases, EndAsWrittenInTheKernel) {
  if (const Status mounts = test::own_mounts(); !mounts) GTEST_SKIP() << mounts.error().message;
  const test::Wire wire;
  wire.silence();
  const test::Inside inside(wire.box);
  const int socket = ::socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0);
  ASSERT_GE(socket, 0);
  const KernelOptions options{.pin_directory = "/sys/fs/bpf/weir-cases",
                              .interfaces = {"wan", "lan"}};
  for (const test::Case& given : test::cases()) {
    SCOPED_TRACE(given.description);
    auto attached = Kernel::attach(test::config_of(given), options);
    ASSERT_TRUE(attached) << attached.error().message;
    Kernel& kernel = **attached;
    test::fill(kernel, given);
    if (given.socket) {
      ASSERT_TRUE(kernel.add_socket(Side::wan, 0, socket));
      ASSERT_TRUE(kernel.add_socket(Side::lan, 0, socket));
    }
    kernel.heartbeat(0, given.beating ? monotonic_now() + std::chrono::hours(1) : PacketTime{1});
    test::KernelJudge judge(kernel.program_fd(), options.interfaces);
    const test::Bytes bytes = given.frame.build();
    for (const Side side : {Side::wan, Side::lan}) {
      const auto judged = judge(bytes, side);
      EXPECT_STREQ(name(judged.outcome), name(given.outcome));
      EXPECT_EQ(judged.action, test::action_of(given.outcome, false));
    }
  }
  close(socket);
}

}  // namespace
}  // namespace weir::datapath
