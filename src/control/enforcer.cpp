// SPDX-License-Identifier: BSD-2-Clause
#include "control/enforcer.h"

#include <fmt/format.h>
#include <poll.h>
#include <pthread.h>
#include <spdlog/spdlog.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <exception>
#include <future>
#include <utility>

#include "base/seed.h"

namespace weir::control {
namespace {

constexpr Nanoseconds kComplainAgain = std::chrono::minutes(1);

void add(std::atomic<std::uint64_t>& counter, std::uint64_t n) noexcept {
  counter.fetch_add(n, std::memory_order_relaxed);
}

std::size_t family(const Address& address) noexcept { return address.is_v4() ? 0 : 1; }

/// A block is a few microseconds of work that a flood waits for: where all CPUs are busy, with the
/// flood as a rule, a thread like any other waits for the next tick, 4 ms at 250 Hz. Without
/// CAP_SYS_NICE it stays one.
void go_before_others() noexcept {
  constexpr int kNice = -10;
  [[maybe_unused]] const int ignored = setpriority(PRIO_PROCESS, 0, kNice);  // 0: this thread
}

}  // namespace

/// What a person changes: done, noted, and told to the policy.
class Enforcer::Tables final : public datapath::Datapath {
 public:
  explicit Tables(Enforcer& owner) : my_(owner) {}

  Result<std::size_t> add_blocks(std::span<const datapath::Block> blocks) override {
    auto added = my_.datapath_.add_blocks(blocks);
    if (!added || *added < blocks.size()) {
      my_.unsure_ = true;
      return added;
    }
    for (const auto& block : blocks)
      my_.standing_[block.key()] = {block.value.expires_ns,
                                    block.value.origin == WEIR_ORIGIN_manual};
    return added;
  }
  Result<std::size_t> remove_blocks(std::span<const datapath::BlockKey> blocks) override {
    for (const datapath::BlockKey& block : blocks) my_.forgive(block);
    auto removed = my_.datapath_.remove_blocks(blocks);
    if (!removed) my_.unsure_ = true;
    for (const datapath::BlockKey& block : blocks) my_.standing_.erase(block);
    my_.full_ = {};
    return removed;
  }
  [[nodiscard]] Result<std::vector<datapath::Block>> list_blocks() const override {
    return my_.datapath_.list_blocks();
  }
  Status add_allow(const Prefix& prefix) override {
    allow_changed_ = true;
    return my_.datapath_.add_allow(prefix);
  }
  Result<bool> remove_allow(const Prefix& prefix) override {
    allow_changed_ = true;
    return my_.datapath_.remove_allow(prefix);
  }
  [[nodiscard]] Result<std::vector<Prefix>> list_allow() const override {
    return my_.datapath_.list_allow();
  }
  [[nodiscard]] Result<datapath::Counters> counters() const override {
    return my_.datapath_.counters();
  }

  /// Once for all changes: to read the list takes as long as to write it.
  void tell() {
    if (!allow_changed_) return;
    if (const auto allow = my_.datapath_.list_allow())
      my_.desk_.leave_allow(*allow);
    else
      my_.complain(allow.error().message);
  }

 private:
  Enforcer& my_;
  bool allow_changed_ = false;
};

Result<std::unique_ptr<Enforcer>> Enforcer::start(datapath::Datapath& datapath, Told told) {
  const int wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  if (wake_fd < 0) return fail_errno("making the enforcer's wake-up descriptor (eventfd)", errno);
  return std::unique_ptr<Enforcer>(new Enforcer(datapath, wake_fd, std::move(told)));
}

Enforcer::Enforcer(datapath::Datapath& datapath, int wake_fd, Told told)
    : datapath_(datapath),
      wake_fd_(wake_fd),
      told_(std::move(told)),
      standing_(0, Hash{random_seed()}),
      forgiven_(0, Hash{random_seed()}),
      known_(0, Hash{random_seed()}) {
  blocks_.reserve(kBatch);
  first_seen_.reserve(kBatch);
  fresh_.reserve(kBatch);
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

void Enforcer::call(const std::function<void(datapath::Datapath& tables)>& work) {
  std::promise<void> done;
  {
    const std::lock_guard lock(mutex_);
    requests_.emplace_back([&] {
      Tables tables(*this);
      std::exception_ptr fault;
      try {
        work(tables);
      } catch (...) {
        fault = std::current_exception();
      }
      tables.tell();
      standing_count_.store(standing_.size(), std::memory_order_relaxed);
      fault ? done.set_exception(fault) : done.set_value();
    });
  }
  wake();
  done.get_future().get();
}

EnforcerCounters Enforcer::counters() const noexcept {
  return {.put = put_.load(std::memory_order_relaxed),
          .lost = lost_.load(std::memory_order_relaxed),
          .skipped = skipped_.load(std::memory_order_relaxed),
          .written = written_.load(std::memory_order_relaxed),
          .refused = refused_.load(std::memory_order_relaxed),
          .expired = expired_.load(std::memory_order_relaxed),
          .sources = sources_.load(std::memory_order_relaxed),
          .standing = standing_count_.load(std::memory_order_relaxed)};
}

void Enforcer::run() noexcept {
  pthread_setname_np(pthread_self(), "weir-enforce");
  go_before_others();
  sweep(monotonic_now());
  for (;;) {
    const bool stopping = stop_.load(std::memory_order_seq_cst);
    const bool wrote = write_orders();
    const bool worked = run_requests() || wrote;
    const PacketTime now = monotonic_now();
    if (now - swept_ >= sweep_interval()) sweep(now);
    if (worked) continue;
    if (stopping) return;
    sleep();
  }
}

bool Enforcer::write_orders() {
  blocks_.clear();
  first_seen_.clear();
  const std::uint64_t served = desk_.served();  // before the queue is looked at
  Order order;
  std::size_t taken = 0;
  for (; taken < kBatch && orders_.pop(order); ++taken) {
    if (!is_wanted(order)) continue;
    blocks_.push_back(order.block);
    first_seen_.push_back(order.first_seen);
  }
  // Empty: whatever was ordered before the policy heard of these has been seen.
  if (taken < kBatch && !forgiven_.empty())
    std::erase_if(forgiven_, [&](const auto& entry) { return entry.second <= served; });
  if (!blocks_.empty()) write();
  return taken > 0;
}

/// Counts those that are not.
bool Enforcer::is_wanted(const Order& order) {
  const datapath::BlockKey key = order.block.key();
  const auto stands = standing_.find(key);
  const bool known = stands != standing_.end();
  // A victim's block comes anew with each port that it searches from.
  const bool same = known && key.target != WEIR_TARGET_victim &&
                    stands->second.expires_ns == order.block.value.expires_ns;
  const bool again = same || (known && stands->second.manual);
  if (again || forgiven_.contains(key)) {
    add(skipped_, 1);
    return false;
  }
  if (!known && full_[family(key.address)]) {
    add(refused_, 1);
    return false;
  }
  return true;
}

void Enforcer::write() {
  const auto added = datapath_.add_blocks(blocks_);
  if (!added) {
    complain(added.error().message);
    add(refused_, blocks_.size());
    unsure_ = true;
    return;
  }
  if (*added < blocks_.size()) return write_singly();
  for (std::size_t i = 0; i < blocks_.size(); ++i) note_written(i);
  end_batch();
}

/// To know which of them there is room for: the batch that fills a table.
void Enforcer::write_singly() {
  for (std::size_t i = 0; i < blocks_.size(); ++i) {
    const auto added = datapath_.add_blocks({&blocks_[i], 1});
    if (added && *added == 1) {
      note_written(i);
      continue;
    }
    add(refused_, 1);
    if (added) full_[family(blocks_[i].source)] = true;
    complain(added ? "the kernel's blocklist is full; raise tables.blocks_max"
                   : added.error().message);
  }
  end_batch();
}

void Enforcer::note_written(std::size_t number) {
  const datapath::Block& block = blocks_[number];
  add(written_, 1);
  const Standing now{block.value.expires_ns, block.value.origin == WEIR_ORIGIN_manual};
  if (!standing_.insert_or_assign(block.key(), now).second) return;
  add(sources_, 1);
  if (told_) fresh_.push_back(block);
  if (block.value.strikes == 0 && !known_.contains(block.key()))
    time_to_block_.add(monotonic_now() - first_seen_[number]);
}

void Enforcer::end_batch() {
  standing_count_.store(standing_.size(), std::memory_order_relaxed);
  if (fresh_.empty()) return;
  told_(fresh_);
  fresh_.clear();
}

void Enforcer::forgive(const datapath::BlockKey& block) {
  forgiven_[block] = desk_.leave_forgive(block.address);
  if (known_.size() >= kQueue) known_.clear();
  known_.insert(block);
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
  if (std::exchange(unsure_, false)) read_back();
  std::vector<datapath::BlockKey> expired;
  for (const auto& [key, block] : standing_)
    if (block.expires_ns != 0 && block.expires_ns <= now.ns) expired.push_back(key);
  if (!expired.empty()) {
    const auto removed = datapath_.remove_blocks(expired);
    if (!removed) {
      unsure_ = true;
      return complain(removed.error().message);
    }
    for (const datapath::BlockKey& key : expired) {
      standing_.erase(key);
      full_[family(key.address)] = false;
    }
    add(expired_, *removed);
  }
  standing_count_.store(standing_.size(), std::memory_order_relaxed);
}

void Enforcer::read_back() {
  const auto blocks = datapath_.list_blocks();
  if (!blocks) {
    unsure_ = true;
    return complain(blocks.error().message);
  }
  standing_.clear();
  for (const auto& block : *blocks)
    standing_[block.key()] = {block.value.expires_ns, block.value.origin == WEIR_ORIGIN_manual};
}

void Enforcer::sleep() {
  sleeping_.store(true, std::memory_order_relaxed);
  std::atomic_thread_fence(std::memory_order_seq_cst);  // the other half of the one in `put`
  if (orders_.size() == 0) {
    pollfd wake{wake_fd_, POLLIN, 0};
    const auto until_sweep = sweep_interval() - (monotonic_now() - swept_);
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
