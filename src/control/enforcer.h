// SPDX-License-Identifier: BSD-2-Clause
/// The one thread that changes the kernel's tables: new blocks in batches, requests of people,
/// blocks that have expired.
///
/// Owner     the service. Nothing else changes the datapath's tables while this runs, so what
///           stands there is known here and is read from the kernel only at the start and after an
///           error.
/// People    come first: a block that the policy orders never replaces one made by hand, and what
///           the policy ordered before it knew that a person has taken a source off is not written.
/// Threads   `put` and `before` by the engine's decide, one call at a time; `call`, the desk and
///           the counters by anyone.
/// Bounds    `kQueue` new blocks wait at most; what finds no room is counted and made again by the
///           source's next attack packet. A family whose table is full costs one look-up an order
///           until a sweep, at most once in `kSweepFull`, has made room.
/// Errors    a table that is full or a system call that fails is counted, and said once a minute.
#pragma once

#include <array>
#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <thread>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "base/histogram.h"
#include "base/ring.h"
#include "control/policy_desk.h"
#include "datapath/datapath.h"
#include "pipeline/stages.h"

namespace weir::control {

/// `put` is the sum of `lost`, `skipped`, `written` and `refused`, but for what waits.
struct EnforcerCounters {
  std::uint64_t put = 0;       ///< blocks that the policy ordered; the same one again where packets
                               ///< of a blocked source still come up
  std::uint64_t lost = 0;      ///< found the queue full
  std::uint64_t skipped = 0;   ///< stand already, or a person decided otherwise
  std::uint64_t written = 0;   ///< reached the kernel
  std::uint64_t refused = 0;   ///< the kernel's table was full, or the write failed
  std::uint64_t expired = 0;   ///< swept out
  std::uint64_t sources = 0;   ///< blocks of the policy that were not there before
  std::uint64_t standing = 0;  ///< blocks in the kernel now, of any origin
};

class Enforcer final : public pipeline::BlockSink {
 public:
  static constexpr std::size_t kQueue = 65'536;  ///< 0.65 s of the default budget of blocks
  static constexpr std::size_t kBatch = 1'024;   ///< blocks a system call
  /// Between sweeps: expired blocks do nothing in the kernel, they only take room.
  static constexpr Nanoseconds kSweep = std::chrono::seconds(5);
  static constexpr Nanoseconds kSweepFull = std::chrono::seconds(1);  ///< while a table is full

  /// Is given the policy's blocks that were not there before, a batch at once, on this thread, when
  /// they stand in the kernel; must not wait for anything.
  using Told = std::function<void(std::span<const datapath::Block>)>;
  /// An error is the system's: no more file descriptors.
  static Result<std::unique_ptr<Enforcer>> start(datapath::Datapath& datapath, Told told = {});
  ~Enforcer() override;  ///< writes what waits, then ends the thread
  Enforcer(const Enforcer&) = delete;
  Enforcer& operator=(const Enforcer&) = delete;

  bool put(const datapath::Block& block, PacketTime first_seen) noexcept override;

  void before(detect::Policy& policy) noexcept override { desk_.serve(policy); }

  /// Runs `work` on the enforcer's thread and waits for it. Changes that it makes through the
  /// tables it is given are a person's: the policy is told of them. What it throws is thrown here.
  void call(const std::function<void(datapath::Datapath& tables)>& work);

  /// The way to the policy, which belongs to decide.
  [[nodiscard]] PolicyDesk& desk() noexcept { return desk_; }
  [[nodiscard]] const PolicyDesk& desk() const noexcept { return desk_; }

  [[nodiscard]] EnforcerCounters counters() const noexcept;
  /// From a source's first packet to its first block in the kernel.
  [[nodiscard]] const DurationHistogram& time_to_block() const noexcept { return time_to_block_; }

 private:
  struct Order {
    datapath::Block block;
    PacketTime first_seen;
  };
  struct Hash {
    std::uint64_t seed = 0;
    std::size_t operator()(const datapath::BlockKey& block) const noexcept {
      return block.hash(seed);
    }
  };
  struct Standing {
    std::uint64_t expires_ns = 0;  // 0: never
    bool manual = false;
  };
  class Tables;  // the datapath as people change it

  Enforcer(datapath::Datapath& datapath, int wake_fd, Told told);
  void run() noexcept;
  bool write_orders();
  bool is_wanted(const Order& order);
  void write();
  void write_singly();
  void note_written(std::size_t number);
  void end_batch();
  void forgive(const datapath::BlockKey& block);
  bool run_requests();
  void sweep(PacketTime now);
  void read_back();
  void sleep();
  void complain(const std::string& what);
  void wake() noexcept;
  [[nodiscard]] Nanoseconds sweep_interval() const noexcept {
    return full_[0] || full_[1] ? kSweepFull : kSweep;
  }

  datapath::Datapath& datapath_;
  const int wake_fd_;  // an eventfd
  const Told told_;
  SpscRing<Order> orders_{kQueue};  // from decide to this thread
  DurationHistogram time_to_block_;
  std::atomic<std::uint64_t> put_{0}, lost_{0}, skipped_{0}, written_{0}, refused_{0}, expired_{0},
      sources_{0};
  std::atomic<bool> sleeping_{false};
  std::atomic<bool> stop_{false};

  std::mutex mutex_;  // of requests_
  std::vector<std::function<void()>> requests_;
  PolicyDesk desk_;

  // The thread's own:
  std::vector<datapath::Block> blocks_;
  std::vector<PacketTime> first_seen_;
  std::vector<datapath::Block> fresh_;  // of the batch: those to tell of
  // What stands in the kernel, so no more than fits there. Seeds are this process's own.
  std::unordered_map<datapath::BlockKey, Standing, Hash> standing_;
  // Sources that people took off while the policy had not heard of it: by the number at the desk.
  std::unordered_map<datapath::BlockKey, std::uint64_t, Hash> forgiven_;
  // Sources that people took off, `kQueue` of them at most: not new when they are blocked again.
  std::unordered_set<datapath::BlockKey, Hash> known_;
  std::array<bool, 2> full_{};  // by family
  bool unsure_ = true;          // of `standing_`: at the start, and after an error
  std::atomic<std::uint64_t> standing_count_{0};
  PacketTime swept_;
  PacketTime complained_;
  std::uint64_t unsaid_ = 0;

  std::thread thread_;  // last: starts when all else is there
};

}  // namespace weir::control
