// SPDX-License-Identifier: BSD-2-Clause
// What is found on a machine: over made-up /proc and /sys trees for what this one may not have, and
// over real interfaces in a namespace for what asks the kernel.
#include "io/machine.h"

#include <gmock/gmock.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "io/poll_names.h"
#include "support/wire.h"

namespace weir::io {
namespace {

namespace fs = std::filesystem;
using State = Finding::State;
using testing::HasSubstr;

class MachineTest : public testing::Test {
 protected:
  MachineTest() : root_(fs::temp_directory_path() / ("weir-machine-" + std::to_string(getpid()))) {
    put("proc/sys/net/core/bpf_jit_enable", "1");
    for (const char* cpu : {"cpu0", "cpu1", "cpu2"}) {
      const std::string place = std::string("sys/devices/system/cpu/") + cpu;
      put(place + "/cpufreq/scaling_governor", "performance");
      put(place + "/cpuidle/state0/latency", "0");
      put(place + "/cpuidle/state1/latency", "2");
      put(place + "/topology/thread_siblings_list", std::string(1, cpu[3]));
    }
  }
  ~MachineTest() override { fs::remove_all(root_); }

  void put(const std::string& path, const std::string& text) const {
    fs::create_directories((root_ / path).parent_path());
    std::ofstream(root_ / path) << text << "\n";
  }
  /// What is said of a subject; a state of `good` where nothing is.
  [[nodiscard]] Finding of(const std::string& subject, MachineQuestion question = {}) const {
    question.root = root_;
    if (question.cpus.empty()) question.cpus = {0, 2};
    for (Finding& finding : examine(question))
      if (finding.subject == subject) return std::move(finding);
    return {State::good, "nothing", "", ""};
  }

  const fs::path root_;
};

TEST_F(MachineTest, AWellKeptMachineHasNothingToChange) {
  MachineQuestion question;
  question.root = root_;
  question.cpus = {0, 2};
  for (const Finding& finding : examine(question)) {
    if (finding.subject == "AF_XDP") continue;  // this process may not be allowed to look
    EXPECT_EQ(finding.state, State::good) << finding.subject << ": " << finding.found;
    EXPECT_EQ(finding.remedy, "") << finding.subject;
  }
}

TEST_F(MachineTest, EachTroubleIsNamedWithItsRemedy) {
  put("proc/sys/net/core/bpf_jit_enable", "0");
  put("sys/devices/system/cpu/vulnerabilities/spectre_v2", "Mitigation: Retpolines, IBPB");
  put("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "powersave");
  put("sys/devices/system/cpu/cpu2/cpuidle/state2/latency", "133");
  put("sys/devices/system/cpu/cpu2/cpuidle/state2/name", "C6");
  put("sys/devices/system/cpu/cpu0/topology/thread_siblings_list", "0,2");
  put("proc/4711/comm", "irqbalance");
  put("proc/cpuinfo", "flags\t\t: fpu hypervisor avx2");
  struct Case {
    const char* subject;
    const char* found;
    const char* remedy;
  };
  for (const Case& c :
       {Case{"BPF compiler", "off", "bpf_jit_enable=1"}, Case{"mitigations", "retpolines", "IBRS"},
        Case{"CPU 0: frequency", "powersave", "cpupower"},
        Case{"CPU 2: sleep", "C6 takes 133 us", "idle-set -D 20"},
        Case{"CPU 0 and 2", "one core", "a core each"},
        Case{"irqbalance", "moves interrupts", "systemctl"},
        Case{"machine", "virtual", "of its own"}}) {
    const Finding finding = of(c.subject);
    EXPECT_EQ(finding.state, State::slower) << c.subject;
    EXPECT_THAT(finding.found, HasSubstr(c.found));
    EXPECT_THAT(finding.remedy, HasSubstr(c.remedy));
  }
}

TEST_F(MachineTest, ASleepStateThatIsDisabledDoesNotCount) {
  put("sys/devices/system/cpu/cpu2/cpuidle/state2/latency", "133");
  put("sys/devices/system/cpu/cpu2/cpuidle/state2/disable", "1");
  EXPECT_EQ(of("CPU 2: sleep").state, State::good);
}

TEST_F(MachineTest, WhatThereIsNotStops) {
  MachineQuestion question;
  question.cpus = {7};
  EXPECT_EQ(of("CPU 7", question).state, State::stops);
  question.pin_directory = "/sys/fs/bpf/weir";
  EXPECT_EQ(of("pins", question).state, State::stops);
  EXPECT_THAT(of("pins", question).remedy, HasSubstr("mount -t bpf"));
  question.interfaces = {"nosuch0", "nosuch0"};
  EXPECT_EQ(of("nosuch0", question).state, State::stops);
  EXPECT_EQ(of("nosuch0", question).remedy, "'ip link' lists them");
  EXPECT_EQ(of("both interfaces", question).found, "nosuch0 is both");
}

TEST_F(MachineTest, ForDpdkItsMemoryAndItsDevicesAreLookedAt) {
  MachineQuestion question;
  question.devices = {"3:00.0,queues=4", "0000:84:00.1"};
  question.pin_directory = "/sys/fs/bpf/weir";
  EXPECT_EQ(of("pins", question).subject, "nothing") << "no XDP program, no pins";
  EXPECT_EQ(of("hugepages", question).state, State::stops);
  EXPECT_THAT(of("hugepages", question).remedy, HasSubstr("vm.nr_hugepages"));
  put("sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", "100");
  put("sys/kernel/mm/hugepages/hugepages-1048576kB/free_hugepages", "1");
  EXPECT_THAT(of("hugepages", question).found, HasSubstr("1224 MiB"));

  const std::string first = "sys/bus/pci/devices/0000:03:00.0";
  const std::string second = "sys/bus/pci/devices/0000:84:00.1";
  const auto bind = [this](const std::string& device, const char* driver) {
    fs::remove(root_ / device / "driver");
    fs::create_symlink(std::string("../../bus/pci/drivers/") + driver, root_ / device / "driver");
  };
  EXPECT_THAT(of("0000:03:00.0", question).found, HasSubstr("no such PCI device"));
  put(first + "/numa_node", "0");
  EXPECT_THAT(of("0000:03:00.0", question).found, HasSubstr("no driver"));
  struct Case {
    const char* driver;
    State state;
    const char* remedy;
  };
  for (const Case& c :
       {Case{"ice", State::stops, "--bind=vfio-pci 0000:03:00.0"},
        Case{"mlx5_core", State::good, ""}, Case{"igb_uio", State::slower, "vfio-pci"},
        Case{"vfio-pci", State::stops, "iommu=on"}}) {
    bind(first, c.driver);
    EXPECT_EQ(of("0000:03:00.0", question).state, c.state) << c.driver;
    EXPECT_THAT(of("0000:03:00.0", question).remedy, HasSubstr(c.remedy));
  }
  put(first + "/iommu_group/type", "DMA");
  EXPECT_EQ(of("0000:03:00.0", question).state, State::good);
  put(second + "/numa_node", "1");
  EXPECT_THAT(of("both devices", question).found, HasSubstr("0 and 1"));
  question.channels = 50;
  EXPECT_THAT(of("hugepages", question).found, HasSubstr("packets take at least 1400"));
  question.hugepages = false;
  EXPECT_EQ(of("hugepages", question).subject, "nothing");
  EXPECT_THAT(of("memory", question).remedy, HasSubstr("dpdk.memory_mb = 2048"));
  question.channels = 0;
  EXPECT_EQ(of("memory", question).state, State::good);
}

TEST_F(MachineTest, NamesThatDpdkDoesNotKnowStop) {
  put("sys/class/net/eth0/operstate", "up");
  put("sys/class/net/eth1/operstate", "up");
  fs::create_symlink("../../../0000:03:00.0", root_ / "sys/class/net/eth0/device");
  const auto of_device = [this](const char* device) {
    MachineQuestion question;
    question.devices = {device, ""};
    question.hugepages = false;
    return of(device, question);
  };
  struct Case {
    const char* device;
    const char* found;
    const char* remedy;
  };
  for (const Case& c :
       {Case{"eth0", "an interface of the kernel's", "its PCI address, 0000:03:00.0; or net_af"},
        Case{"eth1", "an interface of the kernel's", "net_af_packet0,iface=eth1"},
        Case{"eth2", "no name of a device", "a PCI address"},
        Case{"net_af_packt0,iface=eth0", "no name of a device", "did you mean net_af_packet?"},
        Case{"net_af_packet0", "it names no interface", "net_af_packet0,iface=eth0"},
        Case{"net_af_xdp1,queue_count=2", "it names no interface", "net_af_xdp1,iface=eth0"},
        Case{"net_af_packet0,iface=eth7", "iface=eth7: there is no such interface", "ip link"},
        Case{"net_tap0,iface=t,remote=eth7", "remote=eth7: there is no such", "ip link"}}) {
    const Finding finding = of_device(c.device);
    EXPECT_EQ(finding.state, State::stops) << c.device;
    EXPECT_THAT(finding.found, HasSubstr(c.found)) << c.device;
    EXPECT_THAT(finding.remedy, HasSubstr(c.remedy)) << c.device;
  }
  for (const char* device : {"net_af_packet0,iface=eth0", "net_tap0,iface=new0",
                             "net_pcap0,rx_pcap=a", "auxiliary:mlx5_core.sf.4"})
    EXPECT_EQ(of_device(device).state, State::good) << device;
}

TEST(PollNames, OfOneDeviceAreTold) {
  EXPECT_EQ(pci_address("3:00.0"), "0000:03:00.0");
  EXPECT_EQ(pci_address("10000:e1:00.1,queues=4"), "10000:e1:00.1");
  for (const char* none : {"eth0", "3:00", "3:00.0x", "zz:00.0", ":", "net_tap0,iface=a:b.c"})
    EXPECT_EQ(pci_address(none), "") << none;
  EXPECT_TRUE(is_same_device("0000:03:00.0", "03:00.0,queues=2"));
  EXPECT_FALSE(is_same_device("0000:03:00.0", "0000:03:00.1"));
  EXPECT_TRUE(is_same_device("net_tap0,iface=a", "net_tap0,iface=b"));
  EXPECT_TRUE(is_same_device("net_af_packet0,iface=a", "net_af_xdp1,qs=1,iface=a"));
  EXPECT_FALSE(is_same_device("net_af_packet0,iface=a", "net_af_packet1,iface=b"));
  EXPECT_FALSE(is_same_device("net_null0", "net_null1"));
}

TEST_F(MachineTest, RealInterfacesAreAsked) {
  if (const Status mounts = test::own_mounts(); !mounts) GTEST_SKIP() << mounts.error().message;
  test::Wire wire(2);
  const test::Inside inside(wire.box);
  MachineQuestion question;
  question.interfaces = {"wan", "lan"};
  question.channels = 2;
  EXPECT_THAT(of("wan: driver", question).found, HasSubstr("veth"));
  EXPECT_THAT(of("wan: driver", question).remedy, testing::StartsWith("a NIC with zero-copy"));
  question.may_redirect = true;
  EXPECT_THAT(of("wan: driver", question).remedy,
              HasSubstr("channels.transmit = \"redirect\", or"));
  EXPECT_EQ(of("wan: queues", question).state, State::good);
  EXPECT_EQ(of("lan: offloads", question).state, State::good);
  EXPECT_EQ(of("wan: frames", question).subject, "nothing");
  question.guards_all_ip = true;
  EXPECT_EQ(of("wan: frames", question).state, State::slower);
  EXPECT_THAT(of("wan: frames", question).found, HasSubstr("veth: frames of its neighbours may"));
  wire.box.must("ip link add near0 type veth peer name near1");
  wire.box.must("ip link set near0 up");
  question.interfaces = {"near0", ""};
  const Finding near = of("near0: frames", question);
  EXPECT_EQ(near.state, State::slower);
  EXPECT_THAT(near.found, HasSubstr("from its far end 'near1' are unfinished (tx-checksum-"));
  ASSERT_THAT(near.remedy, HasSubstr("run 'ethtool -K near1 tx off gso off tso off'"));
  wire.box.must("ethtool -K near1 tx off gso off tso off");
  EXPECT_EQ(of("near0: frames", question).state, State::good);
  question.interfaces = {"wan", "lan"};
  question.channels = 3;
  EXPECT_EQ(of("wan: queues", question).state, State::stops);
  question.channels = 1;
  EXPECT_THAT(of("lan: queues", question).remedy, HasSubstr("ethtool -L lan combined 1"));
  question.busy_poll = true;
  put("sys/class/net/wan/napi_defer_hard_irqs", "0");
  EXPECT_EQ(of("wan: busy polling", question).state, State::slower);
  question.tuning = {.napi_defer_hard_irqs = 2, .gro_flush_ns = 200'000};
  EXPECT_EQ(of("wan: busy polling", question).state, State::good) << "weir sets them itself";
  question.tuning = {};
  put("sys/class/net/wan/napi_defer_hard_irqs", "2");
  put("sys/class/net/wan/gro_flush_timeout", "200000");
  EXPECT_EQ(of("wan: busy polling", question).state, State::good);
  wire.box.must("ip link set lan mtu 1400");
  EXPECT_EQ(of("both interfaces", question).state, State::stops);
  wire.box.must("ip link set lan down");
  EXPECT_EQ(of("lan", question).state, State::stops);
  EXPECT_EQ(of("lan", question).remedy, "run 'ip link set dev lan up'");
  // The real /sys has a BPF file system where own_mounts put it.
  MachineQuestion real;
  real.pin_directory = "/sys/fs/bpf/weir";
  bool good = false;
  for (const Finding& finding : examine(real))
    good = good || (finding.subject == "pins" && finding.state == State::good);
  EXPECT_TRUE(good);
}

}  // namespace
}  // namespace weir::io
