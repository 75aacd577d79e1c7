// SPDX-License-Identifier: BSD-2-Clause
#include "control/report.h"

#include <algorithm>
#include <map>

namespace weir::control {
namespace {

std::int64_t ms(Nanoseconds span) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(span).count();
}

Json rules_json(const ReportSources& from) {
  Json rules = Json::array();
  for (const detect::ReasonInfo& info : detect::all_reasons()) {
    const detect::RuleTally& tally = from.ledger.rules[static_cast<std::size_t>(info.reason)];
    if (tally.packets == 0) continue;
    rules.push_back({{"rule", info.name},
                     {"help", info.help},
                     {"packets", tally.packets},
                     {"asked_for", tally.asked_for}});
  }
  return rules;
}

Json source_json(const detect::SourceTally& source, std::uint64_t hits, PacketTime now) {
  Json rules = Json::object();
  for (const detect::ReasonInfo& info : detect::all_reasons()) {
    const auto packets = source.packets[static_cast<std::size_t>(info.reason)];
    if (packets > 0) rules[info.name] = packets;
  }
  return {{"address", source.key.text()},
          {"packets", source.total},
          {"asked_for", source.asked_for},
          {"blocks", source.blocks},
          {"rules", std::move(rules)},
          {"hit_packets", hits},
          {"first_ago_ms", ms(now - source.first)},
          {"last_ago_ms", ms(now - source.last)}};
}

}  // namespace

Json report_document(const ReportSources& from) {
  std::map<Address, std::uint64_t> hits;
  std::uint64_t hit_packets = 0, hit_bytes = 0, standing = 0;
  for (const datapath::Block& block : from.blocks) {
    hit_packets += block.value.hit_packets;
    hit_bytes += block.value.hit_bytes;
    if (block.value.expires_ns == 0 || block.value.expires_ns > from.now.ns) ++standing;
    if (block.target == WEIR_TARGET_source) hits[block.source] = block.value.hit_packets;
  }
  Json sources = Json::array();
  const std::size_t listed = std::min(from.sources, from.ledger.sources.size());
  for (std::size_t i = 0; i < listed; ++i) {
    const auto& source = from.ledger.sources[i];
    const auto hit = hits.find(source.key);
    sources.push_back(source_json(source, hit == hits.end() ? 0 : hit->second, from.now));
  }
  return {{"mode", from.shadow ? "shadow" : "active"},
          {"since_ms", ms(from.now - from.since)},
          {"rules", rules_json(from)},
          {"blocks",
           {{"made", from.ledger.blocks},
            {"standing", standing},
            {"hit_packets", hit_packets},
            {"hit_bytes", hit_bytes}}},
          {"sources", std::move(sources)},
          {"sources_seen", from.ledger.sources.size()},
          {"sources_forgotten", from.ledger.sources_forgotten}};
}

}  // namespace weir::control
