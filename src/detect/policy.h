// SPDX-License-Identifier: BSD-2-Clause
/// The rules that turn scores into verdicts, and repeated evidence into blocks.
///
/// Shape     a bounded table of suspects, by source; allocated once.
/// Order     packets in arrival order; decisions depend on packets, scores and packet time alone.
/// Rules     in this order:
///           1. an allowlisted source is forwarded, always;
///           2. a blocked source is dropped until its block expires, whatever it sends: the kernel
///              does the same, so a verdict does not depend on when a block gets there;
///           3. solicited replies and flows that the LAN opened are forwarded and no evidence;
///           4. a score from `threshold` on drops the packet, and is evidence against its source.
/// Blocks    never on one packet: its address may be forged. `evidence_packets` within
///           `evidence_ms` of the first of them make a block; each further block of a source that
///           is still remembered is twice as long as its last.
///           No evidence against whoever may not be its sender or cannot help it: an address that
///           lives on the other side (`Context::wrong_side`); a LAN device that answers what it was
///           asked (the search was the attack: blocking the device would cut it off); an answer to
///           a search from its own side (`Context::asked_same_side`: such a search may be forged,
///           so the packet is judged as any other).
/// Again     a packet of a blocked source that comes 250 ms or more after the decision orders its
///           block once more: a full queue, or a kernel that refused, loses a block only for so
///           long.
/// Threads   one owner at a time (the serial decide node).
/// Errors    none at run time; bounds are counted.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/address.h"
#include "base/clock.h"
#include "detect/context.h"

namespace weir::detect {

/// Why a packet got its verdict: one list for logs, `weir replay`, block reasons and the README.
/// Numbers are never reused.
#define WEIR_REASONS(X)                                                                \
  X(0, clean, "scored below the threshold")                                            \
  X(1, allowed, "its source is on the allowlist")                                      \
  X(2, solicited, "answers a search that the other side sent")                         \
  X(3, client_flow, "no SSDP: a flow that the LAN opened from or to this port number") \
  X(4, scored, "scored as an attack")                                                  \
  X(5, blocked, "its source is blocked")                                               \
  X(6, shed, "not judged: every batch of its channel was in use (overload action)")    \
  X(7, shadow, "would have been dropped, but mode is shadow")

enum class Reason : std::uint8_t {
#define WEIR_REASON_CLASS(number, name, help) name = number,
  WEIR_REASONS(WEIR_REASON_CLASS)
#undef WEIR_REASON_CLASS
};
const char* name(Reason reason) noexcept;
const char* help(Reason reason) noexcept;
struct ReasonInfo {
  Reason reason;
  const char* name;
  const char* help;
};
/// All of them, by number.
std::span<const ReasonInfo> all_reasons() noexcept;

struct PolicyConfig {
  float threshold = 0.5F;  ///< score from which a packet is dropped
  std::uint32_t evidence_packets =
      3;  ///< attack packets of one source within the window before it is blocked (at least 2)
  std::uint32_t evidence_ms = 10'000;  ///< the window
  std::uint32_t block_ms = 600'000;    ///< the first block's length; each repeat doubles it
  std::uint32_t block_max_ms = 86'400'000;
  std::uint32_t suspects_max = 262'144;
  std::uint32_t blocks_per_s = 100'000;  ///< budget of new blocks a second of packet time
  bool scope_all = false;
  bool shadow = false;  ///< judge and report, drop nothing, block nothing
  std::vector<Prefix> allow;
  std::uint64_t hash_seed = 0x77656972;
};

struct Decision {
  Verdict verdict = Verdict::forward;
  Reason reason = Reason::clean;
  bool block = false;         ///< put its source on the blocklist now
  std::uint32_t strikes = 0;  ///< with `block`: how often it was blocked before
  PacketTime expires;         ///< with `block`
  PacketTime first_seen;      ///< with `block`: the source's first packet that userspace saw
};

struct PolicyCounters {
  std::uint64_t suspects = 0, suspects_evicted = 0, blocks = 0, blocks_over_budget = 0;
};

class Policy {
 public:
  explicit Policy(const PolicyConfig& config);
  ~Policy();
  Decision decide(const Context& context, float score) noexcept;
  /// A block that an administrator removed: forgets the source.
  void forgive(const Address& source) noexcept;
  /// Replaces the allowlist: what an administrator changed while weir runs.
  void set_allow(std::vector<Prefix> allow) noexcept;
  [[nodiscard]] PolicyCounters counters() const noexcept;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace weir::detect
