// SPDX-License-Identifier: BSD-2-Clause
/// What the policy dropped, or would have dropped in shadow: by rule and by source, how much of it
/// had been asked for, and the row that decided each block. The source of `weir report` and `weir
/// why`, live and in replays.
///
/// Shape     a tally for each rule; a bounded table of tallies by source (bounded_table.h: sources
///           that were dropped in several packets over 10 s are kept before others); a ring of the
///           last `blocks_max` blocks, with their rows. Allocated once.
/// Asked for a dropped packet that was solicited or belonged to a flow of the LAN: what a wrong block
///           costs. It is dropped only because its source or network is blocked. What the kernel
///           drops by a block is not seen here; blocks count their own hits.
/// Threads   `note` by the policy's owner, a batch at a time; `snapshot` and `find` by anyone, who
///           hold it up for the time of a copy. One lock a batch with something to note.
#pragma once

#include <algorithm>
#include <array>
#include <mutex>
#include <optional>
#include <span>
#include <vector>

#include "detect/bounded_table.h"
#include "detect/context.h"
#include "detect/policy.h"

namespace weir::detect {

struct RuleTally {
  std::uint64_t packets = 0;
  std::uint64_t asked_for = 0;
};

struct SourceTally {
  using Key = Address;
  Key key;
  PacketTime first, last;                             // that were dropped
  std::array<std::uint32_t, kReasonSlots> packets{};  // by rule, saturating
  std::uint32_t asked_for = 0;
  std::uint32_t blocks = 0;
  std::uint32_t total = 0;

  [[nodiscard]] bool lasting(PacketTime now) const noexcept {
    return blocks > 0 || (total >= 4 && now - first >= std::chrono::seconds(10));
  }
};

/// A block, and what it was made on.
struct Evidence {
  Address address;  ///< what is blocked: a source, a network or a victim
  Context context;  ///< of the packet that decided
  Decision decision;
  float score = 0;
  std::uint64_t packet = 0;  ///< its number: of its channel live, of the replay there
  std::vector<float> row;    ///< by extracted feature
};

struct LedgerConfig {
  std::size_t columns = 0;  ///< features of a row
  std::uint32_t sources_max = 4'096;
  std::uint32_t blocks_max = 1'024;
  std::uint64_t hash_seed = 0x77656972;
};

class Ledger {
 public:
  explicit Ledger(const LedgerConfig& config);
  static std::size_t memory_bytes(const LedgerConfig& config) noexcept;

  /// A batch that was decided; `numbers` of its packets, `columns[f][i]` the rows.
  struct Judged {
    std::span<const Context> contexts;
    std::span<const Decision> decisions;
    std::span<const float> scores;
    const float* const* columns = nullptr;
  };
  /// `number(i)` of packet i.
  template <typename Number>
  void note(const Judged& judged, Number number) noexcept {
    const auto is_noted = [](const Decision& decision) {
      return is_drop(decision.rule) || decision.block || decision.would_block;
    };
    if (std::none_of(judged.decisions.begin(), judged.decisions.end(), is_noted)) return;
    const std::lock_guard lock(mutex_);
    LookAhead sources(sources_, judged.decisions.size(), [&](std::size_t i) {
      return judged.contexts[i].source.hash(config_.hash_seed);
    });
    for (std::size_t i = 0; i < judged.decisions.size(); ++i) {
      const std::uint64_t source_hash = sources.next();
      if (is_noted(judged.decisions[i])) note_one(judged, i, source_hash, number(i));
    }
  }

  void populate() noexcept { sources_.populate(); }  ///< as BoundedTable's

  struct Snapshot {
    std::array<RuleTally, kReasonSlots> rules{};  ///< by Reason
    std::vector<SourceTally> sources;             ///< the most packets first
    std::uint64_t sources_forgotten = 0;          ///< for want of room
    std::uint64_t blocks = 0;                     ///< made, since the start
  };
  [[nodiscard]] Snapshot snapshot() const;

  /// The latest block of this address, or of the network that it is in; none where it was never
  /// blocked, or so long ago that `blocks_max` others came after it.
  [[nodiscard]] std::optional<Evidence> find(const Address& address) const;
  [[nodiscard]] std::optional<SourceTally> tally(const Address& source) const;
  [[nodiscard]] std::uint32_t blocks_max() const noexcept { return config_.blocks_max; }

 private:
  struct Kept {  // an `Evidence`, its row elsewhere
    Address address;
    Context context;
    Decision decision;
    float score = 0;
    std::uint64_t packet = 0;
  };

  void note_one(const Judged& judged, std::size_t i, std::uint64_t source_hash,
                std::uint64_t number) noexcept;
  void keep(const Judged& judged, std::size_t i, std::uint64_t number) noexcept;
  [[nodiscard]] Evidence evidence(std::size_t slot) const;

  const LedgerConfig config_;
  mutable std::mutex mutex_;  // of all that follows
  std::array<RuleTally, kReasonSlots> rules_{};
  mutable BoundedTable<SourceTally> sources_;
  std::vector<Kept> blocks_;  // a ring
  std::vector<float> rows_;   // of blocks_, by slot
  std::uint64_t made_ = 0;
};

}  // namespace weir::detect
