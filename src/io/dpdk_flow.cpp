// SPDX-License-Identifier: BSD-2-Clause
#include "io/dpdk_flow.h"

#include <fmt/format.h>
#include <rte_byteorder.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_flow.h>

#include <algorithm>
#include <array>
#include <cstring>

namespace weir::io::flow {
namespace {

constexpr rte_flow_attr kIngress = [] {
  rte_flow_attr attr{};
  attr.ingress = 1;
  return attr;
}();

tl::unexpected<Error> refused(const rte_flow_error& error, int number) {
  const char* why = error.message != nullptr ? error.message : rte_strerror(std::abs(number));
  return fail(why);
}

/// A pattern, with what its items point at.
class Pattern {
 public:
  explicit Pattern(const DropMatch& match) {
    using What = DropMatch::What;
    add(RTE_FLOW_ITEM_TYPE_ETH, nullptr, nullptr);
    add_source(match.source);
    if (match.what == What::udp) add(RTE_FLOW_ITEM_TYPE_UDP, nullptr, nullptr);
    if (match.what == What::udp_from_port || match.what == What::udp_to_port) {
      const bool from = match.what == What::udp_from_port;
      (from ? udp_.hdr.src_port : udp_.hdr.dst_port) = rte_cpu_to_be_16(match.port);
      (from ? udp_mask_.hdr.src_port : udp_mask_.hdr.dst_port) = RTE_BE16(0xffff);
      add(RTE_FLOW_ITEM_TYPE_UDP, &udp_, &udp_mask_);
    }
    add(RTE_FLOW_ITEM_TYPE_END, nullptr, nullptr);
  }
  Pattern(const Pattern&) = delete;
  Pattern& operator=(const Pattern&) = delete;

  [[nodiscard]] const rte_flow_item* items() const noexcept { return items_.data(); }

 private:
  void add(rte_flow_item_type type, const void* spec, const void* mask) noexcept {
    items_[used_++] = {type, spec, nullptr, mask};
  }
  void add_source(const Prefix& source) noexcept {
    const auto& bytes = source.address().bytes();
    if (source.address().is_v4()) {
      const unsigned length = source.length();
      ip4_.hdr.src_addr = source.address().as_v4().wire();
      ip4_mask_.hdr.src_addr = rte_cpu_to_be_32(length == 0 ? 0 : ~0U << (32 - length));
      return add(RTE_FLOW_ITEM_TYPE_IPV4, &ip4_, &ip4_mask_);
    }
    std::memcpy(ip6_.hdr.src_addr, bytes.data(), bytes.size());
    for (unsigned bit = 0; bit < source.length(); ++bit)
      ip6_mask_.hdr.src_addr[bit / 8] |= static_cast<std::uint8_t>(0x80U >> bit % 8);
    add(RTE_FLOW_ITEM_TYPE_IPV6, &ip6_, &ip6_mask_);
  }

  std::array<rte_flow_item, 4> items_{};
  std::size_t used_ = 0;
  rte_flow_item_ipv4 ip4_{}, ip4_mask_{};
  rte_flow_item_ipv6 ip6_{}, ip6_mask_{};
  rte_flow_item_udp udp_{}, udp_mask_{};
};

constexpr rte_flow_action_count kCount{};
constexpr rte_flow_action kCountAndDrop[] = {{RTE_FLOW_ACTION_TYPE_COUNT, &kCount},
                                             {RTE_FLOW_ACTION_TYPE_DROP, nullptr},
                                             {RTE_FLOW_ACTION_TYPE_END, nullptr}};
constexpr const rte_flow_action* kDrop = kCountAndDrop + 1;

/// The actions that the device takes for this; none where it takes neither.
Result<const rte_flow_action*> actions_for(std::uint16_t port, const Pattern& pattern) {
  rte_flow_error error{};
  if (rte_flow_validate(port, &kIngress, pattern.items(), kCountAndDrop, &error) == 0)
    return kCountAndDrop;
  error = {};
  const int number = rte_flow_validate(port, &kIngress, pattern.items(), kDrop, &error);
  if (number != 0) return refused(error, number);
  return kDrop;
}

bool spread_family(std::uint16_t port, rte_flow_item_type family, std::uint64_t types) {
  const rte_flow_item items[] = {{RTE_FLOW_ITEM_TYPE_ETH, nullptr, nullptr, nullptr},
                                 {family, nullptr, nullptr, nullptr},
                                 {RTE_FLOW_ITEM_TYPE_UDP, nullptr, nullptr, nullptr},
                                 {RTE_FLOW_ITEM_TYPE_END, nullptr, nullptr, nullptr}};
  rte_flow_action_rss rss{};
  rss.func = RTE_ETH_HASH_FUNCTION_DEFAULT;
  rss.types = types;  // no queues: those of the device's own table
  const rte_flow_action actions[] = {{RTE_FLOW_ACTION_TYPE_RSS, &rss},
                                     {RTE_FLOW_ACTION_TYPE_END, nullptr}};
  rte_flow_error error{};
  return rte_flow_validate(port, &kIngress, items, actions, &error) == 0 &&
         rte_flow_create(port, &kIngress, items, actions, &error) != nullptr;
}

}  // namespace

Status try_drop(std::uint16_t port, const DropMatch& match) {
  const Pattern pattern(match);
  WEIR_ASSIGN([[maybe_unused]] const auto* actions, actions_for(port, pattern));
  return {};
}

Result<DropRule> add_drop(std::uint16_t port, const DropMatch& match) {
  const Pattern pattern(match);
  WEIR_ASSIGN(const auto* actions, actions_for(port, pattern));
  rte_flow_error error{};
  rte_flow* rule = rte_flow_create(port, &kIngress, pattern.items(), actions, &error);
  if (rule == nullptr) return refused(error, rte_errno);
  return DropRule{rule, actions == kCountAndDrop};
}

Status remove(std::uint16_t port, const DropRule& rule) {
  rte_flow_error error{};
  const int number = rte_flow_destroy(port, static_cast<rte_flow*>(rule.handle), &error);
  if (number != 0) return refused(error, number);
  return {};
}

std::optional<DropHits> hits(std::uint16_t port, const DropRule& rule) {
  if (!rule.counted) return std::nullopt;
  rte_flow_query_count count{};
  rte_flow_error error{};
  if (rte_flow_query(port, static_cast<rte_flow*>(rule.handle), kCountAndDrop, &count, &error) != 0)
    return std::nullopt;
  return DropHits{count.hits_set != 0 ? count.hits : 0, count.bytes_set != 0 ? count.bytes : 0};
}

const char* spread(std::uint16_t port, bool by_source) {
  const std::uint64_t one = by_source ? RTE_ETH_RSS_L3_SRC_ONLY : RTE_ETH_RSS_L3_DST_ONLY;
  const bool v4 = spread_family(port, RTE_FLOW_ITEM_TYPE_IPV4, RTE_ETH_RSS_NONFRAG_IPV4_UDP | one);
  const bool v6 = spread_family(port, RTE_FLOW_ITEM_TYPE_IPV6, RTE_ETH_RSS_NONFRAG_IPV6_UDP | one);
  return v4 && v6 ? "IPv4 and IPv6" : v4 ? "IPv4" : v6 ? "IPv6" : "";
}

}  // namespace weir::io::flow
