// SPDX-License-Identifier: BSD-2-Clause
#include "detect/extractor.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <limits>
#include <string_view>

#include "base/nearest.h"
#include "detect/destination_table.h"
#include "detect/expectations.h"
#include "detect/feature_list.h"
#include "detect/flows.h"
#include "detect/network_table.h"
#include "detect/row.h"
#include "detect/source_table.h"

namespace weir::detect {
namespace {

using packet::Method;

template <typename Count>
void count_up(Count& count) noexcept {
  if (count != std::numeric_limits<Count>::max()) ++count;
}

class TableExtractor final : public Extractor {
 public:
  TableExtractor(const TableConfig& config, std::vector<std::uint8_t> wanted)
      : seed_(config.hash_seed),
        open_for_(std::chrono::milliseconds(config.expectation_ms)),
        wan_screened_(config.wan_screened),
        wanted_(std::move(wanted)),
        wants_network_(wants("network_")),
        wants_location_(wants("location_elsewhere")),
        wants_header_(
            std::any_of(wanted_.begin(), wanted_.end(),
                        [](std::uint8_t feature) { return feature >= kFirstHeaderFeature; })),
        sources_(config.sources_max),
        destinations_(config.destinations_max),
        networks_(wants_network_ ? config.networks_max : 1),
        asked_by_{Expectations(config.expectations_max / 4, open_for_, ~config.hash_seed),
                  Expectations(config.expectations_max, open_for_, config.hash_seed)},
        flows_(config.flows_max, config.hash_seed) {}

  void populate() noexcept override {
    sources_.populate();
    destinations_.populate();
    networks_.populate();
    for (Expectations& expectations : asked_by_) expectations.populate();
    flows_.populate();
  }

  void extract(const Packets& packets) noexcept override {
    std::array<Place, kBucketsAhead> places;
    std::array<Row, kRows> rows;
    const std::size_t size = packets.frames.size();
    const auto look_ahead = [&](std::size_t i) noexcept {
      if (i < size) find_place(packets.frames[i], packets.headers[i], places[i % kBucketsAhead]);
    };
    for (std::size_t i = 0; i < kBucketsAhead; ++i) look_ahead(i);
    for (std::size_t i = 0; i < size; ++i) {
      const Place here = places[i % kBucketsAhead];
      look_ahead(i + kBucketsAhead);
      if (i + kEntriesAhead < size) fetch_entries(places[(i + kEntriesAhead) % kBucketsAhead]);
      packets.contexts[i] = extract_next(here, packets.frames[i], packets.headers[i],
                                         packets.ssdp[i], rows[i % kRows]);
      const std::size_t filled = i % kRows + 1;
      if (filled == kRows || i + 1 == size)
        write_rows({rows.data(), filled}, packets.columns, i + 1 - filled);
    }
  }

  [[nodiscard]] TableCounters counters() const noexcept override {
    return {.sources = sources_.size(),
            .sources_evicted = sources_.evicted(),
            .destinations = destinations_.size(),
            .destinations_evicted = destinations_.evicted(),
            .expectations = asked_by_[0].size() + asked_by_[1].size(),
            .expectations_evicted = asked_by_[0].evicted() + asked_by_[1].evicted()};
  }

 private:
  /// Rows that are turned into columns at once: a cache line of each column.
  static constexpr std::size_t kRows = kCacheLine_bytes / sizeof(float);

  /// A packet's addresses, and where the tables keep what they know of them.
  struct Place {
    Address source, destination;
    std::uint64_t source_hash = 0, destination_hash = 0;
  };

  /// Written where it stays: a copy of what was just written, by wider words, waits for all of it.
  void find_place(const packet::Frame& frame, const packet::Headers& headers,
                  Place& place) const noexcept {
    const Address source = packet::source(frame.bytes(), headers);
    const Address destination = packet::destination(frame.bytes(), headers);
    const std::uint64_t source_hash = source.hash(seed_);
    const std::uint64_t destination_hash = destination.hash(seed_);
    sources_.fetch_bucket(source_hash);
    destinations_.fetch_bucket(destination_hash);
    place.source = source;
    place.destination = destination;
    place.source_hash = source_hash;
    place.destination_hash = destination_hash;
  }

  void fetch_entries(const Place& place) const noexcept {
    sources_.fetch_entry(place.source_hash);
    destinations_.fetch_entry(place.destination_hash);
  }

  /// Writes what is wanted of `rows` to the columns, from row `first` on.
  void write_rows(std::span<const Row> rows, float* const* columns,
                  std::size_t first) const noexcept {
    for (std::size_t i = 0; i < wanted_.size(); ++i) {
      float* const column = columns[i] + first;
      const std::size_t feature = wanted_[i];
      if (rows.size() == kRows) [[likely]] {  // a length that is known: no loop is left
        for (std::size_t row = 0; row < kRows; ++row) column[row] = rows[row][feature];
      } else {
        for (std::size_t row = 0; row < rows.size(); ++row) column[row] = rows[row][feature];
      }
    }
  }

  Context extract_next(const Place& place, const packet::Frame& frame,
                       const packet::Headers& headers, const packet::Ssdp& ssdp,
                       Row& values) noexcept {
    Context context = begin(place, frame, headers, ssdp);
    const std::uint64_t source_hash = place.source_hash;
    const std::uint64_t destination_hash = place.destination_hash;
    bool fresh = false;
    SourceEntry& source = sources_.touch(context.source, source_hash, context.time, fresh);
    if (fresh) source.begin(context.time);
    const std::uint32_t gap_ticks = source.fade_to(context.time);
    context.first_seen = source.first_seen;
    context.wrong_side = source.note_side(context.side, context.time, fresh);
    // Before the destination's entry is held: the searcher's may take its place.
    if (context.method == Method::search) note_search(context, source_hash, ssdp.mx);
    DestinationEntry& destination = arrive(context, destination_hash);
    const Expectations::Admission admission = relate(context, source, destination);
    note_device(context, source);

    const bool unasked = is_unasked(context);
    const auto bytes = static_cast<float>(headers.payload_length);
    count_source(source, context, bytes, unasked && !admission.due);
    context.source_wanted = source.wanted;
    count_destination(destination, context, bytes, unasked, fresh);
    context.source_packets = source.packets;
    context.source_alike =
        source.share(context.method == Method::search ? source.searches : source.notifies);
    context.destination_packets = destination.packets;
    context.destination_unsolicited = destination.unsolicited;
    context.flooding = destination.flooded_since != PacketTime{} &&
                       (context.wrong_side || !source.known(destination.flooded_since));
    fill_packet(values, context, headers, ssdp, wants_location_);
    fill_context(values, context, admission);
    fill_source(values, context, source, fresh ? kAgeMost_s : gap_s(gap_ticks));
    fill_destination(values, context, destination);
    count_spread(values, context, source, destination, source_hash, destination_hash);
    if (wants_network_) count_network(values, context, source_hash, destination_hash, unasked);
    if (wants_header_) fill_header(values, frame, headers);
    return context;
  }

  [[nodiscard]] bool wants(std::string_view prefix) const noexcept {
    return std::any_of(wanted_.begin(), wanted_.end(), [&](std::uint8_t feature) {
      return std::string_view(all_features()[feature].name).starts_with(prefix);
    });
  }

  static Context begin(const Place& place, const packet::Frame& frame,
                       const packet::Headers& headers, const packet::Ssdp& ssdp) noexcept {
    Context context;
    context.source = place.source;
    context.destination = place.destination;
    context.time = frame.time;
    context.side = frame.side;
    context.method = ssdp.method;
    constexpr std::uint8_t kGroupBit = 1;  // of an Ethernet address (IEEE 802.3, 3.2.3)
    context.multicast = context.destination.is_multicast() || (frame.bytes()[0] & kGroupBit) != 0;
    context.source_port = headers.source_port;
    context.destination_port = headers.destination_port;
    note_tcp_ports(context, frame, headers);
    return context;
  }

  /// They stand where UDP's do; the parser reads those alone.
  static void note_tcp_ports(Context& context, const packet::Frame& frame,
                             const packet::Headers& headers) noexcept {
    constexpr std::uint32_t kPorts_bytes = 4;
    if (headers.kind != WEIR_KIND_ip || headers.protocol != WEIR_PROTOCOL_TCP ||
        headers.l4_offset + kPorts_bytes > frame.length)
      return;
    context.source_port = weir_be16(frame.data + headers.l4_offset);
    context.destination_port = weir_be16(frame.data + headers.l4_offset + 2);
  }

  void note_search(const Context& context, std::uint64_t source_hash, int mx_s) noexcept {
    if (context.wrong_side) return;  // a forged search would make its victim's port an open door
    asked_by_[index(context.side)].open(context.source, context.source_port,
                                        {.one = context.destination, .anyone = context.multicast},
                                        mx_s, context.time);
    if (context.side != Side::lan) return;
    bool fresh = false;
    DestinationEntry& searcher =
        destinations_.touch(context.source, source_hash, context.time, fresh);
    if (fresh) searcher.begin(context.time);
    searcher.searched = true;
    searcher.searched_ticks = static_cast<std::uint32_t>(tick(context.time));
  }

  /// Who speaks for itself is a device; and whether a search knows of one where it goes.
  void note_device(Context& context, SourceEntry& source) noexcept {
    const bool notify = context.method == Method::notify;
    if ((notify || context.method == Method::reply) && !context.wrong_side) {
      source.device = true;
      source.announced = source.announced || (notify && context.multicast);
    }
    if (context.method != Method::search || context.multicast) return;
    if (wan_screened_ && context.side == Side::lan) return;
    const SourceEntry* const asked =
        sources_.find(context.destination, context.destination.hash(seed_));
    context.blind = asked == nullptr || !asked->device || asked->side == context.side;
  }

  /// What the source of an answer is known for.
  static Expectations::Standing standing(const Context& context, const SourceEntry& source,
                                         const DestinationEntry& destination) noexcept {
    const bool flooded = destination.flooded_since != PacketTime{};
    const PacketTime known_until = flooded ? destination.flooded_since : context.time;
    return {
        .unsolicited = source.unsolicited, .known = source.known(known_until), .flooded = flooded};
  }

  /// How the packet fits to what the other side did before: solicited, client_flow. Returns what
  /// the searches of the other side say of it.
  Expectations::Admission relate(Context& context, const SourceEntry& source,
                                 const DestinationEntry& destination) noexcept {
    if (context.method == Method::notify || context.method == Method::search || context.multicast)
      return {};
    const auto asked_by = [&](Side side, Expectations::Standing standing) noexcept {
      return asked_by_[index(side)].admit(context.destination, context.destination_port,
                                          context.source, standing, context.time);
    };
    const auto admission = asked_by(opposite(context.side), standing(context, source, destination));
    context.solicited = admission.wanted;
    context.late = admission.wanted && admission.late;
    context.due = admission.due;
    context.awaited = admission.due || admission.late;
    // Such an answer has no open door to slip through: who sends it makes no difference.
    context.asked_same_side = !context.solicited && asked_by(context.side, {.known = true}).wanted;
    if (!context.solicited && !context.asked_same_side && context.method == Method::none)
      relate_flow(context);
    return admission;
  }

  void relate_flow(Context& context) noexcept {
    if (context.side == Side::lan) {
      flows_.open({.lan = context.source,
                   .wan = context.destination,
                   .lan_port = context.source_port,
                   .wan_port = context.destination_port},
                  context.time);
      context.client_flow = true;
    } else {
      context.client_flow = flows_.is_open({.lan = context.destination,
                                            .wan = context.source,
                                            .lan_port = context.destination_port,
                                            .wan_port = context.source_port},
                                           context.time);
    }
  }

  /// Searches and announcements to a group need nobody's asking; all else does.
  static bool is_unasked(const Context& context) noexcept {
    if (context.solicited || context.asked_same_side || context.client_flow ||
        context.method == Method::search)
      return false;
    return !(context.method == Method::notify && context.multicast);
  }

  /// What the policy forwards by itself counts for nobody's reputation: a busy call on port 1900
  /// must not make its host's next search look like a flood.
  static bool is_wanted(const Context& context) noexcept {
    return context.solicited || context.client_flow;
  }

  static void count_source(SourceEntry& source, const Context& context, float bytes,
                           bool unasked) noexcept {
    count_up(source.total);
    if (context.solicited) source.wanted += 1;
    if (is_wanted(context)) return;
    source.packets += 1;
    source.bytes += bytes;
    source.packets_long += 1;
    if (unasked) {
      source.unsolicited += 1;
      source.seconds.mark();
    }
    if (context.method == Method::search) source.searches += 1;
    if (context.method == Method::notify) source.notifies += 1;
    if (context.method == Method::malformed) source.broken += 1;
  }

  /// The destination's entry, faded to now.
  DestinationEntry& arrive(const Context& context, std::uint64_t hash) noexcept {
    bool fresh = false;
    DestinationEntry& entry = destinations_.touch(context.destination, hash, context.time, fresh);
    if (fresh) entry.begin(context.time);
    entry.fade_to(context.time);
    return entry;
  }

  static void count_destination(DestinationEntry& entry, const Context& context, float bytes,
                                bool unasked, bool new_source) noexcept {
    count_up(entry.total);
    if (context.solicited) entry.wanted += 1;
    if (is_wanted(context)) return;
    entry.packets += 1;
    entry.bytes += bytes;
    if (unasked) entry.count_unasked(context.time, port_hash(context.destination_port));
    if (context.method == Method::search) entry.searches += 1;
    if (new_source) entry.new_sources += 1;
  }

  static void count_spread(Row& row, Context& context, SourceEntry& source,
                           DestinationEntry& destination, std::uint64_t source_hash,
                           std::uint64_t destination_hash) noexcept {
    RowWriter out(row);
    const bool wanted = is_wanted(context);
    const float destinations = wanted ? source.destinations.at(context.time)
                                      : source.destinations.add(context.time, destination_hash);
    context.searches_each = source.searches / std::max(destinations, 1.0F);
    out.set(Feature::source_destinations, destinations);
    out.set(Feature::destination_sources, wanted
                                              ? destination.sources.at(context.time)
                                              : destination.sources.add(context.time, source_hash));
  }

  static std::uint64_t port_hash(std::uint16_t port) noexcept {
    std::uint64_t x = (port + 1ULL) * 0xff51afd7ed558ccdULL;
    x = (x ^ (x >> 33U)) * 0xc4ceb9fe1a85ec53ULL;
    return x ^ (x >> 29U);
  }

  void count_network(Row& row, const Context& context, std::uint64_t source_hash,
                     std::uint64_t destination_hash, bool unasked) noexcept {
    RowWriter out(row);
    NetworkEntry* entry = &no_network_;
    if (!context.multicast) {
      const Address network = network_of(context.destination);
      bool fresh = false;
      entry = &networks_.touch(network, network.hash(~seed_), context.time, fresh);
      if (fresh) entry->begin(context.time);
      entry->fade_to(context.time);
      count_up(entry->total);
    }
    const bool counts = unasked && !context.multicast;
    if (counts) {
      entry->packets += 1;
      entry->unsolicited += 1;
    }
    out.set(Feature::network_packets, entry->packets);
    out.set(Feature::network_unsolicited, entry->unsolicited);
    out.set(Feature::network_destinations,
            counts ? entry->destinations.add(context.time, destination_hash)
                   : entry->destinations.at(context.time));
    out.set(Feature::network_sources, counts ? entry->sources.add(context.time, source_hash)
                                             : entry->sources.at(context.time));
  }

  const std::uint64_t seed_;
  const Nanoseconds open_for_;  // an answer is awaited
  const bool wan_screened_;
  const std::vector<std::uint8_t> wanted_;  // numbers of `Feature`, in the model's order
  const bool wants_network_;                // else that table is never looked at
  const bool wants_location_;
  const bool wants_header_;
  SourceTable sources_;
  DestinationTable destinations_;
  NetworkTable networks_;
  NetworkEntry no_network_{};                  // a multicast destination's: nothing counts there
  std::array<Expectations, kSides> asked_by_;  // by the searcher's side
  Flows flows_;
};

}  // namespace

std::size_t Extractor::memory_bytes(const TableConfig& config) noexcept {
  return SourceTable::bytes(config.sources_max) + DestinationTable::bytes(config.destinations_max) +
         NetworkTable::bytes(config.networks_max) +
         Expectations::bytes(config.expectations_max / 4) +
         Expectations::bytes(config.expectations_max) + Flows::bytes(config.flows_max);
}

Result<std::unique_ptr<Extractor>> Extractor::make(const TableConfig& config,
                                                   std::span<const std::string> features) {
  std::array<std::string_view, kFeatures> names;
  std::transform(all_features().begin(), all_features().end(), names.begin(),
                 [](const FeatureInfo& info) { return info.name; });
  std::vector<std::uint8_t> wanted;
  for (const std::string& name : features) {
    const FeatureInfo* const info = find_feature(name);
    if (info == nullptr) {
      return fail(
          fmt::format("the model asks for the feature '{}', which this weir does not know: `weir "
                      "model features` "
                      "lists what it does; say in [model.features] which of them it is, or train "
                      "the model anew{}",
                      name, did_you_mean(name, names)));
    }
    wanted.push_back(static_cast<std::uint8_t>(info - all_features().data()));
  }
  return std::make_unique<TableExtractor>(config, std::move(wanted));
}

}  // namespace weir::detect
