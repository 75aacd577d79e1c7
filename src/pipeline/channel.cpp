// SPDX-License-Identifier: BSD-2-Clause
#include "pipeline/channel.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <numeric>
#include <thread>
#include <utility>

#include "base/count.h"
#include "base/relax.h"

namespace weir::pipeline {
namespace {

/// A beat is a store to a line that the kernel reads for every steered packet: not more often than
/// that can matter (the smallest heartbeat limit is 20 ms).
constexpr Nanoseconds kBeatInterval = std::chrono::milliseconds(1);

/// How soon a channel looks at its rings again while every batch is under way: a quarter of a ring
/// fills in that time at two million packets a second.
constexpr Nanoseconds kLookAgain = std::chrono::microseconds(250);

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
      counts_(std::make_unique<Counts>()) {
  const auto frames = io.frame_counts();
  if (config.overload == Overload::forward)
    held_.resize(std::accumulate(frames.begin(), frames.end(), std::size_t{0}));
}

ChannelLoop::~ChannelLoop() { close(wake_fd_); }

void ChannelLoop::run(Engine& engine) noexcept {
  while (!stop_.load(std::memory_order_seq_cst)) {
    if (may_sleep(turn(engine))) sleep();
  }
  finish(engine);
  heartbeat_(PacketTime{});
}

/// True where a frame moved.
bool ChannelLoop::turn(Engine& engine) noexcept {
  bool judged = take_back();
  bool arrived = false;
  for (const Side side : {Side::wan, Side::lan}) arrived |= shed(side);
  if (receive(engine)) arrived = judged = true;
  judged |= take_back();  // what was judged on this thread is sent before anything else is seen to
  serves_ = io_.service();
  now_ = monotonic_now();
  beat(now_, judged);
  if (arrived) patience_.arrived(now_);
  return judged || arrived;
}

/// A polled channel always looks again. Whoever judges what is under way may be waiting for this CPU:
/// where nobody is, a yield costs less than the look that follows it. But not while there is traffic
/// to see off that nobody has to judge.
bool ChannelLoop::may_sleep(bool moved) noexcept {
  if (moved) return false;
  if (!patience_.waits(now_) && !io_.busy_poll()) return true;
  if (pool_.available() < pool_.size() && !serves_) {
    std::this_thread::yield();
  } else {
    relax_cpu();
  }
  return false;
}

/// Sees off what lay in the rings when the stop came, and what is in flight.
void ChannelLoop::finish(Engine& engine) noexcept {
  std::uint64_t left = std::uint64_t{io_.waiting(Side::wan)} + io_.waiting(Side::lan);
  while (left > 0 || pool_.available() < pool_.size()) {
    const std::uint64_t before = counts_->received.value();
    bool progress = take_back();
    if (left > 0 && pool_.available() > 0) {
      if (!receive(engine)) left = 0;
      left -= std::min(left, counts_->received.value() - before);
      progress = true;
    }
    io_.service();
    if (!progress) sleep();
  }
  io_.service();
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
    ++taken_back_;
    send_held();
    any = true;
  }
  return any;
}

void ChannelLoop::send_off(const Batch& batch) noexcept {
  std::size_t released = 0;
  std::array<std::uint64_t, kReasons> reasons{};
  for (std::size_t i = 0; i < batch.size; ++i) {
    const detect::Decision& decision = batch.decisions[i];
    ++reasons[static_cast<std::size_t>(decision.reason) % kReasons];
    if (decision.verdict == Verdict::forward) {
      post(batch.frames[i]);
    } else {
      released_[released++] = batch.frames[i];
    }
  }
  flush();
  if (released > 0) io_.release({released_.data(), released});
  counts_->forwarded.add(batch.size - released);
  counts_->dropped.add(released);
  for (std::size_t r = 0; r < kReasons; ++r)
    if (reasons[r] > 0) counts_->reasons[r].add(reasons[r]);
}

/// Forwards a frame, at the next `flush` at the latest.
void ChannelLoop::post(const packet::Frame& frame) noexcept {
  const std::size_t side = index(opposite(frame.side));
  out_[side][posted_[side]++] = frame;
  if (posted_[side] == kBatchPackets) flush();
}

void ChannelLoop::flush() noexcept {
  for (const Side side : {Side::wan, Side::lan}) {
    const std::size_t n = std::exchange(posted_[index(side)], 0);
    if (n > 0) io_.transmit(side, {out_[index(side)].data(), n});
  }
}

bool ChannelLoop::receive(Engine& engine) noexcept {
  Batch* batch = pool_.take();
  if (batch == nullptr) {
    counts_->pool_empty.add(1);
    return false;
  }
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
  ++submitted_;
  engine.submit(batch);
  return true;
}

/// Takes the oldest frames off a ring that is nearly full, a batch at most: more would leave no
/// time to judge any, and it is the judging that ends a flood.
bool ChannelLoop::shed(Side side) noexcept {
  if (config_.overload == Overload::leave) return false;
  const double room = io_.room(side);
  bool& shedding = shedding_[index(side)];
  shedding = room < (shedding ? kShedUntil : kShedBelow);
  if (!shedding) return false;
  const std::span<packet::Frame> all(released_.data(), config_.batch_packets);
  const auto frames = all.first(io_.receive(side, all, monotonic_now()));
  if (frames.empty()) return false;
  next_number_ += frames.size();
  counts_->received.add(frames.size());
  if (config_.overload == Overload::forward) {
    hold(frames);
    send_held();
  } else {
    io_.release(frames);
    counts_->shed_dropped.add(frames.size());
  }
  return true;
}

void ChannelLoop::hold(std::span<const packet::Frame> frames) noexcept {
  WEIR_CHECK(held_to_ - held_from_ + frames.size() <= held_.size());
  for (const packet::Frame& frame : frames) held_[held_to_++ % held_.size()] = {frame, submitted_};
}

/// Forwards those of the held frames that nothing under way came before.
void ChannelLoop::send_held() noexcept {
  const std::uint64_t from = held_from_;
  for (; held_from_ != held_to_; ++held_from_) {
    const Held& held = held_[held_from_ % held_.size()];
    if (held.after > taken_back_) break;
    post(held.frame);
  }
  flush();
  counts_->shed_forwarded.add(held_from_ - from);
}

void ChannelLoop::beat(PacketTime now, bool judged) noexcept {
  if (io_.headroom() < config_.headroom_low) {
    if (beaten_ == PacketTime{}) return;
    heartbeat_(PacketTime{});
    beaten_ = PacketTime{};
    counts_->withdrawals.add(1);
    return;
  }
  // Work in flight and none comes back: no beat, and the datapath's limit will find this channel
  // stalled. What is shed meanwhile is no progress.
  const bool idle = pool_.available() == pool_.size();
  if (!judged && !idle) return;
  if (beaten_ != PacketTime{} && now - beaten_ < kBeatInterval) return;
  heartbeat_(now);
  beaten_ = now;
}

void ChannelLoop::sleep() noexcept {
  sleeping_.exchange(true, std::memory_order_acq_rel);
  if (done_.size() == 0) {
    counts_->sleeps.add(1);
    if (pool_.available() > 0) {
      io_.wait(wake_fd_, config_.sleep_max);
    } else {  // frames that find no batch would end the sleep at once
      pollfd wake{wake_fd_, POLLIN, 0};
      const timespec at_most{0, kLookAgain.count()};
      ppoll(&wake, 1, &at_most, nullptr);
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
