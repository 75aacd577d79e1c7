// SPDX-License-Identifier: BSD-2-Clause
#include "io/machine.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/socket.h>
#include <sys/statfs.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <charconv>
#include <climits>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <optional>

#include "io/host.h"
#include "io/host_device.h"
#include "io/poll_module.h"
#include "io/poll_names.h"

namespace weir::io {

namespace {

namespace fs = std::filesystem;
using State = Finding::State;

/// Drivers with native XDP in the kernels of today; those with zero-copy for AF_XDP too.
constexpr std::array kNative = {"atlantic", "bnxt_en",       "dpaa2-eth", "ena",
                                "enetc",    "fsl_dpaa2_eth", "hv_netvsc", "mvneta",
                                "mvpp2",    "nicvf",         "octeontx2", "qede",
                                "sfc",      "tun",           "veth",      "xen-netfront"};
constexpr std::array kZeroCopy = {"gve",   "i40e",      "ice", "idpf",   "igb",   "igc",
                                  "ixgbe", "mlx5_core", "nfp", "stmmac", "tsnep", "virtio_net"};

/// Drivers of the kernel's that DPDK works beside; and those that hand a device over to it.
constexpr std::array kShared = {"mlx4_core", "mlx5_core", "mana"};
constexpr std::array kHandsOver = {"vfio-pci", "uio_pci_generic", "igb_uio"};

/// A CPU that sleeps deeper than this wakes later than a batch takes: 20 us, half of Intel's C6.
constexpr unsigned kWakeMax_us = 20;

std::string line_of(const fs::path& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

std::optional<unsigned> number_of(const fs::path& path) {
  const std::string text = line_of(path);
  unsigned value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() ? std::optional(value) : std::nullopt;
}

template <typename List, typename Value>
bool holds(const List& list, const Value& value) {
  return std::find(list.begin(), list.end(), value) != list.end();
}

class Examination {
 public:
  explicit Examination(const MachineQuestion& question)
      : question_(question), proc_(question.root + "/proc"), sys_(question.root + "/sys") {}

  std::vector<Finding> run() {
    kernel();
    if (std::any_of(question_.devices.begin(), question_.devices.end(),
                    [](const std::string& device) { return !device.empty(); })) {
      dpdk();
    } else {
      compiler();
      sockets();
      pins();
      for (const std::string& name : question_.interfaces)
        if (!name.empty()) interface(name);
      pair();
    }
    cpus();
    neighbours();
    return std::move(findings_);
  }

 private:
  void good(std::string subject, std::string found) {
    findings_.push_back({State::good, std::move(subject), std::move(found), {}});
  }
  void slower(std::string subject, std::string found, std::string remedy) {
    findings_.push_back({State::slower, std::move(subject), std::move(found), std::move(remedy)});
  }
  void stops(std::string subject, std::string found, std::string remedy) {
    findings_.push_back({State::stops, std::move(subject), std::move(found), std::move(remedy)});
  }

  void kernel() {
    utsname name{};
    uname(&name);
    good("kernel", fmt::format("{} {}", name.sysname, name.release));
    const std::string spectre = line_of(sys_ / "devices/system/cpu/vulnerabilities/spectre_v2");
    if (spectre.find("Retpolines") != std::string::npos)
      slower(
          "mitigations", "retpolines: each indirect call of the network path costs some 10 ns more",
          "a CPU with enhanced IBRS; or mitigations=off on the kernel's command line of a box that "
          "runs nothing but weir");
    else
      good("mitigations", spectre.empty() ? "not told" : spectre);
  }

  void compiler() {
    const auto jit = number_of(proc_ / "sys/net/core/bpf_jit_enable");
    if (jit == 0U)
      slower("BPF compiler", "off: the XDP program would be interpreted",
             "sysctl -w net.core.bpf_jit_enable=1");
    else
      good("BPF compiler", jit ? "on" : "always on");
  }

  void dpdk() {
    const auto module = load_dpdk_module();
    if (module)
      good("DPDK", (*module)->version);
    else
      stops("DPDK", module.error().message, "see the README, 'NICs by DPDK'");
    if (question_.hugepages)
      hugepages();
    else
      ordinary_memory();
    if (module && question_.root.empty()) started(**module);
    std::vector<std::string> nodes;
    for (const std::string& device : question_.devices) {
      if (device.empty()) continue;
      if (auto fault = fault_of_name(device, question_.root))
        stops(device, std::move(fault->found), std::move(fault->remedy));
      else if (const std::string address = pci_address(device); !address.empty())
        pci(address, nodes);
      else
        good(device, "DPDK makes it at the start");
    }
    if (nodes.size() == 2 && nodes[0] != nodes[1])
      slower("both devices", fmt::format("on the NUMA nodes {} and {}", nodes[0], nodes[1]),
             "two ports of one node: packets cross between the nodes' memories");
  }

  /// In a process of its own, which DPDK may keep what it takes in.
  void started(const PollModule& module) {
    PollConfig config;
    config.arguments = question_.arguments;
    config.hugepages = question_.hugepages;
    config.memory_mb = question_.memory_mb;
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) return;
    std::fflush(nullptr);
    const pid_t child = fork();
    if (child == 0) {
      const Status tried = module.try_start(config);
      const std::string said = tried ? "" : tried.error().message;
      const ssize_t told =
          write(ends[1], said.data(), std::min<std::size_t>(said.size(), PIPE_BUF));
      _exit(told < 0 ? 1 : 0);
    }
    close(ends[1]);
    std::string said(PIPE_BUF, '\0');
    const ssize_t got = read(ends[0], said.data(), said.size());
    said.resize(static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
    close(ends[0]);
    int status = 0;
    if (child < 0 || waitpid(child, &status, 0) != child) return;
    if (said.empty() && (!WIFEXITED(status) || WEXITSTATUS(status) != 0))
      said = "it ended this process while it started";
    if (said.empty())
      good("DPDK: start", question_.arguments.empty()
                              ? "it starts, without a device"
                              : fmt::format("it starts with {}, without a device",
                                            fmt::join(question_.arguments, " ")));
    else
      stops("DPDK: start", said, "another dpdk.eal, dpdk.hugepages or dpdk.memory_mb");
  }

  [[nodiscard]] std::uint64_t wanted_mb() const {
    return std::uint64_t{std::max(question_.channels, 1U)} * question_.channel_mb;
  }

  void ordinary_memory() {
    const std::uint64_t wanted = wanted_mb();
    if (question_.memory_mb >= wanted)
      good("memory", fmt::format("{} MiB for packets", question_.memory_mb));
    else
      stops("memory",
            fmt::format("{} MiB for packets, which take at least {}", question_.memory_mb, wanted),
            fmt::format("dpdk.memory_mb = {}, or smaller channels.frames and channels.ring",
                        std::bit_ceil(wanted)));
  }

  void hugepages() {
    std::uint64_t free_mb = 0;
    std::error_code ignored;
    for (const auto& size : fs::directory_iterator(sys_ / "kernel/mm/hugepages", ignored)) {
      const std::string name = size.path().filename();  // hugepages-2048kB
      const std::uint64_t kb = std::strtoull(name.c_str() + name.find('-') + 1, nullptr, 10);
      free_mb += number_of(size.path() / "free_hugepages").value_or(0) * kb / 1024;
    }
    const std::uint64_t wanted = wanted_mb();
    if (free_mb == 0)
      stops("hugepages", "none is free",
            "sysctl vm.nr_hugepages=512 (a channel takes about 45 MB), and the same in "
            "/etc/sysctl.d for the next boot");
    else if (free_mb < wanted)
      stops("hugepages",
            fmt::format("{} MiB are free, and packets take at least {}", free_mb, wanted),
            "more by sysctl vm.nr_hugepages, or smaller channels.frames and channels.ring");
    else
      good("hugepages", fmt::format("{} MiB are free", free_mb));
  }

  void pci(const std::string& address, std::vector<std::string>& nodes) {
    const fs::path place = sys_ / "bus/pci/devices" / address;
    std::error_code ignored;
    if (!fs::exists(place, ignored)) {
      stops(address, "there is no such PCI device", "'dpdk-devbind.py --status' lists them");
      return;
    }
    nodes.push_back(line_of(place / "numa_node"));
    const std::string driver = fs::read_symlink(place / "driver", ignored).filename();
    if (holds(kShared, driver)) {
      good(address, fmt::format("{}: DPDK works beside the kernel's driver", driver));
    } else if (!holds(kHandsOver, driver)) {
      stops(address,
            driver.empty() ? "bound to no driver" : fmt::format("bound to the kernel's {}", driver),
            fmt::format("dpdk-devbind.py --bind=vfio-pci {}: its interface is gone from then on",
                        address));
    } else if (driver == "vfio-pci" && !fs::exists(place / "iommu_group", ignored)) {
      stops(address, "bound to vfio-pci, but the machine has no IOMMU in use",
            "intel_iommu=on or amd_iommu=on on the kernel's command line, and VT-d or AMD-Vi on in "
            "the firmware");
    } else if (driver != "vfio-pci") {
      slower(address, fmt::format("bound to {}: it may write anywhere in memory", driver),
             fmt::format("dpdk-devbind.py --bind=vfio-pci {}", address));
    } else {
      good(address, "bound to vfio-pci, behind an IOMMU");
    }
  }

  void sockets() {
    const int fd = socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0);
    const int error = errno;
    if (fd >= 0) {
      close(fd);
      good("AF_XDP", "there");
    } else if (error == EPERM) {
      slower("AF_XDP", "not looked at: that needs privileges", "run this as root");
    } else {
      stops("AF_XDP", fmt::format("no sockets: {}", strerror(error)),
            "a kernel with CONFIG_XDP_SOCKETS=y");
    }
  }

  void pins() {
    if (question_.pin_directory.empty()) return;
    // The directory is made at start: it is its nearest parent that must lie on a BPF file system.
    fs::path place(question_.root + question_.pin_directory);
    std::error_code ignored;
    while (!fs::exists(place, ignored) && place.has_relative_path()) place = place.parent_path();
    struct statfs facts {};
    constexpr long kBpfFs = static_cast<long>(0xcafe4a11);
    if (statfs(place.c_str(), &facts) == 0 && static_cast<long>(facts.f_type) == kBpfFs)
      good("pins", fmt::format("{} is on a BPF file system", question_.pin_directory));
    else
      stops("pins", fmt::format("{} is on no BPF file system", question_.pin_directory),
            "mount -t bpf bpf /sys/fs/bpf");
  }

  void interface(const std::string& name) {
    const auto facts = inspect(name);
    if (!facts) {  // what was found; what to do
      const std::string& said = facts.error().message;
      const std::size_t end = said.find("; ");
      stops(name, said.substr(0, end),
            end == std::string::npos ? "another interface, of 'ip link'" : said.substr(end + 2));
      return;
    }
    driver(*facts);
    queues(*facts);
    if (facts->mtu > kMtuMax)
      stops(name + ": MTU", fmt::format("{}: XDP takes at most {}", facts->mtu, kMtuMax),
            fmt::format("ip link set dev {} mtu 1500", name));
    else
      good(name + ": MTU", fmt::format("{}", facts->mtu));
    offloads(name);
    if (question_.guards_all_ip) frames(name);
    if (question_.busy_poll) busy_poll(name);
    mtus_.push_back(facts->mtu);
  }

  void driver(const InterfaceFacts& facts) {
    const std::string subject = facts.name + ": driver";
    if (holds(kZeroCopy, facts.driver))
      good(subject, facts.driver + ": native XDP, zero-copy sockets in current kernels");
    else if (holds(kNative, facts.driver))
      slower(subject, facts.driver + ": native XDP, sockets in copy mode",
             std::string(question_.may_redirect ? "channels.transmit = \"redirect\", or " : "") +
                 "a NIC with zero-copy: Intel (igc, i40e, ice), NVIDIA (mlx5), virtio_net from "
                 "6.11 on");
    else
      slower(subject,
             facts.driver + ": not known to have native XDP: generic XDP is several times slower",
             "a NIC with native XDP, such as Intel's (igc, i40e, ice) or NVIDIA's (mlx5)");
  }

  void queues(const InterfaceFacts& facts) {
    const std::string subject = facts.name + ": queues";
    const std::uint32_t wanted = question_.channels;
    if (wanted == 0 || facts.rx_queues == wanted) {
      good(subject, fmt::format("{} to receive, a channel each", facts.rx_queues));
    } else if (facts.rx_queues < wanted) {
      stops(subject,
            fmt::format("{} to receive: {} channels want as many", facts.rx_queues, wanted),
            fmt::format("ethtool -L {} combined {}, or channels.count = {}", facts.name, wanted,
                        facts.rx_queues));
    } else {
      slower(subject,
             fmt::format("{} to receive, {} channels: packets of the other queues are not judged",
                         facts.rx_queues, wanted),
             fmt::format("ethtool -L {} combined {}, or channels.count = \"auto\"", facts.name,
                         wanted));
    }
  }

  /// weir turns these off while it runs; what cannot be turned off hides frames from XDP.
  void offloads(const std::string& name) {
    auto device = Device::open(name);
    if (!device) return;
    std::vector<std::string> fixed;
    std::vector<std::string> on;
    for (const auto& [feature, state] : device->features()) {
      const bool matters = feature == "rx-lro" || feature == "rx-gro-hw" ||
                           feature == "rx-vlan-hw-parse" ||
                           (feature == "rx-vlan-filter" && !question_.host);
      if (!matters || !state.on) continue;
      (state.fixed ? fixed : on).push_back(feature);
    }
    if (!fixed.empty() && question_.host)
      slower(name + ": offloads", fmt::format("on for good: {}", fmt::join(fixed, ", ")),
             "another NIC: what is judged may not be what was on the wire");
    else if (!fixed.empty())
      stops(name + ": offloads", fmt::format("on for good: {}", fmt::join(fixed, ", ")),
            "another NIC: XDP would not see what is on the wire");
    else
      good(name + ": offloads", on.empty()
                                    ? "none that change frames"
                                    : fmt::format("off while weir runs: {}", fmt::join(on, ", ")));
  }

  void frames(const std::string& name) {
    if (auto unfinished = unfinished_frames(name))
      slower(name + ": frames", std::move(unfinished->found), std::move(unfinished->remedy));
    else
      good(name + ": frames", "whole as they come");
  }

  void busy_poll(const std::string& name) {
    const fs::path net = sys_ / "class/net" / name;
    const auto while_running = [&](std::uint64_t set, const char* file) -> std::uint64_t {
      return set != 0 ? set : static_cast<std::uint64_t>(number_of(net / file).value_or(0));
    };
    const auto defer = while_running(question_.tuning.napi_defer_hard_irqs, "napi_defer_hard_irqs");
    const auto flush_ns = while_running(question_.tuning.gro_flush_ns, "gro_flush_timeout");
    const std::string what = name + ": busy polling";
    if (defer != 0 && flush_ns != 0)
      good(what, "interrupts are put off while weir runs");
    else
      slower(what,
             fmt::format(
                 "napi_defer_hard_irqs {}, gro_flush_timeout {} ns: interrupts go on beside it",
                 defer, flush_ns),
             "set channels.napi_defer_hard_irqs = 2 and channels.gro_flush_us = 200");
  }

  void pair() {
    const auto& [wan, lan] = question_.interfaces;
    if (!wan.empty() && wan == lan)
      stops("both interfaces", fmt::format("{} is both", wan), "two interfaces: weir joins them");
    if (mtus_.size() == 2 && mtus_[0] != mtus_[1])
      stops("both interfaces", fmt::format("MTU {} and {}: they must be equal", mtus_[0], mtus_[1]),
            fmt::format("ip link set dev {} mtu {}", question_.interfaces[index(Side::lan)],
                        mtus_[0]));
  }

  void cpus() {
    const fs::path all = sys_ / "devices/system/cpu";
    std::vector<std::uint32_t> used = question_.cpus;
    std::sort(used.begin(), used.end());
    if (const auto twice = std::adjacent_find(used.begin(), used.end()); twice != used.end())
      slower(fmt::format("CPU {}", *twice), "two threads are pinned to it",
             "another CPU in channels.io_cpus or workers.cpus");
    used.erase(std::unique(used.begin(), used.end()), used.end());
    for (const std::uint32_t cpu : used) {
      const fs::path place = all / fmt::format("cpu{}", cpu);
      std::error_code ignored;
      if (!fs::exists(place, ignored)) {
        stops(fmt::format("CPU {}", cpu), "there is none of this number",
              "channels.io_cpus and workers.cpus with CPUs that 'lscpu' lists");
        continue;
      }
      frequency(cpu, place);
      sleep(cpu, place);
      siblings(cpu, place, used);
    }
  }

  void frequency(std::uint32_t cpu, const fs::path& place) {
    const std::string governor = line_of(place / "cpufreq/scaling_governor");
    if (!governor.empty() && governor != "performance")
      slower(fmt::format("CPU {}: frequency", cpu), fmt::format("governor '{}'", governor),
             "cpupower frequency-set -g performance");
    else
      good(fmt::format("CPU {}: frequency", cpu), governor.empty() ? "fixed" : governor);
  }

  void sleep(std::uint32_t cpu, const fs::path& place) {
    unsigned deepest = 0;
    std::string name;
    std::error_code ignored;
    for (const auto& state : fs::directory_iterator(place / "cpuidle", ignored)) {
      const unsigned latency = number_of(state.path() / "latency").value_or(0);
      if (number_of(state.path() / "disable").value_or(0) != 0 || latency <= deepest) continue;
      deepest = latency;
      name = line_of(state.path() / "name");
    }
    if (deepest > kWakeMax_us)
      slower(fmt::format("CPU {}: sleep", cpu),
             fmt::format("{} takes {} us to wake", name, deepest),
             fmt::format("cpupower idle-set -D {}", kWakeMax_us));
    else
      good(fmt::format("CPU {}: sleep", cpu), fmt::format("wakes within {} us", deepest));
  }

  void siblings(std::uint32_t cpu, const fs::path& place, const std::vector<std::uint32_t>& used) {
    const std::string list = line_of(place / "topology/thread_siblings_list");
    std::size_t at = 0;
    while (at < list.size()) {
      std::uint32_t other = 0;
      const auto [end, error] = std::from_chars(list.data() + at, list.data() + list.size(), other);
      if (error != std::errc()) break;
      at = static_cast<std::size_t>(end - list.data()) + 1;
      if (other > cpu && holds(used, other))
        slower(fmt::format("CPU {} and {}", cpu, other), "are two threads of one core",
               "threads of weir on a core each");
    }
  }

  /// Other programs that take time or move interrupts.
  void neighbours() {
    std::error_code ignored;
    for (const auto& process : fs::directory_iterator(proc_, ignored))
      if (line_of(process.path() / "comm") == "irqbalance" && !question_.cpus.empty())
        slower("irqbalance",
               "runs: it moves interrupts away from the CPUs that threads are pinned to",
               "systemctl disable --now irqbalance");
    std::ifstream info(proc_ / "cpuinfo");
    for (std::string line; std::getline(info, line);)
      if (line.starts_with("flags") && line.find(" hypervisor") != std::string::npos) {
        slower("machine", "virtual: others share its CPUs, and times vary", "a machine of its own");
        return;
      }
  }

  const MachineQuestion& question_;
  const fs::path proc_, sys_;
  std::vector<Finding> findings_;
  std::vector<std::uint32_t> mtus_;
};

}  // namespace

std::vector<Finding> examine(const MachineQuestion& question) {
  return Examination(question).run();
}

}  // namespace weir::io
