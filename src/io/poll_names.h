// SPDX-License-Identifier: BSD-2-Clause
/// Names of the devices that DPDK polls, as a configuration has them: "0000:03:00.0,queues=4",
/// "net_af_packet0,iface=eth0".
///
/// What DPDK would say of a name only once it opens the device, and often in words of its own, is
/// told from the name and from /sys.
///
/// Source    doc.dpdk.org/guides-22.11/nics: af_packet, af_xdp, pcap_ring, tap.
/// Threads   pure functions, of the file system as it is.
#pragma once

#include <optional>
#include <string>

namespace weir::io {

/// "3:00.0" and "0000:03:00.0" are "0000:03:00.0"; empty where the name is no PCI address. Arguments
/// behind a comma do not count.
std::string pci_address(const std::string& device);

/// Two names of one device: of one PCI address, or virtual devices over one interface.
bool is_same_device(const std::string& a, const std::string& b);

struct NameFault {
  std::string found, remedy;
};
/// What is wrong with a name, as far as it tells; PCI devices are looked at elsewhere. `root` stands
/// in front of /sys.
std::optional<NameFault> fault_of_name(const std::string& device, const std::string& root = {});

}  // namespace weir::io
