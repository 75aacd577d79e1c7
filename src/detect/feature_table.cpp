// SPDX-License-Identifier: BSD-2-Clause
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>

#include "base/nearest.h"
#include "detect/extractor.h"
#include "detect/feature_list.h"

namespace weir::detect {
namespace {

/// 0 where the feature is not a sender's.
constexpr float neutral(Feature feature) noexcept {
#define WEIR_NEUTRAL_CASE(name, value) \
  if (feature == Feature::name) return value;
  WEIR_NEUTRAL(WEIR_NEUTRAL_CASE)
#undef WEIR_NEUTRAL_CASE
  return 0;
}

constexpr std::array<FeatureInfo, kFeatures> kInfos = {{
#define WEIR_FEATURE_INFO(name, group, set_by, cost, unit, help) \
  {#name, #group, SetBy::set_by, #set_by, #cost, unit, help, neutral(Feature::name)},
    WEIR_FEATURES(WEIR_FEATURE_INFO)
#undef WEIR_FEATURE_INFO
#define WEIR_HEADER_INFO(name, unit, help, skx) \
  {#name, "header", SetBy::sender, "sender", "read", unit, help, neutral(Feature::name)},
        WEIR_HEADER_FEATURES(WEIR_HEADER_INFO)
#undef WEIR_HEADER_INFO
}};

struct Alias {
  std::string_view plain, feature;
};
/// Of CICFlowMeter's columns, and of the short forms that packet filters use.
constexpr std::array kAliases = {
    Alias{"sourceport", "source_port"},   Alias{"srcport", "source_port"},
    Alias{"sport", "source_port"},        Alias{"destinationport", "dest_port"},
    Alias{"dstport", "dest_port"},        Alias{"dport", "dest_port"},
    Alias{"protocol", "ip_protocol"},     Alias{"proto", "ip_protocol"},
    Alias{"timetolive", "ip_ttl"},        Alias{"totallength", "ip_total_length"},
    Alias{"iplength", "ip_total_length"}, Alias{"windowsize", "tcp_window_size"},
};

/// Letters and digits alone, in lower case.
std::string plain(std::string_view name) {
  std::string text;
  for (const char c : name)
    if (const auto u = static_cast<unsigned char>(c); std::isalnum(u) != 0)
      text += static_cast<char>(std::tolower(u));
  return text;
}

const FeatureInfo* feature_like(const std::string& name) {
  const std::string wanted = plain(name);
  for (const Alias& alias : kAliases)
    if (alias.plain == wanted) return find_feature(alias.feature);
  for (const FeatureInfo& info : all_features())
    if (plain(info.name) == wanted) return &info;
  return nullptr;
}

Status check(const FeatureName& name, const std::vector<std::string>& features,
             std::string_view key) {
  if (std::find(features.begin(), features.end(), name.first) == features.end()) {
    const std::vector<std::string_view> known(features.begin(), features.end());
    return fail(fmt::format("{} names '{}', which the model does not ask for{}", key, name.first,
                            did_you_mean(name.first, known)));
  }
  if (find_feature(name.second) != nullptr) return {};
  std::vector<std::string_view> known;
  for (const FeatureInfo& info : all_features()) known.emplace_back(info.name);
  return fail(
      fmt::format("{} has '{}' for '{}', which is no feature; `weir model features` lists them{}",
                  key, name.second, name.first, did_you_mean(name.second, known)));
}

}  // namespace

std::span<const FeatureInfo> all_features() noexcept { return kInfos; }

const FeatureInfo* find_feature(std::string_view name) noexcept {
  const auto* const info = std::find_if(kInfos.begin(), kInfos.end(),
                                        [&](const FeatureInfo& i) { return name == i.name; });
  return info == kInfos.end() ? nullptr : info;
}

bool judges_headers(std::span<const std::string> features) noexcept {
  return std::any_of(features.begin(), features.end(), [](const std::string& name) {
    const FeatureInfo* const info = find_feature(name);
    return info != nullptr && std::string_view(info->group) == "header";
  });
}

Status name_features(std::vector<std::string>& features, std::span<const FeatureName> names,
                     std::string_view key) {
  for (const FeatureName& name : names) WEIR_TRY(check(name, features, key));
  for (std::string& feature : features) {
    const auto given = std::find_if(names.begin(), names.end(),
                                    [&](const FeatureName& name) { return name.first == feature; });
    if (given != names.end()) {
      feature = given->second;
    } else if (find_feature(feature) == nullptr) {
      if (const FeatureInfo* like = feature_like(feature); like != nullptr) feature = like->name;
    }
  }
  return {};
}

std::string feature_table() {
  std::string text =
      "| feature | group | set by | cost | unit | meaning |\n"
      "| --- | --- | --- | --- | --- | --- |\n";
  for (const FeatureInfo& f : all_features())
    text += fmt::format("| `{}` | {} | {} | {} | {} | {} |\n", f.name, f.group, f.set_by_name,
                        f.cost, f.unit, f.help);
  return text;
}

}  // namespace weir::detect
