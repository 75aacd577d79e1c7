// SPDX-License-Identifier: BSD-2-Clause
#include "circle.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fmt/format.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <thread>

#include "circle.skel.h"

namespace weir::perf {

using test::Inside;

struct Circle::Impl {
  circle_bpf* program = nullptr;
  bpf_link* link = nullptr;
  int door = -1;  // a packet socket that sends out of wan0

  ~Impl() {
    bpf_link__destroy(link);
    circle_bpf__destroy(program);
    if (door >= 0) ::close(door);
  }
};

Circle::Circle(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Circle::~Circle() = default;

Result<std::unique_ptr<Circle>> Circle::close(const test::Appliance& appliance, std::size_t bytes) {
  auto impl = std::make_unique<Impl>();
  impl->program = circle_bpf__open_and_load();
  if (impl->program == nullptr) return fail_errno("load the circle's program", errno);
  impl->program->bss->length = static_cast<std::uint32_t>(bytes);
  {
    const Inside wan(appliance.wire.wan);
    const std::uint32_t start = if_nametoindex("wan0");
    sockaddr_ll address{};
    address.sll_family = AF_PACKET;
    address.sll_ifindex = static_cast<int>(start);
    impl->door = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);  // of no protocol: it only sends
    // By the queue of the sender's CPU, as redirects go: another's might be emptied by another CPU.
    const int bypass = 1;
    if (setsockopt(impl->door, SOL_PACKET, PACKET_QDISC_BYPASS, &bypass, sizeof bypass) != 0)
      return fail_errno("have a packet socket choose queues by CPU", errno);
    if (bind(impl->door, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
      return fail_errno("bind a packet socket to 'wan0'", errno);
    const std::uint32_t key = 0;
    if (bpf_map_update_elem(bpf_map__fd(impl->program->maps.start), &key, &start, BPF_ANY) != 0)
      return fail_errno("lead the circle to 'wan0'", errno);
  }
  const Inside lan(appliance.wire.lan);
  impl->link =
      bpf_program__attach_xdp(impl->program->progs.turn, static_cast<int>(if_nametoindex("lan0")));
  if (impl->link == nullptr) return fail_errno("attach the circle to 'lan0'", errno);
  return std::unique_ptr<Circle>(new Circle(std::move(impl)));
}

Status Circle::insert(std::span<const std::uint8_t> frame, unsigned frames) {
  for (unsigned i = 0; i < frames; ++i)
    if (::send(impl_->door, frame.data(), frame.size(), 0) < 0)
      return fail_errno(fmt::format("send a frame of {} bytes out of 'wan0'", frame.size()), errno);
  return {};
}

std::uint64_t Circle::laps() const noexcept {
  std::uint64_t sum = 0;
  for (const volatile auto& one : impl_->program->bss->laps) sum += one.frames;
  return sum;
}

unsigned Circle::cpus() const noexcept {
  unsigned used = 0;
  for (const volatile auto& one : impl_->program->bss->laps) used += one.frames > 0 ? 1 : 0;
  return used;
}

std::uint64_t Circle::split() const noexcept { return impl_->program->bss->split; }

std::uint64_t Circle::end() {
  const volatile auto& ended = impl_->program->bss->ended;
  impl_->program->bss->ending = 1;
  std::uint64_t before = 0;
  do {
    before = ended;
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  } while (ended != before);
  return before;
}

}  // namespace weir::perf
