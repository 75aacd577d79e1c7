// SPDX-License-Identifier: BSD-2-Clause
#include "pipeline/channel.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <utility>

namespace weir::pipeline {
namespace {

/// A beat is a store to a line that the kernel reads for every steered packet: not more often than
/// that can matter (the smallest heartbeat limit is 20 ms).
constexpr Nanoseconds kBeatInterval = std::chrono::milliseconds(1);

/// A count with one writer: a plain add, and whole for every reader.
class Count {
 public:
  void add(std::uint64_t n) noexcept {
    value_.store(value_.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
  }
  [[nodiscard]] std::uint64_t value() const noexcept {
    return value_.load(std::memory_order_relaxed);
  }

 private:
  std::atomic<std::uint64_t> value_{0};
};

}  // namespace

/// On lines of its own: the reader of metrics must not slow the I/O thread down.
struct alignas(2 * kCacheLine_bytes) ChannelLoop::Counts {
  Count received, forwarded, dropped, shed_forwarded, shed_dropped;
  Count batches, pool_empty, sleeps, withdrawals;
  std::array<Count, kReasons> reasons;
  std::array<Count, kFillBuckets> fill;
};

Result<std::unique_ptr<ChannelLoop>> ChannelLoop::make(const ChannelConfig& config, io::Channel& io,
                                                       const Columns& columns,
                                                       Heartbeat heartbeat) {
  WEIR_CHECK(config.batches > 0);
  WEIR_CHECK(config.batch_packets > 0 && config.batch_packets <= kBatchPackets);
  const int wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  if (wake_fd < 0) return fail_errno("making the wake-up descriptor of a channel (eventfd)", errno);
  return std::unique_ptr<ChannelLoop>(
      new ChannelLoop(config, io, columns, std::move(heartbeat), wake_fd));
}

ChannelLoop::ChannelLoop(const ChannelConfig& config, io::Channel& io, const Columns& columns,
                         Heartbeat heartbeat, int wake_fd)
    : config_(config),
      io_(io),
      pool_(config.number, config.batches, columns),
      heartbeat_(std::move(heartbeat)),
      wake_fd_(wake_fd),
      done_(config.batches),
      counts_(std::make_unique<Counts>()) {}

ChannelLoop::~ChannelLoop() { close(wake_fd_); }

void ChannelLoop::run(Engine& engine) noexcept {
  while (!stop_.load(std::memory_order_seq_cst)) {
    bool progress = take_back();
    progress |= receive(engine);
    io_.service();
    beat(monotonic_now(), progress);
    // Frames that may not be received would end the sleep at once.
    if (!progress) sleep(pool_.available() > 0 || config_.overload != Overload::wait);
  }
  while (pool_.available() < pool_.size()) {
    if (!take_back()) sleep(false);
    io_.service();
  }
  io_.service();
  heartbeat_(PacketTime{});
}

void ChannelLoop::request_stop() noexcept {
  stop_.store(true, std::memory_order_seq_cst);
  wake();
}

void ChannelLoop::done(Batch* batch) noexcept {
  WEIR_CHECK(done_.push(batch));  // has room for every batch of the pool
  // Exchanges of one variable have an order: either this one sees that the I/O thread sleeps, or
  // the I/O thread's own, before it sleeps, sees this one and so the batch.
  if (sleeping_.exchange(false, std::memory_order_acq_rel)) wake();
}

bool ChannelLoop::take_back() noexcept {
  bool any = false;
  Batch* batch = nullptr;
  while (done_.pop(batch)) {
    send_off(*batch);
    pool_.give(batch);
    any = true;
  }
  return any;
}

void ChannelLoop::send_off(const Batch& batch) noexcept {
  std::array<std::size_t, kSides> sent{};
  std::size_t released = 0;
  std::array<std::uint64_t, kReasons> reasons{};
  for (std::size_t i = 0; i < batch.size; ++i) {
    const packet::Frame& frame = batch.frames[i];
    const detect::Decision& decision = batch.decisions[i];
    ++reasons[static_cast<std::size_t>(decision.reason) % kReasons];
    if (decision.verdict == Verdict::forward) {
      const std::size_t side = index(opposite(frame.side));
      out_[side][sent[side]++] = frame;
    } else {
      released_[released++] = frame;
    }
  }
  for (const Side side : {Side::wan, Side::lan}) {
    const std::size_t n = sent[index(side)];
    if (n > 0) io_.transmit(side, {out_[index(side)].data(), n});
    counts_->forwarded.add(n);
  }
  if (released > 0) io_.release({released_.data(), released});
  counts_->dropped.add(released);
  for (std::size_t r = 0; r < kReasons; ++r)
    if (reasons[r] > 0) counts_->reasons[r].add(reasons[r]);
}

bool ChannelLoop::receive(Engine& engine) noexcept {
  Batch* batch = pool_.take();
  if (batch == nullptr) return shed();
  const PacketTime now = monotonic_now();
  // The sides take turns to be first: a flood from one must not keep the other out of every batch.
  const Side first = std::exchange(first_side_, opposite(first_side_));
  const std::span<packet::Frame> room(batch->frames.data(), config_.batch_packets);
  std::size_t size = io_.receive(first, room, now);
  if (size < room.size()) size += io_.receive(opposite(first), room.subspan(size), now);
  if (size == 0) {
    pool_.give(batch);
    return false;
  }
  for (std::size_t i = 0; i < size; ++i) batch->frames[i].number = next_number_++;
  batch->size = static_cast<std::uint32_t>(size);
  counts_->received.add(size);
  counts_->batches.add(1);
  counts_->fill[static_cast<std::size_t>(std::bit_width(size - 1))].add(1);
  engine.submit(batch);
  return true;
}

bool ChannelLoop::shed() noexcept {
  counts_->pool_empty.add(1);
  if (config_.overload == Overload::wait) return false;
  bool any = false;
  for (const Side side : {Side::wan, Side::lan}) {
    const std::span<packet::Frame> frames(released_.data(), config_.batch_packets);
    const std::size_t n = io_.receive(side, frames, monotonic_now());
    if (n == 0) continue;
    any = true;
    next_number_ += n;
    counts_->received.add(n);
    if (config_.overload == Overload::forward) {
      io_.transmit(opposite(side), frames.first(n));
      counts_->shed_forwarded.add(n);
    } else {
      io_.release(frames.first(n));
      counts_->shed_dropped.add(n);
    }
  }
  return any;
}

void ChannelLoop::beat(PacketTime now, bool progress) noexcept {
  if (io_.headroom() < config_.headroom_low) {
    if (beaten_ == PacketTime{}) return;
    heartbeat_(PacketTime{});
    beaten_ = PacketTime{};
    counts_->withdrawals.add(1);
    return;
  }
  // Work in flight and nothing moves: no beat, and the datapath's limit will find this channel
  // stalled.
  const bool idle = pool_.available() == pool_.size();
  if (!progress && !idle) return;
  if (beaten_ != PacketTime{} && now - beaten_ < kBeatInterval) return;
  heartbeat_(now);
  beaten_ = now;
}

void ChannelLoop::sleep(bool for_frames) noexcept {
  sleeping_.exchange(true, std::memory_order_acq_rel);
  if (done_.size() == 0) {
    counts_->sleeps.add(1);
    if (for_frames) {
      io_.wait(wake_fd_, config_.sleep_max);
    } else {
      pollfd wake{wake_fd_, POLLIN, 0};
      poll(&wake, 1, static_cast<int>(config_.sleep_max / std::chrono::milliseconds(1)));
    }
    std::uint64_t wakes = 0;
    [[maybe_unused]] const auto ignored = read(wake_fd_, &wakes, sizeof wakes);
  }
  sleeping_.store(false, std::memory_order_relaxed);
}

void ChannelLoop::wake() noexcept {
  const std::uint64_t one = 1;
  [[maybe_unused]] const auto ignored = write(wake_fd_, &one, sizeof one);  // full: awake already
}

ChannelTally ChannelLoop::tally() const noexcept {
  ChannelTally t;
  t.received = counts_->received.value();
  t.forwarded = counts_->forwarded.value();
  t.dropped = counts_->dropped.value();
  t.shed_forwarded = counts_->shed_forwarded.value();
  t.shed_dropped = counts_->shed_dropped.value();
  t.batches = counts_->batches.value();
  t.pool_empty = counts_->pool_empty.value();
  t.sleeps = counts_->sleeps.value();
  t.withdrawals = counts_->withdrawals.value();
  for (std::size_t r = 0; r < kReasons; ++r) t.reasons[r] = counts_->reasons[r].value();
  for (std::size_t b = 0; b < kFillBuckets; ++b) t.fill[b] = counts_->fill[b].value();
  return t;
}

}  // namespace weir::pipeline
