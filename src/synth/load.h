// SPDX-License-Identifier: BSD-2-Clause
/// A load for a real box: frames of a mix of flows, numbered, and the count of what arrived of
/// them. `weir blast` sends and receives it.
///
/// Flows     reply   answers that nobody asked for, from port 1900: a reflection's
///           search  M-SEARCH to one address
///           notify  announcements to the SSDP group
///           udp     of other ports, 100 bytes
///           Sources run through consecutive addresses, packet by packet.
/// Stamp     the last 24 bytes of a frame, behind its IP datagram, where Ethernet pads: "weirload",
///           run (4), flow (2), flags (2), number (8), in network order. A box that changes no byte
///           carries it.
/// End       some frames of plain UDP to port 9 (discard) that tell how many were sent of each flow,
///           so that losses at the end are seen as well.
/// Bounds    the receiver counts one run: the first that it sees. Nothing allocates in `write` and
///           `see`.
/// Threads   one owner each.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/address.h"
#include "base/clock.h"
#include "base/result.h"
#include "synth/frame_writer.h"

namespace weir::synth {

inline constexpr std::array<const char*, 4> kLoadFlows = {"reply", "search", "notify", "udp"};

struct LoadOptions {
  std::string mix = "reply=3,udp=1";  ///< shares of flows, "FLOW=N,..."
  Side side = Side::wan;              ///< of the box that it is sent into
  Address from;                       ///< the first source
  Address to;                         ///< the host that it is sent to
  std::uint32_t sources = 1'000;
  Encapsulation encapsulation = Encapsulation::none;
  std::uint64_t seed = 1;
  std::uint32_t run = 0;  ///< tells this load from others
};

class Load {
 public:
  /// An error names the flow that there is none of.
  static Result<Load> make(const LoadOptions& options);

  /// Writes the next frame; returns its bytes. `out` holds 2048.
  std::size_t write(std::span<std::uint8_t> out) noexcept;
  /// A frame that tells the end.
  std::size_t write_end(std::span<std::uint8_t> out) noexcept;
  /// Frames written, by flow.
  [[nodiscard]] const std::array<std::uint64_t, kLoadFlows.size()>& sent() const noexcept {
    return sent_;
  }

 private:
  explicit Load(const LoadOptions& options) : options_(options), writer_(options.encapsulation) {}
  std::size_t stamp(std::span<const std::uint8_t> frame, std::uint16_t flow, std::uint16_t flags,
                    std::uint64_t number, std::span<std::uint8_t> out) const noexcept;

  LoadOptions options_;
  FrameWriter writer_;
  std::array<std::string, kLoadFlows.size()> payloads_;
  std::vector<std::uint8_t> turns_;  // flows, in the order in which they take turns
  std::size_t turn_ = 0;
  std::uint32_t source_ = 0;
  std::array<std::uint64_t, kLoadFlows.size()> sent_{};
};

/// What arrived of a flow.
struct LoadArrived {
  std::uint64_t packets = 0, bytes = 0;
  std::uint64_t out_of_order = 0;  ///< numbers that did not rise
  std::uint64_t sent = 0;          ///< as the end told; until then by the highest number
  [[nodiscard]] std::uint64_t lost() const noexcept { return sent > packets ? sent - packets : 0; }
};

class LoadTally {
 public:
  /// Counts a frame that arrived.
  void see(std::span<const std::uint8_t> frame, PacketTime now) noexcept;
  [[nodiscard]] bool ended() const noexcept { return ended_; }
  [[nodiscard]] const std::array<LoadArrived, kLoadFlows.size()>& flows() const noexcept {
    return flows_;
  }
  [[nodiscard]] std::uint64_t others() const noexcept { return others_; }  ///< of no or another run
  [[nodiscard]] Nanoseconds elapsed() const noexcept { return last_ - first_; }

 private:
  std::array<LoadArrived, kLoadFlows.size()> flows_;
  std::array<std::uint64_t, kLoadFlows.size()> next_{};
  std::uint64_t others_ = 0;
  std::uint32_t run_ = 0;
  bool has_run_ = false;
  bool ended_ = false;
  PacketTime first_, last_;
};

}  // namespace weir::synth
