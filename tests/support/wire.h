// SPDX-License-Identifier: BSD-2-Clause
/// A whole inline box on one machine: namespaces `wan`, `box` and `lan`, joined by two veth pairs.
///
///     wan namespace        box namespace         lan namespace
///     wan0 ─────────────── wan        lan ─────────────── lan0
///
/// Addresses wan0 198.51.100.1/24 and 2001:db8:77::1/64, lan0 198.51.100.2/24 and
/// 2001:db8:77::2/64:
///           the box is a wire, so both ends share a network.
/// Clean-up  the namespaces have no names and the mounts (bpffs at /sys/fs/bpf, an empty /run/weir)
///           are this process's own: all of it goes when the process ends, however it ends.
/// Offloads  checksum and segmentation offloads are off at the ends, as on a wire: what crosses is
///           a frame with its checksums in it.
/// Rings     a veth end has a ring of 256 frames for each of its rx queues, and loses what finds it
///           full. The box's interfaces have `queues` rx queues. The far ends have one more: XDP
///           redirects choose it by CPU, sockets by their channel, so that with one channel and a
///           generator on `kGeneratorCpu` both have rings of their own, and the redirects' is
///           emptied by the CPU that fills it, before it goes on.
/// Threads   one owner.
#pragma once

#include <sched.h>

#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "process.h"

namespace weir::test {

/// Gives this process its own mounts; call once, before any thread is made. The error says which
/// privilege is missing.
Status own_mounts();

/// A network namespace that lives as long as its object and the processes in it.
class Namespace {
 public:
  Namespace();
  ~Namespace();
  Namespace(const Namespace&) = delete;
  Namespace& operator=(const Namespace&) = delete;

  [[nodiscard]] int fd() const noexcept { return fd_; }
  [[nodiscard]] std::string path() const;  ///< for `ip link ... netns PATH`
  /// `run` in here, its words split at spaces; aborts the test program where it fails.
  std::string must(const std::string& command) const;

 private:
  int fd_ = -1;
};

/// The calling thread is inside a namespace while this lives.
class Inside {
 public:
  explicit Inside(const Namespace& where);
  ~Inside();
  Inside(const Inside&) = delete;
  Inside& operator=(const Inside&) = delete;

 private:
  int before_ = -1;
};

/// The CPU for a generator whose frames must not be lost by the lab itself.
inline constexpr unsigned kGeneratorCpu = 1;

/// The calling thread runs on one CPU while this lives.
class OnCpu {
 public:
  explicit OnCpu(unsigned cpu);
  ~OnCpu();
  OnCpu(const OnCpu&) = delete;
  OnCpu& operator=(const OnCpu&) = delete;

 private:
  cpu_set_t before_{};
};

struct Wire {
  explicit Wire(unsigned queues = 1);
  /// Takes the far ends down: what their stacks would send by themselves (IPv6) would be counted.
  void silence() const;
  Namespace wan, box, lan;
};

}  // namespace weir::test
