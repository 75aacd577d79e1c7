// SPDX-License-Identifier: BSD-2-Clause
/// A packet's row while it is made: each feature that needs nothing but the packet, its context, or
/// an entry that the extractor holds anyway.
///
/// Shape     `Row`: a cell for each feature of feature_list.h, whether a model wants it or not.
/// Threads   pure functions.
#pragma once

#include <algorithm>
#include <array>

#include "detect/context.h"
#include "detect/destination_table.h"
#include "detect/expectations.h"
#include "detect/feature_list.h"
#include "detect/source_table.h"
#include "packet/frame.h"
#include "packet/headers.h"
#include "packet/ssdp.h"

namespace weir::detect {

inline constexpr float kAgeMost_s = 3600;
inline constexpr double kTick_s = static_cast<double>(1ULL << kTickShift) * 1e-9;

using Row = std::array<float, kFeatures>;

/// Named access to a row under construction.
class RowWriter {
 public:
  explicit RowWriter(Row& row) noexcept : row_(row) {}
  void set(Feature feature, float value) noexcept {
    row_[static_cast<std::size_t>(feature)] = value;
  }
  void set(Feature feature, bool value) noexcept {
    set(feature, static_cast<float>(static_cast<int>(value)));
  }

 private:
  Row& row_;
};

inline void fill_packet(Row& row, const Context& context, const packet::Headers& headers,
                        const packet::Ssdp& ssdp, bool wants_location) noexcept {
  RowWriter out(row);
  out.set(Feature::payload_bytes, static_cast<float>(headers.payload_length));
  out.set(Feature::ttl, static_cast<float>(headers.ttl));
  out.set(Feature::is_search, ssdp.method == packet::Method::search);
  out.set(Feature::is_notify, ssdp.method == packet::Method::notify);
  out.set(Feature::is_reply, ssdp.method == packet::Method::reply);
  out.set(Feature::is_malformed, ssdp.method == packet::Method::malformed);
  out.set(Feature::header_lines, static_cast<float>(ssdp.headers));
  out.set(Feature::anomalies, static_cast<float>(SecondsSeen::ones(ssdp.anomalies)));
  out.set(Feature::asks_all,
          ssdp.method == packet::Method::search && ssdp.target == packet::Target::all);
  out.set(Feature::from_port_1900, headers.source_port == 1900);
  out.set(Feature::to_port_1900, headers.destination_port == 1900);
  out.set(Feature::to_multicast, context.multicast);
  out.set(Feature::from_lan, context.side == Side::lan);
  out.set(Feature::mx_s, static_cast<float>(std::max<int>(ssdp.mx, 0)));
  out.set(Feature::is_byebye, ssdp.byebye);
  out.set(Feature::has_banner, !ssdp.server.empty());
  be32 host;
  out.set(Feature::location_elsewhere, wants_location && packet::location_v4(ssdp.location, host) &&
                                           Address::v4(host) != context.source);
}

inline void fill_header(Row& row, const packet::Frame& frame,
                        const packet::Headers& headers) noexcept {
  packet::HeaderFeatures read;
  packet::header_features(frame.bytes(), headers, WEIR_READING_exact, read);
  for (std::size_t i = 0; i < WEIR_HEADER_FEATURE_COUNT; ++i)
    row[kFirstHeaderFeature + i] = static_cast<float>(read.value[i]);
}

inline void fill_context(Row& row, const Context& context,
                         const Expectations::Admission& admission) noexcept {
  RowWriter out(row);
  out.set(Feature::solicited, context.solicited);
  out.set(Feature::answer_late, context.late);
  out.set(Feature::answer_delay_s,
          std::clamp(static_cast<float>(seconds(admission.delay)), 0.0F, kAgeMost_s));
  out.set(Feature::answer_due, admission.due);
  out.set(Feature::asked_same_side, context.asked_same_side);
  out.set(Feature::client_flow, context.client_flow);
  out.set(Feature::wrong_side, context.wrong_side);
  out.set(Feature::search_blind, context.blind);
}

inline float gap_s(std::uint32_t ticks) noexcept {
  return std::min(static_cast<float>(ticks * kTick_s), kAgeMost_s);
}

inline void fill_source(Row& row, const Context& context, const SourceEntry& source,
                        float gap_s) noexcept {
  RowWriter out(row);
  const double age_s = seconds(context.time - source.first_seen);
  out.set(Feature::source_packets, source.packets);
  out.set(Feature::source_bytes, source.bytes);
  out.set(Feature::source_packets_long, source.packets_long);
  out.set(Feature::source_unsolicited, source.unsolicited);
  out.set(Feature::source_searches, source.searches);
  out.set(Feature::source_notifies, source.notifies);
  out.set(Feature::source_broken, source.broken);
  out.set(Feature::source_age_s, std::clamp(static_cast<float>(age_s), 0.0F, kAgeMost_s));
  out.set(Feature::source_gap_s, gap_s);
  out.set(Feature::source_seconds, source.seconds.count());
  out.set(Feature::source_wanted, source.wanted);
}

inline void fill_destination(Row& row, const Context& context,
                             DestinationEntry& destination) noexcept {
  RowWriter out(row);
  out.set(Feature::destination_packets, destination.packets);
  out.set(Feature::destination_bytes, destination.bytes);
  out.set(Feature::destination_unsolicited, destination.unsolicited);
  out.set(Feature::destination_searches, destination.searches);
  out.set(Feature::destination_new_sources, destination.new_sources);
  out.set(Feature::destination_wanted, destination.wanted);
  out.set(Feature::destination_seconds, destination.seconds.count());
  out.set(Feature::destination_ports, destination.ports.at(context.time));
  const std::uint32_t since =
      static_cast<std::uint32_t>(tick(context.time)) - destination.searched_ticks;
  out.set(Feature::destination_search_age_s, destination.searched ? gap_s(since) : kAgeMost_s);
}

}  // namespace weir::detect
