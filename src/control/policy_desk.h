// SPDX-License-Identifier: BSD-2-Clause
/// Where other threads leave what the policy's owner is to do, and read what it counted.
///
/// The policy belongs to the engine's decide. Its owner looks here once a batch, so a change takes
/// effect with the next batch at the latest.
/// Threads   `serve` by the owner; the rest by anyone. `serve` takes a lock only where something
///           was left.
#pragma once

#include <atomic>
#include <mutex>
#include <optional>
#include <vector>

#include "detect/policy.h"

namespace weir::control {

class PolicyDesk {
 public:
  void leave_allow(std::vector<Prefix> allow) {
    const std::lock_guard lock(mutex_);
    allow_ = std::move(allow);
    left_.store(true, std::memory_order_release);
  }
  void leave_forgive(const Address& source) {
    const std::lock_guard lock(mutex_);
    forgive_.push_back(source);
    left_.store(true, std::memory_order_release);
  }

  void serve(detect::Policy& policy) noexcept {
    if (left_.load(std::memory_order_acquire)) carry_out(policy);
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
    if (allow_) policy.set_allow(std::move(*allow_));
    allow_.reset();
    for (const Address& source : forgive_) policy.forgive(source);
    forgive_.clear();
    left_.store(false, std::memory_order_relaxed);
  }

  std::mutex mutex_;  // of allow_ and forgive_
  std::optional<std::vector<Prefix>> allow_;
  std::vector<Address> forgive_;
  std::atomic<bool> left_{false};
  std::atomic<std::uint64_t> suspects_{0}, evicted_{0}, blocks_{0}, over_budget_{0};
};

}  // namespace weir::control
