// SPDX-License-Identifier: BSD-2-Clause
#include "datapath/kernel.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <filesystem>
#include <memory>

#include "datapath/kernel_claim.h"
#include "datapath/kernel_links.h"
#include "datapath/kernel_own.h"
#include "datapath/kernel_pins.h"
#include "datapath/kernel_program.h"
#include "datapath/kernel_tables.h"

namespace weir::datapath {

namespace {

// Pins of maps that belong to one program, and so are made anew with each.
constexpr std::array kProgramMaps = {"ports", "peers", "sockets", "heartbeats"};
// Pins that an earlier program's counts and lists live on in.
constexpr std::array kCounterMaps = {"counters", "redirect_errors"};
constexpr std::array kListMaps = {"block4", "block6", "allow4", "allow6", "control"};
constexpr std::array kErrorLinks = {"errors_redirect", "errors_devmap"};

Status copy_lists(const KernelTables& from, KernelTables& to, std::string_view what) {
  WEIR_ASSIGN(const std::vector<Block> blocks, from.list_blocks());
  WEIR_ASSIGN(const std::vector<Prefix> prefixes, from.list_allow());
  if (!blocks.empty()) {
    WEIR_ASSIGN(const std::size_t added, to.add_blocks(blocks));
    if (added < blocks.size())
      return fail(
          fmt::format("{} holds {} blocks and the new limit only {}; raise blocks_max, or "
                      "remove blocks first",
                      what, blocks.size(), added));
  }
  for (const Prefix& prefix : prefixes) WEIR_TRY(to.add_allow(prefix));
  return {};
}

/// For who has the directory's lock.
Result<bool> remove_all(const Pins& pins, bool keep_blocks) {
  bool found = unwatch_own(pins);
  for (const Side side : {Side::wan, Side::lan}) {
    WEIR_ASSIGN(const bool removed, remove_link(pins, link_name(side)));
    found = found || removed;
  }
  const auto remove_pins = [&](const auto& names) {
    for (const char* name : names) found = pins.remove(name) || found;
  };
  remove_pins(kErrorLinks);
  remove_pins(kProgramMaps);
  remove_pins(kCounterMaps);
  if (!keep_blocks) {
    remove_pins(kListMaps);
    pins.remove_directory();
  }
  return found;
}

}  // namespace

struct Kernel::Impl {
  explicit Impl(std::string directory) : pins(std::move(directory)) {}
  explicit Impl(Claim&& claim)
      : pins(std::move(claim.pins_)),
        ports(std::move(claim.ports_)),
        lock(std::move(claim.lock_)),
        undo(std::move(claim.undo_)) {}

  Pins pins;
  std::array<Port, kSides> ports;
  Fd lock;  // of the pin directory
  Config settings;
  Program program;   // none in a view of pins; its maps are those of whatever takes its place
  Program screened;  // with another screen, in its place; none before `use_screen`
  ErrorWatch watch;  // none where the tracepoints cannot be had
  Links links;
  KernelTables tables;
  MappedArray heartbeats;
  bool took_over = false;
  std::vector<std::string> notes;
  std::unique_ptr<Undo> undo;  // until it is kept; last, so it runs while all else is there

  Status adopt_lists(const Config& config);
  Status pin_all();
};

/// The lists of the loaded program: those that were pinned already, or new ones with their content.
Status Kernel::Impl::adopt_lists(const Config& config) {
  WEIR_ASSIGN(ListMaps pinned, pins.open_lists());
  const bool found = !!pinned.control;
  const bool same_sizes = found && program.reuses(pinned, config);
  WEIR_TRY(program.load(same_sizes ? &pinned : nullptr));
  WEIR_ASSIGN(tables, KernelTables::open(program.list_maps()));
  if (!found) return {};
  took_over = true;
  if (same_sizes) return {};
  // The configuration changed a size: the old maps go on under the old program until the links are
  // updated.
  WEIR_ASSIGN(const KernelTables old, KernelTables::open(std::move(pinned)));
  return copy_lists(old, tables, pins.directory());
}

Status Kernel::Impl::pin_all() {
  const auto put = [&](const char* name) { return pins.put(name, program.map_fd(name), *undo); };
  for (const char* name : kListMaps) WEIR_TRY(put(name));
  for (const char* name : kCounterMaps) WEIR_TRY(put(name));
  for (const char* name : kProgramMaps) WEIR_TRY(put(name));
  return {};
}

Kernel::Kernel(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Kernel::~Kernel() = default;

Status Kernel::try_load(const Config& config, const KernelOptions& options) {
  WEIR_ASSIGN(const auto ports, find_ports(options.interfaces));
  WEIR_ASSIGN(Program program, Program::open(config, ports));
  return program.load(nullptr);
}

Result<std::unique_ptr<Kernel>> Kernel::attach(const Config& config, const KernelOptions& options) {
  WEIR_ASSIGN(Claim claim, Claim::take(options));
  return attach(config, std::move(claim));
}

Result<std::unique_ptr<Kernel>> Kernel::attach(const Config& config, Claim claim) {
  const bool generic_only = claim.options_.generic_only;
  auto impl = std::make_unique<Impl>(std::move(claim));
  const auto& ports = impl->ports;
  if (config.host_mode != (ports[1].ifindex == 0))
    return fail(config.host_mode ? "host mode has one interface, and a LAN interface is named too; "
                                   "leave it out"
                                 : "no LAN interface is named; give one, or choose host mode");
  impl->settings = config;
  WEIR_ASSIGN(impl->program, Program::open(config, ports));
  WEIR_TRY(impl->adopt_lists(config));
  WEIR_TRY(impl->program.fill(config, ports));
  WEIR_ASSIGN(impl->heartbeats,
              MappedArray::map(impl->program.map_fd("heartbeats"),
                               sizeof(weir_heartbeat) * WEIR_CHANNELS_MAX, "heartbeats"));
  WEIR_ASSIGN(impl->links,
              attach_links(impl->program.fd(), ports, generic_only, impl->pins, *impl->undo));
  WEIR_TRY(impl->pin_all());
  impl->took_over = impl->took_over || impl->links.replaced;
  if (!impl->links.why_generic.empty())
    impl->notes.push_back(
        fmt::format("generic XDP mode, which is slower: {}", impl->links.why_generic));
  return std::unique_ptr<Kernel>(new Kernel(std::move(impl)));
}

Status Kernel::keep() {
  WEIR_CHECK(impl_->undo != nullptr);
  // Those of an earlier run go first: they would count each error a second time.
  for (const char* name : kErrorLinks) impl_->pins.remove(name);
  auto watch = ErrorWatch::start(impl_->program.map_fd("redirect_errors"), impl_->ports);
  if (watch) {
    for (std::size_t i = 0; i < kErrorLinks.size(); ++i)
      WEIR_TRY(impl_->pins.put(kErrorLinks[i], watch->link_fd(i), *impl_->undo));
    impl_->watch = std::move(*watch);
  } else {
    impl_->notes.push_back(fmt::format("redirects that fail in the kernel are not counted: {}",
                                       watch.error().message));
  }
  impl_->undo->commit();
  return {};
}

Result<std::unique_ptr<Kernel>> Kernel::open_pinned(const std::string& pin_directory) {
  auto impl = std::make_unique<Impl>(pin_directory);
  WEIR_ASSIGN(impl->lock, impl->pins.lock());
  WEIR_ASSIGN(ListMaps maps, impl->pins.open_lists());
  if (!maps.control)
    return fail(
        fmt::format("nothing of weir is pinned in {}; start it with `weir run`, or name its "
                    "pin directory",
                    pin_directory));
  WEIR_ASSIGN(impl->tables, KernelTables::open(std::move(maps)));
  return std::unique_ptr<Kernel>(new Kernel(std::move(impl)));
}

bool Kernel::forwards(const std::string& pin_directory) {
  const std::filesystem::path pins(pin_directory);
  std::error_code error;
  return std::filesystem::exists(pins / link_name(Side::wan), error) ||
         std::filesystem::exists(pins / link_name(Side::lan), error);
}

Result<bool> Kernel::remove(const std::string& pin_directory, bool keep_blocks) {
  const Pins pins(pin_directory);
  WEIR_ASSIGN(const Fd lock, pins.lock());
  return remove_all(pins, keep_blocks);
}

Status Kernel::detach() {
  if (!impl_->program) return fail("this is a view of pinned maps: it has no program to detach");
  WEIR_ASSIGN(const bool found, remove_all(impl_->pins, true));
  if (!found)
    return fail(fmt::format("nothing was attached any more: the pins in {} are gone",
                            impl_->pins.directory()));
  impl_->links = {};
  impl_->watch = {};
  impl_->undo->commit();
  return {};
}

AttachMode Kernel::mode(Side) const noexcept { return impl_->links.mode; }
const std::vector<std::string>& Kernel::notes() const noexcept { return impl_->notes; }
bool Kernel::took_over() const noexcept { return impl_->took_over; }
int Kernel::program_fd() const noexcept {
  return (impl_->screened ? impl_->screened : impl_->program).fd();
}

Status Kernel::use_screen(std::shared_ptr<const Screen> screen) {
  if (!impl_->program) return fail("this is a view of pinned maps: it has no program to replace");
  Config config = impl_->settings;
  config.screen = std::move(screen);
  WEIR_ASSIGN(Program next, Program::open(config, impl_->ports));
  WEIR_TRY(next.load_over(impl_->program));
  WEIR_TRY(replace_program(impl_->links, next.fd(), program_fd()));
  impl_->screened = std::move(next);
  return {};
}

Status Kernel::add_socket(Side side, std::uint32_t queue, int socket_fd) {
  if (!impl_->program)
    return fail("sockets belong to a running datapath, not to a view of its pins");
  if (queue >= WEIR_CHANNELS_MAX)
    return fail(
        fmt::format("queue {} has no place: at most {} queues of an interface are steered; "
                    "lower them with `ethtool -L`",
                    queue, WEIR_CHANNELS_MAX));
  const std::uint32_t key = static_cast<std::uint32_t>(index(side)) * WEIR_CHANNELS_MAX + queue;
  if (bpf_map_update_elem(impl_->program.map_fd("sockets"), &key, &socket_fd, BPF_ANY) != 0)
    return fail_errno(fmt::format("register the socket of queue {}", queue), errno);
  return {};
}

Status Kernel::remove_socket(Side side, std::uint32_t queue) {
  if (!impl_->program)
    return fail("sockets belong to a running datapath, not to a view of its pins");
  const std::uint32_t key = static_cast<std::uint32_t>(index(side)) * WEIR_CHANNELS_MAX + queue;
  if (bpf_map_delete_elem(impl_->program.map_fd("sockets"), &key) != 0 && errno != ENOENT)
    return fail_errno(fmt::format("take the socket of queue {} out", queue), errno);
  return {};
}

int Kernel::copies_fd() const noexcept {
  return impl_->program ? impl_->program.map_fd("copies") : -1;
}

Status Kernel::watch_own() {
  WEIR_CHECK(impl_->undo != nullptr);
  if (impl_->program.own_fd() < 0)
    return fail("this kernel has no filters of BPF, CONFIG_NET_CLS_BPF");
  return datapath::watch_own(impl_->program.own_fd(), impl_->ports[0], impl_->pins, *impl_->undo);
}

void Kernel::heartbeat(std::uint32_t channel, PacketTime now) noexcept {
  WEIR_DCHECK(channel < WEIR_CHANNELS_MAX && impl_->program);
  auto* beats = impl_->heartbeats.as<weir_heartbeat>();
  std::atomic_ref(beats[channel].time_ns).store(now.ns, std::memory_order_relaxed);
}

Result<std::size_t> Kernel::add_blocks(std::span<const Block> blocks) {
  return impl_->tables.add_blocks(blocks);
}
Result<std::size_t> Kernel::remove_blocks(std::span<const BlockKey> blocks) {
  return impl_->tables.remove_blocks(blocks);
}
Result<std::vector<Block>> Kernel::list_blocks() const { return impl_->tables.list_blocks(); }
Status Kernel::add_allow(const Prefix& prefix) { return impl_->tables.add_allow(prefix); }
Result<bool> Kernel::remove_allow(const Prefix& prefix) {
  return impl_->tables.remove_allow(prefix);
}
Result<std::vector<Prefix>> Kernel::list_allow() const { return impl_->tables.list_allow(); }
Result<Counters> Kernel::counters() const { return impl_->tables.counters(); }

}  // namespace weir::datapath
