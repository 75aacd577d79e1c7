// SPDX-License-Identifier: BSD-2-Clause
#include "datapath/kernel_own.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fmt/format.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>

#include <cerrno>
#include <memory>

#include "base/netlink.h"

namespace weir::datapath {
namespace {

constexpr const char* kOwn = "own";
constexpr const char* kOwnQdisc = "own_qdisc";
/// Late among the interface's filters, and a number that nobody takes by chance.
constexpr std::uint32_t kPriority = 49'001;
constexpr std::uint32_t kHandle = 0x77656972;

std::uint32_t program_id(int fd) {
  bpf_prog_info info{};
  std::uint32_t bytes = sizeof info;
  return fd >= 0 && bpf_obj_get_info_by_fd(fd, &info, &bytes) == 0 ? info.id : 0;
}

bpf_tc_hook egress_of(std::uint32_t ifindex) {
  bpf_tc_hook hook{};
  hook.sz = sizeof hook;
  hook.ifindex = static_cast<int>(ifindex);
  hook.attach_point = BPF_TC_EGRESS;
  return hook;
}

bpf_tc_opts filter(int program_fd, std::uint32_t flags) {
  bpf_tc_opts options{};
  options.sz = sizeof options;
  options.prog_fd = program_fd;
  options.flags = flags;
  options.handle = kHandle;
  options.priority = kPriority;
  return options;
}

/// The program of the filter with our number; 0: none.
std::uint32_t attached(std::uint32_t ifindex) {
  const bpf_tc_hook hook = egress_of(ifindex);
  bpf_tc_opts found = filter(0, 0);
  return bpf_tc_query(&hook, &found) == 0 ? found.prog_id : 0;
}

void take_off(std::uint32_t ifindex) {
  const bpf_tc_hook hook = egress_of(ifindex);
  const bpf_tc_opts gone = filter(0, 0);
  static_cast<void>(bpf_tc_detach(&hook, &gone));
}

bool has_filters(std::uint32_t ifindex) {
  bool any = false;
  for (const std::uint32_t parent : {TC_H_MIN_INGRESS, TC_H_MIN_EGRESS}) {
    tcmsg which{};
    which.tcm_ifindex = static_cast<int>(ifindex);
    which.tcm_parent = TC_H_MAKE(TC_H_CLSACT, parent);
    NetlinkRequest request(RTM_GETTFILTER, NLM_F_DUMP, which);
    const int error = request.dump([&](std::span<const std::uint8_t>) { any = true; });
    any = any || error != 0;
  }
  return any;
}

void remove_qdisc(std::uint32_t ifindex) {
  if (has_filters(ifindex)) return;
  bpf_tc_hook hook = egress_of(ifindex);
  hook.attach_point = static_cast<bpf_tc_attach_point>(BPF_TC_INGRESS | BPF_TC_EGRESS);
  static_cast<void>(bpf_tc_hook_destroy(&hook));
}

}  // namespace

Status watch_own(int program_fd, const Port& port, const Pins& pins, Undo& undo) {
  bpf_tc_hook hook = egress_of(port.ifindex);
  const int made = bpf_tc_hook_create(&hook);
  if (made != 0 && made != -EEXIST)
    return fail_errno(fmt::format("add the queueing discipline clsact to {}", port.name), -made);
  if (made == 0) undo.add([ifindex = port.ifindex] { remove_qdisc(ifindex); });

  WEIR_ASSIGN(Fd pinned, pins.open(kOwn));
  const auto before = std::make_shared<Fd>(std::move(pinned));
  const std::uint32_t there = attached(port.ifindex);
  const bool ours = there != 0 && there == program_id(before->get());
  if (there != 0 && !ours)
    return fail(
        fmt::format("{} has a filter of somebody else at its egress (priority {}, program {}); "
                    "take it off with "
                    "`tc filter del dev {} egress prio {}`",
                    port.name, kPriority, there, port.name, kPriority));
  bpf_tc_opts added = filter(program_fd, ours ? std::uint32_t{BPF_TC_F_REPLACE} : 0);
  if (const int error = bpf_tc_attach(&hook, &added); error != 0)
    return fail_errno(fmt::format("add a filter to the egress of {}", port.name), -error);
  undo.add([ifindex = port.ifindex, ours, before] {
    if (!ours) return take_off(ifindex);
    const bpf_tc_hook at = egress_of(ifindex);
    bpf_tc_opts old = filter(before->get(), BPF_TC_F_REPLACE);
    static_cast<void>(bpf_tc_attach(&at, &old));
  });
  WEIR_TRY(pins.put(kOwn, program_fd, undo));
  WEIR_ASSIGN(const Fd qdisc, pins.open(kOwnQdisc));
  return made == 0 || qdisc ? pins.put(kOwnQdisc, program_fd, undo) : Status{};
}

bool unwatch_own(const Pins& pins) {
  const auto program = pins.open(kOwn);
  const auto link = pins.open(link_name(Side::wan));
  bpf_link_info info{};
  std::uint32_t bytes = sizeof info;
  if (program && *program && link && *link &&
      bpf_obj_get_info_by_fd(link->get(), &info, &bytes) == 0 && info.xdp.ifindex != 0 &&
      attached(info.xdp.ifindex) == program_id(program->get())) {
    take_off(info.xdp.ifindex);
    const auto qdisc = pins.open(kOwnQdisc);
    if (qdisc && *qdisc) remove_qdisc(info.xdp.ifindex);
  }
  pins.remove(kOwnQdisc);
  return pins.remove(kOwn);
}

}  // namespace weir::datapath
