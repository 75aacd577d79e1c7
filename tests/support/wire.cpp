// SPDX-License-Identifier: BSD-2-Clause
#include "wire.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <sstream>

namespace weir::test {

Status own_mounts() {
  if (geteuid() != 0) return fail("network namespaces need root");
  if (unshare(CLONE_NEWNS) != 0) return fail_errno("unshare the mount namespace", errno);
  if (mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0)
    return fail_errno("make the mounts private", errno);
  if (mount("bpffs", "/sys/fs/bpf", "bpf", 0, nullptr) != 0)
    return fail_errno("mount a bpffs", errno);
  mkdir("/run/weir", 0755);
  if (mount("tmpfs", "/run/weir", "tmpfs", 0, "mode=755") != 0)
    return fail_errno("mount /run/weir", errno);
  return {};
}

Namespace::Namespace() {
  const int before = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
  WEIR_CHECK(before >= 0);
  WEIR_CHECK(unshare(CLONE_NEWNET) == 0);
  fd_ = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
  WEIR_CHECK(fd_ >= 0);
  WEIR_CHECK(setns(before, CLONE_NEWNET) == 0);
  close(before);
  must("ip link set lo up");
}

Namespace::~Namespace() { close(fd_); }

std::string Namespace::path() const { return fmt::format("/proc/{}/fd/{}", getpid(), fd_); }

std::string Namespace::must(const std::string& command) const {
  std::istringstream words(command);
  std::vector<std::string> argv;
  for (std::string word; words >> word;) argv.push_back(word);
  const Ran ran = run(argv, fd_);
  if (ran.status != 0) {
    std::fprintf(stderr, "'%s' ended with status %d: %s\n", command.c_str(), ran.status,
                 ran.err.c_str());
    WEIR_CHECK(ran.status == 0);
  }
  return ran.out;
}

Inside::Inside(const Namespace& where)
    : before_(open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC)) {
  WEIR_CHECK(before_ >= 0 && setns(where.fd(), CLONE_NEWNET) == 0);
}

Inside::~Inside() {
  WEIR_CHECK(setns(before_, CLONE_NEWNET) == 0);
  close(before_);
}

OnCpu::OnCpu(unsigned cpu) {
  WEIR_CHECK(sched_getaffinity(0, sizeof before_, &before_) == 0);
  cpu_set_t only;
  CPU_ZERO(&only);
  CPU_SET(cpu, &only);
  WEIR_CHECK(sched_setaffinity(0, sizeof only, &only) == 0);
}

OnCpu::~OnCpu() { sched_setaffinity(0, sizeof before_, &before_); }

Wire::Wire(unsigned queues) {
  const auto join = [&](const Namespace& end, const std::string& name, const std::string& side,
                        const std::string& host) {
    box.must(
        fmt::format("ip link add {} numrxqueues {} numtxqueues {} type veth peer name {} netns {} "
                    "numrxqueues {} numtxqueues {}",
                    side, queues, queues + 1, name, end.path(), queues + 1, queues));
    end.must(fmt::format("ethtool -K {} tx off tso off gso off gro off", name));
    box.must(fmt::format("sysctl -qw net.ipv6.conf.{}.disable_ipv6=1", side));
    end.must(fmt::format("sysctl -qw net.ipv6.conf.{}.accept_dad=0", name));
    box.must(fmt::format("ip link set {} up", side));
    end.must(fmt::format("ip link set {} up", name));
    end.must(fmt::format("ip address add 198.51.100.{}/24 dev {}", host, name));
    end.must(fmt::format("ip address add 2001:db8:77::{}/64 dev {} nodad", host, name));
  };
  join(wan, "wan0", "wan", "1");
  join(lan, "lan0", "lan", "2");
}

void Wire::silence() const {
  wan.must("ip link set wan0 down");
  lan.must("ip link set lan0 down");
}

}  // namespace weir::test
