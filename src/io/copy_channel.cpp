// SPDX-License-Identifier: BSD-2-Clause
#include "io/copy_channel.h"

#include <fmt/format.h>
#include <linux/bpf.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>
#include <vector>

#include "../../bpf/abi.h"
#include "base/fd.h"
#include "io/channel_counts.h"

namespace weir::io {
namespace {

constexpr std::size_t kChunk_bytes = 4096;
static_assert(WEIR_COPY_MAX <= kChunk_bytes);
constexpr std::size_t kCopyHeader_bytes = offsetof(weir_copy, data);
/// Frames given back at once.
constexpr std::size_t kAtOnce = 256;

/// The kernel's ring buffer, seen by its one reader.
class CopyRing {
 public:
  CopyRing(int fd, std::uint32_t bytes) noexcept : fd_(fd), bytes_(bytes) {}
  ~CopyRing() {
    if (consumer_ != nullptr) munmap(consumer_, page());
    if (producer_ != nullptr) munmap(producer_, page() + 2 * std::size_t{bytes_});
  }
  CopyRing(const CopyRing&) = delete;
  CopyRing& operator=(const CopyRing&) = delete;

  Status map() noexcept {
    void* const own = mmap(nullptr, page(), PROT_READ | PROT_WRITE, MAP_SHARED, fd_, 0);
    if (own == MAP_FAILED) return fail_errno("map the ring of copies", errno);
    consumer_ = static_cast<std::uint8_t*>(own);
    // The data twice in a row: no record is in two pieces.
    void* const theirs = mmap(nullptr, page() + 2 * std::size_t{bytes_}, PROT_READ, MAP_SHARED, fd_,
                              static_cast<off_t>(page()));
    if (theirs == MAP_FAILED) return fail_errno("map the data of the ring of copies", errno);
    producer_ = static_cast<std::uint8_t*>(theirs);
    at_ = position(consumer_);
    return {};
  }

  /// The next record, which stays until `pop`; empty where there is none.
  [[nodiscard]] std::span<const std::uint8_t> front() noexcept {
    while (at_ != position(producer_)) {
      const std::uint8_t* const record = data(at_);
      const std::uint32_t header = __atomic_load_n(word(record), __ATOMIC_ACQUIRE);
      if ((header & BPF_RINGBUF_BUSY_BIT) != 0) return {};
      const std::uint32_t length = header & ~BPF_RINGBUF_DISCARD_BIT;
      if ((header & BPF_RINGBUF_DISCARD_BIT) == 0) return {record + BPF_RINGBUF_HDR_SZ, length};
      pop(length);
    }
    return {};
  }
  void pop(std::uint64_t length) noexcept {
    at_ += (length + BPF_RINGBUF_HDR_SZ + 7) / 8 * 8;
    __atomic_store_n(reinterpret_cast<unsigned long*>(consumer_), at_, __ATOMIC_RELEASE);
  }

  [[nodiscard]] std::uint32_t records() const noexcept {
    std::uint32_t count = 0;
    for (unsigned long at = at_; at != position(producer_); ++count) {
      const std::uint32_t header = __atomic_load_n(word(data(at)), __ATOMIC_ACQUIRE);
      const std::uint64_t length = header & ~(BPF_RINGBUF_BUSY_BIT | BPF_RINGBUF_DISCARD_BIT);
      at += (length + BPF_RINGBUF_HDR_SZ + 7) / 8 * 8;
    }
    return count;
  }
  [[nodiscard]] double room() const noexcept {
    return 1.0 - static_cast<double>(position(producer_) - at_) / bytes_;
  }
  [[nodiscard]] int fd() const noexcept { return fd_; }

 private:
  static std::size_t page() noexcept { return static_cast<std::size_t>(sysconf(_SC_PAGESIZE)); }
  static unsigned long position(const std::uint8_t* page) noexcept {
    return __atomic_load_n(reinterpret_cast<const unsigned long*>(page), __ATOMIC_ACQUIRE);
  }
  [[nodiscard]] const std::uint8_t* data(unsigned long at) const noexcept {
    return producer_ + page() + (at & (bytes_ - 1));
  }
  static const std::uint32_t* word(const std::uint8_t* record) noexcept {
    return reinterpret_cast<const std::uint32_t*>(record);
  }

  const int fd_;
  const std::uint32_t bytes_;
  std::uint8_t* consumer_ = nullptr;
  std::uint8_t* producer_ = nullptr;
  unsigned long at_ = 0;  // what was read, as the kernel counts it
};

class CopyChannel final : public Channel {
 public:
  CopyChannel(const CopyConfig& config, std::unique_ptr<Channel> inner)
      : inner_(std::move(inner)),
        ring_(config.ring_fd, config.ring_bytes),
        pool_(config.frames),
        memory_(std::make_unique_for_overwrite<std::uint8_t[]>(config.frames * kChunk_bytes)) {
    publish();
  }

  /// Maps the ring, and makes what sleeps on it and on `inner` at once.
  Status open() noexcept {
    WEIR_TRY(ring_.map());
    if (!inner_) return {};
    both_.reset(epoll_create1(EPOLL_CLOEXEC));
    epoll_event event{.events = EPOLLIN, .data = {.fd = ring_.fd()}};
    if (!both_ || epoll_ctl(both_.get(), EPOLL_CTL_ADD, ring_.fd(), &event) != 0)
      return fail_errno("wait for the ring of copies (epoll)", errno);
    return {};
  }

  std::size_t receive(Side side, std::span<packet::Frame> out, PacketTime now) noexcept override;
  std::size_t transmit(Side side, std::span<const packet::Frame> frames) noexcept override;
  void release(std::span<const packet::Frame> frames) noexcept override;
  bool service() noexcept override {
    const bool others = inner_ && inner_->service();
    publish();
    return others;
  }
  void wait(int wake_fd, Nanoseconds at_most) noexcept override;

  [[nodiscard]] std::uint32_t waiting(Side side) noexcept override {
    const std::uint32_t others = inner_ ? inner_->waiting(side) : 0;
    return others + (side == Side::wan ? ring_.records() : 0);
  }
  [[nodiscard]] double room(Side side) noexcept override {
    const double others = inner_ ? inner_->room(side) : 1.0;
    return side == Side::wan ? std::min(others, ring_.room()) : others;
  }
  [[nodiscard]] double headroom() const noexcept override {
    const auto free = census_.read().frames[static_cast<std::size_t>(Place::free)];
    const double own = static_cast<double>(free) / pool_.frames();
    return inner_ ? std::min(inner_->headroom(), own) : own;
  }
  [[nodiscard]] bool conserved() const noexcept override {
    return census_.read().conserved && (!inner_ || inner_->conserved());
  }
  [[nodiscard]] std::array<std::uint32_t, kPlaces> frame_counts() const noexcept override {
    auto counts = census_.read().frames;
    if (!inner_) return counts;
    const auto others = inner_->frame_counts();
    for (std::size_t i = 0; i < kPlaces; ++i) counts[i] += others[i];
    return counts;
  }
  [[nodiscard]] ChannelCounters counters(Side side) const noexcept override;
  [[nodiscard]] int socket_fd(Side side) const noexcept override {
    return inner_ ? inner_->socket_fd(side) : -1;
  }
  [[nodiscard]] bool zero_copy(Side side) const noexcept override {
    return inner_ && inner_->zero_copy(side);
  }
  [[nodiscard]] bool busy_poll() const noexcept override { return inner_ && inner_->busy_poll(); }

 private:
  [[nodiscard]] bool is_copy(const packet::Frame& frame) const noexcept {
    const std::uint8_t* const from = memory_.get();
    return frame.data >= from && frame.data < from + pool_.frames() * kChunk_bytes;
  }
  std::size_t receive_copies(std::span<packet::Frame> out, PacketTime now) noexcept;
  void give_back(std::span<const packet::Frame> frames) noexcept;
  void publish() noexcept {
    const Census census =
        Census::of(pool_, pool_.conserved() && pool_.count(Place::batch) == outside_);
    WEIR_DCHECK(census.conserved);
    census_.write(census);
  }

  const std::unique_ptr<Channel> inner_;
  CopyRing ring_;
  FramePool pool_;
  const std::unique_ptr<std::uint8_t[]> memory_;
  Fd both_;                    // an epoll of the ring and of who may wake us
  int wakes_ = -1;             // who is in there
  std::uint32_t outside_ = 0;  // copies that were handed out
  std::array<SideCounts, kSides> counts_;
  Published<Census> census_{Census{}};
};

std::size_t CopyChannel::receive(Side side, std::span<packet::Frame> out, PacketTime now) noexcept {
  if (side == Side::lan) return inner_ ? inner_->receive(side, out, now) : 0;
  const std::size_t copies = receive_copies(out, now);
  if (!inner_ || copies == out.size()) return copies;
  return copies + inner_->receive(side, out.subspan(copies), now);
}

std::size_t CopyChannel::receive_copies(std::span<packet::Frame> out, PacketTime now) noexcept {
  std::size_t done = 0;
  while (done < out.size()) {
    const auto record = ring_.front();
    if (record.empty()) break;
    std::uint32_t frame = 0;
    if (pool_.take({&frame, 1}, Place::batch) == 0) {
      counts_[index(Side::wan)].fill_short.add(1);
      break;
    }
    weir_copy head{};
    std::memcpy(&head, record.data(), kCopyHeader_bytes);
    WEIR_DCHECK(record.size() == kCopyHeader_bytes + head.bytes && head.bytes <= WEIR_COPY_MAX);
    std::uint8_t* const data = memory_.get() + frame * kChunk_bytes;
    std::memcpy(data, record.data() + kCopyHeader_bytes, head.bytes);
    ring_.pop(record.size());
    const Side side = head.side == WEIR_SIDE_lan ? Side::lan : Side::wan;
    counts_[index(side)].rx_packets.add(1);
    counts_[index(side)].rx_bytes.add(head.bytes);
    out[done++] = {data, head.bytes, frame, 0, now, side};
  }
  outside_ += static_cast<std::uint32_t>(done);
  return done;
}

std::size_t CopyChannel::transmit(Side side, std::span<const packet::Frame> frames) noexcept {
  std::size_t taken = 0;
  while (taken < frames.size()) {
    const bool copies = is_copy(frames[taken]);
    const auto rest = frames.subspan(taken);
    const auto end = std::find_if(rest.begin(), rest.end(), [&](const packet::Frame& frame) {
      return is_copy(frame) != copies;
    });
    const auto run = rest.first(static_cast<std::size_t>(end - rest.begin()));
    if (copies) {
      give_back(run);
    } else {
      inner_->transmit(side, run);
    }
    taken += run.size();
  }
  return taken;
}

void CopyChannel::release(std::span<const packet::Frame> frames) noexcept {
  for (const packet::Frame& frame : frames) {
    if (is_copy(frame)) {
      give_back({&frame, 1});
    } else {
      inner_->release({&frame, 1});
    }
  }
}

void CopyChannel::give_back(std::span<const packet::Frame> frames) noexcept {
  std::array<std::uint32_t, kAtOnce> numbers{};
  outside_ -= static_cast<std::uint32_t>(frames.size());
  while (!frames.empty()) {
    const std::size_t n = std::min(frames.size(), numbers.size());
    for (std::size_t i = 0; i < n; ++i) {
      numbers[i] = frames[i].index;
      counts_[index(frames[i].side)].released.add(1);
    }
    pool_.move({numbers.data(), n}, Place::batch, Place::free);
    frames = frames.subspan(n);
  }
}

void CopyChannel::wait(int wake_fd, Nanoseconds at_most) noexcept {
  if (inner_) {
    if (wakes_ != wake_fd) {
      epoll_event event{.events = EPOLLIN, .data = {.fd = wake_fd}};
      if (epoll_ctl(both_.get(), EPOLL_CTL_ADD, wake_fd, &event) == 0) wakes_ = wake_fd;
    }
    return inner_->wait(both_.get(), at_most);
  }
  pollfd fds[] = {{ring_.fd(), POLLIN, 0}, {wake_fd, POLLIN, 0}};
  const auto ns = std::max<std::int64_t>(at_most.count(), 0);
  const timespec timeout{static_cast<time_t>(ns / 1'000'000'000),
                         static_cast<long>(ns % 1'000'000'000)};
  ppoll(fds, std::size(fds), &timeout, nullptr);
}

ChannelCounters CopyChannel::counters(Side side) const noexcept {
  ChannelCounters all = inner_ ? inner_->counters(side) : ChannelCounters{};
  const ChannelCounters own = counts_[index(side)].read();
  all.rx_packets += own.rx_packets;
  all.rx_bytes += own.rx_bytes;
  all.released += own.released;
  all.fill_short += own.fill_short;
  return all;
}

}  // namespace

Result<std::unique_ptr<Channel>> open_copies(const CopyConfig& config,
                                             std::unique_ptr<Channel> inner) {
  auto channel = std::make_unique<CopyChannel>(config, std::move(inner));
  WEIR_TRY(channel->open());
  return channel;
}

}  // namespace weir::io
