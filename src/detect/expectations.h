// SPDX-License-Identifier: BSD-2-Clause
/// Who asked? A search opens an expectation of (searcher's address, port), and replies that come to
/// it are solicited, within limits.
///
/// Time      an answer is due within MX, the seconds that the search allows (1 where it says none,
///           as to one address), and `kSlack`: all but one of the devices that were measured keep
///           to that. The exception takes up to 22 s, so a search stays open for
///           `TableConfig::expectation_ms`; what comes after the due time is late: still wanted,
///           but with fewer places for strangers.
/// Replies   from any source after a search to a group, else from an address that was asked, and,
///           while they are due, from `kTwinsMax` others: a host with two addresses is asked at the
///           one and answers from the other. From any port (most devices answer from an ephemeral
///           one).
/// Limits    an open expectation is no free pass for whoever guesses its port while it is open.
///           A source that is known for longer (lasting in the source table, and before its
///           destination was flooded) may send `kRepliesPerKnown` replies: a relay between networks
///           answers for all devices behind it; all of them together `kRepliesMax`. Strangers have
///           less:
///           - `kRepliesUnderFlood` in all while their destination is flooded, but for who was asked
///             by address: an attack is under way, and most devices of the network are known;
///           - `kSourcesMax` of them an expectation, first come, of which `kLateSourcesMax` whose
///             first answer is late, and `kRepliesPerStranger` each: a media server answers ssdp:all
///             with up to 28 messages, sent two or three times;
///           - `kRepliesOfStrangers` in all, and `kStrangersPerKnown` for each reply of a known
///             source, from however many: where a network answers of which the box knows a part,
///             the rest is likely to be of that network as well.
///           Nor is anybody let in who has lately sent what nobody asked for: reflectors of a flood
///           that began before the search (one that is known for longer may have sent up to
///           `kSuspicionKnown`: late replies come in bursts).
///           What is beyond a limit is not dropped for that: it is unsolicited, and judged as such.
///           A new search to a group starts the limits anew.
/// Owner     two of these: what the LAN asked and what the WAN asked, so that a flood of searches
///           from the WAN cannot evict what the LAN waits for.
/// Threads   one owner.
#pragma once

#include <array>

#include "base/address.h"
#include "detect/bounded_table.h"

namespace weir::detect {

class Expectations {
 public:
  static constexpr unsigned kSourcesMax = 64;
  static constexpr unsigned kLateSourcesMax = 16;
  static constexpr unsigned kTwinsMax = 4;
  static constexpr Nanoseconds kSlack = std::chrono::seconds(2);
  static constexpr unsigned kRepliesPerStranger = 96;
  static constexpr unsigned kRepliesOfStrangers = 384;
  static constexpr unsigned kRepliesUnderFlood = 64;
  static constexpr unsigned kStrangersPerKnown = 16;
  static constexpr unsigned kRepliesPerKnown = 1'023;
  static constexpr unsigned kRepliesMax = 4'096;
  /// Faded count of unasked packets of a source from which it is under suspicion.
  static constexpr float kSuspicion = 3;
  static constexpr float kSuspicionKnown = 16;

  Expectations(std::uint32_t entries, Nanoseconds open_for, std::uint64_t seed)
      : open_for_(open_for), seed_(seed), table_(entries) {}

  /// Who was asked: one address, or whoever hears it (a group, a broadcast).
  struct Asked {
    Address one;
    bool anyone = false;
  };
  /// A search from `searcher`:`port`; `mx_s` is below zero where it says none.
  void open(const Address& searcher, std::uint16_t port, const Asked& asked, int mx_s,
            PacketTime now) noexcept;

  /// What a reply's source, and its destination, are known for.
  struct Standing {
    float unsolicited = 0;  ///< faded count of what the source sent without being asked
    bool known = false;     ///< the source is, for longer
    bool flooded = false;   ///< the destination is, with what it did not ask for
  };
  struct Admission {
    bool wanted = false;
    bool due = false;     ///< wanted or not, there is a search, and its due time is not over
    bool late = false;    ///< wanted or not, there is a search, and its due time is over
    Nanoseconds delay{};  ///< since the search, where there is one
  };
  /// Whether a packet from `source` to `searcher`:`port` was asked for; counts it if so.
  Admission admit(const Address& searcher, std::uint16_t port, const Address& source,
                  Standing standing, PacketTime now) noexcept;

  void populate() noexcept { table_.populate(); }  ///< as BoundedTable's
  static constexpr std::size_t bytes(std::uint32_t entries) noexcept {
    return BoundedTable<Entry>::bytes(entries);
  }

  [[nodiscard]] std::uint64_t size() const noexcept { return table_.size(); }
  [[nodiscard]] std::uint64_t evicted() const noexcept { return table_.evicted(); }

 private:
  struct Endpoint {
    Address address;
    std::uint16_t port = 0;
    friend bool operator==(const Endpoint&, const Endpoint&) = default;
  };
  struct Entry {
    using Key = Endpoint;
    Key key;
    PacketTime searched;
    std::uint16_t replies = 0, replies_of_strangers = 0;
    bool anyone = false;
    std::uint8_t sources = 0;
    std::uint8_t late_sources = 0;
    std::uint8_t twins = 0;
    std::uint8_t mx_s = 1;
    std::array<std::uint32_t, kSourcesMax> slots{};  // 22 bits of a source's hash, 10 bits of count
    [[nodiscard]] bool lasting(PacketTime /*now*/) const noexcept { return false; }
  };

  [[nodiscard]] std::uint64_t hash(const Address& address, std::uint16_t port) const noexcept {
    return address.hash(seed_ ^ (port * 0x9e3779b97f4a7c15ULL));
  }
  static constexpr unsigned kCountBits = 10;
  static constexpr std::uint32_t kCountMask = (1U << kCountBits) - 1;
  static_assert(kRepliesPerKnown <= kCountMask);
  [[nodiscard]] std::uint32_t fingerprint(const Address& source) const noexcept {
    return static_cast<std::uint32_t>(source.hash(~seed_) >> 32U) & ~kCountMask;
  }
  static std::uint32_t* slot_of(Entry& entry, std::uint32_t fingerprint) noexcept;
  static bool has_room(Entry& entry, Standing standing, bool late) noexcept;
  static unsigned earned_by_known(const Entry& entry) noexcept {
    return kStrangersPerKnown * (entry.replies - entry.replies_of_strangers);
  }

  const Nanoseconds open_for_;
  const std::uint64_t seed_;
  BoundedTable<Entry> table_;
};

}  // namespace weir::detect
