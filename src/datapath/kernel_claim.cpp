// SPDX-License-Identifier: BSD-2-Clause
#include "datapath/kernel_claim.h"

#include <utility>

namespace weir::datapath {

Status Claim::check(const KernelOptions& options, bool attached) {
  WEIR_ASSIGN(const auto ports, find_ports(options.interfaces));
  const Pins pins(options.pin_directory);
  WEIR_TRY(pins.check());
  if (!attached) return {};
  const auto found = is_attached(ports, pins);
  return found ? Status{} : tl::unexpected(found.error());
}

Result<Claim> Claim::take(const KernelOptions& options) {
  WEIR_ASSIGN(auto ports, find_ports(options.interfaces));
  Claim claim(options, std::move(ports));
  // A last owner may remove the directory between the making and the lock: then it is made again.
  while (!claim.lock_) {
    WEIR_TRY(claim.pins_.prepare(*claim.undo_));
    WEIR_ASSIGN(claim.lock_, claim.pins_.lock());
  }
  WEIR_ASSIGN(claim.attached_, is_attached(claim.ports_, claim.pins_));
  return claim;
}

}  // namespace weir::datapath
