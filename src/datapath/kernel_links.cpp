// SPDX-License-Identifier: BSD-2-Clause
#include "datapath/kernel_links.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fmt/format.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <optional>
#include <string_view>

namespace weir::datapath {

namespace {

/// What is on an interface now, and whether it is the pinned link of ours.
struct Found {
  Fd link;                    // ours, on this interface; none otherwise
  std::uint32_t program = 0;  // id of the program on the interface; 0: none
  bool generic = false;       // the mode that program runs in
};

std::uint32_t flags_of(AttachMode mode) noexcept {
  return mode == AttachMode::native ? XDP_FLAGS_DRV_MODE : XDP_FLAGS_SKB_MODE;
}

/// The function in bpf/weir.bpf.c.
constexpr std::string_view kOwn_name = "weir";
/// That of bpf/kernel_model.bpf.c, as far as the kernel keeps it.
constexpr std::string_view kModel_name = "weir_kernel_mod";

std::string program_name(std::uint32_t id) {
  const Fd program(bpf_prog_get_fd_by_id(id));
  bpf_prog_info info{};
  std::uint32_t bytes = sizeof info;
  if (!program || bpf_obj_get_info_by_fd(program.get(), &info, &bytes) != 0) return "?";
  return info.name;
}

Result<Found> look(const Port& port, const Pins& pins, Side side) {
  Found found;
  bpf_xdp_query_opts query{};
  query.sz = sizeof query;
  const int result = bpf_xdp_query(static_cast<int>(port.ifindex), 0, &query);
  if (result != 0)
    return fail_errno(fmt::format("ask which XDP program is on {}", port.name), -result);
  found.program = query.attach_mode == XDP_ATTACHED_MULTI ? query.drv_prog_id : query.prog_id;
  found.generic = query.attach_mode == XDP_ATTACHED_SKB;

  WEIR_ASSIGN(Fd link, pins.open(link_name(side)));
  bpf_link_info info{};
  std::uint32_t bytes = sizeof info;
  if (link && bpf_obj_get_info_by_fd(link.get(), &info, &bytes) != 0)
    return fail_errno(fmt::format("read what the link {}/{} is", pins.directory(), link_name(side)),
                      errno);
  // An interface that went away leaves a link without one; interface numbers repeat between
  // namespaces, program ids do not.
  const bool alive = link && info.xdp.ifindex != 0;
  if (alive && info.xdp.ifindex == port.ifindex && info.prog_id == found.program)
    found.link = std::move(link);
  else if (alive)
    return fail(fmt::format(
        "the pin directory {} belongs to a weir on another interface (number {}, not {}); detach "
        "that one with `weir detach`, or choose another pin directory",
        pins.directory(), info.xdp.ifindex, port.name));
  const std::string name = found.link || found.program == 0 ? "" : program_name(found.program);
  if (name == kOwn_name)  // held by a link, which neither of the tools below can take off
    return fail(fmt::format(
        "{} already carries the program of a weir with another pin directory than {} (id {}); take "
        "it off with `weir detach`, and -c FILE where that one was started with a file",
        port.name, pins.directory(), found.program));
  if (name == kModel_name)
    return fail(fmt::format(
        "{} already carries a kernel model (program id {}); take it off with `weir kernel-model "
        "detach --interface {}` and the --pins that it was loaded with, or with `ip link set dev "
        "{} "
        "xdp off` where ip put it there",
        port.name, found.program, port.name, port.name));
  if (!name.empty())
    return fail(fmt::format(
        "{} already carries an XDP program ('{}', id {}); take it off with `xdp-loader unload {} "
        "--all` or `ip link set dev {} xdp off`",
        port.name, name, found.program, port.name, port.name));
  return found;
}

Result<Fd> create(int program_fd, const Port& port, AttachMode mode) {
  LIBBPF_OPTS(bpf_link_create_opts, options, .flags = flags_of(mode));
  Fd link(bpf_link_create(program_fd, static_cast<int>(port.ifindex), BPF_XDP, &options));
  if (!link)
    return fail_errno(fmt::format("attach the XDP program to {} in {} mode", port.name,
                                  mode == AttachMode::native ? "native" : "generic"),
                      errno);
  return link;
}

/// Takes ours off, to make room for another mode.
Status take_off(const Port& port, const Pins& pins, Side side, Undo& undo) {
  WEIR_ASSIGN(const Found found, look(port, pins, side));
  if (!found.link) return {};
  const auto old_program = std::make_shared<Fd>(bpf_prog_get_fd_by_id(found.program));
  if (!*old_program) return fail_errno(fmt::format("open the program on {}", port.name), errno);
  const AttachMode mode = found.generic ? AttachMode::generic : AttachMode::native;
  WEIR_TRY(remove_link(pins, link_name(side)));
  undo.add([old_program, port, mode, pins, side] {
    Undo none;
    if (const auto link = create(old_program->get(), port, mode))
      static_cast<void>(pins.put(link_name(side), link->get(), none));
    none.commit();
  });
  return {};
}

/// Puts the program on one interface: in the place of ours, or anew.
Result<Fd> put_on(int program_fd, const Port& port, AttachMode mode, Found found, Undo& undo) {
  if (!found.link) {
    WEIR_ASSIGN(Fd link, create(program_fd, port, mode));
    undo.add([kept = std::make_shared<Fd>(dup(link.get()))] { bpf_link_detach(kept->get()); });
    return link;
  }
  const auto old_program = std::make_shared<Fd>(bpf_prog_get_fd_by_id(found.program));
  if (!*old_program) return fail_errno(fmt::format("open the program on {}", port.name), errno);
  if (bpf_link_update(found.link.get(), program_fd, nullptr) != 0)
    return fail_errno(fmt::format("replace the program on {}", port.name), errno);
  undo.add([kept = std::make_shared<Fd>(dup(found.link.get())), old_program] {
    bpf_link_update(kept->get(), old_program->get(), nullptr);
  });
  return std::move(found.link);
}

Result<Links> attach_in(int program_fd, const std::array<Port, kSides>& ports, AttachMode mode,
                        const Pins& pins, Undo& undo) {
  Links made;
  made.mode = mode;
  for (const Side side : {Side::wan, Side::lan}) {
    const Port& port = ports[index(side)];
    if (port.ifindex == 0) continue;
    WEIR_ASSIGN(Found found, look(port, pins, side));
    made.replaced = made.replaced || !!found.link;
    WEIR_ASSIGN(made.links[index(side)], put_on(program_fd, port, mode, std::move(found), undo));
  }
  for (const Side side : {Side::wan, Side::lan})
    if (made.links[index(side)])
      WEIR_TRY(pins.put(link_name(side), made.links[index(side)].get(), undo));
  return made;
}

/// The mode of the program that an earlier weir left, if it left one.
Result<std::optional<AttachMode>> mode_now(const std::array<Port, kSides>& ports,
                                           const Pins& pins) {
  for (const Side side : {Side::wan, Side::lan}) {
    if (ports[index(side)].ifindex == 0) continue;
    WEIR_ASSIGN(const Found found, look(ports[index(side)], pins, side));
    if (found.link) return found.generic ? AttachMode::generic : AttachMode::native;
  }
  return std::nullopt;
}

}  // namespace

const char* link_name(Side side) noexcept { return side == Side::wan ? "link_wan" : "link_lan"; }

Result<std::array<Port, kSides>> find_ports(const std::array<std::string, kSides>& names) {
  std::array<Port, kSides> ports;
  const Fd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  for (std::size_t i = 0; i < kSides; ++i) {
    Port& port = ports[i];
    port.name = names[i];
    if (port.name.empty()) continue;
    port.ifindex = if_nametoindex(port.name.c_str());
    if (port.ifindex == 0)
      return fail(fmt::format("there is no interface '{}'; `ip -br link` lists those there are",
                              port.name));
    ifreq request{};
    std::strncpy(request.ifr_name, port.name.c_str(), sizeof request.ifr_name - 1);
    if (::ioctl(socket.get(), SIOCGIFMTU, &request) != 0)
      return fail_errno(fmt::format("read the MTU of {}", port.name), errno);
    port.mtu = static_cast<std::uint32_t>(request.ifr_mtu);
  }
  if (ports[0].ifindex == 0) return fail("no WAN interface is named; give one");
  if (ports[0].ifindex == ports[1].ifindex)
    return fail(fmt::format("WAN and LAN are the same interface, '{}'; name two", names[0]));
  return ports;
}

Result<Links> attach_links(int program_fd, const std::array<Port, kSides>& ports, bool generic_only,
                           const Pins& pins, Undo& undo) {
  WEIR_ASSIGN(std::optional<AttachMode> now, mode_now(ports, pins));
  if (now == AttachMode::native && generic_only) {
    // Another mode needs another link: the only case in which an interface is without a program.
    for (const Side side : {Side::wan, Side::lan})
      if (ports[index(side)].ifindex != 0) WEIR_TRY(take_off(ports[index(side)], pins, side, undo));
    now.reset();
  }
  if (now) {
    auto made = attach_in(program_fd, ports, *now, pins, undo);
    if (made && *now == AttachMode::generic && !generic_only)
      made->why_generic =
          "an earlier weir runs in it here, and is replaced in place; to try native mode, "
          "`weir detach --keep-blocks` first";
    return made;
  }
  std::string why;
  if (!generic_only) {
    Undo attempt;
    auto made = attach_in(program_fd, ports, AttachMode::native, pins, attempt);
    if (made) {
      undo.take(attempt);
      return made;
    }
    why = made.error().message;
  }
  auto made = attach_in(program_fd, ports, AttachMode::generic, pins, undo);
  if (made) made->why_generic = why;
  return made;
}

Status replace_program(const Links& links, int program_fd, int old_program_fd) {
  for (const Side side : {Side::wan, Side::lan}) {
    const Fd& link = links.links[index(side)];
    if (!link || bpf_link_update(link.get(), program_fd, nullptr) == 0) continue;
    const int error = errno;
    for (const Side done : {Side::wan, Side::lan})
      if (const Fd& back = links.links[index(done)]; back && done != side)
        static_cast<void>(bpf_link_update(back.get(), old_program_fd, nullptr));
    return fail_errno(fmt::format("replace the program on the {} side", side_name(side)), error);
  }
  return {};
}

Result<bool> is_attached(const std::array<Port, kSides>& ports, const Pins& pins) {
  bool attached = false;
  for (const Side side : {Side::wan, Side::lan}) {
    if (ports[index(side)].ifindex == 0) continue;
    WEIR_ASSIGN(const Found found, look(ports[index(side)], pins, side));
    attached = attached || !!found.link;
  }
  return attached;
}

Result<bool> remove_link(const Pins& pins, const char* name) {
  WEIR_ASSIGN(const Fd link, pins.open(name));
  if (!link) return false;
  // Detaching works although another process holds the link; closing the last descriptor would not.
  bpf_link_info info{};
  std::uint32_t bytes = sizeof info;
  const bool known = bpf_obj_get_info_by_fd(link.get(), &info, &bytes) == 0;
  if (known && info.type == BPF_LINK_TYPE_XDP && info.xdp.ifindex != 0 &&
      bpf_link_detach(link.get()) != 0)
    return fail_errno(fmt::format("detach {}/{}", pins.directory(), name), errno);
  pins.remove(name);
  return true;
}

}  // namespace weir::datapath
