// SPDX-License-Identifier: BSD-2-Clause
/// What one thread counts and others read.
///
/// `Count`      a number; readers see each value whole, and nothing of its order with others.
/// `Published`  a value of several words that readers see whole: a sequence lock.
/// Threads      one writer, which never waits; any number of readers.
/// Source       Boehm, "Can seqlocks get along with programming language memory models?" (2012).
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <type_traits>

namespace weir {

class Count {
 public:
  /// The writer's: a plain add, not an atomic one.
  void add(std::uint64_t n) noexcept {
    value_.store(value_.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
  }
  [[nodiscard]] std::uint64_t value() const noexcept {
    return value_.load(std::memory_order_relaxed);
  }

 private:
  std::atomic<std::uint64_t> value_{0};
};

template <typename T>
class Published {
  static_assert(std::is_trivially_copyable_v<T>);
  static constexpr std::size_t kWords = (sizeof(T) + 7) / 8;

 public:
  explicit Published(const T& value) noexcept { write(value); }

  void write(const T& value) noexcept {
    std::array<std::uint64_t, kWords> words{};
    std::memcpy(words.data(), &value, sizeof value);
    const std::uint64_t turn = turn_.load(std::memory_order_relaxed);
    turn_.store(turn + 1, std::memory_order_relaxed);  // odd: under way
    // Release and acquire, word by word: thread sanitizers do not know fences, and x86 needs none.
    for (std::size_t i = 0; i < kWords; ++i) words_[i].store(words[i], std::memory_order_release);
    turn_.store(turn + 2, std::memory_order_release);
  }

  /// The latest value that was written whole; waits only while the writer is amid a `write`.
  [[nodiscard]] T read() const noexcept {
    std::array<std::uint64_t, kWords> words;
    std::uint64_t before = 0;
    std::uint64_t after = 0;
    do {
      before = turn_.load(std::memory_order_acquire);
      for (std::size_t i = 0; i < kWords; ++i) words[i] = words_[i].load(std::memory_order_acquire);
      after = turn_.load(std::memory_order_relaxed);
    } while (before != after || before % 2 != 0);
    T value{};
    std::memcpy(static_cast<void*>(&value), words.data(), sizeof value);
    return value;
  }

 private:
  std::atomic<std::uint64_t> turn_{0};
  std::array<std::atomic<std::uint64_t>, kWords> words_{};
};

}  // namespace weir
