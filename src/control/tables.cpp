// SPDX-License-Identifier: BSD-2-Clause
#include "control/tables.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "detect/policy.h"

namespace weir::control {
namespace {

constexpr std::uint64_t kForMax_ms = 3'650ULL * 86'400'000;  // ten years: longer is "forever"

tl::unexpected<Refused> bad_request(std::string message) {
  return refuse(Refusal::bad_request, std::move(message));
}
tl::unexpected<Refused> failed(const Error& error) {
  return refuse(Refusal::failed, error.message);
}

tl::expected<std::string, Refused> text_of(const Json& request, const char* key) {
  const auto found = request.find(key);
  if (found == request.end() || !found->is_string()) {
    return bad_request(fmt::format("the request has no text '{}'", key));
  }
  return found->get<std::string>();
}

const char* scope_name(std::uint32_t scope) { return scope == WEIR_SCOPE_all ? "all" : "ssdp"; }

tl::expected<std::uint32_t, Refused> scope_of(const std::string& name) {
  if (name == "ssdp") return WEIR_SCOPE_ssdp;
  if (name == "all") return WEIR_SCOPE_all;
  return bad_request(fmt::format("scope is '{}'; allowed is ssdp or all", name));
}

/// "192.0.2.1" or "192.0.2.0/24": a network's block has no shorter or longer prefix.
std::string target_text(const datapath::BlockKey& block) {
  if (block.target != WEIR_TARGET_network) return block.address.text();
  return block.address.text() + (block.address.is_v4() ? "/24" : "/64");
}

/// The block that a request is of: its address, or its /24 or /64; "target" may say "victim".
tl::expected<datapath::BlockKey, Refused> block_of(const Json& request) {
  const auto text = text_of(request, "address");
  if (!text) return tl::unexpected(text.error());
  const auto prefix = Prefix::parse(*text);
  if (!prefix) return bad_request(prefix.error().message);
  const bool is_v4 = prefix->address().is_v4();
  const bool is_network = prefix->length() == (is_v4 ? 24U : 64U);
  if (!is_network && prefix->length() != (is_v4 ? 32U : 128U)) {
    return bad_request(fmt::format("'{}' is a range; a block is of one address, or of a /{}", *text,
                                   is_v4 ? 24 : 64));
  }
  if (prefix->address().is_multicast()) {
    return bad_request(
        fmt::format("'{}' is a multicast address, which no packet comes from", *text));
  }
  weir_target target = is_network ? WEIR_TARGET_network : WEIR_TARGET_source;
  if (request.contains("target")) {
    const auto kind = text_of(request, "target");
    if (!kind) return tl::unexpected(kind.error());
    if (*kind != "victim") {
      return bad_request(
          fmt::format("target is '{}'; allowed is victim, or none for a source", *kind));
    }
    if (is_network)
      return bad_request(fmt::format("'{}' is a range; a victim is one address", *text));
    target = WEIR_TARGET_victim;
  }
  return datapath::BlockKey{prefix->address(), target};
}

Json block_json(const datapath::Block& block, PacketTime now) {
  const auto& v = block.value;
  Json json{{"address", target_text(block.key())},
            {"target", datapath::target_name(block.target)},
            {"scope", scope_name(v.scope)},
            {"origin", v.origin == WEIR_ORIGIN_manual ? "manual" : "policy"},
            {"reason", v.origin == WEIR_ORIGIN_manual
                           ? "manual"
                           : detect::name(static_cast<detect::Reason>(v.reason))},
            {"age_ms", now.ns > v.created_ns ? (now.ns - v.created_ns) / 1'000'000 : 0},
            {"expires_in_ms", nullptr},
            {"strikes", v.strikes},
            {"hit_packets", v.hit_packets},
            {"hit_bytes", v.hit_bytes}};
  if (v.expires_ns != 0) json["expires_in_ms"] = (v.expires_ns - now.ns) / 1'000'000;
  return json;
}

Answer block_list(datapath::Datapath& datapath, PacketTime now) {
  auto blocks = datapath.list_blocks();
  if (!blocks) return failed(blocks.error());
  std::erase_if(*blocks, [&](const datapath::Block& block) {
    return block.value.expires_ns != 0 && block.value.expires_ns <= now.ns;
  });
  std::sort(blocks->begin(), blocks->end(), [](const auto& a, const auto& b) {
    return std::pair(a.target, a.source) < std::pair(b.target, b.source);
  });
  Json list = Json::array();
  for (const auto& block : *blocks) list.push_back(block_json(block, now));
  return Json{{"blocks", std::move(list)}};
}

Answer block_add(datapath::Datapath& datapath, const Json& request, PacketTime now) {
  const auto key = block_of(request);
  if (!key) return tl::unexpected(key.error());
  const auto scope_text = text_of(request, "scope");
  if (!scope_text) return tl::unexpected(scope_text.error());
  const auto scope = scope_of(*scope_text);
  if (!scope) return tl::unexpected(scope.error());
  if (*scope == WEIR_SCOPE_all && key->target != WEIR_TARGET_source) {
    return bad_request(fmt::format("{} is more than one source, and is blocked for SSDP alone",
                                   target_text(*key)));
  }
  const auto duration = request.find("for_ms");
  if (duration == request.end() || !duration->is_number_unsigned() ||
      duration->get<std::uint64_t>() > kForMax_ms) {
    return bad_request("the request has no number 'for_ms' from 0 to ten years");
  }
  const auto allow = datapath.list_allow();
  if (!allow) return failed(allow.error());
  for (const auto& prefix : *allow) {
    if (key->target != WEIR_TARGET_victim && prefix.contains(key->address)) {
      return bad_request(
          fmt::format("{} is on the allowlist by {}, where a block has no effect; take "
                      "that away first",
                      target_text(*key), prefix.text()));
    }
  }
  const auto for_ms = duration->get<std::uint64_t>();
  datapath::Block block{.source = key->address, .target = key->target};
  block.value.created_ns = now.ns;
  block.value.expires_ns = for_ms == 0 ? 0 : now.ns + for_ms * 1'000'000;
  block.value.scope = *scope;
  block.value.origin = WEIR_ORIGIN_manual;
  const auto added = datapath.add_blocks({&block, 1});
  if (!added) return failed(added.error());
  if (*added == 0) {
    return refuse(Refusal::failed, "the kernel's blocklist is full; raise tables.blocks_max");
  }
  return Json{{"added", block_json(block, now)}};
}

Answer block_del(datapath::Datapath& datapath, const Json& request) {
  const auto key = block_of(request);
  if (!key) return tl::unexpected(key.error());
  if (request.contains("scope")) {
    const auto text = text_of(request, "scope");
    const auto scope = text ? scope_of(*text) : tl::unexpected(text.error());
    if (!scope) return tl::unexpected(scope.error());
    const auto blocks = datapath.list_blocks();
    if (!blocks) return failed(blocks.error());
    for (const auto& block : *blocks) {
      if (block.key() == *key && block.value.scope != *scope) {
        return bad_request(fmt::format("{} is blocked with scope {}, not {}", target_text(*key),
                                       scope_name(block.value.scope), *text));
      }
    }
  }
  // An address is freed of all: as a source, and as a victim.
  std::vector<datapath::BlockKey> keys{*key};
  if (key->target == WEIR_TARGET_source) keys.push_back({key->address, WEIR_TARGET_victim});
  const auto removed = datapath.remove_blocks(keys);
  if (!removed) return failed(removed.error());
  return Json{{"removed", *removed}, {"address", target_text(*key)}};
}

Answer allow_list(datapath::Datapath& datapath) {
  auto prefixes = datapath.list_allow();
  if (!prefixes) return failed(prefixes.error());
  std::sort(prefixes->begin(), prefixes->end());
  Json list = Json::array();
  for (const auto& prefix : *prefixes) list.push_back(prefix.text());
  return Json{{"prefixes", std::move(list)}};
}

Answer allow_change(datapath::Datapath& datapath, const Json& request, bool add) {
  const auto text = text_of(request, "prefix");
  if (!text) return tl::unexpected(text.error());
  const auto prefix = Prefix::parse(*text);
  if (!prefix) return bad_request(prefix.error().message);
  if (add) {
    if (const auto added = datapath.add_allow(*prefix); !added) return failed(added.error());
    return Json{{"added", prefix->text()}};
  }
  const auto removed = datapath.remove_allow(*prefix);
  if (!removed) return failed(removed.error());
  return Json{{"removed", *removed ? 1 : 0}, {"prefix", prefix->text()}};
}

struct Unit {
  char letter;
  std::uint64_t ms;
};
constexpr Unit kUnits[] = {{'d', 86'400'000}, {'h', 3'600'000}, {'m', 60'000}, {'s', 1'000}};

}  // namespace

std::optional<Answer> answer_tables(datapath::Datapath& datapath, const Json& request,
                                    PacketTime now) {
  const auto verb = text_of(request, "verb");
  if (!verb) return Answer(tl::unexpected(verb.error()));
  if (*verb == "block.list") return block_list(datapath, now);
  if (*verb == "block.add") return block_add(datapath, request, now);
  if (*verb == "block.del") return block_del(datapath, request);
  if (*verb == "allow.list") return allow_list(datapath);
  if (*verb == "allow.add") return allow_change(datapath, request, true);
  if (*verb == "allow.del") return allow_change(datapath, request, false);
  return std::nullopt;
}

bool is_change(std::string_view verb) noexcept {
  return verb.ends_with(".add") || verb.ends_with(".del") || verb == "stop" || verb == "reload";
}

Result<std::uint64_t> parse_duration_ms(std::string_view text) {
  const auto refused = [&] {
    return fail(
        fmt::format("'{}' is not a duration such as 90s, 10m, 4h, 7d or forever (ten years "
                    "at most)",
                    text));
  };
  if (text == "forever") return 0;
  if (text.empty()) return refused();
  std::uint64_t total_ms = 0;
  std::uint64_t smaller_than_ms = ~0ULL;  // units go from large to small, each at most once
  for (auto rest = text; !rest.empty();) {
    std::uint64_t number = 0;
    const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), number);
    if (error != std::errc{} || end == rest.data() + rest.size()) return refused();
    const auto* unit = std::find_if(std::begin(kUnits), std::end(kUnits),
                                    [letter = *end](const Unit& u) { return u.letter == letter; });
    if (unit == std::end(kUnits) || unit->ms >= smaller_than_ms) return refused();
    if (number > kForMax_ms / unit->ms) return refused();
    total_ms += number * unit->ms;
    smaller_than_ms = unit->ms;
    rest.remove_prefix(static_cast<std::size_t>(end - rest.data()) + 1);
  }
  if (total_ms == 0 || total_ms > kForMax_ms) return refused();
  return total_ms;
}

std::string duration_text(std::uint64_t ms) {
  if (ms == 0) return "forever";
  std::string text;
  std::uint64_t rest = std::max<std::uint64_t>(ms / 1'000, 1) * 1'000;
  for (const Unit& unit : kUnits) {
    if (rest < unit.ms) continue;
    text += fmt::format("{}{}", rest / unit.ms, unit.letter);
    rest %= unit.ms;
  }
  return text;
}

}  // namespace weir::control
