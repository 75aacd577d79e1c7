// SPDX-License-Identifier: BSD-2-Clause
/// The one thread that changes the kernel's tables: new blocks in batches, requests of people,
/// blocks that have expired.
///
/// Owner     the service. Nothing else calls a changing method of the datapath while this runs.
/// Threads   `put` by the engine's decide, one call at a time; `call` and the counters by anyone.
/// Bounds    `kQueue` new blocks wait at most; what finds no room is counted and made again by the
///           source's next attack packet.
/// Errors    a table that is full or a system call that fails is counted, and said once a minute.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "base/histogram.h"
#include "base/ring.h"
#include "datapath/datapath.h"
#include "pipeline/stages.h"

namespace weir::control {

struct EnforcerCounters {
  std::uint64_t put = 0;       ///< blocks that the policy ordered; the same one again where packets
                               ///< of a blocked source still come up
  std::uint64_t lost = 0;      ///< found the queue full
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

  /// An error is the system's: no more file descriptors.
  static Result<std::unique_ptr<Enforcer>> start(datapath::Datapath& datapath);
  ~Enforcer() override;  ///< writes what waits, then ends the thread
  Enforcer(const Enforcer&) = delete;
  Enforcer& operator=(const Enforcer&) = delete;

  bool put(const datapath::Block& block, PacketTime first_seen) noexcept override;

  /// Runs `work` on the enforcer's thread and waits for it; `changes`: it may change blocks.
  void call(const std::function<void()>& work, bool changes);

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
    std::size_t operator()(const Address& address) const noexcept { return address.hash(seed); }
  };

  Enforcer(datapath::Datapath& datapath, int wake_fd);
  void run() noexcept;
  bool write_orders();
  void write();
  void note_written(PacketTime now);
  bool run_requests();
  void sweep(PacketTime now);
  void sleep();
  void complain(const std::string& what);
  void wake() noexcept;

  datapath::Datapath& datapath_;
  const int wake_fd_;               // an eventfd
  SpscRing<Order> orders_{kQueue};  // from decide to this thread
  DurationHistogram time_to_block_;
  std::atomic<std::uint64_t> put_{0}, lost_{0}, written_{0}, refused_{0}, expired_{0}, sources_{0};
  std::atomic<bool> sleeping_{false};
  std::atomic<bool> stop_{false};

  std::mutex mutex_;  // of requests_
  std::vector<std::function<void()>> requests_;

  // The thread's own:
  std::vector<datapath::Block> blocks_;
  std::vector<PacketTime> first_seen_;
  // What stands in the kernel, so no more than fits there; true: made by hand, and never replaced
  // by the policy's.
  std::unordered_map<Address, bool, Hash> standing_;  // its seed is this process's own
  std::atomic<std::uint64_t> standing_count_{0};
  PacketTime swept_;
  PacketTime complained_;
  std::uint64_t unsaid_ = 0;

  std::thread thread_;  // last: starts when all else is there
};

}  // namespace weir::control
