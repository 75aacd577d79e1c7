// SPDX-License-Identifier: BSD-2-Clause
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fmt/format.h>
#include <linux/if_xdp.h>
#include <net/if.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <xdp/xsk.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <thread>
#include <utility>
#include <vector>

#include "io/busy_queue.h"
#include "io/host.h"
#include "io/load_port.h"
#include "take.skel.h"

namespace weir::io {
namespace {

constexpr std::uint32_t kLoadRing = 2048;
constexpr std::uint32_t kLoadChunks = 2 * kLoadRing;
constexpr std::uint32_t kLoadQueuesMax = 64;  // WEIR_CHANNELS_MAX, the size of the program's map
constexpr std::size_t kLoad_bytes = std::size_t{kLoadChunks} * LoadPort::kFrame_bytes;
constexpr std::chrono::milliseconds kFlushAtMost{100};
constexpr std::chrono::microseconds kFlushPause{50};

/// A socket on one queue, with memory of its own.
class LoadQueue {
 public:
  static Result<std::unique_ptr<LoadQueue>> open(const std::string& interface, std::uint32_t queue,
                                                 LoadUse use);
  ~LoadQueue() {
    if (socket_ != nullptr) xsk_socket__delete(socket_);
    if (umem_ != nullptr) xsk_umem__delete(umem_);
    if (memory_ != MAP_FAILED) munmap(memory_, kLoad_bytes);
  }
  LoadQueue(const LoadQueue&) = delete;
  LoadQueue& operator=(const LoadQueue&) = delete;

  std::size_t send(std::span<const LoadPort::Bytes> frames) noexcept;
  /// Sends on, and says how many frames have not left.
  [[nodiscard]] std::size_t unsent() noexcept;
  std::size_t receive(const std::function<void(LoadPort::Bytes)>& see) noexcept;
  [[nodiscard]] int fd() const noexcept { return xsk_socket__fd(socket_); }
  [[nodiscard]] bool zero_copy() const noexcept;
  [[nodiscard]] std::uint64_t lost() const noexcept;

 private:
  LoadQueue() = default;
  /// Memory and socket; an errno where it cannot be, and 0 where it is.
  int bind(const std::string& interface, std::uint32_t queue) noexcept;
  void reap() noexcept;
  void kick() noexcept {
    if (xsk_ring_prod__needs_wakeup(&tx_) != 0) sendto(fd(), nullptr, 0, MSG_DONTWAIT, nullptr, 0);
  }
  std::uint8_t* at(std::uint64_t address) noexcept {
    return static_cast<std::uint8_t*>(memory_) + address;
  }

  void* memory_ = MAP_FAILED;
  xsk_umem* umem_ = nullptr;
  xsk_socket* socket_ = nullptr;
  xsk_ring_prod fill_{}, tx_{};
  xsk_ring_cons completion_{}, rx_{};
  std::vector<std::uint64_t> free_;  // addresses to send from
};

int LoadQueue::bind(const std::string& interface, std::uint32_t queue) noexcept {
  memory_ = mmap(nullptr, kLoad_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory_ == MAP_FAILED) return errno;
  xsk_umem_config memory{};
  // The kernel shows packets before it shows that their places in the fill ring are free: twice as
  // many places as there are frames in it, so that a frame has one at any time.
  memory.fill_size = 2 * kLoadRing;
  memory.comp_size = kLoadRing;
  memory.frame_size = LoadPort::kFrame_bytes;
  const int error = -xsk_umem__create(&umem_, memory_, kLoad_bytes, &fill_, &completion_, &memory);
  if (error != 0) return error;
  xsk_socket_config config{};
  config.rx_size = config.tx_size = kLoadRing;
  config.libxdp_flags = XSK_LIBXDP_FLAGS__INHIBIT_PROG_LOAD;
  config.bind_flags = XDP_USE_NEED_WAKEUP;
  return -xsk_socket__create(&socket_, interface.c_str(), queue, umem_, &rx_, &tx_, &config);
}

Result<std::unique_ptr<LoadQueue>> LoadQueue::open(const std::string& interface,
                                                   std::uint32_t queue, LoadUse use) {
  BusyQueue patience;
  std::unique_ptr<LoadQueue> made;
  for (;;) {
    made.reset(new LoadQueue);  // from the start each time, as XskWire::bind does
    const int error = made->bind(interface, queue);
    if (error == 0) break;
    made.reset();
    if (error == EBUSY && patience.wait()) continue;
    return fail(
        fmt::format("AF_XDP on interface '{}', queue {}: {}; run it as root, and stop what "
                    "else has this queue",
                    interface, queue, std::strerror(error)));
  }
  if (use == LoadUse::send) {
    for (std::uint32_t i = 0; i < kLoadChunks; ++i)
      made->free_.push_back(std::uint64_t{i} * LoadPort::kFrame_bytes);
    const int room = static_cast<int>(kLoad_bytes);
    setsockopt(made->fd(), SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof room);
    return made;
  }
  std::uint32_t at = 0;
  WEIR_CHECK(xsk_ring_prod__reserve(&made->fill_, kLoadRing, &at) == kLoadRing);
  for (std::uint32_t i = 0; i < kLoadRing; ++i)
    *xsk_ring_prod__fill_addr(&made->fill_, at + i) = std::uint64_t{i} * LoadPort::kFrame_bytes;
  xsk_ring_prod__submit(&made->fill_, kLoadRing);
  return made;
}

void LoadQueue::reap() noexcept {
  std::uint32_t at = 0;
  const std::uint32_t done = xsk_ring_cons__peek(&completion_, kLoadRing, &at);
  for (std::uint32_t i = 0; i < done; ++i)
    free_.push_back(*xsk_ring_cons__comp_addr(&completion_, at + i));
  if (done > 0) xsk_ring_cons__release(&completion_, done);
}

std::size_t LoadQueue::send(std::span<const LoadPort::Bytes> frames) noexcept {
  reap();
  const auto n = static_cast<std::uint32_t>(
      std::min<std::size_t>({frames.size(), free_.size(),
                             xsk_prod_nb_free(&tx_, static_cast<std::uint32_t>(frames.size()))}));
  std::uint32_t at = 0;
  if (n > 0) WEIR_CHECK(xsk_ring_prod__reserve(&tx_, n, &at) == n);
  for (std::uint32_t i = 0; i < n; ++i) {
    const std::uint64_t address = free_.back();
    free_.pop_back();
    const std::size_t length = std::min(frames[i].size(), LoadPort::kFrame_bytes);
    std::memcpy(this->at(address), frames[i].data(), length);
    *xsk_ring_prod__tx_desc(&tx_, at + i) = {address, static_cast<std::uint32_t>(length), 0};
  }
  if (n > 0) xsk_ring_prod__submit(&tx_, n);
  kick();
  return n;
}

std::size_t LoadQueue::unsent() noexcept {
  kick();
  reap();
  return kLoadChunks - free_.size();
}

std::size_t LoadQueue::receive(const std::function<void(LoadPort::Bytes)>& see) noexcept {
  std::uint32_t from = 0;
  const std::uint32_t got = xsk_ring_cons__peek(&rx_, 256, &from);
  if (got == 0) {
    if (xsk_ring_prod__needs_wakeup(&fill_) != 0)
      recvfrom(fd(), nullptr, 0, MSG_DONTWAIT, nullptr, nullptr);
    return 0;
  }
  // As many were taken from the ring as are put back: there is room (see fill_size).
  std::uint32_t to = 0;
  WEIR_CHECK(xsk_ring_prod__reserve(&fill_, got, &to) == got);
  for (std::uint32_t i = 0; i < got; ++i) {
    const xdp_desc& packet = *xsk_ring_cons__rx_desc(&rx_, from + i);
    see({at(packet.addr), packet.len});
    *xsk_ring_prod__fill_addr(&fill_, to + i) =
        packet.addr / LoadPort::kFrame_bytes * LoadPort::kFrame_bytes;
  }
  xsk_ring_cons__release(&rx_, got);
  xsk_ring_prod__submit(&fill_, got);
  return got;
}

bool LoadQueue::zero_copy() const noexcept {
  xdp_options options{};
  socklen_t length = sizeof options;
  return getsockopt(fd(), SOL_XDP, XDP_OPTIONS, &options, &length) == 0 &&
         (options.flags & XDP_OPTIONS_ZEROCOPY) != 0;
}

std::uint64_t LoadQueue::lost() const noexcept {
  xdp_statistics counts{};
  socklen_t length = sizeof counts;
  if (getsockopt(fd(), SOL_XDP, XDP_STATISTICS, &counts, &length) != 0) return 0;
  return counts.rx_dropped + counts.rx_ring_full + counts.rx_fill_ring_empty_descs;
}

class XdpLoadPort final : public LoadPort {
 public:
  static Result<std::unique_ptr<LoadPort>> open(const std::string& interface, LoadUse use);
  ~XdpLoadPort() override {
    bpf_link__destroy(link_);
    take_bpf__destroy(program_);
  }

  std::size_t send(std::span<const Bytes> frames) noexcept override {
    return queues_.front()->send(frames);
  }
  bool flush() noexcept override {
    const auto give_up = std::chrono::steady_clock::now() + kFlushAtMost;
    std::size_t left = queues_.front()->unsent();
    while (left > 0 && std::chrono::steady_clock::now() < give_up) {
      // In copy mode a call sends 32 frames, and zero-copy completes at its pace: only where nothing
      // has left is there something to wait for.
      const std::size_t before = std::exchange(left, queues_.front()->unsent());
      if (left == before) std::this_thread::sleep_for(kFlushPause);
    }
    return left == 0;
  }
  std::size_t receive(const std::function<void(Bytes)>& see) noexcept override {
    std::size_t all = 0;
    for (const auto& queue : queues_) all += queue->receive(see);
    return all;
  }
  void wait(std::uint32_t at_most_us) noexcept override {
    const timespec timeout{at_most_us / 1'000'000,
                           static_cast<long>(at_most_us % 1'000'000) * 1000};
    ppoll(polled_.data(), polled_.size(), &timeout, nullptr);
  }
  [[nodiscard]] std::string describe() const override {
    return fmt::format("AF_XDP, {}, {} queues",
                       queues_.front()->zero_copy() ? "zero-copy" : "copy mode", queues_.size());
  }
  [[nodiscard]] std::uint64_t lost() const noexcept override {
    std::uint64_t all = 0;
    for (const auto& queue : queues_) all += queue->lost();
    return all;
  }

 private:
  Status attach(const std::string& interface, std::uint32_t ifindex);

  std::vector<std::unique_ptr<LoadQueue>> queues_;
  std::vector<pollfd> polled_;
  take_bpf* program_ = nullptr;
  bpf_link* link_ = nullptr;
};

Result<std::unique_ptr<LoadPort>> XdpLoadPort::open(const std::string& interface, LoadUse use) {
  WEIR_ASSIGN(const InterfaceFacts facts, inspect(interface));
  std::unique_ptr<XdpLoadPort> port(new XdpLoadPort);
  const std::uint32_t queues =
      use == LoadUse::send ? 1 : std::clamp(facts.rx_queues, 1U, kLoadQueuesMax);
  for (std::uint32_t i = 0; i < queues; ++i) {
    WEIR_ASSIGN(auto queue, LoadQueue::open(interface, i, use));
    port->polled_.push_back({queue->fd(), POLLIN, 0});
    port->queues_.push_back(std::move(queue));
  }
  if (use == LoadUse::receive) WEIR_TRY(port->attach(interface, facts.ifindex));
  return port;
}

Status XdpLoadPort::attach(const std::string& interface, std::uint32_t ifindex) {
  program_ = take_bpf__open_and_load();
  if (program_ == nullptr)
    return fail_errno("loading the program that takes what arrives (run it as root)", errno);
  for (std::uint32_t i = 0; i < queues_.size(); ++i) {
    const int fd = queues_[i]->fd();
    if (bpf_map_update_elem(bpf_map__fd(program_->maps.takers), &i, &fd, BPF_ANY) != 0)
      return fail_errno(fmt::format("registering the socket of queue {} of '{}'", i, interface),
                        errno);
  }
  link_ = bpf_program__attach_xdp(program_->progs.take, static_cast<int>(ifindex));
  if (link_ == nullptr) {
    return fail(
        fmt::format("interface '{}' takes no XDP program: {}; another one may be on it ('ip link "
                    "show {}' tells)",
                    interface, std::strerror(errno), interface));
  }
  return {};
}

}  // namespace

Result<std::unique_ptr<LoadPort>> open_load_xdp(const std::string& interface, LoadUse use) {
  return XdpLoadPort::open(interface, use);
}

}  // namespace weir::io
