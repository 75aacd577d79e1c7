// SPDX-License-Identifier: BSD-2-Clause
// What it costs to bring a frame from userspace into the host's stack, as from the interface that it came in by, as guard
// does with what it judged fine: weir's veth pair and an AF_XDP socket, a tap device, and the kernel's own test run of an
// XDP program with live frames that pass.
//
//   stack_entry_bench [FRAMES [ROUNDS]]
//
// Prints Markdown: ns of this thread a frame, softirqs in it included; medians of rounds in turn, with the least and the
// most. In a network namespace of its own; needs root, and tc(8) for the tap device. Every frame must arrive.
#include <bpf/bpf.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/bpf.h>
#include <linux/filter.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <functional>
#include <string>
#include <vector>

#include "base/fd.h"
#include "io/load_port.h"
#include "io/stack_entry.h"
#include "tests/support/packet_builder.h"

namespace weir::perf {
namespace {

constexpr std::size_t kFrame_bytes = 342;  // what an answer of SSDP has, about
constexpr std::size_t kBatch = 64;

[[noreturn]] void give_up(const std::string& what) {
  fmt::print(stderr, "stack_entry_bench: {}\n", what);
  std::exit(1);
}

void sh(const std::string& command) {
  if (std::system(command.c_str()) != 0) give_up("'" + command + "' failed");
}

/// UDP to 192.0.2.1, port 1900, where a socket wants none of it (`listen`).
test::Bytes frame() {
  constexpr std::size_t kHeaders_bytes = 14 + 20 + 8;
  return test::PacketBuilder()
      .ethernet({2, 0, 0, 0, 0, 1}, {2, 0, 0, 0, 0, 2})
      .ip4("192.0.2.9", "192.0.2.1")
      .udp(40'000, 1900)
      .payload(test::Bytes(kFrame_bytes - kHeaders_bytes))
      .build();
}

/// A socket whose filter refuses all: the way there is all that is paid for.
Fd listen() {
  Fd fd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  sock_filter refuse = BPF_STMT(BPF_RET | BPF_K, 0);
  const sock_fprog program{1, &refuse};
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(1900);
  if (fd.get() < 0 ||
      setsockopt(fd.get(), SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) != 0 ||
      bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    give_up(fmt::format("no socket on port 1900: {}", std::strerror(errno)));
  return fd;
}

/// UDP datagrams that the socket refused: InErrors, the third number of UDP's second line (RFC 4113).
std::uint64_t arrived() {
  std::ifstream file("/proc/thread-self/net/snmp");
  std::uint64_t received = 0, no_ports = 0, errors = 0;
  for (std::string line; std::getline(file, line);)
    if (std::sscanf(line.c_str(), "Udp: %lu %lu %lu", &received, &no_ports, &errors) == 3) break;
  return errors;
}

struct Way {
  std::string name;
  std::function<void(std::size_t)> send;  // so many frames
  std::vector<double> ns;
};

/// A tap device whose frames go into `interface`'s ingress by the same redirect as the veth pair's.
Fd open_tap(const std::string& interface) {
  Fd tap(open("/dev/net/tun", O_RDWR | O_CLOEXEC));
  ifreq request{};
  std::strncpy(request.ifr_name, "tap0", sizeof request.ifr_name - 1);
  request.ifr_flags = IFF_TAP | IFF_NO_PI;
  if (tap.get() < 0 || ioctl(tap.get(), TUNSETIFF, &request) != 0)
    give_up(fmt::format("no tap device: {}", std::strerror(errno)));
  sh("ip link set tap0 address 02:00:00:00:00:01 up");
  sh("tc qdisc add dev tap0 clsact");
  sh("tc filter add dev tap0 ingress bpf bytecode '1,6 0 0 4294967295' action mirred ingress "
     "redirect dev " +
     interface);
  return tap;
}

/// A program that passes all, to be run with frames that then go into the stack.
Fd load_pass() {
  std::array<bpf_insn, 2> program{};
  program[0].code = BPF_ALU64 | BPF_MOV | BPF_K;
  program[0].imm = XDP_PASS;  // into r0
  program[1].code = BPF_JMP | BPF_EXIT;
  Fd fd(bpf_prog_load(BPF_PROG_TYPE_XDP, "pass", "GPL", program.data(), program.size(), nullptr));
  if (fd.get() < 0) give_up(fmt::format("no program: {}", std::strerror(errno)));
  return fd;
}

int measure(std::size_t frames, int rounds) {
  if (unshare(CLONE_NEWNET | CLONE_NEWNS) != 0 ||
      mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0)
    give_up(fmt::format("no namespace of its own ({}): run it as root", std::strerror(errno)));
  sh("ip link set lo up; ip link add eth0 type veth peer name far && ip link set eth0 address "
     "02:00:00:00:00:01 && "
     "ip addr add 192.0.2.1/24 dev eth0 && ip link set eth0 up && ip link set far up && "
     "ip neigh add 192.0.2.9 lladdr 02:00:00:00:00:02 dev eth0");
  const Fd socket = listen();
  const test::Bytes one = frame();

  const std::string record = fmt::format("/tmp/stack_entry_bench.{}", getpid());
  auto entry = io::StackEntry::make("eth0", 1, record);
  if (!entry) give_up(entry.error().message);
  auto port = io::open_load_xdp((*entry)->name(), io::LoadUse::send);
  if (!port) give_up(port.error().message);
  const std::vector<io::LoadPort::Bytes> batch(kBatch, io::LoadPort::Bytes(one));
  const Fd tap = open_tap("eth0");
  const Fd pass = load_pass();

  std::vector<Way> ways;
  ways.push_back({"veth pair, AF_XDP socket (what weir does)",
                  [&](std::size_t count) {
                    while (count > 0) {
                      const std::span<const io::LoadPort::Bytes> all(batch);
                      count -= (*port)->send(all.first(std::min(count, kBatch)));
                    }
                    while (!(*port)->flush()) continue;
                  },
                  {}});
  ways.push_back({"tap device, a write(2) a frame",
                  [&](std::size_t count) {
                    for (; count > 0; --count)
                      if (write(tap.get(), one.data(), one.size()) !=
                          static_cast<ssize_t>(one.size()))
                        give_up(fmt::format("write to the tap device: {}", std::strerror(errno)));
                  },
                  {}});
  ways.push_back({"test run with live frames, a bpf(2) a frame",
                  [&](std::size_t count) {
                    xdp_md context{};
                    context.data_end = static_cast<std::uint32_t>(one.size());
                    context.ingress_ifindex = if_nametoindex("eth0");
                    LIBBPF_OPTS(bpf_test_run_opts, run, .data_in = one.data(),
                                .data_size_in = static_cast<std::uint32_t>(one.size()),
                                .ctx_in = &context, .ctx_size_in = sizeof context, .repeat = 1,
                                .flags = BPF_F_TEST_XDP_LIVE_FRAMES);
                    for (; count > 0; --count)
                      if (bpf_prog_test_run_opts(pass.get(), &run) != 0)
                        give_up(fmt::format("test run: {}", std::strerror(errno)));
                  },
                  {}});

  for (int round = -1; round < rounds; ++round) {  // one to warm up
    for (Way& way : ways) {
      const std::uint64_t before = arrived();
      const auto start = std::chrono::steady_clock::now();
      way.send(frames);
      const std::chrono::duration<double, std::nano> took =
          std::chrono::steady_clock::now() - start;
      if (arrived() - before != frames)
        give_up(fmt::format("{}: {} of {} frames arrived", way.name, arrived() - before, frames));
      if (round >= 0) way.ns.push_back(took.count() / static_cast<double>(frames));
    }
  }
  fmt::print("| into the stack by | ns a frame |\n| --- | --- |\n");
  for (Way& way : ways) {
    std::sort(way.ns.begin(), way.ns.end());
    fmt::print("| {} | {:.0f} ({:.0f}-{:.0f}) |\n", way.name, way.ns[way.ns.size() / 2],
               way.ns.front(), way.ns.back());
  }
  return 0;
}

}  // namespace
}  // namespace weir::perf

int main(int argc, char** argv) {
  const std::size_t frames = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 200'000;
  const int rounds = argc > 2 ? std::atoi(argv[2]) : 9;
  if (frames == 0 || rounds < 1) {
    fmt::print(stderr, "stack_entry_bench: FRAMES and ROUNDS are at least 1\n");
    return 2;
  }
  return weir::perf::measure(frames, rounds);
}
