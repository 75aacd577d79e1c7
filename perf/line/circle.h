// SPDX-License-Identifier: BSD-2-Clause
/// Frames of any size that cross the box again and again, made once: what no generator in the
/// kernel can make (frames of more than a page, of several buffers), and a cost without a sender's.
///
///     wan0 ───── wan  box  lan ───── lan0
///       └──────────── XDP ────────────┘
///
/// How       a socket puts `frames` frames into wan0; the veth makes XDP frames of them, of one
///           buffer a page. From then on they are redirected only: by the box from `wan` to `lan`,
///           and by a program at lan0 into wan0. All of it runs in the softirq of the CPU that
///           inserted them, a batch of at most 64 a poll, so that no ring (256 frames) overflows;
///           frames of two CPUs go round beside each other, by queues of their own where the
///           interfaces have them.
/// Measures  a lap: two hops over a veth, the box's program, and the turn. Bytes are not touched
///           behind the headers, as in a NIC, which has them in buffers already.
/// Needs     root; kernel 5.18. The interfaces' MTU must fit. A box that makes skbs of frames (the
///           bridge) has lan0's veth make XDP frames of them again, which its lap then holds.
/// Threads   one owner.
/// Errors    one sentence each.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "appliance.h"
#include "base/result.h"

namespace weir::perf {

class Circle {
 public:
  /// Joins lan0 to wan0 for frames of `bytes`.
  static Result<std::unique_ptr<Circle>> close(const test::Appliance& appliance, std::size_t bytes);
  ~Circle();

  /// They stay on the CPU that calls it; at most 64 on each, or a ring may overflow.
  Status insert(std::span<const std::uint8_t> frame, unsigned frames);
  /// How often a frame has come to the LAN's end, all frames together.
  [[nodiscard]] std::uint64_t laps() const noexcept;
  [[nodiscard]] unsigned cpus() const noexcept;  ///< that carried them
  /// Lets no frame pass the LAN's end again; how many of them came there, which is all of them if
  /// none was lost.
  std::uint64_t end();
  /// Of those that `end` counted, the ones that were of several buffers.
  [[nodiscard]] std::uint64_t split() const noexcept;

  struct Impl;

 private:
  explicit Circle(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace weir::perf
