// SPDX-License-Identifier: BSD-2-Clause
/// A way into this host's stack, for frames that came in by an interface and were held back there:
/// what is sent into `name()` arrives as from that interface, and XDP does not see it again.
///
/// Shape     a veth pair. At the far end a filter redirects all that arrives into the interface's
///           ingress (tc's mirred, and not bpf_redirect: generic XDP passes over what mirred
///           brings). The far end has the interface's own MAC address, so that what was to this host
///           still is. No address, no ARP, no IPv6 on either end. A tap device in its place
///           delivers less (perf/README, "Guard's way into the stack").
/// Owner     who made it; goes with the object. One that a killed weir left is known by the record
///           file, and goes at the next `make` or by `remove`.
/// Needs     CAP_NET_ADMIN; veth, cls_bpf and act_mirred in the kernel.
/// Errors    one sentence with the remedy; a failed `make` leaves nothing behind.
/// Threads   one owner.
/// Source    tc-mirred(8), tc-bpf(8), veth(4); net/core/dev.c, netif_receive_generic_xdp.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/result.h"

namespace weir::io {

class StackEntry {
 public:
  /// With `queues` queues each. The folder of `record_file` must exist.
  static Result<std::unique_ptr<StackEntry>> make(const std::string& interface,
                                                  std::uint32_t queues,
                                                  const std::string& record_file);
  ~StackEntry();
  StackEntry(const StackEntry&) = delete;
  StackEntry& operator=(const StackEntry&) = delete;

  /// The end to send into.
  [[nodiscard]] const std::string& name() const noexcept { return near_; }

  /// Removes what the record file names; nothing to do where there is none.
  static Status remove(const std::string& record_file);

 private:
  StackEntry(std::string near, std::string record)
      : near_(std::move(near)), record_(std::move(record)) {}

  const std::string near_;
  const std::string record_;
};

}  // namespace weir::io
