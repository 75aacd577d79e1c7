// SPDX-License-Identifier: BSD-2-Clause
/// A bounded queue from one thread to one other, without locks.
///
/// Shape     a power of two of slots, allocated once by the constructor.
/// Owner     exactly one thread pushes and exactly one pops; which threads those are is written
///           where the ring stands.
/// Threads   push and pop may run at once; `size` is a snapshot for either side or for metrics.
/// Errors    a full ring refuses (false): the caller counts what it sheds. A capacity of zero is a
///           programmer error.
/// Source    Lamport's queue with cached opposite cursors, as in Rigtorp's SPSCQueue: a side reads
///           the other's cursor, and so takes its cache line, only when its own cached copy says
///           full or empty.
#pragma once

#include <atomic>
#include <bit>
#include <cstddef>
#include <memory>
#include <utility>

#include "base/result.h"
#include "base/types.h"

namespace weir {

template <typename T>
class SpscRing {
 public:
  /// Room for at least `capacity` entries (rounded up to a power of two).
  explicit SpscRing(std::size_t capacity)
      : mask_(std::bit_ceil(capacity) - 1), slots_(std::make_unique<T[]>(mask_ + 1)) {
    WEIR_CHECK(capacity > 0);
  }

  /// Producer only. False, and `value` untouched, where the ring is full.
  bool push(T value) noexcept {
    const std::size_t tail = tail_.load(std::memory_order_relaxed);
    if (tail - head_seen_ > mask_) {
      head_seen_ = head_.load(std::memory_order_acquire);
      if (tail - head_seen_ > mask_) return false;
    }
    slots_[tail & mask_] = std::move(value);
    tail_.store(tail + 1, std::memory_order_release);
    return true;
  }

  /// Consumer only. False where the ring is empty.
  bool pop(T& value) noexcept {
    const std::size_t head = head_.load(std::memory_order_relaxed);
    if (head == tail_seen_) {
      tail_seen_ = tail_.load(std::memory_order_acquire);
      if (head == tail_seen_) return false;
    }
    value = std::move(slots_[head & mask_]);
    head_.store(head + 1, std::memory_order_release);
    return true;
  }

  [[nodiscard]] std::size_t size() const noexcept {
    return tail_.load(std::memory_order_acquire) - head_.load(std::memory_order_acquire);
  }
  [[nodiscard]] std::size_t capacity() const noexcept { return mask_ + 1; }

 private:
  const std::size_t mask_;
  const std::unique_ptr<T[]> slots_;
  alignas(2 * kCacheLine_bytes) std::atomic<std::size_t> tail_{0};  // producer's line
  std::size_t head_seen_ = 0;
  alignas(2 * kCacheLine_bytes) std::atomic<std::size_t> head_{0};  // consumer's line
  std::size_t tail_seen_ = 0;
};

}  // namespace weir
