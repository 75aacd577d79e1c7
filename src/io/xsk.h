// SPDX-License-Identifier: BSD-2-Clause
/// Two AF_XDP sockets on one UMEM, bound: the set-up half of a channel. Inside of io/af_xdp.h.
///
/// Rings     each (interface, queue) has its own fill and completion ring, each socket its own RX
///           and TX ring: all of one producer and one consumer.
/// Owner     the rings belong to the channel's I/O thread; sockets and memory to this object.
/// Errors    see io/af_xdp.h.
/// Source    libxdp's xsk.h; kernel net/xdp/xsk.c for what each errno of bind means.
#pragma once

#include <xdp/xsk.h>

#include <memory>
#include <optional>

#include "base/result.h"
#include "base/types.h"
#include "io/af_xdp.h"
#include "io/frame_pool.h"

namespace weir::io {

/// 4 KiB: a page, so that no frame crosses one (drivers want that of XDP buffers), and room for
/// 256 bytes of headroom and an MTU of 3,498, the most that single-buffer XDP takes. 2 KiB would
/// halve the memory and refuse any MTU above 1,770; larger chunks need hugepages.
inline constexpr std::uint32_t kChunk_bytes = 4096;

struct Xsk {
  xsk_ring_prod fill{};
  xsk_ring_cons rx{};
  xsk_ring_prod tx{};
  xsk_ring_cons completion{};
  xsk_socket* socket = nullptr;
  int fd = -1;
  bool zero_copy = false;
};

class XskWire {
 public:
  /// Both sockets bound to queue `channel`, each with a full fill ring.
  static Result<std::unique_ptr<XskWire>> bind(const AfXdpConfig& config, std::uint32_t channel);
  ~XskWire();
  XskWire(const XskWire&) = delete;
  XskWire& operator=(const XskWire&) = delete;

  [[nodiscard]] Xsk& side(Side side) noexcept { return sides_[index(side)]; }
  [[nodiscard]] const Xsk& side(Side side) const noexcept { return sides_[index(side)]; }
  [[nodiscard]] FramePool& pool() noexcept { return pool_; }
  [[nodiscard]] const FramePool& pool() const noexcept { return pool_; }
  [[nodiscard]] std::uint8_t* memory() const noexcept { return memory_; }
  [[nodiscard]] bool busy_poll() const noexcept { return busy_poll_; }

  /// Puts up to `most` free frames into a side's fill ring; returns how many.
  std::uint32_t refill(Side side, std::uint32_t most) noexcept;

 private:
  /// Why a bind failed: the errno decides whether it is tried again, and how.
  struct Failure {
    int error = 0;
    Error text;
  };

  explicit XskWire(std::uint32_t frames) : pool_(frames) {}
  std::optional<Failure> open(const AfXdpConfig& config, std::uint32_t channel, bool copy);
  std::optional<Failure> open_socket(const AfXdpConfig& config, Side side, std::uint32_t channel,
                                     bool copy);
  void set_options(const AfXdpConfig& config) noexcept;

  FramePool pool_;
  std::uint8_t* memory_ = nullptr;
  xsk_umem* umem_ = nullptr;
  std::array<Xsk, kSides> sides_;
  bool busy_poll_ = false;
};

}  // namespace weir::io
