// SPDX-License-Identifier: BSD-2-Clause
/// The datapath in the kernel: loads the XDP program, pins its maps and links, attaches it, takes
/// over what an earlier weir left behind, and lets go again.
///
/// The program is attached by BPF links that are pinned beside the maps: forwarding goes on when
/// this process dies, and the next one replaces the program in place (bpf_link_update), so that the
/// interface is never without it.
///
/// Start     a transaction: `Claim::take` (kernel_claim.h), `attach`, `keep`. An object that goes
///           before `keep` was called puts back the program, links and pins that it found.
/// Owner     the service. `open_pinned` gives a view without a program, for commands while no
///           daemon runs.
/// Threads   table changes: one thread at a time. `heartbeat` may be called by each channel's
///           thread for its own channel.
/// Needs     CAP_BPF, CAP_PERFMON (the program subtracts packet pointers) and CAP_NET_ADMIN, or
///           root; a bpffs above the pin directory: where the directory is below /sys/fs/bpf and
///           none is mounted there, one is mounted if that is allowed.
/// Errors    one sentence; a failure leaves everything as it was found.
#pragma once

#include <memory>
#include <string>

#include "datapath/datapath.h"

namespace weir::datapath {

struct KernelOptions {
  std::string pin_directory = "/sys/fs/bpf/weir";  ///< one directory for each pair of interfaces
  std::array<std::string, kSides> interfaces;      ///< names, by side
  bool generic_only = false;                       ///< do not even try native mode
};

enum class AttachMode : std::uint8_t { native, generic };

class Claim;

class Kernel final : public Datapath {
 public:
  /// Loads and attaches to both interfaces: native mode, or generic where the driver has none
  /// (mode() tells). With sockets not yet registered, everything steered takes the fail mode.
  static Result<std::unique_ptr<Kernel>> attach(const Config& config, Claim claim);
  /// The same with a claim of its own.
  static Result<std::unique_ptr<Kernel>> attach(const Config& config, const KernelOptions& options);
  /// Whether the kernel takes the program and its maps, screen and all: they are loaded and let go,
  /// with nothing attached, pinned or made.
  static Status try_load(const Config& config, const KernelOptions& options);
  /// The start has succeeded: program and pins outlive this object from here on. Errors of
  /// redirects are counted from now on.
  Status keep();
  /// The pinned maps alone: block, allow, counters. An error where nothing is pinned there, the ABI
  /// differs, or a weir that runs has them.
  static Result<std::unique_ptr<Kernel>> open_pinned(const std::string& pin_directory);
  /// Whether links are pinned there: a program forwards, with a weir or without one.
  static bool forwards(const std::string& pin_directory);
  /// Takes program, links and pins of `pin_directory` away, daemon or not; `keep_blocks` leaves
  /// block- and allowlist. False where nothing was there; an error where a weir runs on it.
  static Result<bool> remove(const std::string& pin_directory, bool keep_blocks);

  /// Leaves program and pins where they are, if they were kept: the fail mode rules from here on.
  ~Kernel() override;

  /// Detaches both interfaces and unpins all but block- and allowlist and their control value.
  Status detach();

  [[nodiscard]] AttachMode mode(Side side) const noexcept;
  /// What a person should know though nothing failed, a sentence each: why not native mode, why
  /// redirects that fail are not counted.
  [[nodiscard]] const std::vector<std::string>& notes() const noexcept;
  [[nodiscard]] bool took_over() const noexcept;  ///< blocks or links of an earlier run were found

  /// Registers an AF_XDP socket (its fd) for a queue of a side; `remove_socket` takes it out again.
  Status add_socket(Side side, std::uint32_t queue, int socket_fd);
  Status remove_socket(Side side, std::uint32_t queue);

  /// Host mode: the ring of copies (bpf/abi.h, weir_copy), owned by this object; -1 in other modes.
  [[nodiscard]] int copies_fd() const noexcept;
  /// Host mode: what this host sends is copied too, if it is steered. Where that fails, nothing else
  /// does: its searches and flows are not known, and what answers them is judged as unasked.
  Status watch_own();

  /// Another screen, or none, in the place of the one in use: a program is loaded over the same maps
  /// and takes the old one's place on each interface in one step. Where the kernel refuses it, the
  /// old one stays. Any thread, one at a time, beside changes of tables.
  Status use_screen(std::shared_ptr<const Screen> screen);

  /// Channel `channel` made progress at `now` (a store to mapped memory: no system call). A channel
  /// withdraws by 0.
  void heartbeat(std::uint32_t channel, PacketTime now) noexcept;

  Result<std::size_t> add_blocks(std::span<const Block> blocks) override;
  Result<std::size_t> remove_blocks(std::span<const BlockKey> blocks) override;
  Result<std::vector<Block>> list_blocks() const override;
  Status add_allow(const Prefix& prefix) override;
  Result<bool> remove_allow(const Prefix& prefix) override;
  Result<std::vector<Prefix>> list_allow() const override;
  Result<Counters> counters() const override;

  /// The loaded program, for BPF_PROG_TEST_RUN in tests; owned by this object.
  [[nodiscard]] int program_fd() const noexcept;

  struct Impl;

 private:
  explicit Kernel(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace weir::datapath
