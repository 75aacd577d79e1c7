// SPDX-License-Identifier: BSD-2-Clause
#include "datapath/kernel_program.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/bpf.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <string_view>

#include "../../bpf/abi.h"
#include "datapath/kernel_load.h"
// The skeletons name the structures of abi.h.
#include "errors.skel.h"
#include "weir.skel.h"
#include "weir_screen.skel.h"

namespace weir::datapath {

namespace {

/// By asking for each thing, and not for the kernel's version: distributions bring things back, and
/// leave things out. What cannot be asked is taken to be there, and the load will tell.
Status check_kernel(const Config& config) {
  const auto lacks = [](const char* what, const char* option) {
    return fail(fmt::format("this kernel has no {}; weir needs Linux 5.10 or newer, built with {}",
                            what, option));
  };
  if (libbpf_probe_bpf_prog_type(BPF_PROG_TYPE_XDP, nullptr) == 0)
    return lacks("XDP programs", "CONFIG_BPF_SYSCALL");
  struct Need {
    bpf_map_type type;
    const char* what;
    const char* option;
  };
  constexpr std::array kNeeds = {
      Need{BPF_MAP_TYPE_LPM_TRIE, "BPF tries", "CONFIG_BPF_SYSCALL"},
      Need{BPF_MAP_TYPE_DEVMAP, "redirects of XDP to interfaces", "CONFIG_NET"},
      Need{BPF_MAP_TYPE_XSKMAP, "AF_XDP sockets", "CONFIG_XDP_SOCKETS"},
      Need{BPF_MAP_TYPE_RINGBUF, "BPF ring buffers", "CONFIG_BPF_SYSCALL"},
  };
  for (const Need& need : kNeeds) {
    const bool wanted = need.type != BPF_MAP_TYPE_RINGBUF || config.host_mode;
    if (wanted && libbpf_probe_bpf_map_type(need.type, nullptr) == 0)
      return lacks(need.what, need.option);
  }
  return {};
}

/// Reading the exact clock is a quarter of what a blocked packet costs.
bool has_coarse_clock() {
  return libbpf_probe_bpf_helper(BPF_PROG_TYPE_XDP, BPF_FUNC_ktime_get_coarse_ns, nullptr) == 1;
}

/// Whether there can be filters of packets that this host sends.
bool has_filters() { return libbpf_probe_bpf_prog_type(BPF_PROG_TYPE_SCHED_CLS, nullptr) != 0; }

// Errors and the summary alone: of all that the verifier does, a model would fill the log.
constexpr std::uint32_t kLogOfErrors = 4;

/// The skeleton of weir.bpf.c over `object`, which has the maps and programs of that one.
Result<weir_bpf*> open_skeleton(std::span<const std::uint8_t> object,
                                const bpf_object_open_opts& options) {
  auto* const skeleton = static_cast<weir_bpf*>(std::calloc(1, sizeof(weir_bpf)));
  if (skeleton == nullptr) return fail_errno("open the embedded XDP program", ENOMEM);
  int result = weir_bpf__create_skeleton(skeleton);
  if (result == 0) {
    skeleton->skeleton->data = const_cast<std::uint8_t*>(object.data());  // read, and not kept
    skeleton->skeleton->data_sz = object.size();
    result = bpf_object__open_skeleton(skeleton->skeleton, &options);
  }
  if (result == 0) return skeleton;
  weir_bpf__destroy(skeleton);
  return fail_errno("open the XDP program with a screen", -result);
}

ListMaps duplicates(const weir_bpf& skeleton) {
  const auto copy = [](const bpf_map* map) {
    return Fd(::fcntl(bpf_map__fd(map), F_DUPFD_CLOEXEC, 3));
  };
  ListMaps maps;
  maps.block4 = copy(skeleton.maps.block4);
  maps.block6 = copy(skeleton.maps.block6);
  maps.allow4 = copy(skeleton.maps.allow4);
  maps.allow6 = copy(skeleton.maps.allow6);
  maps.control = copy(skeleton.maps.control);
  maps.counters = copy(skeleton.maps.counters);
  maps.redirect_errors = copy(skeleton.maps.redirect_errors);
  return maps;
}

}  // namespace

void Program::Destroy::operator()(weir_bpf* skeleton) const noexcept {
  weir_bpf__destroy(skeleton);
}

Result<Program> Program::open(const Config& config, const std::array<Port, kSides>& ports) {
  quiet_libbpf();
  WEIR_TRY(check_kernel(config));
  Program program;
  program.log_ = std::make_unique_for_overwrite<char[]>(kVerifierLog_bytes);
  program.log_[0] = '\0';
  LIBBPF_OPTS(bpf_object_open_opts, options, .kernel_log_buf = program.log_.get(),
              .kernel_log_size = kVerifierLog_bytes,
              .kernel_log_level = config.screen ? kLogOfErrors : 0);
  if (config.screen) {
    std::size_t bytes = 0;
    const void* const own = weir_screen_bpf::elf_bytes(&bytes);
    WEIR_ASSIGN(const auto linked,
                config.screen->link({static_cast<const std::uint8_t*>(own), bytes}));
    WEIR_ASSIGN(weir_bpf * skeleton, open_skeleton(linked, options));
    program.skeleton_.reset(skeleton);
    program.screen_ = config.screen;
  } else {
    program.skeleton_.reset(weir_bpf__open_opts(&options));
    if (!program) return fail_errno("open the embedded XDP program", errno);
  }

  weir_bpf& skeleton = *program.skeleton_;
  weir_config& constants = skeleton.rodata->weir_config;
  constants.ifindex[WEIR_SIDE_wan] = ports[0].ifindex;
  constants.ifindex[WEIR_SIDE_lan] = ports[1].ifindex;
  constants.host_mode = config.host_mode;
  constants.observe = config.observe;
  constants.all_ports = config.all_ports;
  constants.all_ip = config.all_ip;
  constants.fail_closed = config.fail_closed;
  constants.drop_fragments = config.drop_fragments;
  constants.blocked_fragments = config.blocked_fragments;
  constants.ssdp_payload = config.ssdp_payload;
  constants.shadow = config.shadow;
  constants.screen_ssdp = config.screen_ssdp;
  constants.single_port = config.udp_ports.size() == 1 ? config.udp_ports[0] : 0;
  constants.heartbeat_limit_ms = config.heartbeat_limit_ms;
  constants.coarse_clock = has_coarse_clock();
  constants.multi_buffer = std::max(ports[0].mtu, ports[1].mtu) > kPlainMtuMax;
  if (constants.multi_buffer)
    bpf_program__set_flags(skeleton.progs.weir,
                           bpf_program__flags(skeleton.progs.weir) | BPF_F_XDP_HAS_FRAGS);
  // Kernels without a ring buffer (before 5.8) or filters can still be a wire.
  bpf_program__set_autoload(skeleton.progs.weir_own, config.host_mode && has_filters());
  bpf_map__set_autocreate(skeleton.maps.copies, config.host_mode);
  bpf_map__set_autocreate(skeleton.maps.copy_room, config.host_mode);
  bpf_map__set_max_entries(skeleton.maps.copies, config.copies_bytes);
  bpf_map__set_max_entries(skeleton.maps.block4, config.blocks_max);
  bpf_map__set_max_entries(skeleton.maps.block6, config.blocks_max);
  bpf_map__set_max_entries(skeleton.maps.allow4, config.allow_max);
  bpf_map__set_max_entries(skeleton.maps.allow6, config.allow_max);
  return program;
}

bool Program::reuses(const ListMaps& pinned, const Config& config) const {
  const auto has = [](const Fd& fd, std::uint32_t entries) {
    bpf_map_info info{};
    std::uint32_t bytes = sizeof info;
    return bpf_obj_get_info_by_fd(fd.get(), &info, &bytes) == 0 && info.max_entries == entries;
  };
  return has(pinned.block4, config.blocks_max) && has(pinned.block6, config.blocks_max) &&
         has(pinned.allow4, config.allow_max) && has(pinned.allow6, config.allow_max);
}

Status Program::load(const ListMaps* pinned) {
  const auto reuse = [](bpf_map* map, const Fd& fd) {
    return !fd || bpf_map__reuse_fd(map, fd.get()) == 0;
  };
  weir_bpf& skeleton = *skeleton_;
  if (pinned != nullptr && !(reuse(skeleton.maps.block4, pinned->block4) &&
                             reuse(skeleton.maps.block6, pinned->block6) &&
                             reuse(skeleton.maps.allow4, pinned->allow4) &&
                             reuse(skeleton.maps.allow6, pinned->allow6) &&
                             reuse(skeleton.maps.control, pinned->control) &&
                             reuse(skeleton.maps.counters, pinned->counters) &&
                             reuse(skeleton.maps.redirect_errors, pinned->redirect_errors)))
    return fail_errno("take over the pinned maps", errno);
  return give_to_kernel();
}

Status Program::load_over(const Program& other) {
  bpf_map* map = nullptr;
  bpf_object__for_each_map(map, skeleton_->obj) {
    if (bpf_map__is_internal(map) || !bpf_map__autocreate(map)) continue;
    const int fd = other.map_fd(bpf_map__name(map));
    if (fd < 0 || bpf_map__reuse_fd(map, fd) != 0)
      return fail_errno(fmt::format("go on with the map {}", bpf_map__name(map)), errno);
  }
  return give_to_kernel();
}

Status Program::give_to_kernel() {
  const int result = weir_bpf__load(skeleton_.get());
  if (result == 0) {
    log_.reset();
    return {};
  }
  if (result == -EPERM)
    return fail(
        "the kernel refused to load the XDP program: Operation not permitted; it needs CAP_BPF, "
        "CAP_PERFMON and CAP_NET_ADMIN (or root)");
  const std::string_view log(log_.get());
  if (screen_) return fail(screen_->explain(log, -result));
  if (log.empty()) return fail_errno("load the XDP program and its maps", -result);
  const std::string words = last_words(log, 2);
  return fail_errno(fmt::format("the kernel refused the XDP program ({})",
                                words.empty() ? "the verifier said nothing"
                                              : "the verifier's last words: " + words),
                    -result);
}

Status Program::fill(const Config& config, const std::array<Port, kSides>& ports) {
  std::vector<std::uint64_t> words(WEIR_PORT_WORDS);
  for (const std::uint16_t port : config.udp_ports)
    words[port / 64U] |= std::uint64_t{1} << (port % 64U);
  for (std::uint32_t i = 0; i < WEIR_PORT_WORDS; ++i)
    if (words[i] != 0 && bpf_map_update_elem(map_fd("ports"), &i, &words[i], BPF_ANY) != 0)
      return fail_errno("write the set of steered ports", errno);
  for (std::uint32_t side = 0; side < kSides; ++side) {
    const std::uint32_t ifindex = ports[side].ifindex;
    if (ifindex != 0 && bpf_map_update_elem(map_fd("peers"), &side, &ifindex, BPF_ANY) != 0)
      return fail_errno(fmt::format("make {} a target of redirects", ports[side].name), errno);
  }
  const std::uint32_t zero = 0;
  weir_control control{};
  if (bpf_map_lookup_elem(map_fd("control"), &zero, &control) != 0)
    return fail_errno("read the control map", errno);
  control.abi_version = WEIR_ABI_VERSION;
  if (bpf_map_update_elem(map_fd("control"), &zero, &control, BPF_ANY) != 0)
    return fail_errno("write the control map", errno);
  return {};
}

int Program::fd() const noexcept {
  return skeleton_ == nullptr ? -1 : bpf_program__fd(skeleton_->progs.weir);
}

int Program::own_fd() const noexcept {
  return skeleton_ == nullptr ? -1 : bpf_program__fd(skeleton_->progs.weir_own);
}

int Program::map_fd(const char* name) const noexcept {
  return bpf_object__find_map_fd_by_name(skeleton_->obj, name);
}

ListMaps Program::list_maps() const { return duplicates(*skeleton_); }

void ErrorWatch::Destroy::operator()(errors_bpf* skeleton) const noexcept {
  errors_bpf__destroy(skeleton);
}

Result<ErrorWatch> ErrorWatch::start(int redirect_errors_fd,
                                     const std::array<Port, kSides>& ports) {
  ErrorWatch watch;
  watch.skeleton_.reset(errors_bpf__open());
  if (!watch.skeleton_) return fail_errno("open the embedded tracepoint programs", errno);
  errors_bpf& skeleton = *watch.skeleton_;
  struct stat network {};
  if (::stat("/proc/thread-self/ns/net", &network) != 0)
    return fail_errno("read /proc/thread-self/ns/net", errno);
  skeleton.rodata->weir_namespace = static_cast<__u32>(network.st_ino);
  for (std::size_t side = 0; side < kSides; ++side)
    skeleton.rodata->weir_ifindex[side] = ports[side].ifindex;
  if (bpf_map__reuse_fd(skeleton.maps.redirect_errors, redirect_errors_fd) != 0)
    return fail_errno("share the map of redirect errors", errno);
  if (const int result = errors_bpf__load(&skeleton); result != 0)
    return fail_errno("load the tracepoint programs (they need the kernel's BTF and CAP_PERFMON)",
                      -result);
  if (const int result = errors_bpf__attach(&skeleton); result != 0)
    return fail_errno("attach to the tracepoints xdp_redirect_err and xdp_devmap_xmit", -result);
  return watch;
}

int ErrorWatch::link_fd(std::size_t number) const noexcept {
  return bpf_link__fd(number == 0 ? skeleton_->links.redirect_err : skeleton_->links.devmap_xmit);
}

}  // namespace weir::datapath
