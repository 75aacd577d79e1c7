// SPDX-License-Identifier: BSD-2-Clause
/// Turns packets into rows: the packet's own features, and those of its source, its destination and
/// that one's network, from tables it owns.
///
/// Shape     one shard: the tables, the expectations and the client flows, bounded by
///           `TableConfig`; `memory_bytes` says how much that is at most.
/// Order     packets in arrival order; the row of a packet depends on the packets before it and on
///           nothing else.
/// Full      a table that is full forgets who is unknown: newcomers displace newcomers, and never
///           one that is known for longer (bounded_table.h). What a flood of forged sources does is
///           seen at its destination and that one's network, which are not of its choosing.
/// Threads   one owner at a time (the serial extract node).
/// Errors    a feature name that is unknown fails `make`, with the nearest name; nothing fails
///           later.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "detect/context.h"
#include "packet/frame.h"
#include "packet/headers.h"
#include "packet/ssdp.h"

namespace weir::detect {

struct TableConfig {
  std::uint32_t sources_max = 1'000'000;
  std::uint32_t destinations_max = 16'384;
  std::uint32_t networks_max = 4'096;
  std::uint32_t expectations_max = 32'768;
  std::uint32_t flows_max = 32'768;
  std::uint32_t expectation_ms = 30'000;  ///< real devices answer up to 22 s after the search
  std::uint64_t hash_seed = 0x77656972;   ///< fixed in replays; random live
  /// A screen passes announcements and answers of the WAN: no search of the LAN is blind, for who
  /// is there is not known.
  bool wan_screened = false;
};

struct TableCounters {
  std::uint64_t sources = 0, sources_evicted = 0;
  std::uint64_t destinations = 0, destinations_evicted = 0;
  std::uint64_t expectations = 0, expectations_evicted = 0;
};

/// Packets in arrival order, and where to write what is extracted of them.
struct Packets {
  std::span<const packet::Frame> frames;
  const packet::Headers* headers = nullptr;  ///< of each
  const packet::Ssdp* ssdp = nullptr;        ///< of each
  float* const* columns = nullptr;           ///< one for each wanted feature, a row for each packet
  Context* contexts = nullptr;               ///< of each
};

class Extractor {
 public:
  /// `features`: the names that the model wants, in its order.
  static Result<std::unique_ptr<Extractor>> make(const TableConfig& config,
                                                 std::span<const std::string> features);
  virtual ~Extractor() = default;

  /// Memory of all its tables, when they are full.
  static std::size_t memory_bytes(const TableConfig& config) noexcept;
  /// Takes that memory at once: before packets come, none of which is to wait for a page.
  virtual void populate() noexcept = 0;

  /// Writes each packet's row and context. Memory is asked for what the tables hold of the packets
  /// ahead, so that many at once cost less each.
  virtual void extract(const Packets& packets) noexcept = 0;
  /// The same for one packet, whose row is the columns' first.
  Context extract_one(const packet::Frame& frame, const packet::Headers& headers,
                      const packet::Ssdp& ssdp, float* const* columns) noexcept {
    Context context;
    extract({{&frame, 1}, &headers, &ssdp, columns, &context});
    return context;
  }
  [[nodiscard]] virtual TableCounters counters() const noexcept = 0;
};

/// Who chooses a feature's value (feature_list.h).
enum class SetBy : std::uint8_t { sender, kind, box };

/// One line of the feature list: for documents, models and `weir why`.
struct FeatureInfo {
  const char* name;
  const char* group;  ///< packet, source, destination, network, context, header
  SetBy set_by;
  const char* set_by_name;
  const char* cost;  ///< parsed, entry, sketch, lookup, text, read
  const char* unit;
  const char* help;
  float neutral;  ///< of `SetBy::sender`: what most real devices send (feature_list.h)
};
std::span<const FeatureInfo> all_features() noexcept;
/// All of them as the table in README.md.
std::string feature_table();
/// nullptr where there is none of this name.
const FeatureInfo* find_feature(std::string_view name) noexcept;

/// Whether one of these is of the group header: a model that asks for it knows packets of any
/// protocol.
bool judges_headers(std::span<const std::string> features) noexcept;

/// A name in a model's file, and the feature that it stands for.
using FeatureName = std::pair<std::string, std::string>;
/// Gives features of a model their names here: those of `names`; else, of those that are unknown,
/// what differs in case, spaces and signs alone ("IP TTL"), and what flow tools call the same
/// ("Source Port", "dport", "Protocol"). Others stay as they are. An error where a name of `names` is
/// none of the model's, or stands for no feature: `key` is where they were given.
Status name_features(std::vector<std::string>& features, std::span<const FeatureName> names,
                     std::string_view key);

}  // namespace weir::detect
