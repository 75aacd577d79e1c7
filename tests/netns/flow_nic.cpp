// SPDX-License-Identifier: BSD-2-Clause
// A NIC with flow rules, for machines that have none: DPDK's functions for them (rte_flow.h), which
// weir's DPDK module is linked with in place of the library's. Rules really hold: a receive callback
// of ethdev takes what they match out of each burst, before anybody sees it.
//
// Takes    Ethernet / IPv4 or IPv6 with a source / UDP, with a port or without; COUNT and DROP, or
//          RSS by one address. All else is refused, as by a real device.
// Reads    untagged frames, IPv6 without extension headers.
// Limits   the environment's WEIR_NIC_RULES (default 1024) and WEIR_NIC_COUNTS ("no": no COUNT).
// Tells    on stderr at the end, which rules were left.
#include <rte_ethdev.h>
#include <rte_flow.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <list>
#include <mutex>
#include <set>
#include <string_view>

struct rte_flow {
  std::uint16_t port = 0;
  bool counts = false, spreads = false;
  std::array<std::uint8_t, 16> source{}, source_mask{};
  bool v4 = false, udp = false;
  rte_be16_t from = 0, from_mask = 0, to = 0, to_mask = 0;
  std::uint64_t packets = 0, bytes = 0;
};

namespace {

struct Nic {
  std::mutex lock;
  std::list<rte_flow> rules;
  std::set<std::uint16_t> filtered;  // ports that have their callbacks
  std::size_t room = 1024;
  bool counts = true;

  Nic() {
    if (const char* most = std::getenv("WEIR_NIC_RULES")) room = std::strtoul(most, nullptr, 10);
    if (const char* told = std::getenv("WEIR_NIC_COUNTS")) counts = std::string_view(told) != "no";
  }
  ~Nic() {
    const auto dropping = std::count_if(rules.begin(), rules.end(),
                                        [](const rte_flow& rule) { return !rule.spreads; });
    if (dropping > 0)
      std::fprintf(stderr, "test NIC: %d drop rules were left\n", static_cast<int>(dropping));
  }
};
Nic& nic() {
  static Nic the;
  return the;
}

bool matches(const rte_flow& rule, const std::uint8_t* frame, std::uint32_t length) {
  const std::uint8_t* ip = frame + RTE_ETHER_HDR_LEN;
  const std::uint8_t* source = ip + (rule.v4 ? 12 : 8);
  const std::uint8_t* udp = ip + (rule.v4 ? (ip[0] & 15U) * 4 : 40);
  if (length < RTE_ETHER_HDR_LEN + 48 || frame[12] != (rule.v4 ? 0x08 : 0x86) ||
      frame[13] != (rule.v4 ? 0x00 : 0xdd))
    return false;
  for (std::size_t i = 0; i < (rule.v4 ? 4U : 16U); ++i)
    if (((source[i] ^ rule.source[i]) & rule.source_mask[i]) != 0) return false;
  if (!rule.udp) return true;
  if ((rule.v4 ? ip[9] : ip[6]) != 17 || udp + 4 > frame + length) return false;
  if (rule.v4 && ((ip[6] & 0x1fU) != 0 || ip[7] != 0)) return false;  // a later fragment
  rte_be16_t from = 0, to = 0;
  std::memcpy(&from, udp, 2);
  std::memcpy(&to, udp + 2, 2);
  return ((from ^ rule.from) & rule.from_mask) == 0 && ((to ^ rule.to) & rule.to_mask) == 0;
}

std::uint16_t filter(std::uint16_t port, std::uint16_t, rte_mbuf** packets, std::uint16_t count,
                     std::uint16_t, void*) {
  const std::lock_guard lock(nic().lock);
  std::uint16_t kept = 0;
  for (std::uint16_t i = 0; i < count; ++i) {
    const auto rule =
        std::find_if(nic().rules.begin(), nic().rules.end(), [&](const rte_flow& one) {
          return one.port == port && !one.spreads &&
                 matches(one, rte_pktmbuf_mtod(packets[i], const std::uint8_t*),
                         packets[i]->data_len);
        });
    if (rule == nic().rules.end()) {
      packets[kept++] = packets[i];
      continue;
    }
    ++rule->packets;
    rule->bytes += packets[i]->pkt_len;
    rte_pktmbuf_free(packets[i]);
  }
  return kept;
}

bool read_items(const rte_flow_item* item, rte_flow& rule) {
  if (item++->type != RTE_FLOW_ITEM_TYPE_ETH) return false;
  const auto* spec = item->spec;
  rule.v4 = item->type == RTE_FLOW_ITEM_TYPE_IPV4;
  if (!rule.v4 && item->type != RTE_FLOW_ITEM_TYPE_IPV6) return false;
  if (spec != nullptr && rule.v4) {
    std::memcpy(rule.source.data(), &static_cast<const rte_flow_item_ipv4*>(spec)->hdr.src_addr, 4);
    std::memcpy(rule.source_mask.data(),
                &static_cast<const rte_flow_item_ipv4*>(item->mask)->hdr.src_addr, 4);
  } else if (spec != nullptr) {
    std::memcpy(rule.source.data(), static_cast<const rte_flow_item_ipv6*>(spec)->hdr.src_addr, 16);
    std::memcpy(rule.source_mask.data(),
                static_cast<const rte_flow_item_ipv6*>(item->mask)->hdr.src_addr, 16);
  }
  ++item;
  if (item->type == RTE_FLOW_ITEM_TYPE_UDP) {
    rule.udp = true;
    if (item->spec != nullptr) {
      const auto& ports = static_cast<const rte_flow_item_udp*>(item->spec)->hdr;
      const auto& mask = static_cast<const rte_flow_item_udp*>(item->mask)->hdr;
      rule.from = ports.src_port, rule.from_mask = mask.src_port;
      rule.to = ports.dst_port, rule.to_mask = mask.dst_port;
    }
    ++item;
  }
  return item->type == RTE_FLOW_ITEM_TYPE_END;
}

bool read_actions(const rte_flow_action* action, rte_flow& rule) {
  if (action->type == RTE_FLOW_ACTION_TYPE_COUNT && nic().counts) {
    rule.counts = true;
    ++action;
  }
  if (action->type == RTE_FLOW_ACTION_TYPE_RSS) {
    const auto types = static_cast<const rte_flow_action_rss*>(action->conf)->types;
    const auto flow = rule.v4 ? RTE_ETH_RSS_NONFRAG_IPV4_UDP : RTE_ETH_RSS_NONFRAG_IPV6_UDP;
    rule.spreads =
        types == (flow | RTE_ETH_RSS_L3_SRC_ONLY) || types == (flow | RTE_ETH_RSS_L3_DST_ONLY);
    return rule.spreads && rule.udp && action[1].type == RTE_FLOW_ACTION_TYPE_END;
  }
  return action->type == RTE_FLOW_ACTION_TYPE_DROP && action[1].type == RTE_FLOW_ACTION_TYPE_END;
}

}  // namespace

extern "C" {

int rte_flow_validate(std::uint16_t, const rte_flow_attr* attr, const rte_flow_item items[],
                      const rte_flow_action actions[], rte_flow_error* error) {
  rte_flow rule;
  if (attr->ingress == 1 && attr->egress == 0 && read_items(items, rule) &&
      read_actions(actions, rule))
    return 0;
  error->message = "no such rule on this NIC";
  return -ENOTSUP;
}

rte_flow* rte_flow_create(std::uint16_t port, const rte_flow_attr* attr,
                          const rte_flow_item items[], const rte_flow_action actions[],
                          rte_flow_error* error) {
  if (rte_flow_validate(port, attr, items, actions, error) != 0) return nullptr;
  rte_flow rule;
  rule.port = port;
  static_cast<void>(read_items(items, rule) && read_actions(actions, rule));
  const std::lock_guard lock(nic().lock);
  if (nic().rules.size() >= nic().room) {
    error->message = "its table is full";
    return nullptr;
  }
  if (nic().filtered.insert(port).second) {
    rte_eth_dev_info info{};
    static_cast<void>(rte_eth_dev_info_get(port, &info));
    for (std::uint16_t queue = 0; queue < info.nb_rx_queues; ++queue)
      rte_eth_add_rx_callback(port, queue, filter, nullptr);
  }
  nic().rules.push_back(rule);
  return &nic().rules.back();
}

int rte_flow_destroy(std::uint16_t, rte_flow* flow, rte_flow_error*) {
  const std::lock_guard lock(nic().lock);
  nic().rules.remove_if([flow](const rte_flow& rule) { return &rule == flow; });
  return 0;
}

int rte_flow_query(std::uint16_t, rte_flow* flow, const rte_flow_action*, void* data,
                   rte_flow_error*) {
  const std::lock_guard lock(nic().lock);
  if (!flow->counts) return -ENOTSUP;
  auto& count = *static_cast<rte_flow_query_count*>(data);
  count.hits_set = count.bytes_set = 1;
  count.hits = flow->packets;
  count.bytes = flow->bytes;
  return 0;
}

}  // extern "C"
