// SPDX-License-Identifier: BSD-2-Clause
#include "boxes.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fmt/format.h>
#include <linux/bpf.h>
#include <net/if.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <vector>

#include "bare.skel.h"
#include "datapath/kernel.h"
#include "larger_maps.h"

namespace weir::perf {

namespace {

using test::Appliance;
using test::Inside;
using test::Process;

/// What ends a box that is a process.
class ProcessBox : public Box {
 public:
  explicit ProcessBox(std::unique_ptr<Process> process) : process_(std::move(process)) {}
  ~ProcessBox() override {
    if (!process_) return;
    process_->signal(SIGTERM);
    process_->wait(std::chrono::seconds(20));
  }

 private:
  std::unique_ptr<Process> process_;
};

// The largest that every driver takes a program of one buffer for.
constexpr std::uint32_t kPlainMtuMax = 3'000;

class Devmap final : public Box {
 public:
  ~Devmap() override {
    for (bpf_link* link : links_) bpf_link__destroy(link);
    for (bare_bpf* program : programs_) bare_bpf__destroy(program);
  }
  Status start(const Appliance& appliance, std::uint32_t mtu) {
    const Inside inside(appliance.wire.box);
    WEIR_TRY(attach("wan", "lan", mtu));
    return attach("lan", "wan", mtu);
  }

 private:
  Status attach(const char* from, const char* to, std::uint32_t mtu) {
    bare_bpf* const program = bare_bpf__open();
    if (program == nullptr) return fail_errno("open the bare redirect", errno);
    programs_.push_back(program);
    if (mtu > kPlainMtuMax)
      bpf_program__set_flags(program->progs.redirect,
                             bpf_program__flags(program->progs.redirect) | BPF_F_XDP_HAS_FRAGS);
    if (const int error = bare_bpf__load(program); error != 0)
      return fail_errno("load the bare redirect", -error);
    const std::uint32_t key = 0;
    const std::uint32_t peer = if_nametoindex(to);
    if (bpf_map__update_elem(program->maps.peer, &key, sizeof key, &peer, sizeof peer, 0) != 0)
      return fail_errno("set the bare redirect's peer", errno);
    bpf_link* const link =
        bpf_program__attach_xdp(program->progs.redirect, static_cast<int>(if_nametoindex(from)));
    if (link == nullptr) return fail_errno("attach the bare redirect", errno);
    links_.push_back(link);
    return {};
  }

  std::vector<bare_bpf*> programs_;
  std::vector<bpf_link*> links_;
};

class Datapath final : public Box {
 public:
  ~Datapath() override { static_cast<void>(datapath::Kernel::remove(kPins, false)); }
  Status start(const Appliance& appliance) {
    const Inside inside(appliance.wire.box);
    WEIR_ASSIGN(kernel_, datapath::Kernel::attach(
                             {}, {.pin_directory = kPins, .interfaces = {"wan", "lan"}}));
    return kernel_->keep();
  }

 private:
  static constexpr const char* kPins = "/sys/fs/bpf/weir-line";
  std::unique_ptr<datapath::Kernel> kernel_;
};

/// Copies the value of the one entry that a pinned hash of IPv4 addresses (what else a key has is
/// zero) has under each of `count` further addresses: as the program's own command would, which
/// takes one address at a time.
Status multiply(const std::string& pin, std::uint32_t first, std::uint32_t count) {
  const int fd = bpf_obj_get(pin.c_str());
  if (fd < 0) return fail_errno(fmt::format("open {}", pin), errno);
  bpf_map_info info{};
  std::uint32_t size = sizeof info;
  Status status;
  if (bpf_obj_get_info_by_fd(fd, &info, &size) != 0) status = fail_errno("look at " + pin, errno);
  const bool per_cpu = info.type == BPF_MAP_TYPE_PERCPU_HASH;
  const std::size_t one = per_cpu ? (info.value_size + 7U) / 8 * 8 : info.value_size;
  std::vector<std::uint8_t> value(
      per_cpu ? one * static_cast<std::size_t>(libbpf_num_possible_cpus()) : one);
  std::vector<std::uint8_t> key(std::max<std::size_t>(info.key_size, sizeof first));
  const auto set_address = [&key](std::uint32_t address) {
    const std::uint32_t wire = __builtin_bswap32(address);
    std::memcpy(key.data(), &wire, sizeof wire);
  };
  if (status && count > info.max_entries)
    status = fail(fmt::format("{} addresses are asked for, and {} has room for {}", count, pin,
                              info.max_entries));
  set_address(first);
  if (status && bpf_map_lookup_elem(fd, key.data(), value.data()) != 0)
    status = fail_errno("look an address up in " + pin, errno);
  for (std::uint32_t i = 1; status && i < count; ++i) {
    set_address(first + i);
    if (bpf_map_update_elem(fd, key.data(), value.data(), BPF_ANY) != 0)
      status = fail_errno(fmt::format("put address {} of {} into {}", i, count, pin), errno);
  }
  close(fd);
  return status;
}

std::string text_of(std::uint32_t address) {
  return fmt::format("{}.{}.{}.{}", address >> 24U, address >> 16U & 255U, address >> 8U & 255U,
                     address & 255U);
}

/// xdp-filter's object for what `filter` asks of it, with tables as large as weir's.
class LargerFilter {
 public:
  static constexpr std::uint32_t kEntries = 10'000;

  ~LargerFilter() {
    std::error_code error;
    if (!directory_.empty()) std::filesystem::remove_all(directory_, error);
  }
  Status make() {
    constexpr const char* kObject = "xdpfilt_alw_ip.o";
    std::string path = "/tmp/weir-line-XXXXXX";
    if (mkdtemp(path.data()) == nullptr) return fail_errno("make a directory in /tmp", errno);
    directory_ = path;
    std::error_code error;
    for (std::filesystem::directory_iterator library("/usr/lib", error), none;
         !error && library != none; library.increment(error)) {
      const auto object = library->path() / "bpf" / kObject;
      if (std::filesystem::exists(object))
        return with_larger_maps(object, directory_ / kObject, kEntries,
                                datapath::Config{}.blocks_max);
    }
    return fail(fmt::format("there is no /usr/lib/*/bpf/{} (package libxdp1)", kObject));
  }
  /// What starts xdp-filter: with these, once they are made.
  [[nodiscard]] std::vector<std::string> command() const {
    if (directory_.empty()) return {"xdp-filter"};
    return {"env", "LIBXDP_OBJECT_PATH=" + directory_.string(), "xdp-filter"};
  }

 private:
  std::filesystem::path directory_;
};

Result<std::unique_ptr<Box>> filter(const Appliance& appliance, const BoxOptions& options) {
  LargerFilter larger;
  if (options.blocks > LargerFilter::kEntries) WEIR_TRY(larger.make());
  const auto run = [&](const std::vector<std::string>& words) -> Status {
    std::vector<std::string> command = larger.command();
    command.insert(command.end(), words.begin(), words.end());
    const test::Ran ran = test::run(command, appliance.wire.box.fd());
    if (ran.status == 0) return {};
    return fail(fmt::format("xdp-filter: {} (package xdp-tools)", ran.err));
  };
  WEIR_TRY(run({"load", "wan", "--mode", "native", "--policy", "allow", "--features", "ipv4"}));
  if (options.blocks > 0) {
    WEIR_TRY(run({"ip", text_of(options.first_block), "--mode", "src"}));
    WEIR_TRY(multiply("/sys/fs/bpf/xdp-filter/filter_ipv4", options.first_block, options.blocks));
  }
  return std::make_unique<Box>();
}

Result<std::unique_ptr<Box>> weir_box(Appliance& appliance, const BoxOptions& options) {
  appliance.configure(options.toml);
  if (!appliance.start()) return fail(fmt::format("weir run: {}", appliance.trouble()));
  if (options.blocks > 0) {
    const test::Ran ran =
        appliance.weir({"block", "add", text_of(options.first_block), "--for", "forever"});
    if (ran.status != 0) return fail(fmt::format("weir block add: {}", ran.err));
    WEIR_TRY(multiply("/sys/fs/bpf/weir/block4", options.first_block, options.blocks));
  }
  return std::make_unique<Box>();
}

Result<std::unique_ptr<Box>> weir_dpdk(Appliance& appliance, const BoxOptions& options) {
  if (options.blocks > 0) return fail("weir-dpdk: its blocks are in no map of the kernel's");
  appliance.configure_polled(options.toml, options.driver);
  if (!appliance.start()) return fail(fmt::format("weir run: {}", appliance.trouble()));
  return std::make_unique<Box>();
}

Result<std::unique_ptr<Box>> testpmd(const Appliance& appliance, const BoxOptions& options) {
  appliance.polling(options.driver);
  const auto device = [&](int number, const char* interface) {
    return fmt::format("{}{},iface={}", options.driver, number, interface);
  };
  auto process = std::make_unique<Process>(
      std::vector<std::string>{"dpdk-testpmd", "--lcores", "0@0,1@0", "--no-huge", "-m", "512",
                               "--no-pci", "--no-telemetry", "--vdev", device(0, "wan"), "--vdev",
                               device(1, "lan"), "--", "--forward-mode=io", "--auto-start",
                               "--total-num-mbufs=16384", "--stats-period=1000"},
      appliance.wire.box.fd());
  const bool forwards = test::eventually([&] {
    return !process->running() || process->out().find("Port statistics") != std::string::npos;
  });
  if (!forwards || !process->running())
    return fail(fmt::format("dpdk-testpmd did not start: {} (package dpdk-dev)", process->err()));
  return std::make_unique<ProcessBox>(std::move(process));
}

std::unique_ptr<Box> bridge(const Appliance& appliance) {
  const test::Namespace& box = appliance.wire.box;
  box.must("ip link add name br0 type bridge");
  for (const char* port : {"wan", "lan"}) {
    box.must(fmt::format("ethtool -K {} gro on", port));
    box.must(fmt::format("ip link set {} master br0", port));
  }
  box.must("ip link set br0 up");
  // The bridge learns where the LAN's host is by its first frame; until then it floods.
  return std::make_unique<Box>();
}

}  // namespace

Result<std::unique_ptr<Box>> start_box(const std::string& name, Appliance& appliance,
                                       const BoxOptions& options) {
  if (name == "weir") return weir_box(appliance, options);
  if (name == "xdp-filter") return filter(appliance, options);
  if (name == "weir-dpdk") return weir_dpdk(appliance, options);
  if (name == "testpmd") return testpmd(appliance, options);
  if (name == "bridge") return bridge(appliance);
  if (name == "devmap") {
    auto box = std::make_unique<Devmap>();
    WEIR_TRY(box->start(appliance, options.mtu));
    return box;
  }
  if (name == "weir-xdp") {
    auto box = std::make_unique<Datapath>();
    WEIR_TRY(box->start(appliance));
    return box;
  }
  return fail(fmt::format(
      "no box '{}': weir, weir-xdp, weir-dpdk, devmap, bridge, xdp-filter or testpmd is expected",
      name));
}

}  // namespace weir::perf
