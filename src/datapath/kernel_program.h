// SPDX-License-Identifier: BSD-2-Clause
/// The XDP program and its maps in this process: opened, configured, loaded, filled; and the
/// tracepoint programs that count what the XDP program cannot.
///
/// Owner     `Kernel`. Both close what they hold; what is pinned or attached by then lives on.
/// Errors    one sentence; for a program that the kernel refuses, with the verifier's last words, or
///           where there is a screen with what that makes of them.
#pragma once

#include <memory>

#include "datapath/kernel_links.h"

struct weir_bpf;    // bpf/weir.skel.h
struct errors_bpf;  // bpf/errors.skel.h

namespace weir::datapath {

class Program {
 public:
  Program() noexcept = default;
  /// Reads the embedded object and sets what is fixed at load: .rodata and map sizes.
  static Result<Program> open(const Config& config, const std::array<Port, kSides>& ports);

  /// Whether `pinned` has the sizes that the configuration asks for.
  [[nodiscard]] bool reuses(const ListMaps& pinned, const Config& config) const;
  /// Gives the program to the kernel, over `pinned` lists or over new ones.
  Status load(const ListMaps* pinned);
  /// The same over every map of `other`, which has the same configuration but for its screen.
  Status load_over(const Program& other);
  /// Ports, peers, and the ABI version.
  Status fill(const Config& config, const std::array<Port, kSides>& ports);

  explicit operator bool() const noexcept { return skeleton_ != nullptr; }
  [[nodiscard]] int fd() const noexcept;
  [[nodiscard]] int own_fd() const noexcept;  ///< host mode's filter of what this host sends
  [[nodiscard]] int map_fd(const char* name) const noexcept;
  /// Own descriptors of the maps that outlive the program.
  [[nodiscard]] ListMaps list_maps() const;

 private:
  struct Destroy {
    void operator()(weir_bpf* skeleton) const noexcept;
  };
  Status give_to_kernel();

  std::unique_ptr<weir_bpf, Destroy> skeleton_;
  std::unique_ptr<char[]> log_;           // the verifier's
  std::shared_ptr<const Screen> screen_;  // that is in it
};

class ErrorWatch {
 public:
  ErrorWatch() noexcept = default;
  /// Attaches to the kernel's tracepoints; counts into the map `redirect_errors_fd`.
  static Result<ErrorWatch> start(int redirect_errors_fd, const std::array<Port, kSides>& ports);
  [[nodiscard]] int link_fd(std::size_t number) const noexcept;  ///< 0 redirect, 1 devmap

 private:
  struct Destroy {
    void operator()(errors_bpf* skeleton) const noexcept;
  };
  std::unique_ptr<errors_bpf, Destroy> skeleton_;
};

}  // namespace weir::datapath
