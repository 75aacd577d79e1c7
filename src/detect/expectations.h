// SPDX-License-Identifier: BSD-2-Clause
/// Who asked? A search opens an expectation of (searcher's address, port), and replies that come to
/// it are solicited, within limits.
///
/// Time      an answer is due within MX, the seconds that the search allows (1 where it says none,
///           as to one address), and `kSlack`: all but one of the devices that were measured keep
///           to that. The exception takes up to 22 s, so a search stays open for
///           `TableConfig::expectation_ms`; what comes after the due time is late: still wanted,
///           but with fewer places for strangers.
/// Replies   from any source after a multicast search, else only from an address that was asked;
///           from any port (most devices answer from an ephemeral one).
/// Limits    an open expectation is no free pass for whoever guesses its port while it is open:
///           - `kSourcesMax` sources an expectation, first come: the largest LAN segments have some
///             dozens of UPnP devices. A source that is known for longer (lasting, and not itself
///             under suspicion) is let in beyond that, so that a flood of strangers onto the very
///             port cannot crowd out the device that was asked.
///           - of these, `kLateSourcesMax` whose first answer is late.
///           - `kRepliesPerSource` replies a source: a media server answers ssdp:all with up to 28
///             messages, sent two or three times.
///             One that is known for longer may send `kRepliesPerKnown`: a relay between networks
///             answers for all devices behind it.
///           - `kRepliesMax` replies in all.
///           - none from a source that has lately sent what nobody asked for: reflectors of a flood
///             that began before the search are never let in (one that is known for longer may have
///             sent up to `kSuspicionKnown`: late replies come in bursts).
///           What is beyond a limit is not dropped for that: it is unsolicited, and judged as such.
///           A new multicast search starts the limits anew.
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
  static constexpr Nanoseconds kSlack = std::chrono::seconds(2);
  static constexpr unsigned kRepliesPerSource = 96;
  static constexpr unsigned kRepliesPerKnown = 255;
  static constexpr unsigned kRepliesMax = 1'024;
  /// Faded count of unasked packets of a source from which it is under suspicion.
  static constexpr float kSuspicion = 3;
  static constexpr float kSuspicionKnown = 16;

  Expectations(std::uint32_t entries, Nanoseconds open_for, std::uint64_t seed)
      : open_for_(open_for), seed_(seed), table_(entries) {}

  /// A search from `searcher`:`port` to `asked` (a group, or one address); `mx_s` is below zero
  /// where it says none.
  void open(const Address& searcher, std::uint16_t port, const Address& asked, int mx_s,
            PacketTime now) noexcept;

  /// What a reply's source is known for.
  struct Standing {
    float unsolicited = 0;  ///< faded count of what it sent without being asked
    bool known = false;     ///< lasting in the source table
  };
  struct Admission {
    bool wanted = false;
    bool late = false;    ///< wanted, but after its due time
    Nanoseconds delay{};  ///< since the search, where there is one
  };
  /// Whether a packet from `source` to `searcher`:`port` was asked for; counts it if so.
  Admission admit(const Address& searcher, std::uint16_t port, const Address& source,
                  Standing standing, PacketTime now) noexcept;

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
    std::uint16_t replies = 0;
    bool any_source = false;
    std::uint8_t sources = 0;
    std::uint8_t late_sources = 0;
    std::uint8_t mx_s = 1;
    std::array<std::uint32_t, kSourcesMax> slots{};  // 24 bits of a source's hash, 8 bits of count
    [[nodiscard]] bool lasting(PacketTime /*now*/) const noexcept { return false; }
  };

  [[nodiscard]] std::uint64_t hash(const Address& address, std::uint16_t port) const noexcept {
    return address.hash(seed_ ^ (port * 0x9e3779b97f4a7c15ULL));
  }
  [[nodiscard]] std::uint32_t fingerprint(const Address& source) const noexcept {
    return static_cast<std::uint32_t>(source.hash(~seed_) >> 40U) << 8U;
  }
  static std::uint32_t* slot_of(Entry& entry, std::uint32_t fingerprint) noexcept;

  const Nanoseconds open_for_;
  const std::uint64_t seed_;
  BoundedTable<Entry> table_;
};

}  // namespace weir::detect
