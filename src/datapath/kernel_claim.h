// SPDX-License-Identifier: BSD-2-Clause
/// A start's right to a pin directory, and what is there before the start changes anything.
///
/// Exclusive the directory is locked (flock) while the claim lives: the lock ends with its process,
///           however that ends, and is the directory's own, whatever else two weirs are told apart
///           by. Who holds no claim changes no pin, no link and no table.
/// Found     asked from the kernel's links, not from what an earlier weir wrote down.
/// Undo      a claim that is given up leaves no directory and no mount that was not there before.
/// Errors    one sentence; somebody else's claim is told with the process that holds it.
/// Threads   one owner.
#pragma once

#include "datapath/kernel_links.h"
#include "datapath/kernel_pins.h"

namespace weir::datapath {

class Claim {
 public:
  /// What `take` would refuse, with nothing made or locked; with `attached` also what is on the
  /// interfaces, which takes the privileges of a start.
  static Status check(const KernelOptions& options, bool attached);
  /// Makes and locks the pin directory, and looks at the interfaces. Refuses interfaces that carry
  /// somebody else's program, and a directory whose links are elsewhere.
  static Result<Claim> take(const KernelOptions& options);

  /// An earlier weir's program is on an interface: the wire forwards, though nobody runs.
  [[nodiscard]] bool attached() const noexcept { return attached_; }

 private:
  friend class Kernel;
  Claim(const KernelOptions& options, std::array<Port, kSides> ports)
      : options_(options), ports_(std::move(ports)), pins_(options.pin_directory) {}

  KernelOptions options_;
  std::array<Port, kSides> ports_;
  Pins pins_;
  Fd lock_;
  std::unique_ptr<Undo> undo_ = std::make_unique<Undo>();
  bool attached_ = false;
};

}  // namespace weir::datapath
