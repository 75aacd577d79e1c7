// SPDX-License-Identifier: BSD-2-Clause
#include "control/enforcer.h"

#include <fmt/format.h>
#include <poll.h>
#include <pthread.h>
#include <spdlog/spdlog.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <future>
#include <random>

namespace weir::control {
namespace {

constexpr Nanoseconds kComplainAgain = std::chrono::minutes(1);

void add(std::atomic<std::uint64_t>& counter, std::uint64_t n) noexcept {
  counter.fetch_add(n, std::memory_order_relaxed);
}

/// Attackers choose the sources: not where they land in a table.
std::uint64_t random_seed() {
  std::random_device device;
  return (std::uint64_t{device()} << 32U | device()) | 1U;
}

}  // namespace

Result<std::unique_ptr<Enforcer>> Enforcer::start(datapath::Datapath& datapath) {
  const int wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  if (wake_fd < 0) return fail_errno("making the enforcer's wake-up descriptor (eventfd)", errno);
  return std::unique_ptr<Enforcer>(new Enforcer(datapath, wake_fd));
}

Enforcer::Enforcer(datapath::Datapath& datapath, int wake_fd)
    : datapath_(datapath), wake_fd_(wake_fd), standing_(0, Hash{random_seed()}) {
  blocks_.reserve(kBatch);
  first_seen_.reserve(kBatch);
  thread_ = std::thread([this] { run(); });
}

Enforcer::~Enforcer() {
  stop_.store(true, std::memory_order_seq_cst);
  wake();
  thread_.join();
  close(wake_fd_);
}

bool Enforcer::put(const datapath::Block& block, PacketTime first_seen) noexcept {
  add(put_, 1);
  if (!orders_.push({block, first_seen})) {
    add(lost_, 1);
    return false;
  }
  // Either this sees `sleeping_`, or the thread sees the order before it sleeps.
  std::atomic_thread_fence(std::memory_order_seq_cst);
  if (sleeping_.load(std::memory_order_relaxed)) wake();
  return true;
}

void Enforcer::call(const std::function<void()>& work, bool changes) {
  std::promise<void> done;
  {
    const std::lock_guard lock(mutex_);
    requests_.emplace_back([&] {
      work();
      if (changes) sweep(monotonic_now());  // to know what stands there now
      done.set_value();
    });
  }
  wake();
  done.get_future().wait();
}

EnforcerCounters Enforcer::counters() const noexcept {
  return {.put = put_.load(std::memory_order_relaxed),
          .lost = lost_.load(std::memory_order_relaxed),
          .written = written_.load(std::memory_order_relaxed),
          .refused = refused_.load(std::memory_order_relaxed),
          .expired = expired_.load(std::memory_order_relaxed),
          .sources = sources_.load(std::memory_order_relaxed),
          .standing = standing_count_.load(std::memory_order_relaxed)};
}

void Enforcer::run() noexcept {
  pthread_setname_np(pthread_self(), "weir-enforce");
  sweep(monotonic_now());
  for (;;) {
    const bool stopping = stop_.load(std::memory_order_seq_cst);
    const bool wrote = write_orders();
    const bool worked = run_requests() || wrote;
    const PacketTime now = monotonic_now();
    if (now - swept_ >= kSweep) sweep(now);
    if (worked) continue;
    if (stopping) return;
    sleep();
  }
}

bool Enforcer::write_orders() {
  blocks_.clear();
  first_seen_.clear();
  Order order;
  std::size_t taken = 0;
  for (; taken < kBatch && orders_.pop(order); ++taken) {
    const auto found = standing_.find(order.block.source);
    if (found != standing_.end() && found->second) continue;
    blocks_.push_back(order.block);
    first_seen_.push_back(order.first_seen);
  }
  if (!blocks_.empty()) write();
  return taken > 0;
}

void Enforcer::write() {
  auto added = datapath_.add_blocks(blocks_);
  if (!added || *added < blocks_.size()) {
    sweep(monotonic_now());  // expired blocks make room
    added = datapath_.add_blocks(blocks_);
  }
  if (!added) complain(added.error().message);
  const std::size_t n = added ? *added : 0;
  add(written_, n);
  if (n == blocks_.size()) return note_written(monotonic_now());
  add(refused_, blocks_.size() - n);
  if (added) complain("the kernel's blocklist is full; raise tables.blocks_max");
  sweep(monotonic_now());  // to know which of them are in
}

void Enforcer::note_written(PacketTime now) {
  for (std::size_t i = 0; i < blocks_.size(); ++i) {
    if (!standing_.emplace(blocks_[i].source, false).second) continue;
    add(sources_, 1);
    if (blocks_[i].value.strikes == 0) time_to_block_.add(now - first_seen_[i]);
  }
  standing_count_.store(standing_.size(), std::memory_order_relaxed);
}

bool Enforcer::run_requests() {
  std::vector<std::function<void()>> requests;
  {
    const std::lock_guard lock(mutex_);
    requests.swap(requests_);
  }
  for (const auto& request : requests) request();
  return !requests.empty();
}

void Enforcer::sweep(PacketTime now) {
  swept_ = now;
  const auto blocks = datapath_.list_blocks();
  if (!blocks) return complain(blocks.error().message);
  std::vector<Address> expired;
  standing_.clear();
  for (const auto& block : *blocks) {
    if (block.value.expires_ns != 0 && block.value.expires_ns <= now.ns) {
      expired.push_back(block.source);
    } else {
      standing_.emplace(block.source, block.value.origin == WEIR_ORIGIN_manual);
    }
  }
  standing_count_.store(standing_.size(), std::memory_order_relaxed);
  if (expired.empty()) return;
  const auto removed = datapath_.remove_blocks(expired);
  if (!removed) return complain(removed.error().message);
  add(expired_, *removed);
}

void Enforcer::sleep() {
  sleeping_.store(true, std::memory_order_relaxed);
  std::atomic_thread_fence(std::memory_order_seq_cst);  // the other half of the one in `put`
  if (orders_.size() == 0) {
    pollfd wake{wake_fd_, POLLIN, 0};
    const auto until_sweep = kSweep - (monotonic_now() - swept_);
    const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(until_sweep).count();
    poll(&wake, 1, static_cast<int>(std::max<std::int64_t>(ms, 0)) + 1);
    std::uint64_t wakes = 0;
    [[maybe_unused]] const auto ignored = read(wake_fd_, &wakes, sizeof wakes);
  }
  sleeping_.store(false, std::memory_order_relaxed);
}

void Enforcer::complain(const std::string& what) {
  const PacketTime now = monotonic_now();
  if (complained_ != PacketTime{} && now - complained_ < kComplainAgain) {
    ++unsaid_;
    return;
  }
  spdlog::warn("blocks: {}{}", what,
               unsaid_ > 0 ? fmt::format(" ({} more like this since)", unsaid_) : std::string{});
  complained_ = now;
  unsaid_ = 0;
}

void Enforcer::wake() noexcept {
  const std::uint64_t one = 1;
  [[maybe_unused]] const auto ignored = ::write(wake_fd_, &one, sizeof one);  // full: awake already
}

}  // namespace weir::control
