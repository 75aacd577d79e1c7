// SPDX-License-Identifier: BSD-2-Clause
/// What the AF_XDP tests stand on: a wire of veth pairs, the smallest XDP program that hands every
/// frame to a socket, and packet sockets at the far ends.
///
/// Errors    an unexpected failure aborts the test program (`WEIR_CHECK`).
#pragma once

#include <linux/bpf.h>

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "io/af_xdp.h"
#include "support/wire.h"

namespace weir::io::test {

/// An Ethernet frame of `size` bytes (at least 26) that carries `number`, and content that follows
/// from it.
std::vector<std::uint8_t> frame_of(std::size_t size, std::uint64_t number);
std::uint64_t number_of(std::span<const std::uint8_t> frame);

/// A packet socket on an interface of a namespace, for frames with the tests' addresses (those of
/// `frame_of` and of weir::test::PacketBuilder).
class PacketSocket {
 public:
  PacketSocket(const weir::test::Namespace& where, const char* interface);
  ~PacketSocket();
  PacketSocket(const PacketSocket&) = delete;
  PacketSocket& operator=(const PacketSocket&) = delete;

  void send(std::span<const std::uint8_t> frame) const;
  /// Sends the frames with as few system calls as it takes; waits where the queue is full.
  void send(const std::vector<std::vector<std::uint8_t>>& frames) const;
  /// The next frame that came in; nothing where there is none now.
  std::optional<std::vector<std::uint8_t>> receive() const;

 private:
  int fd_ = -1;
};

/// redirect_map(sockets, rx_queue_index, XDP_PASS), attached natively while this lives.
class Redirect {
 public:
  Redirect(const weir::test::Namespace& where, const char* interface);
  ~Redirect();
  Redirect(const Redirect&) = delete;
  Redirect& operator=(const Redirect&) = delete;
  void add(std::uint32_t queue, int socket_fd) const;

 private:
  int map_ = -1, program_ = -1, link_ = -1;
};

/// The wire with its far ends, and the redirects in the box.
struct Box {
  explicit Box(unsigned queues = 1);
  /// Opens a channel of the box and registers its sockets.
  std::unique_ptr<Channel> open(const AfXdpConfig& config, std::uint32_t channel = 0,
                                RedirectTx* redirect = nullptr);
  const PacketSocket& far_end(Side side) const { return *ends[index(side)]; }

  weir::test::Wire wire;
  std::array<std::unique_ptr<PacketSocket>, kSides> ends;
  std::array<std::unique_ptr<Redirect>, kSides> redirects;
};

}  // namespace weir::io::test
