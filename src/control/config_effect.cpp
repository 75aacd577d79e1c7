// SPDX-License-Identifier: BSD-2-Clause
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <span>

#include "control/config_parse.h"

namespace weir::control {
namespace {

/// What puts keys out of effect. A key is named whole, or with its section as "scope.*".
struct Cause {
  bool (*holds)(const Settings& settings);
  const char* words;
  std::string_view keys;      ///< with a space between
  std::string_view but = {};  ///< of a whole section: these have an effect still
};

constexpr std::array kNames = {
#define WEIR_KEY_NAME(section, key, kind_, default_, allowed, help) \
  std::string_view(#section "." #key),
    WEIR_CONFIG_KEYS(WEIR_KEY_NAME)
#undef WEIR_KEY_NAME
};

constexpr bool names(std::string_view pattern, std::string_view key) {
  if (!pattern.ends_with(".*")) return pattern == key;
  return key.starts_with(pattern.substr(0, pattern.size() - 1));
}

bool dpdk(const Settings& s) { return s.interfaces_backend == "dpdk"; }
bool host(const Settings& s) { return s.interfaces_mode == "host"; }
bool observes(const Settings& s) { return host(s) && s.host_judge == "observe"; }

constexpr Cause kCauses[] = {
    {[](const Settings& s) { return !host(s); }, "interfaces.mode is \"inline\"", "host.*"},
    {host, "interfaces.mode is \"host\"", "interfaces.wan interfaces.lan channels.transmit"},
    {observes, "host.judge is \"observe\": what is observed has passed, and there are no sockets",
     "fail.fail_mode channels.copy channels.hugepages channels.busy_poll channels.tx_budget"},
    {[](const Settings& s) { return observes(s) && s.channels_count > 1; },
     "host.judge is \"observe\": one channel has all copies", "channels.count"},
    {[](const Settings& s) { return !dpdk(s); }, "interfaces.backend is \"af_xdp\"", "dpdk.*"},
    {dpdk, "interfaces.backend is \"dpdk\"",
     "interfaces.wan interfaces.lan interfaces.xdp channels.copy "
     "channels.hugepages channels.busy_poll channels.tx_budget channels.transmit"},
    {[](const Settings& s) { return dpdk(s) && s.dpdk_hugepages; }, "dpdk.hugepages is true",
     "dpdk.memory_mb"},
    {[](const Settings& s) { return dpdk(s) && s.dpdk_flow_rules == "off"; },
     "dpdk.flow_rules is \"off\"", "dpdk.flow_rules_max"},
    {[](const Settings& s) { return s.policy_mode == "shadow" && s.policy_rules; },
     "policy.mode is \"shadow\"", "dpdk.flow_rules dpdk.flow_rules_max"},
    {[](const Settings& s) { return !s.channels_busy_poll || dpdk(s) || observes(s); },
     "channels do not busy-poll",
     "channels.busy_poll_budget channels.busy_poll_us "
     "channels.napi_defer_hard_irqs channels.gro_flush_us"},
    {[](const Settings& s) { return s.workers_count == 0; }, "workers.count is 0", "workers.cpus"},
    {[](const Settings& s) { return s.steer_protocols == "all"; },
     "steer.protocols is \"all\", so that all of IP is steered and a block is of all of it",
     "steer.udp_ports steer.ssdp_payload steer.fragments policy.block_scope"},
    {[](const Settings& s) {
       return s.steer_protocols != "all" && s.steer_udp_ports == std::vector<std::uint32_t>{0};
     },
     "steer.udp_ports is \"all\"", "steer.ssdp_payload"},
    {[](const Settings& s) { return !s.policy_rules; },
     "policy.rules is false: a packet is judged by its score alone, and no block has an effect",
     "policy.* scope.* tables.suspects_max tables.blocks_max "
     "tables.blocks_kept dpdk.flow_rules dpdk.flow_rules_max",
     "policy.mode policy.threshold policy.rules"},
    {[](const Settings& s) { return s.policy_rules && s.policy_others == "model"; },
     "policy.others is \"model\"", "policy.other_packets"},
    {[](const Settings& s) { return s.policy_rules && s.policy_victim_sources == 0; },
     "policy.victim_sources is 0", "policy.victim_block_ms"},
};

/// Calls `use` for each of these until it is true.
template <typename Use>
constexpr bool any_of(std::string_view patterns, Use use) {
  while (!patterns.empty()) {
    const std::size_t end = std::min(patterns.find(' '), patterns.size());
    if (use(patterns.substr(0, end))) return true;
    patterns.remove_prefix(std::min(end + 1, patterns.size()));
  }
  return false;
}

/// Each names a key that there is.
constexpr bool are_keys(std::string_view patterns) {
  return !any_of(patterns, [](std::string_view pattern) {
    for (const std::string_view key : kNames)
      if (names(pattern, key)) return false;
    return true;
  });
}
constexpr bool are_all_keys() {
  for (const Cause& cause : kCauses)
    if (!are_keys(cause.keys) || !are_keys(cause.but)) return false;
  return true;
}
static_assert(are_all_keys());

bool puts_out(const Cause& cause, std::string_view key) {
  const auto is_it = [key](std::string_view pattern) { return names(pattern, key); };
  return any_of(cause.keys, is_it) && !any_of(cause.but, is_it);
}

}  // namespace

std::vector<std::string> without_effect(const Parsed& parsed) {
  std::vector<std::string> warnings;
  std::vector<std::string> left = parsed.changed;
  for (const Cause& cause : kCauses) {
    if (!cause.holds(parsed.settings)) continue;
    const auto first = std::stable_partition(
        left.begin(), left.end(), [&](const std::string& key) { return !puts_out(cause, key); });
    const std::span<const std::string> keys(first, left.end());
    if (keys.empty()) continue;
    warnings.push_back(fmt::format("{}: {} {} no effect: {}", parsed.where(keys.front()),
                                   fmt::join(keys, ", "), keys.size() == 1 ? "has" : "have",
                                   cause.words));
    left.erase(first, left.end());  // one cause is enough
  }
  return warnings;
}

}  // namespace weir::control
