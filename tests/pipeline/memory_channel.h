// SPDX-License-Identifier: BSD-2-Clause
/// An `io::Channel` in memory: what a test puts in comes out of `receive`, and what weir sends or
/// gives back is kept for the test to look at. Keeps frames in an `io::FramePool`, so that a frame
/// that is lost or given back twice is seen.
///
/// Ring      as long as the test says; what is over it is taken in all the same, but there is no
///           room then.
/// Threads   `arrive`, `sent` and `set_...` are the test's; all else is the I/O thread's.
#pragma once

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>
#include <deque>
#include <mutex>
#include <vector>

#include "io/frame_pool.h"
#include "io/interface.h"

namespace weir::test {

class MemoryChannel final : public io::Channel {
 public:
  /// What a frame of this channel says of itself: its first 8 bytes are its number.
  struct Sent {
    std::uint64_t number;
    Side side;  ///< it left by
  };

  explicit MemoryChannel(std::uint32_t frames)
      : pool_(frames), memory_(frames), fd_(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {}
  ~MemoryChannel() override { close(fd_); }
  MemoryChannel(const MemoryChannel&) = delete;
  MemoryChannel& operator=(const MemoryChannel&) = delete;

  /// A frame arrives on `side`; false where there is no free frame: the kernel would drop it.
  bool arrive(Side side, std::uint64_t number) {
    const std::lock_guard lock(mutex_);
    std::uint32_t frame = 0;
    if (pool_.take({&frame, 1}, io::Place::rx) == 0) return false;
    std::memcpy(memory_[frame].data(), &number, sizeof number);
    waiting_[index(side)].push_back(frame);
    const std::uint64_t one = 1;
    EXPECT_EQ(write(fd_, &one, sizeof one), static_cast<ssize_t>(sizeof one));
    return true;
  }
  void set_headroom(double share) { headroom_ = share; }
  void set_ring(std::uint32_t entries) { ring_ = entries; }
  void set_busy_poll(bool on) { busy_poll_ = on; }
  [[nodiscard]] std::uint64_t services() const { return services_; }
  [[nodiscard]] std::uint64_t waits() const { return waits_; }
  [[nodiscard]] std::vector<Sent> sent() const {
    const std::lock_guard lock(mutex_);
    return sent_;
  }
  [[nodiscard]] std::vector<std::uint64_t> released() const {
    const std::lock_guard lock(mutex_);
    return released_;
  }
  /// Frames that came back, one way or the other.
  [[nodiscard]] std::size_t returned() const {
    const std::lock_guard lock(mutex_);
    return sent_.size() + released_.size();
  }
  [[nodiscard]] std::uint32_t free_frames() const {
    const std::lock_guard lock(mutex_);
    return pool_.count(io::Place::free);
  }

  std::size_t receive(Side side, std::span<packet::Frame> out, PacketTime now) noexcept override {
    const std::lock_guard lock(mutex_);
    auto& queue = waiting_[index(side)];
    std::size_t n = 0;
    for (; n < out.size() && !queue.empty(); ++n) {
      const std::uint32_t frame = queue.front();
      queue.pop_front();
      pool_.move(frame, io::Place::rx, io::Place::batch);
      out[n] = {};
      out[n].data = memory_[frame].data();
      out[n].length = static_cast<std::uint32_t>(memory_[frame].size());
      out[n].index = frame;
      out[n].time = now;
      out[n].side = side;
    }
    return n;
  }
  std::size_t transmit(Side side, std::span<const packet::Frame> frames) noexcept override {
    const std::lock_guard lock(mutex_);
    for (const packet::Frame& frame : frames) {
      sent_.push_back({number_of(frame), side});
      pool_.move(frame.index, io::Place::batch, io::Place::free);
    }
    return frames.size();
  }
  void release(std::span<const packet::Frame> frames) noexcept override {
    const std::lock_guard lock(mutex_);
    for (const packet::Frame& frame : frames) {
      released_.push_back(number_of(frame));
      pool_.move(frame.index, io::Place::batch, io::Place::free);
    }
  }
  bool service() noexcept override {
    ++services_;
    return false;
  }
  [[nodiscard]] std::uint32_t waiting(Side side) noexcept override {
    const std::lock_guard lock(mutex_);
    return static_cast<std::uint32_t>(waiting_[index(side)].size());
  }
  [[nodiscard]] double room(Side side) noexcept override {
    const std::uint32_t ring = ring_;
    const std::uint32_t taken = std::min(waiting(side), ring);
    return static_cast<double>(ring - taken) / ring;
  }
  void wait(int wake_fd, Nanoseconds at_most) noexcept override {
    ++waits_;
    std::array<pollfd, 2> fds{{{fd_, POLLIN, 0}, {wake_fd, POLLIN, 0}}};
    poll(fds.data(), fds.size(), static_cast<int>(at_most / std::chrono::milliseconds(1)));
    std::uint64_t arrivals = 0;
    if (fds[0].revents != 0 && read(fd_, &arrivals, sizeof arrivals) < 0) ++lost_reads_;
  }
  [[nodiscard]] double headroom() const noexcept override { return headroom_; }
  [[nodiscard]] bool conserved() const noexcept override { return pool_.conserved(); }
  [[nodiscard]] std::array<std::uint32_t, io::kPlaces> frame_counts() const noexcept override {
    const std::lock_guard lock(mutex_);
    std::array<std::uint32_t, io::kPlaces> counts{};
    for (std::size_t i = 0; i < counts.size(); ++i) counts[i] = pool_.count(io::Place(i));
    return counts;
  }
  [[nodiscard]] io::ChannelCounters counters(Side /*side*/) const noexcept override { return {}; }
  [[nodiscard]] int socket_fd(Side /*side*/) const noexcept override { return -1; }
  [[nodiscard]] bool zero_copy(Side /*side*/) const noexcept override { return false; }
  [[nodiscard]] bool busy_poll() const noexcept override { return busy_poll_; }

 private:
  static std::uint64_t number_of(const packet::Frame& frame) {
    std::uint64_t number = 0;
    std::memcpy(&number, frame.data, sizeof number);
    return number;
  }

  mutable std::mutex mutex_;
  io::FramePool pool_;
  std::vector<std::array<std::uint8_t, 128>> memory_;
  const int fd_;
  std::array<std::deque<std::uint32_t>, kSides> waiting_;
  std::vector<Sent> sent_;
  std::vector<std::uint64_t> released_;
  std::atomic<double> headroom_{1.0};
  std::atomic<std::uint32_t> ring_{1U << 30U};
  std::atomic<bool> busy_poll_{false};
  std::atomic<std::uint64_t> services_{0}, waits_{0};
  int lost_reads_ = 0;
};

}  // namespace weir::test
