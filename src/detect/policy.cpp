// SPDX-License-Identifier: BSD-2-Clause
#include "detect/policy.h"

#include <algorithm>
#include <utility>

#include "detect/crowd.h"
#include "detect/network_table.h"
#include "detect/scope.h"
#include "detect/suspects.h"

namespace weir::detect {
namespace {

using packet::Method;

/// Longer than a block takes from here into the kernel (batches every few ms), shorter than a
/// person would notice.
constexpr Nanoseconds kAgain = std::chrono::milliseconds(250);

/// Rule 10 waits for so long.
constexpr Nanoseconds kSettle = std::chrono::seconds(7);

/// Networks with blocked sources, and LAN hosts that search or are attacked: more of them than this
/// forget the ones that were idle longest.
constexpr std::uint32_t kNetworks = 16'384;
constexpr std::uint32_t kVictims = 1'024;

/// What is left after the long window's half-life of one answer to a search (`source_wanted`).
constexpr float kAnswered = 0.5F;

Decision decision(Verdict verdict, Reason reason) noexcept {
  Decision made;
  made.verdict = verdict;
  made.reason = made.rule = reason;
  return made;
}

}  // namespace

struct Policy::Impl {
  explicit Impl(const PolicyConfig& c)
      : config(c),
        allow(c.allow),
        immune(c.immune),
        evidence_packets(std::max(c.evidence_packets, 2U)),
        window_ticks(to_ticks(c.evidence_ms)),
        span_ticks(to_ticks(std::min(c.evidence_span_ms, c.evidence_ms))),
        suspects(c.suspects_max),
        networks(c.network_sources > 0 ? kNetworks : 1),
        victims(c.victim_sources > 0 ? kVictims : 1),
        budget(c.blocks_per_s) {}

  static std::uint32_t to_ticks(std::uint32_t ms) noexcept {
    return static_cast<std::uint32_t>(tick(PacketTime{std::uint64_t{ms} * 1'000'000}));
  }
  static std::uint32_t now_ticks(const Context& context) noexcept {
    return static_cast<std::uint32_t>(tick(context.time));
  }
  [[nodiscard]] std::uint64_t hash(const Address& address) const noexcept {
    return address.hash(config.hash_seed);
  }

  /// Whether an attack packet speaks against the address that it claims to be from.
  [[nodiscard]] bool is_evidence(const Context& context) const noexcept {
    if (context.wrong_side || context.asked_same_side) return false;
    if (context.side == Side::lan && (config.immune_lan || context.method == Method::reply))
      return false;
    return !immune.contains(context.source);
  }

  [[nodiscard]] Nanoseconds block_length(std::uint32_t first_ms,
                                         std::uint32_t strikes) const noexcept {
    const std::uint64_t doubled = std::uint64_t{first_ms} << std::min(strikes, 31U);
    return std::chrono::milliseconds(std::min<std::uint64_t>(config.block_max_ms, doubled));
  }

  Decision drop(Reason reason) const noexcept {
    Decision made = decision(Verdict::drop, reason);
    if (config.shadow) {
      made.verdict = Verdict::forward;
      made.reason = Reason::shadow;
    }
    return made;
  }

  void order(Decision& made, Target target, Sentence& sentence,
             const Context& context) const noexcept {
    sentence.ordered = context.time;
    made.block = !config.shadow;
    made.would_block = config.shadow;
    made.target = target;
    made.all = config.block_all && target == Target::source;
    made.cause = sentence.cause;
    made.strikes = sentence.strikes - 1;
    made.expires = sentence.until;
    made.first_seen = context.first_seen;
  }

  void order_again(Decision& made, Target target, Sentence& sentence,
                   const Context& context) const noexcept {
    order(made, target, sentence, context);
    made.again = true;
  }

  void sentence(Decision& made, Target target, Sentence& sentence, std::uint32_t first_ms,
                const Context& context) noexcept {
    sentence.until = context.time + block_length(first_ms, sentence.strikes);
    ++sentence.strikes;
    sentence.cause = made.rule;
    counters.blocks += counted();
    order(made, target, sentence, context);
  }

  Decision drop_blocked(Reason reason, Target target, Sentence& sentence,
                        const Context& context) const noexcept {
    Decision made = drop(reason);
    if (context.time - sentence.ordered >= kAgain) order_again(made, target, sentence, context);
    return made;
  }

  /// The standing block of the source or its network, if any.
  bool is_blocked(const Context& context, std::uint64_t source_hash, Decision& made) noexcept {
    if (Suspect* suspect = suspects.find(context.source, source_hash);
        suspect != nullptr && suspect->sentence.stands(context.time)) {
      made = drop_blocked(Reason::blocked, Target::source, suspect->sentence, context);
      return true;
    }
    if (context.time >= networks_until) return false;
    const Address address = network_of(context.source);
    SuspectNetwork* network = networks.find(address, hash(address));
    if (network == nullptr || !network->sentence.stands(context.time)) return false;
    made = drop_blocked(Reason::network, Target::network, network->sentence, context);
    return true;
  }

  /// A LAN host searches: its port is remembered, and told to the kernel where a block of it
  /// stands.
  void note_search(Decision& made, const Context& context) noexcept {
    bool fresh = false;
    Victim& victim = victims.touch(context.source, hash(context.source), context.time, fresh);
    const bool new_port = victim.searched_from(context.source_port);
    if (!new_port || !victim.sentence.stands(context.time) || made.block || made.would_block)
      return;
    order_again(made, Target::victim, victim.sentence, context);
    made.open_ports = victim.ports;
  }

  bool is_victim(const Context& context) noexcept {
    if (context.time >= victims_until || context.side != Side::wan || context.multicast ||
        context.method == Method::none || context.asked_same_side)
      return false;
    const Victim* victim = victims.find(context.destination, hash(context.destination));
    return victim != nullptr && victim->sentence.stands(context.time);
  }

  /// Counts an attacker of its destination; true where that is a victim from now on, or is already.
  bool protect(Decision& made, const Context& context, std::uint64_t source_hash) noexcept {
    if (config.victim_sources == 0 || context.side != Side::wan || context.multicast) return false;
    bool fresh = false;
    Victim& victim =
        victims.touch(context.destination, hash(context.destination), context.time, fresh);
    const float attackers = victim.attackers.add(context.time, source_hash);
    if (victim.sentence.stands(context.time)) return true;
    if (attackers < static_cast<float>(config.victim_sources)) return false;
    if (!take_budget(context.time)) return false;
    sentence(made, Target::victim, victim.sentence, config.victim_block_ms, context);
    made.open_ports = victim.ports;
    victims_until = std::max(victims_until, victim.sentence.until);
    counters.victims += counted();
    return true;
  }

  /// Shadow makes no blocks.
  [[nodiscard]] std::uint64_t counted() const noexcept { return config.shadow ? 0 : 1; }

  bool take_budget(PacketTime now) noexcept {
    if (budget.take(now)) return true;
    ++counters.blocks_over_budget;
    return false;
  }

  /// Whether the evidence against a suspect makes a block by now.
  [[nodiscard]] bool is_enough(const Suspect& suspect, const Context& context) const noexcept {
    const std::uint64_t times = context.source_wanted >= 1 ? config.trusted_times : 1;
    if (suspect.evidence >= times * std::max(config.burst_packets, evidence_packets)) return true;
    return suspect.evidence >= times * evidence_packets &&
           now_ticks(context) - suspect.begin_ticks >= span_ticks;
  }

  Decision judge_attack(Reason reason, const Context& context, std::uint64_t source_hash) noexcept {
    Decision made = drop(reason);
    if (protect(made, context, source_hash) || !is_evidence(context)) return made;
    bool fresh = false;
    Suspect& suspect = suspects.touch(context.source, source_hash, context.time, fresh);
    const std::uint32_t now = now_ticks(context);
    const auto since = static_cast<std::int32_t>(now - suspect.begin_ticks);
    if (suspect.evidence == 0 || since > static_cast<std::int32_t>(window_ticks) ||
        since < -static_cast<std::int32_t>(window_ticks)) {
      suspect.evidence = 0;
      suspect.begin_ticks = now;
    }
    ++suspect.evidence;
    if (!is_enough(suspect, context) || !take_budget(context.time)) return made;
    suspect.evidence = 0;
    if (roll_up(made, context)) return made;
    sentence(made, Target::source, suspect.sentence, config.block_ms, context);
    return made;
  }

  /// One more source of its network is to be blocked: blocks the network instead, where that is
  /// due.
  bool roll_up(Decision& made, const Context& context) noexcept {
    if (config.network_sources == 0 || config.block_all) return false;
    const Address address = network_of(context.source);
    bool fresh = false;
    SuspectNetwork& network = networks.touch(address, hash(address), context.time, fresh);
    if (network.sources == 0 || context.time - network.begin > SuspectNetwork::kHour) {
      network.sources = 0;
      network.begin = context.time;
    }
    if (++network.sources < config.network_sources || network.has_friends(context.time))
      return false;
    const Prefix prefix(address, address.is_v4() ? 24 : 64);
    if (allow.overlaps(prefix) || immune.overlaps(prefix)) return false;
    network.sources = 0;
    sentence(made, Target::network, network.sentence, config.block_ms, context);
    networks_until = std::max(networks_until, network.sentence.until);
    counters.networks += counted();
    return true;
  }

  void befriend(const Context& context) noexcept {
    if (networks.size() == 0) return;
    const Address address = network_of(context.source);
    if (SuspectNetwork* network = networks.find(address, hash(address)); network != nullptr)
      network->wanted = context.time;
  }

  /// No SSDP, and nothing that the score may speak of: as a rule somebody's flow that happens to use
  /// the port.
  [[nodiscard]] bool is_other_protocol(const Context& context) const noexcept {
    constexpr std::uint16_t kSsdpPort = 1900;
    if (context.method != Method::none || config.others == Others::model) return false;
    if (config.others == Others::pass && context.source_port != kSsdpPort &&
        context.destination_port != kSsdpPort)
      return true;
    return std::max(context.source_packets, context.destination_packets) <
           static_cast<float>(config.other_packets);
  }

  /// Rule 7's exception, for a packet that its score accuses.
  bool is_spared(const Context& context) noexcept {
    if (config.late_answers == 0 || context.method != Method::reply || context.wrong_side ||
        context.multicast)
      return false;
    if (context.asked_same_side) return !exceeds(context.destination_packets, config.crowd_packets);
    const auto most = static_cast<float>(config.late_answers);
    const float accused = accused_answers[index(context.side)].add_short(context.time);
    return accused <= most && context.destination_unsolicited <= most;
  }

  static bool exceeds(float count, std::uint32_t most) noexcept {
    return most > 0 && count > static_cast<float>(most);
  }

  /// Rule 8.
  [[nodiscard]] bool is_over_limit(const Context& context) const noexcept {
    if (context.method == Method::search)
      return context.multicast ? exceeds(context.source_alike, config.group_searches)
                               : exceeds(context.searches_each, config.repeated_searches);
    return context.method == Method::notify && context.multicast &&
           exceeds(context.source_alike, config.group_notifies);
  }

  /// Rule 9.
  bool is_scan(const Context& context) noexcept {
    return context.blind && exceeds(blind_searches[index(context.side)].add_long(context.time),
                                    config.blind_searches);
  }

  /// Rule 10.
  bool is_crowd(const Context& context) noexcept {
    const bool search = context.method == Method::search;
    if (config.crowd_packets == 0 || context.method == Method::none || context.asked_same_side)
      return false;
    if (!context.multicast) {
      if (search) return false;
      if (context.flooding) return true;
      if (context.awaited) return false;
    } else if (!context.wrong_side && context.source_wanted >= kAnswered) {
      return false;
    }
    Crowds& crowds = crowds_from[index(context.side)];
    Crowd& crowd = !context.multicast ? crowds.unasked : search ? crowds.searches : crowds.notifies;
    const PacketTime known_since = context.wrong_side ? context.time : context.first_seen;
    return crowd.add(known_since, context.time, static_cast<float>(config.crowd_packets));
  }

  /// Rules 3 to 10.
  Decision judge(const Context& context, std::uint64_t source_hash, float score) noexcept {
    if (context.solicited) {
      befriend(context);
      return decision(Verdict::forward, Reason::solicited);
    }
    if (context.client_flow) return decision(Verdict::forward, Reason::client_flow);
    if (is_impossible(context)) return judge_attack(Reason::impossible, context, source_hash);
    if (is_out_of_scope(context, config.scope))
      return judge_attack(Reason::scope, context, source_hash);
    if (is_victim(context)) return drop(Reason::victim);
    // Both count, whatever the score: a flood of which the forest lets little pass is one.
    const bool scan = is_scan(context);
    const bool crowd = is_crowd(context);
    const bool accused = score >= config.threshold && !context.due && !is_other_protocol(context);
    if (accused && !is_spared(context)) return judge_attack(Reason::scored, context, source_hash);
    if (is_over_limit(context)) return judge_attack(Reason::limit, context, source_hash);
    if (scan) return drop(Reason::blind);
    if (crowd && context.time - begin >= kSettle) return drop(Reason::crowd);
    return accused ? decision(Verdict::forward, Reason::spared) : Decision{};
  }

  Decision decide(const Context& context, float score, std::uint64_t source_hash) noexcept {
    Decision made;
    if (begin == PacketTime{}) begin = context.time;
    if (allow.contains(context.source)) {
      made = decision(Verdict::forward, Reason::allowed);
    } else if (config.score_alone) {
      return score > config.threshold ? drop(Reason::scored) : made;
    } else {
      if (is_blocked(context, source_hash, made)) return made;
      made = judge(context, source_hash, score);
    }
    if (context.side == Side::lan && context.method == Method::search && config.victim_sources > 0)
      note_search(made, context);
    return made;
  }

  const PolicyConfig config;
  PrefixSet allow;  // config's, until it is replaced
  const PrefixSet immune;
  const std::uint32_t evidence_packets;
  const std::uint32_t window_ticks;
  const std::uint32_t span_ticks;
  BoundedTable<Suspect> suspects;
  BoundedTable<SuspectNetwork> networks;
  BoundedTable<Victim> victims;
  struct Crowds {
    Crowd searches, notifies, unasked;
  };
  std::array<Crowds, kSides> crowds_from;             // by side
  std::array<FadingCount, kSides> blind_searches{};   // by side
  std::array<FadingCount, kSides> accused_answers{};  // by side
  PacketTime begin;                                   // of the first packet of all
  PacketTime networks_until;                          // no network's block stands longer
  PacketTime victims_until;
  Budget budget;
  PolicyCounters counters;
};

Policy::Policy(const PolicyConfig& config) : impl_(std::make_unique<Impl>(config)) {}
Policy::~Policy() = default;

std::size_t Policy::memory_bytes(const PolicyConfig& config) noexcept {
  return BoundedTable<Suspect>::bytes(config.suspects_max) +
         BoundedTable<SuspectNetwork>::bytes(kNetworks) + BoundedTable<Victim>::bytes(kVictims);
}

void Policy::populate() noexcept {
  impl_->suspects.populate();
  impl_->networks.populate();
  impl_->victims.populate();
}

void Policy::decide(std::span<const Context> contexts, const float* scores,
                    Decision* decisions) noexcept {
  Impl& my = *impl_;
  LookAhead sources(my.suspects, contexts.size(),
                    [&](std::size_t i) { return my.hash(contexts[i].source); });
  for (std::size_t i = 0; i < contexts.size(); ++i)
    decisions[i] = my.decide(contexts[i], scores[i], sources.next());
}

Decision Policy::decide(const Context& context, float score) noexcept {
  return impl_->decide(context, score, impl_->hash(context.source));
}

void Policy::forgive(const Address& address) noexcept {
  const std::uint64_t hash = impl_->hash(address);
  impl_->suspects.erase(address, hash);
  impl_->networks.erase(address, hash);
  impl_->victims.erase(address, hash);
}

void Policy::swap_allow(PrefixSet& allow) noexcept { std::swap(impl_->allow, allow); }

PolicyCounters Policy::counters() const noexcept {
  PolicyCounters counters = impl_->counters;
  counters.suspects = impl_->suspects.size();
  counters.suspects_evicted = impl_->suspects.evicted();
  return counters;
}

Address blocked_address(const Context& context, const Decision& decision) noexcept {
  switch (decision.target) {
    case Target::source:
      return context.source;
    case Target::network:
      return network_of(context.source);
    case Target::victim:
      break;
  }
  // A victim's block is made by a packet to it, and made anew by a search of its own.
  return context.side == Side::lan ? context.source : context.destination;
}

}  // namespace weir::detect
