// SPDX-License-Identifier: BSD-2-Clause
/// Flows that merely use the port number: a packet of the LAN that is no SSDP opens one, and what
/// comes back on the same four numbers belongs to it.
///
/// Time      open for `kOpen` after the LAN's latest packet: what NATs grant a UDP flow (RFC 4787,
///           4.3 asks for two minutes at least).
/// Forgery   only the LAN opens flows, so a stranger cannot make one; a packet that is SSDP never
///           belongs to one.
/// Threads   one owner.
#pragma once

#include "base/address.h"
#include "detect/bounded_table.h"

namespace weir::detect {

class Flows {
 public:
  static constexpr Nanoseconds kOpen = std::chrono::minutes(3);

  struct Flow {
    Address lan, wan;
    std::uint16_t lan_port = 0, wan_port = 0;
    friend bool operator==(const Flow&, const Flow&) = default;
  };

  Flows(std::uint32_t entries, std::uint64_t seed) : seed_(seed), table_(entries) {}

  void open(const Flow& flow, PacketTime now) noexcept {
    bool fresh = false;
    Entry& entry = table_.touch(flow, hash(flow), now, fresh);
    if (fresh) entry.opened = now;
    entry.from_lan = now;
  }
  [[nodiscard]] bool is_open(const Flow& flow, PacketTime now) noexcept {
    const Entry* entry = table_.find(flow, hash(flow));
    return entry != nullptr && now - entry->from_lan <= kOpen;
  }

  void populate() noexcept { table_.populate(); }  ///< as BoundedTable's
  static constexpr std::size_t bytes(std::uint32_t entries) noexcept {
    return BoundedTable<Entry>::bytes(entries);
  }

 private:
  struct Entry {
    using Key = Flow;
    Key key;
    PacketTime opened, from_lan;
    [[nodiscard]] bool lasting(PacketTime now) const noexcept {
      return now - opened >= std::chrono::seconds(10);
    }
  };
  [[nodiscard]] std::uint64_t hash(const Flow& flow) const noexcept {
    const std::uint64_t ports = (std::uint64_t{flow.lan_port} << 16U) | flow.wan_port;
    return flow.wan.hash(flow.lan.hash(seed_ ^ (ports * 0x9e3779b97f4a7c15ULL)));
  }

  const std::uint64_t seed_;
  BoundedTable<Entry> table_;
};

}  // namespace weir::detect
