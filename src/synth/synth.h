// SPDX-License-Identifier: BSD-2-Clause
/// Labelled traffic for tests, training and demonstrations: what crosses a box between a WAN and a
/// LAN when devices announce themselves, control points search, clients happen to use port 1900,
/// and attackers attack.
///
/// Shape     a discrete simulation: scenarios run side by side over hosts on both sides, and every
///           packet that crosses the box comes out in order of time with what it truly is.
/// Model     payloads are put together from the banners of some forty stacks and devices
///           (profiles.h); timing, sizes, source counts and TTLs follow what was measured on real
///           captures. A reflected reply has the same bytes as a wanted one: only its context
///           differs, as in life.
/// Repeats   the same options give the same bytes, on any machine.
/// Frames    Ethernet with valid IP and UDP checksums; 802.1Q, QinQ or PPPoE session on request.
/// Units     packet time: ns since 1970, from `kStart` on.
/// Errors    an unknown scenario, or a prefix without room, with what is possible.
/// Threads   pure functions.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "base/address.h"
#include "base/clock.h"
#include "base/result.h"
#include "base/types.h"
#include "io/capture.h"

namespace weir::synth {

/// 2026-01-01 00:00:00 UTC.
inline constexpr PacketTime kStart{1'767'225'600'000'000'000ULL};

struct ScenarioInfo {
  const char* name;
  bool attack;
  const char* help;
};
/// All scenarios, benign ones first.
std::span<const ScenarioInfo> scenarios() noexcept;

enum class Encapsulation : std::uint8_t { none, vlan, qinq, pppoe };

struct Options {
  std::vector<std::string> scenarios = {"devices", "discovery", "clients", "reflection"};
  std::uint64_t seed = 1;
  double seconds = 10;        ///< of packet time
  std::uint64_t packets = 0;  ///< stop after so many; 0: only time ends it
  double rate_pps =
      20'000;  ///< of each attack scenario when it has ramped up (slow ones: a part of it)
  double attack_share = 0;    ///< at most this share of all packets are attack packets; 0: no limit
  double attack_after_s = 1;  ///< when attacks begin
  std::uint32_t attackers = 1'000;     ///< reflectors or bots of each attack scenario
  std::uint32_t devices_a_side = 12;   ///< UPnP devices on each side
  std::uint32_t searchers_a_side = 6;  ///< control points on each side
  Prefix lan{Address::v4(be32::from_host(0xc0a80100)), 24};  ///< IPv4 of the LAN side: /8 to /28
  bool ipv6 = false;  ///< IPv6 throughout: LAN fd77::/64, WAN 2001:db8:51::/48 and the Internet
  Encapsulation encapsulation = Encapsulation::none;
  std::vector<std::string> only;     ///< devices, control points or families that exist; empty: all
  std::vector<std::string> without;  ///< and those that do not
};

/// What a packet truly is.
struct Truth {
  bool attack = false;
  const char* kind = "";  ///< the scenario, or the part of it ("quic", "dns", ...)
  Side side = Side::wan;  ///< the interface of the box that it comes in by
};

/// Called for each packet, in order of time; the bytes are valid during the call; false stops.
using Sink = std::function<bool(const io::CapturedPacket&, const Truth&)>;
Status generate(const Options& options, const Sink& sink);

struct Written {
  std::uint64_t packets = 0, attack_packets = 0;
};
/// Writes a capture. pcapng: interfaces "wan" and "lan", and each packet with the comment
/// "label=attack kind=reflection". pcap: beside it the file PATH.labels.csv with
/// number,side,label,kind (number from 0).
Result<Written> write(const Options& options, const std::string& path, io::CaptureFormat format);

}  // namespace weir::synth
