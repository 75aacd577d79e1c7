// SPDX-License-Identifier: BSD-2-Clause
/// The rules that turn scores into verdicts, and repeated evidence into blocks.
///
/// Shape     bounded tables of suspects by source, by network (/24 or /64) and by victim; allocated
///           once.
/// Order     packets in arrival order; decisions depend on packets, scores and packet time alone.
/// Rules     in this order:
///           1. an allowlisted source is forwarded, always;
///           2. a blocked source or network is dropped until its block expires, whatever it sends:
///              the kernel does the same, so a verdict does not depend on when a block gets there;
///           3. solicited replies and flows that the LAN opened are forwarded and no evidence;
///           4. what SSDP never is, whoever sends it (`impossible`), is dropped;
///           5. what is not legitimate in its direction (`ScopeRules`) is dropped;
///           6. unasked SSDP to a blocked victim is dropped;
///           7. a score from `threshold` on drops the packet; what is no SSDP, though, by `others`:
///              in floods, only while its source or destination has `other_packets` unasked ones in
///              the short window, for a flow of another protocol whose first packets came from
///              outside is no flood; or by the score alone, for a model of all UDP. Nor is
///              an answer that is due: only numbers tell whether there are too many of them (10).
///              And an answer that nobody asked for is `spared`, and no evidence, while it is one
///              of few: its destination has `late_answers` unasked ones at most in the long window,
///              and its side as many that are accused in the short one. The search may have gone
///              another way, or lie longer back than the box remembers. So is an answer to a search of its
///              own side, until its destination gets `crowd_packets` in the short window: two hosts
///              of one segment talk, or somebody wants it to look like that;
///           8. one source may send `group_searches` searches and `group_notifies` announcements to
///              groups in the short window, and `repeated_searches` to each single address that it
///              asks in the long one: nobody needs the same answer over and over but who wants it
///              sent to somebody else;
///           9. a search to one address from which no device was ever heard (`Context::blind`) is
///              dropped beyond `blind_searches` of its side in the long window. Where there is a
///              device, it answers the first of them, and is heard from then on: so this stops
///              scans, and nobody who looks for what is there;
///           10. strangers in numbers are dropped: what nobody asked for to an address that is
///              flooded with that (`Context::flooding`), and, from `crowd_packets` a side in the
///              short window on, searches to a group, announcements to a group, and what comes to
///              ports that nobody searched from (crowd.h): floods of forged sources, carpets over a
///              prefix. Who lately answered what it was asked is no stranger to a group. Nobody is
///              dropped as a stranger in the first 7 s after the first packet of all, the time that
///              the answers to one search take (MX is 5 at most, UPnP Device Architecture 2.0,
///              1.3.2): until then a box knows nobody, and a campus looks like a crowd.
///           4, 5, 7 and 8 are evidence against the source; 6, 9 and 10 speak of many, among whom
///           may be anybody.
/// Clears    only context does: that someone asked (3), or time. A clean packet takes nothing of the
///           evidence away, and what a sender sets freely can only raise a score
///           (pipeline/guard.h), so no TTL and no banner clears anybody.
/// Sources   never on one packet: its address may be forged. `evidence_packets` within `evidence_ms`
///           make a block if they are spread over `evidence_span_ms` or more (a device announces
///           itself by bursts of up to 52 packets, so many at once say little), or if there are
///           `burst_packets` of them, however quick. A source that lately answered what it was asked
///           needs `trusted_times` as many. Each further block of a source that is still remembered
///           is twice as long as its last, up to `block_max_ms`.
///           No evidence against whoever may not be its sender or cannot help it: an address that
///           lives on the other side (`Context::wrong_side`); with `immune_lan`, a source of the
///           LAN, where a block would cut off a device of one's own; a LAN device that answers what
///           it was asked (the search was the attack); an answer to a search from its own side
///           (such a search may be forged, so the packet is judged as any other).
/// Networks  where `network_sources` blocks of sources of one network fall into an hour, the last of
///           them is of the network. Never one that holds an allowed or immune prefix, or
///           whose hosts lately answered what they were asked.
/// Victims   where `victim_sources` sources attack one LAN address at once, blocks go to that
///           address: it gets no SSDP any more but on the ports that it last searched from, where
///           solicited answers still reach it. One block, whatever number of addresses is forged,
///           and no evidence against any of them.
/// Forgery   every block of the policy is of SSDP alone, and needs more than one packet: the most
///           that forged packets can do to a third party. With `block_all` it is of all that a
///           source sends, and forged packets can cut it off; then no network is blocked.
/// Again     a packet of a blocked source that comes 250 ms or more after the decision orders its
///           block once more: a full queue, or a kernel that refused, loses a block only for so
///           long.
/// Threads   one owner at a time (the serial decide node).
/// Errors    none at run time; bounds are counted.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/address.h"
#include "base/clock.h"
#include "detect/context.h"
#include "detect/prefix_set.h"

namespace weir::detect {

/// Why a packet got its verdict: one list for logs, `weir replay`, `weir report`, block reasons and
/// the README. Numbers are never reused.
#define WEIR_REASONS(X)                                                                     \
  X(0, clean, "scored below the threshold")                                                 \
  X(1, allowed, "its source is on the allowlist")                                           \
  X(2, solicited, "answers a search that the other side sent")                              \
  X(3, client_flow, "no SSDP: a flow that the LAN opened from or to this port number")      \
  X(4, scored, "scored as an attack")                                                       \
  X(5, blocked, "its source is blocked")                                                    \
  X(6, shed, "not judged: every batch of its channel was in use (overload action)")         \
  X(7, shadow, "would have been dropped, but mode is shadow")                               \
  X(8, impossible, "no SSDP in any direction: its addresses, ports or method exclude that") \
  X(9, scope, "not legitimate in its direction, by a rule of section [scope]")              \
  X(10, victim, "unasked SSDP to an address that is under attack")                          \
  X(11, network, "the /24 or /64 of its source is blocked")                                 \
  X(12, limit, "more searches or announcements than one source may send")                   \
  X(13, blind, "a search to one address, of many to where no device was ever heard")        \
  X(14, crowd, "one of a crowd of strangers, to a group or to who did not ask")             \
  X(15, spared,                                                                             \
    "scored as an attack, but one of few unasked answers: its search may not have been seen")

enum class Reason : std::uint8_t {
#define WEIR_REASON_CLASS(number, name, help) name = number,
  WEIR_REASONS(WEIR_REASON_CLASS)
#undef WEIR_REASON_CLASS
};
inline constexpr std::size_t kReasonSlots = 16;  ///< room for the list, by number
const char* name(Reason reason) noexcept;
const char* help(Reason reason) noexcept;
struct ReasonInfo {
  Reason reason;
  const char* name;
  const char* help;
};
/// All of them, by number.
std::span<const ReasonInfo> all_reasons() noexcept;
/// Whether packets are dropped for it (or would be, in shadow).
bool is_drop(Reason reason) noexcept;

/// What is dropped for its direction alone, whatever the forest says. All off is right where SSDP
/// is routed between the sides (a campus); all on where the WAN is the Internet.
struct ScopeRules {
  bool wan_search = false;     ///< a search from the WAN to one address: a scan, or a reflection
  bool wan_multicast = false;  ///< SSDP to a group from the WAN
  bool wan_unasked = false;    ///< a reply or announcement from the WAN that nobody asked for
  bool lan_unasked = false;    ///< a reply of the LAN that the WAN did not ask for
  bool wan_private = false;    ///< from the WAN, by a private or link-local address
};

/// What a score may say of what is no SSDP and of no flow of the LAN.
enum class Others : std::uint8_t {
  floods,  ///< where there are many (`other_packets`)
  pass,    ///< the same where a port is 1900; elsewhere nothing
  model,   ///< everything: the model is one of all UDP
};

struct PolicyConfig {
  float threshold = 0.5F;  ///< score from which a packet is dropped
  /// Rules 2 to 10 are off: what scores above `threshold` is dropped, as a kernel model drops it, and
  /// nothing is evidence.
  bool score_alone = false;
  std::uint32_t evidence_packets = 3;  ///< at least 2
  std::uint32_t evidence_ms = 10'000;
  std::uint32_t evidence_span_ms = 1'000;
  std::uint32_t burst_packets = 64;
  std::uint32_t trusted_times = 10;
  Others others = Others::floods;
  std::uint32_t other_packets = 100;
  std::uint32_t late_answers = 40;    ///< 0: none is spared
  std::uint32_t group_searches = 60;  ///< 0: no limit; so for the next four
  std::uint32_t group_notifies = 400;
  std::uint32_t repeated_searches = 30;
  std::uint32_t blind_searches = 8;
  std::uint32_t crowd_packets = 400;
  std::uint32_t block_ms = 600'000;  ///< the first block's length; each repeat doubles it
  std::uint32_t block_max_ms = 86'400'000;
  std::uint32_t suspects_max = 131'072;
  std::uint32_t blocks_per_s = 100'000;  ///< budget of new blocks a second of packet time
  std::uint32_t network_sources = 16;    ///< 0: networks are never blocked
  std::uint32_t victim_sources = 4'096;  ///< 0: victims are never blocked; at most 30,000
  std::uint32_t victim_block_ms = 60'000;
  bool immune_lan = true;
  bool block_all = false;  ///< blocks of sources are of all that they send
  ScopeRules scope;
  bool shadow = false;  ///< judge and report, drop nothing, block nothing
  std::vector<Prefix> allow;
  std::vector<Prefix> immune;  ///< never blocked: the box's own addresses, its gateways
  std::uint64_t hash_seed = 0x77656972;
};

/// What a block is of. The numbers are those of `weir_target` in bpf/abi.h.
enum class Target : std::uint8_t { source = 0, network = 1, victim = 2 };

inline constexpr std::size_t kOpenPorts = 8;

struct Decision {
  Verdict verdict = Verdict::forward;
  Reason reason = Reason::clean;  ///< as it is counted: `shadow` for all that shadow mode spares
  Reason rule = Reason::clean;    ///< the rule that spoke, in shadow too
  bool block = false;             ///< put `target` on the blocklist now
  bool would_block = false;       ///< the same, but mode is shadow
  bool again = false;             ///< with a block: it was ordered before (see Again above)
  Reason cause = Reason::clean;   ///< with a block: the rule that made it, then and now
  Target target = Target::source;
  bool all = false;           ///< with a block: of all traffic, not of SSDP alone
  std::uint32_t strikes = 0;  ///< with a block: how often it was blocked before
  PacketTime expires;         ///< with a block
  PacketTime first_seen;      ///< with a block: the source's first packet that userspace saw
  /// Of a victim: what it last searched from, host order; 0: none. Else zeros.
  std::array<std::uint16_t, kOpenPorts> open_ports{};
};

/// The address that a decision's block is of: a network's has no host bits.
Address blocked_address(const Context& context, const Decision& decision) noexcept;

struct PolicyCounters {
  std::uint64_t suspects = 0, suspects_evicted = 0, blocks = 0, blocks_over_budget = 0;
  std::uint64_t networks = 0, victims = 0;  ///< blocks of these
};

class Policy {
 public:
  explicit Policy(const PolicyConfig& config);
  ~Policy();
  /// Memory of all its tables, when they are full.
  static std::size_t memory_bytes(const PolicyConfig& config) noexcept;
  void populate() noexcept;  ///< as BoundedTable's

  /// Of each packet in its turn; `scores` and `decisions` have room for as many as `contexts`.
  void decide(std::span<const Context> contexts, const float* scores, Decision* decisions) noexcept;
  Decision decide(const Context& context, float score) noexcept;
  /// A block that an administrator removed: forgets the source, victim or network (given without
  /// host bits) of this address.
  void forgive(const Address& address) noexcept;
  /// Takes another allowlist, and leaves the one before in its place: what an administrator changed
  /// while weir runs is sorted, and what it replaces is freed, by whoever brought it.
  void swap_allow(PrefixSet& allow) noexcept;
  [[nodiscard]] PolicyCounters counters() const noexcept;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace weir::detect
