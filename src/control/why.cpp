// SPDX-License-Identifier: BSD-2-Clause
#include "control/why.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "datapath/datapath.h"
#include "detect/extractor.h"
#include "forest/paths.h"
#include "pipeline/guard.h"

namespace weir::control {
namespace {

constexpr std::array<const char*, 5> kMethods = {"no SSDP", "search", "notify", "reply",
                                                 "malformed"};

Json packet_json(const detect::Evidence& evidence) {
  const detect::Context& c = evidence.context;
  return {{"number", evidence.packet},
          {"time_ns", c.time.ns},
          {"side", c.side == Side::wan ? "wan" : "lan"},
          {"method", kMethods[static_cast<std::size_t>(c.method)]},
          {"source", c.source.text()},
          {"source_port", c.source_port},
          {"destination", c.destination.text()},
          {"destination_port", c.destination_port},
          {"solicited", c.solicited},
          {"late", c.late},
          {"client_flow", c.client_flow},
          {"wrong_side", c.wrong_side}};
}

/// The values of the model's features in a row of `columns`; an empty one where any is missing.
std::vector<float> model_row(const WhySources& from, const std::vector<float>& row) {
  std::vector<float> values;
  for (const std::string& name : from.model->features) {
    const auto found = std::find(from.columns.begin(), from.columns.end(), name);
    if (found == from.columns.end()) return {};
    values.push_back(row[static_cast<std::size_t>(found - from.columns.begin())]);
  }
  return values;
}

Json feature_json(const std::string& name, float value, double adds) {
  const detect::FeatureInfo* info = detect::find_feature(name);
  return {{"name", name},
          {"value", std::isnan(value) ? Json(nullptr) : Json(value)},
          {"unit", info != nullptr ? info->unit : ""},
          {"help", info != nullptr ? info->help : ""},
          {"adds", adds}};
}

/// Adds the features, what each brought, and the trees' paths.
void add_explanation(Json& json, const WhySources& from, const std::vector<float>& row) {
  std::vector<float> values = from.model != nullptr ? model_row(from, row) : std::vector<float>{};
  Json features = Json::array();
  std::vector<std::string> told;
  if (!values.empty()) {
    const forest::Explainer explainer(*from.model);
    forest::Explanation e = explainer.explain(values);
    std::vector<float> neutral = pipeline::neutral_row(*from.model, values);
    if (auto other = explainer.explain(neutral); !from.score_alone && other.margin > e.margin) {
      e = std::move(other);
      values = std::move(neutral);
      json["neutral"] = true;
    }
    for (const std::size_t f : forest::strongest(e, values.size())) {
      features.push_back(feature_json(from.model->features[f], values[f], e.contributions[f]));
      told.push_back(from.model->features[f]);
    }
    json["margin"] = e.margin;
    json["expected"] = e.bias;
    if (from.model->kind != forest::Model::Kind::linear) {
      json["votes"] = {{"for", e.votes.for_it}, {"against", e.votes.against}};
      Json trees = Json::array();
      for (const forest::TreePath& tree : explainer.paths(values, from.trees))
        trees.push_back({{"tree", tree.tree}, {"adds", tree.moved}, {"path", tree.path}});
      json["trees"] = std::move(trees);
    }
  }
  for (std::size_t f = 0; f < from.columns.size(); ++f)
    if (std::find(told.begin(), told.end(), from.columns[f]) == told.end())
      features.push_back(feature_json(from.columns[f], row[f], 0));
  json["features"] = std::move(features);
}

}  // namespace

Json why_packet(const WhySources& from, const detect::Evidence& evidence) {
  Json json{{"rule", detect::name(evidence.decision.rule)},
            {"rule_help", detect::help(evidence.decision.rule)},
            {"score", evidence.score},
            {"threshold", from.threshold},
            {"packet", packet_json(evidence)},
            {"model", nullptr}};
  if (from.model != nullptr)
    json["model"] = {{"name", from.model->name}, {"sha256", from.model->sha256}};
  add_explanation(json, from, evidence.row);
  return json;
}

Json why_address(const WhySources& from, const Address& address, const detect::Ledger& ledger,
                 PacketTime now) {
  Json json{{"address", address.text()}, {"state", "not_blocked"}};
  if (const auto tally = ledger.tally(address)) {
    Json rules = Json::object();
    for (const detect::ReasonInfo& info : detect::all_reasons()) {
      const auto packets = tally->packets[static_cast<std::size_t>(info.reason)];
      if (packets > 0) rules[info.name] = packets;
    }
    json["dropped"] = std::move(rules);
    json["asked_for"] = tally->asked_for;
  }
  const auto evidence = ledger.find(address);
  if (!evidence) return json;
  const detect::Decision& decision = evidence->decision;
  const Nanoseconds left = decision.expires - now;
  if (left <= Nanoseconds{}) {
    json["state"] = "expired";
  } else {
    json["state"] = from.shadow ? "would_be_blocked" : "blocked";
  }
  constexpr std::int64_t kMs = 1'000'000;
  json["block"] = {{"address", evidence->address.text()},
                   {"target", datapath::target_name(static_cast<weir_target>(decision.target))},
                   {"strikes", decision.strikes},
                   {"age_ms", (now - evidence->context.time).count() / kMs},
                   {"expires_in_ms", left.count() / kMs}};
  json.update(why_packet(from, *evidence));
  return json;
}

void agree_with(Json& why, const Address& address, const Json& blocks) {
  const auto standing = std::find_if(blocks.begin(), blocks.end(), [&](const Json& block) {
    const auto of = Prefix::parse(block["address"].get<std::string>());
    return of && of->contains(address);
  });
  if (standing == blocks.end()) {
    if (why["state"] == "blocked") why["state"] = "removed";
    return;
  }
  if (why["state"] == "blocked" && (*standing)["origin"] == "policy") return;
  Json told{{"address", why["address"]}, {"state", "blocked"}};
  for (const char* key : {"dropped", "asked_for"})
    if (why.contains(key)) told[key] = why[key];
  told["block"] = *standing;
  why = std::move(told);
}

}  // namespace weir::control
