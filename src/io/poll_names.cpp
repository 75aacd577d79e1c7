// SPDX-License-Identifier: BSD-2-Clause
#include "io/poll_names.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <filesystem>
#include <string_view>
#include <system_error>
#include <vector>

#include "base/nearest.h"

namespace weir::io {
namespace {

namespace fs = std::filesystem;

/// Virtual devices, each with a number behind its name.
struct Kind {
  std::string_view name;
  bool needs_interface;                           ///< by the argument iface
  std::array<std::string_view, 4> of_interfaces;  ///< arguments that name one that must be there
};
constexpr std::array kKinds = {
    Kind{"net_af_packet", true, {"iface"}},
    Kind{"net_af_xdp", true, {"iface"}},
    Kind{"net_pcap", false, {"iface", "rx_iface", "rx_iface_in", "tx_iface"}},
    Kind{"net_tap", false, {"remote"}},
    Kind{"net_tun", false, {}},
    Kind{"net_bonding", false, {}},
    Kind{"net_failsafe", false, {}},
    Kind{"net_memif", false, {}},
    Kind{"net_null", false, {}},
    Kind{"net_ring", false, {}},
    Kind{"net_softnic", false, {}},
    Kind{"net_vdev_netvsc", false, {}},
    Kind{"net_vhost", false, {}},
    Kind{"net_virtio_user", false, {}},
};

std::string bare(const std::string& device) { return device.substr(0, device.find(',')); }

/// The name without the number behind it.
std::string kind_of(const std::string& device) {
  std::string name = bare(device);
  name.erase(name.find_last_not_of("0123456789") + 1);
  return name;
}

std::vector<std::string> values_of(const std::string& device, std::string_view key) {
  std::vector<std::string> values;
  for (std::size_t at = device.find(','); at != std::string::npos;) {
    const std::size_t end = device.find(',', at + 1);
    const std::string argument = device.substr(at + 1, end - at - 1);
    if (argument.starts_with(std::string(key) + "="))
      values.push_back(argument.substr(key.size() + 1));
    at = end;
  }
  return values;
}

bool is_interface(const std::string& name, const std::string& root) {
  std::error_code ignored;
  return !name.empty() && name.find('/') == std::string::npos && name != "." && name != ".." &&
         fs::exists(fs::path(root + "/sys/class/net") / name, ignored);
}

std::optional<NameFault> fault_of_kind(const Kind& kind, const std::string& device,
                                       const std::string& root) {
  const auto interfaces = values_of(device, "iface");
  if (kind.needs_interface && interfaces.empty())
    return NameFault{"it names no interface",
                     fmt::format("{},iface=eth0, with the interface's name", bare(device))};
  for (const std::string_view key : kind.of_interfaces)
    for (const std::string& interface : values_of(device, key))
      if (!key.empty() && !is_interface(interface, root))
        return NameFault{fmt::format("{}={}: there is no such interface", key, interface),
                         "an interface that 'ip link' lists"};
  return std::nullopt;
}

/// A name of a bus that is not looked at: "auxiliary:mlx5_core.sf.4", a UUID of Hyper-V's.
bool is_of_another_bus(const std::string& name) {
  return name.find(':') != std::string::npos || std::count(name.begin(), name.end(), '-') == 4;
}

}  // namespace

std::string pci_address(const std::string& device) {
  const std::string name = bare(device);
  std::array<unsigned, 4> parts{};  // domain, bus, device, function
  const auto colons = std::count(name.begin(), name.end(), ':');
  if (colons != 1 && colons != 2) return {};
  const char* at = name.data();
  const char* const end = at + name.size();
  for (std::size_t i = colons == 2 ? 0 : 1; i < parts.size(); ++i) {
    const auto [stop, error] = std::from_chars(at, end, parts[i], 16);
    const char between = i < 2 ? ':' : '.';
    const bool last = i + 1 == parts.size();
    if (error != std::errc{} || (last ? stop != end : stop == end || *stop != between)) return {};
    at = stop + (last ? 0 : 1);
  }
  return fmt::format("{:04x}:{:02x}:{:02x}.{:x}", parts[0], parts[1], parts[2], parts[3]);
}

bool is_same_device(const std::string& a, const std::string& b) {
  if (bare(a) == bare(b)) return true;
  if (const std::string address = pci_address(a); !address.empty())
    return address == pci_address(b);
  const auto over = values_of(a, "iface");
  return !over.empty() && over == values_of(b, "iface");
}

std::optional<NameFault> fault_of_name(const std::string& device, const std::string& root) {
  const std::string name = bare(device);
  if (!pci_address(device).empty()) return std::nullopt;
  const std::string kind = kind_of(device);
  std::vector<std::string_view> known;
  for (const Kind& one : kKinds) {
    if (one.name == kind) return fault_of_kind(one, device, root);
    known.push_back(one.name);
  }
  if (is_of_another_bus(name)) return std::nullopt;
  if (is_interface(name, root)) {
    std::error_code ignored;
    const std::string address =
        fs::read_symlink(fs::path(root + "/sys/class/net") / name / "device", ignored).filename();
    return NameFault{
        "it is an interface of the kernel's, and no name that DPDK knows",
        pci_address(address).empty()
            ? fmt::format("net_af_packet0,iface={}", name)
            : fmt::format("its PCI address, {}; or net_af_packet0,iface={}", address, name)};
  }
  return NameFault{"it is no name of a device of DPDK's",
                   fmt::format("a PCI address, as 0000:03:00.0, or a virtual device, as "
                               "net_af_packet0,iface=eth0{}",
                               did_you_mean(kind, known))};
}

}  // namespace weir::io
