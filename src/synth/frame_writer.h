// SPDX-License-Identifier: BSD-2-Clause
/// Puts a UDP datagram into a frame: Ethernet, tags or PPPoE, IP, UDP, with checksums.
///
/// Owner     the writer's buffer; a frame is valid until the next one is written.
/// Bounds    payloads up to `kPayloadMax` bytes.
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
  std::string_view payload;
};

class FrameWriter {
 public:
  static constexpr std::size_t kPayloadMax = 1'400;

  explicit FrameWriter(Encapsulation encapsulation) noexcept : encapsulation_(encapsulation) {}
  std::span<const std::uint8_t> write(const Datagram& datagram) noexcept;

 private:
  std::size_t write_link(const Datagram& datagram, std::size_t ip_length) noexcept;
  std::size_t write_ip(const Datagram& datagram, std::size_t at, std::size_t udp_length) noexcept;

  const Encapsulation encapsulation_;
  std::uint16_t identification_ = 1;
  alignas(8) std::array<std::uint8_t, 1'600> buffer_{};
};

}  // namespace weir::synth
