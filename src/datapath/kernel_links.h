// SPDX-License-Identifier: BSD-2-Clause
/// The XDP program on the interfaces, by BPF links that are pinned.
///
/// Order     what an earlier weir left on an interface is replaced in place (bpf_link_update): the
///           interface is never without a program, and drivers that reset the link on an attach do
///           not.
/// Modes     both interfaces in one mode: a driver that has XDP can only redirect to another that
///           has it. Native first; if one interface has none, generic on both. An earlier weir's
///           mode is kept.
/// Errors    one sentence; a failure puts back what was there.
#pragma once

#include <array>

#include "datapath/kernel.h"
#include "datapath/kernel_pins.h"

namespace weir::datapath {

/// An interface that is to carry the program.
struct Port {
  std::string name;
  std::uint32_t ifindex = 0;  ///< 0: this side has no interface (host mode)
  std::uint32_t mtu = 0;
};

/// Finds the interfaces; an error names one that is missing. An empty name is no interface.
Result<std::array<Port, kSides>> find_ports(const std::array<std::string, kSides>& names);

/// Links of both sides, and how they were made.
struct Links {
  std::array<Fd, kSides> links;
  AttachMode mode = AttachMode::native;
  bool replaced = false;    ///< a program of an earlier weir was there
  std::string why_generic;  ///< why not native mode; empty where it is, or was not asked for
};

/// Puts the program on the interfaces and pins the links. Refuses interfaces that carry somebody
/// else's program, and a pin directory whose links are elsewhere.
Result<Links> attach_links(int program_fd, const std::array<Port, kSides>& ports, bool generic_only,
                           const Pins& pins, Undo& undo);

/// Puts another program in the place of the one on the links: both or none.
Status replace_program(const Links& links, int program_fd, int old_program_fd);

/// Whether the pinned link of ours carries a program on one of the interfaces. Refuses as
/// `attach_links` does.
Result<bool> is_attached(const std::array<Port, kSides>& ports, const Pins& pins);

/// Takes the program of a pinned link off its interface, whoever else holds the link, and unpins
/// it.
Result<bool> remove_link(const Pins& pins, const char* name);

const char* link_name(Side side) noexcept;

}  // namespace weir::datapath
