// SPDX-License-Identifier: BSD-2-Clause
/// Where other threads leave what the policy's owner is to do, and read what it counted.
///
/// The policy belongs to the engine's decide. Its owner looks here before it decides on a batch, so
/// a change holds for all of the next batch.
/// Turns     each thing left has a number, and `served` tells up to which number the owner has done
///           them: what the policy ordered before may still be on its way to the kernel, what it
///           orders later is not affected.
/// Threads   `serve` and `publish` by the owner; the rest by anyone. `serve` takes a lock only
///           where something was left.
#pragma once

#include <atomic>
#include <mutex>
#include <utility>
#include <vector>

#include "detect/policy.h"

namespace weir::control {

class PolicyDesk {
 public:
  void leave_allow(const std::vector<Prefix>& allow) {
    detect::PrefixSet sorted(allow);  // not by decide, which packets wait for
    const std::lock_guard lock(mutex_);
    std::swap(allow_, sorted);  // what it was is freed here, behind the lock
    allow_left_ = true;
    left_.store(left_.load(std::memory_order_relaxed) + 1, std::memory_order_release);
  }
  /// Returns its number.
  std::uint64_t leave_forgive(const Address& source) {
    const std::lock_guard lock(mutex_);
    forgive_.push_back(source);
    const std::uint64_t number = left_.load(std::memory_order_relaxed) + 1;
    left_.store(number, std::memory_order_release);
    return number;
  }
  [[nodiscard]] std::uint64_t served() const noexcept {
    return served_.load(std::memory_order_acquire);
  }

  void serve(detect::Policy& policy) noexcept {
    if (left_.load(std::memory_order_acquire) != served_.load(std::memory_order_relaxed))
      carry_out(policy);
  }
  void publish(const detect::Policy& policy) noexcept {
    const auto counters = policy.counters();
    suspects_.store(counters.suspects, std::memory_order_relaxed);
    evicted_.store(counters.suspects_evicted, std::memory_order_relaxed);
    blocks_.store(counters.blocks, std::memory_order_relaxed);
    over_budget_.store(counters.blocks_over_budget, std::memory_order_relaxed);
  }

  [[nodiscard]] detect::PolicyCounters counters() const noexcept {
    return {.suspects = suspects_.load(std::memory_order_relaxed),
            .suspects_evicted = evicted_.load(std::memory_order_relaxed),
            .blocks = blocks_.load(std::memory_order_relaxed),
            .blocks_over_budget = over_budget_.load(std::memory_order_relaxed)};
  }

 private:
  void carry_out(detect::Policy& policy) {
    const std::lock_guard lock(mutex_);
    if (std::exchange(allow_left_, false)) policy.swap_allow(allow_);
    for (const Address& source : forgive_) policy.forgive(source);
    forgive_.clear();
    served_.store(left_.load(std::memory_order_relaxed), std::memory_order_release);
  }

  std::mutex mutex_;         // of the next three
  detect::PrefixSet allow_;  // to come; behind `swap_allow`: the one before
  bool allow_left_ = false;
  std::vector<Address> forgive_;
  std::atomic<std::uint64_t> left_{0}, served_{0};
  std::atomic<std::uint64_t> suspects_{0}, evicted_{0}, blocks_{0}, over_budget_{0};
};

}  // namespace weir::control
