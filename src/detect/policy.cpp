// SPDX-License-Identifier: BSD-2-Clause
#include "detect/policy.h"

#include <algorithm>
#include <utility>

#include "detect/bounded_table.h"

namespace weir::detect {
namespace {

/// Longer than a block takes from here into the kernel (batches every few ms), shorter than a
/// person would notice.
constexpr Nanoseconds kAgain = std::chrono::milliseconds(250);

Decision decision(Verdict verdict, Reason reason) noexcept {
  Decision made;
  made.verdict = verdict;
  made.reason = reason;
  return made;
}

struct Suspect {
  using Key = Address;
  Key key;
  PacketTime window_begin;   // of the first evidence that counts
  PacketTime ordered;        // when the block was last handed out
  PacketTime blocked_until;  // zero: never blocked
  std::uint32_t evidence = 0;
  std::uint32_t strikes = 0;  // blocks so far

  [[nodiscard]] bool blocked(PacketTime now) const noexcept {
    return strikes > 0 && now < blocked_until;
  }
  /// Who was blocked once is remembered longer than who is merely suspected.
  [[nodiscard]] bool lasting(PacketTime /*now*/) const noexcept { return strikes > 0; }
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

}  // namespace

struct Policy::Impl {
  explicit Impl(const PolicyConfig& c)
      : config(c),
        allow(c.allow),
        evidence_packets(std::max(c.evidence_packets, 2U)),
        window(std::chrono::milliseconds(c.evidence_ms)),
        suspects(c.suspects_max),
        budget(c.blocks_per_s) {}

  [[nodiscard]] std::uint64_t hash(const Address& address) const noexcept {
    return address.hash(config.hash_seed);
  }

  /// Whether an attack packet speaks against the address that it claims to be from.
  static bool is_evidence(const Context& context) noexcept {
    if (context.wrong_side || context.asked_same_side) return false;
    return context.side == Side::wan || context.method != packet::Method::reply;
  }

  [[nodiscard]] Nanoseconds block_length(std::uint32_t strikes) const noexcept {
    const std::uint64_t most = config.block_max_ms;
    const std::uint64_t doubled = std::uint64_t{config.block_ms} << std::min(strikes, 31U);
    return std::chrono::milliseconds(std::min(most, doubled));
  }

  Decision drop(Reason reason) const noexcept {
    if (config.shadow) return decision(Verdict::forward, Reason::shadow);
    return decision(Verdict::drop, reason);
  }

  Decision drop_blocked(Suspect& suspect, const Context& context) noexcept {
    Decision made = drop(Reason::blocked);
    if (context.time - suspect.ordered >= kAgain) {
      suspect.ordered = context.time;
      order(made, suspect, context);
    }
    return made;
  }

  static void order(Decision& made, const Suspect& suspect, const Context& context) noexcept {
    made.block = true;
    made.strikes = suspect.strikes - 1;
    made.expires = suspect.blocked_until;
    made.first_seen = context.first_seen;
  }

  Decision judge_attack(const Context& context, std::uint64_t source_hash) noexcept {
    Decision made = drop(Reason::scored);
    if (config.shadow || !is_evidence(context)) return made;
    bool fresh = false;
    Suspect& suspect = suspects.touch(context.source, source_hash, context.time, fresh);
    if (suspect.evidence == 0 || context.time - suspect.window_begin > window) {
      suspect.evidence = 0;
      suspect.window_begin = context.time;
    }
    if (++suspect.evidence < evidence_packets) return made;
    if (!budget.take(context.time)) {
      ++counters.blocks_over_budget;
      return made;
    }
    suspect.blocked_until = context.time + block_length(suspect.strikes);
    suspect.ordered = context.time;
    suspect.evidence = 0;
    ++suspect.strikes;
    ++counters.blocks;
    order(made, suspect, context);
    return made;
  }

  const PolicyConfig config;
  std::vector<Prefix> allow;  // config's, until it is replaced
  const std::uint32_t evidence_packets;
  const Nanoseconds window;
  BoundedTable<Suspect> suspects;
  Budget budget;
  PolicyCounters counters;
};

Policy::Policy(const PolicyConfig& config) : impl_(std::make_unique<Impl>(config)) {}
Policy::~Policy() = default;

Decision Policy::decide(const Context& context, float score) noexcept {
  Impl& my = *impl_;
  if (!my.allow.empty() && any_contains(my.allow, context.source)) {
    return decision(Verdict::forward, Reason::allowed);
  }
  const std::uint64_t source_hash = my.hash(context.source);
  if (Suspect* suspect = my.suspects.find(context.source, source_hash);
      suspect != nullptr && suspect->blocked(context.time)) {
    return my.drop_blocked(*suspect, context);
  }
  if (context.solicited) return decision(Verdict::forward, Reason::solicited);
  if (context.client_flow) return decision(Verdict::forward, Reason::client_flow);
  if (score >= my.config.threshold) return my.judge_attack(context, source_hash);
  return {};
}

void Policy::forgive(const Address& source) noexcept {
  impl_->suspects.erase(source, impl_->hash(source));
}

void Policy::set_allow(std::vector<Prefix> allow) noexcept { impl_->allow = std::move(allow); }

PolicyCounters Policy::counters() const noexcept {
  PolicyCounters counters = impl_->counters;
  counters.suspects = impl_->suspects.size();
  counters.suspects_evicted = impl_->suspects.evicted();
  return counters;
}

const char* name(Reason reason) noexcept {
  switch (reason) {
#define WEIR_REASON_NAME(number, name, help) \
  case Reason::name:                         \
    return #name;
    WEIR_REASONS(WEIR_REASON_NAME)
#undef WEIR_REASON_NAME
  }
  return "unknown";
}

const char* help(Reason reason) noexcept {
  switch (reason) {
#define WEIR_REASON_HELP(number, name, help) \
  case Reason::name:                         \
    return help;
    WEIR_REASONS(WEIR_REASON_HELP)
#undef WEIR_REASON_HELP
  }
  return "a reason that this build does not know";
}

std::span<const ReasonInfo> all_reasons() noexcept {
#define WEIR_REASON_INFO(number, name, help) {Reason::name, #name, help},
  static constexpr ReasonInfo kReasons[] = {WEIR_REASONS(WEIR_REASON_INFO)};
#undef WEIR_REASON_INFO
  return kReasons;
}

}  // namespace weir::detect
