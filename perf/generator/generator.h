// SPDX-License-Identifier: BSD-2-Clause
/// The load: a mix of frames, made in the kernel at up to tens of millions a second, and a sink
/// that counts what arrives.
///
/// How       BPF_PROG_TEST_RUN with BPF_F_TEST_XDP_LIVE_FRAMES runs a small XDP program over
///           recycled pages; it writes the next frame of the mix and redirects it to a veth, 64
///           frames a batch. The batch's way through the receiving veth runs in the same softirq,
///           on the same CPU, before the next batch is made: with one generator no veth ring (256
///           frames) overflows on the kernel's path, so that a loss is the box's and not the lab's.
/// Mix       a schedule of slots, each naming a stream; it is repeated for ever. A stream is one
///           frame, whose source address may run through `sources` values with its checksums kept
///           right, and whose last 16 bytes may be a stamp (flow, sequence number) behind the IP
///           datagram, where Ethernet pads.
/// Needs     root; kernel 5.18 or newer. An interface is looked up in the calling thread's network
///           namespace, once, by `create` and `attach`.
/// Threads   one owner each. Two generators may run at once, on two threads.
/// Errors    one sentence each.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"

namespace weir::perf {

/// One frame of the mix.
struct Stream {
  std::vector<std::uint8_t> frame;  ///< Ethernet header on; at most 3376 bytes
  std::uint32_t flow = 0;           ///< number in the stamp, below 64
  bool stamped = true;              ///< false: the frame leaves exactly as it is
  std::uint32_t sources = 1;        ///< IP source addresses to run through, from the frame's own on
};

class Generator {
 public:
  /// Sends out of `interface`: the frames arrive at what is at its other end. With `spread` they do
  /// so as skbs, by the interface's tx queues (a veth's are the rx queues of its other end), a flow
  /// by a hash of its addresses and ports as a NIC's RSS has it: three times as dear. Without, a
  /// veth takes them into the queue of the sender's CPU. A generator that spreads is to be used
  /// inside the interface's namespace.
  static Result<std::unique_ptr<Generator>> create(const std::string& interface,
                                                   bool spread = false);
  ~Generator();

  /// Replaces the mix and sets all counts to zero. `schedule` names streams by their place; empty:
  /// each once, in turn.
  Status set(std::span<const Stream> streams, std::span<const std::uint8_t> schedule = {});

  /// Sends `packets` frames of the mix, at `packets_per_s`, or as fast as it can where that is 0.
  Status send(std::uint64_t packets, double packets_per_s = 0);

  /// Frames made so far of stream `index`.
  [[nodiscard]] std::uint64_t sent(std::size_t index) const noexcept;

  struct Impl;

 private:
  explicit Generator(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

/// What a sink counted of one flow.
struct Flow {
  std::uint64_t packets = 0, bytes = 0;
  std::uint64_t out_of_order = 0;  ///< sequence numbers that did not rise
  std::uint64_t first_ns = 0;
  std::uint64_t last_ns = 0;  ///< of the last packet whose sequence number 16 divides
};

/// A frame as it stood at the sink's XDP hook, before the stack touched it.
struct Recorded {
  std::vector<std::uint8_t> bytes;
  std::uint64_t time_ns = 0;  ///< CLOCK_MONOTONIC
  std::uint32_t queue = 0;
};

class Sink {
 public:
  /// Attaches to `interface` in native mode. Stamped frames are counted and end there; others go up
  /// the stack where `pass_others` says so, else they end too.
  static Result<std::unique_ptr<Sink>> attach(const std::string& interface, bool pass_others);
  ~Sink();  ///< detaches

  [[nodiscard]] Flow flow(std::uint32_t number) const;
  [[nodiscard]] std::uint64_t others() const noexcept;  ///< frames without a stamp
  void reset();                                         ///< all counts to zero

  /// From here on, keeps a copy of each frame (room for about 7,000), the first 2,047 bytes of it.
  void record(bool on) noexcept;
  /// Takes out what was recorded since the last call. An error where some did not fit.
  Result<std::vector<Recorded>> take();

  struct Impl;

 private:
  explicit Sink(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace weir::perf
