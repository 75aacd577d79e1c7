// SPDX-License-Identifier: BSD-2-Clause
/// What the policy remembers: of sources with evidence against them, of their networks, of victims.
///
/// Lasting   who was blocked once is remembered longer than who is merely suspected
///           (bounded_table.h).
/// Threads   the policy's owner.
#pragma once

#include <algorithm>
#include <array>

#include "base/address.h"
#include "detect/bounded_table.h"
#include "detect/policy.h"
#include "detect/sketch.h"
#include "detect/window.h"

namespace weir::detect {

/// A block that stands or stood.
struct Sentence {
  PacketTime until;    // zero: never blocked
  PacketTime ordered;  // when the block was last handed out
  std::uint32_t strikes = 0;
  Reason cause = Reason::clean;  // the rule that spoke

  [[nodiscard]] bool stands(PacketTime now) const noexcept { return strikes > 0 && now < until; }
};

struct Suspect {
  using Key = Address;
  Key key;
  Sentence sentence;
  std::uint32_t begin_ticks = 0;  // window.h; of the first evidence that counts
  std::uint32_t evidence = 0;

  [[nodiscard]] bool lasting(PacketTime /*now*/) const noexcept { return sentence.strikes > 0; }
};

struct SuspectNetwork {
  using Key = Address;  // without host bits
  Key key;
  Sentence sentence;
  PacketTime begin;   // of the hour that counts
  PacketTime wanted;  // the latest answer out of it that was asked for; zero: none seen
  std::uint32_t sources = 0;

  static constexpr Nanoseconds kHour = std::chrono::hours(1);

  [[nodiscard]] bool lasting(PacketTime /*now*/) const noexcept { return sentence.strikes > 0; }
  [[nodiscard]] bool has_friends(PacketTime now) const noexcept {
    return wanted != PacketTime{} && now - wanted <= kHour;
  }
};

struct Victim {
  using Key = Address;
  Key key;
  Sentence sentence;
  DistinctSketch<64> attackers;                   // 4,096 bits: good for up to 30,000
  std::array<std::uint16_t, kOpenPorts> ports{};  // that it searched from, the latest first

  [[nodiscard]] bool lasting(PacketTime /*now*/) const noexcept { return sentence.strikes > 0; }

  /// True where the port is a new one.
  bool searched_from(std::uint16_t port) noexcept {
    const auto known = std::find(ports.begin(), ports.end(), port);
    const bool fresh = known == ports.end();
    std::rotate(ports.begin(), fresh ? ports.end() - 1 : known, fresh ? ports.end() : known + 1);
    ports.front() = port;
    return fresh;
  }
};

/// At most so many in any second of packet time, counted in seconds that begin with their first.
class Budget {
 public:
  explicit Budget(std::uint32_t per_s) noexcept : per_s_(per_s) {}
  bool take(PacketTime now) noexcept {
    const Nanoseconds since = now - begin_;
    if (since >= std::chrono::seconds(1) || since < -std::chrono::seconds(1)) {
      begin_ = now;
      used_ = 0;
    }
    if (used_ >= per_s_) return false;
    ++used_;
    return true;
  }

 private:
  const std::uint32_t per_s_;
  std::uint32_t used_ = 0;
  PacketTime begin_;
};

}  // namespace weir::detect
