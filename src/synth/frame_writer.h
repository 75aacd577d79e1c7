// SPDX-License-Identifier: BSD-2-Clause
/// Puts a UDP datagram into a frame, or into fragments: Ethernet, tags or PPPoE, IP, UDP, with
/// checksums.
///
/// Owner     the writer's buffer; a frame is valid until the next one is written.
/// Bounds    payloads up to `kPayloadMax` bytes in one frame, up to `kDatagramMax` in fragments.
/// Threads   one owner.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

#include "base/address.h"
#include "base/types.h"
#include "synth/synth.h"

namespace weir::synth {

struct Datagram {
  Side side = Side::wan;  ///< comes in by
  Address source, destination;
  std::uint16_t source_port = 0, destination_port = 0;
  std::uint8_t ttl = 64;
  bool broadcast = false;  ///< to every host of the link, whatever `destination` is
  std::string_view payload;
};

class FrameWriter {
 public:
  static constexpr std::size_t kPayloadMax = 1'400;
  static constexpr std::size_t kDatagramMax = 9'000;

  explicit FrameWriter(Encapsulation encapsulation) noexcept : encapsulation_(encapsulation) {}
  std::span<const std::uint8_t> write(const Datagram& datagram) noexcept;
  /// The payload is read here; addresses and TTL stay those of `datagram`.
  void begin_fragments(const Datagram& datagram) noexcept;
  /// One after another, empty when all were had.
  std::span<const std::uint8_t> next_fragment() noexcept;

 private:
  /// Where a frame's piece of the datagram stands; `whole` frames have no fragment header.
  struct Piece {
    std::size_t offset = 0, length = 0;
    bool whole = true, last = true;
  };
  std::size_t write_link(const Datagram& datagram, std::size_t ip_length) noexcept;
  std::size_t write_ip(const Datagram& datagram, std::size_t at, const Piece& piece) noexcept;
  std::size_t pad_frame(std::size_t length) noexcept;

  const Encapsulation encapsulation_;
  std::uint16_t identification_ = 1;
  alignas(8) std::array<std::uint8_t, 1'600> buffer_{};
  // A datagram that goes out in fragments, and how much of it is out.
  Datagram fragmented_;
  std::size_t fragmented_length_ = 0, fragmented_out_ = 0;
  alignas(8) std::array<std::uint8_t, kDatagramMax + 8> whole_{};
};

}  // namespace weir::synth
