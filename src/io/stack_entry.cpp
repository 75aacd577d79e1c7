// SPDX-License-Identifier: BSD-2-Clause
#include "io/stack_entry.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <linux/filter.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <linux/tc_act/tc_mirred.h>
#include <linux/veth.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>

#include "base/netlink.h"
#include "io/host_device.h"

namespace weir::io {
namespace {

/// Two VLAN tags: the frames that the interface takes beyond its MTU.
constexpr std::uint32_t kTags_bytes = 8;
constexpr unsigned kRest = IFF_NOARP;

using Mac = std::array<std::uint8_t, ETH_ALEN>;

struct Pair {
  std::string near, far;
  std::uint32_t queues = 1, mtu = 0;
  Mac far_mac{};
};

int make_pair_of(const Pair& pair) {
  ifinfomsg link{};
  link.ifi_family = AF_UNSPEC;
  NetlinkRequest request(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, link);
  const auto end = [&](const std::string& name) {
    request.add(IFLA_IFNAME, name);
    request.add(IFLA_MTU, pair.mtu);
    request.add(IFLA_NUM_TX_QUEUES, pair.queues);
    request.add(IFLA_NUM_RX_QUEUES, pair.queues);
  };
  end(pair.near);
  const auto info = request.begin(IFLA_LINKINFO);
  request.add(IFLA_INFO_KIND, std::string("veth"));
  const auto data = request.begin(IFLA_INFO_DATA);
  const auto peer = request.begin(VETH_INFO_PEER);
  request.append_struct(link);
  end(pair.far);
  request.add(IFLA_ADDRESS, pair.far_mac);
  request.end(peer);
  request.end(data);
  request.end(info);
  return request.send();
}

/// No link-local address, and so nothing that the stack says by itself. A kernel without IPv6 has
/// none anyway.
void quieten(std::uint32_t ifindex) {
  ifinfomsg link{};
  link.ifi_index = static_cast<int>(ifindex);
  NetlinkRequest request(RTM_SETLINK, 0, link);
  const auto families = request.begin(IFLA_AF_SPEC);
  const auto six = request.begin(AF_INET6);
  const std::uint8_t none = IN6_ADDR_GEN_MODE_NONE;
  request.add(IFLA_INET6_ADDR_GEN_MODE, {&none, 1});
  request.end(six);
  request.end(families);
  static_cast<void>(request.send());
}

int bring_up(std::uint32_t ifindex) {
  ifinfomsg link{};
  link.ifi_index = static_cast<int>(ifindex);
  link.ifi_flags = IFF_UP | kRest;
  link.ifi_change = IFF_UP | kRest;
  return NetlinkRequest(RTM_SETLINK, 0, link).send();
}

int add_clsact(std::uint32_t ifindex) {
  tcmsg place{};
  place.tcm_ifindex = static_cast<int>(ifindex);
  place.tcm_handle = TC_H_MAKE(TC_H_CLSACT, 0);
  place.tcm_parent = TC_H_CLSACT;
  NetlinkRequest request(RTM_NEWQDISC, NLM_F_CREATE | NLM_F_EXCL, place);
  request.add(TCA_KIND, std::string("clsact"));
  return request.send();
}

/// All that arrives at `from` goes into the ingress of `to`.
int add_redirect(std::uint32_t from, std::uint32_t to) {
  tcmsg place{};
  place.tcm_ifindex = static_cast<int>(from);
  place.tcm_parent = TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_INGRESS);
  place.tcm_info = TC_H_MAKE(1U << 16U, htons(ETH_P_ALL));
  NetlinkRequest request(RTM_NEWTFILTER, NLM_F_CREATE | NLM_F_EXCL, place);
  request.add(TCA_KIND, std::string("bpf"));
  const auto options = request.begin(TCA_OPTIONS);
  const auto act = request.begin(TCA_BPF_ACT);
  const auto first = request.begin(1);
  request.add(TCA_ACT_KIND, std::string("mirred"));
  const auto parameters = request.begin(TCA_ACT_OPTIONS);
  tc_mirred mirred{};
  mirred.action = TC_ACT_STOLEN;
  mirred.eaction = TCA_INGRESS_REDIR;
  mirred.ifindex = to;
  request.add_struct(TCA_MIRRED_PARMS, mirred);
  request.end(parameters);
  request.end(first);
  request.end(act);
  const std::uint16_t instructions = 1;
  request.add_struct(TCA_BPF_OPS_LEN, instructions);
  const sock_filter everything{BPF_RET | BPF_K, 0, 0, 0xffffffff};
  request.add_struct(TCA_BPF_OPS, everything);
  request.end(options);
  return request.send();
}

/// Where it is there and a veth.
Status remove_link(const std::string& name) {
  WEIR_ASSIGN(const Device device, Device::open(name));
  if (device.ifindex() == 0) return {};
  WEIR_ASSIGN(const LinkFacts facts, device.link());
  if (facts.kind != "veth") return {};
  ifinfomsg link{};
  link.ifi_index = static_cast<int>(device.ifindex());
  const int error = NetlinkRequest(RTM_DELLINK, 0, link).send();
  if (error == 0 || error == ENODEV) return {};
  return fail_errno(fmt::format("remove the interface {}", name), error);
}

/// The far end does its part: quiet, up, and a way into `interface`.
Status set_up(const Pair& pair, std::uint32_t interface) {
  const std::uint32_t near = if_nametoindex(pair.near.c_str());
  const std::uint32_t far = if_nametoindex(pair.far.c_str());
  for (const std::uint32_t end : {near, far}) {
    quieten(end);
    if (const int error = bring_up(end); error != 0)
      return fail_errno(fmt::format("bring {} and {} up", pair.near, pair.far), error);
  }
  if (const int error = add_clsact(far); error != 0)
    return fail_errno(
        fmt::format("add the queueing discipline clsact to {} (kernel module sch_ingress)",
                    pair.far),
        error);
  if (const int error = add_redirect(far, interface); error != 0)
    return fail_errno(
        fmt::format("redirect {} into the stack (kernel modules cls_bpf and act_mirred)", pair.far),
        error);
  return {};
}

}  // namespace

Result<std::unique_ptr<StackEntry>> StackEntry::make(const std::string& interface,
                                                     std::uint32_t queues,
                                                     const std::string& record_file) {
  WEIR_TRY(remove(record_file));
  WEIR_ASSIGN(const Device device, Device::open(interface));
  const std::uint32_t ifindex = device.ifindex();
  const auto mac = device.mac();
  const auto mtu = device.mtu();
  if (ifindex == 0 || !mac || !mtu)
    return fail(fmt::format("interface '{}' does not exist, or has no MAC address", interface));
  const Pair pair{.near = fmt::format("weir{}in", ifindex),
                  .far = fmt::format("weir{}up", ifindex),
                  .queues = queues,
                  .mtu = *mtu + kTags_bytes,
                  .far_mac = *mac};
  // Before the pair: what is not there is not removed either.
  std::ofstream record(record_file);
  record << pair.near << "\n";
  if (!record.flush())
    return fail(fmt::format("the record '{}' cannot be written; set control.run_dir", record_file));
  if (const int error = make_pair_of(pair); error != 0) {
    ::unlink(record_file.c_str());
    return fail_errno(fmt::format("make the veth pair {} and {}", pair.near, pair.far), error);
  }
  auto entry = std::unique_ptr<StackEntry>(new StackEntry(pair.near, record_file));
  WEIR_TRY(set_up(pair, ifindex));
  return entry;
}

StackEntry::~StackEntry() { static_cast<void>(remove(record_)); }

Status StackEntry::remove(const std::string& record_file) {
  std::ifstream record(record_file);
  std::string near;
  if (!(record >> near)) return {};
  WEIR_TRY(remove_link(near));
  ::unlink(record_file.c_str());
  return {};
}

}  // namespace weir::io
