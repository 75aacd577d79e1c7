// SPDX-License-Identifier: BSD-2-Clause
#include "io/xsk.h"

#include <fmt/format.h>
#include <linux/if_xdp.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>

#include "io/busy_queue.h"

namespace weir::io {

namespace {

// Newer than Debian 12's headers.
constexpr int kXdpMaxTxSkbBudget = 9;  // SOL_XDP, from 6.17
constexpr int kSoPreferBusyPoll = 69;  // SOL_SOCKET, from 5.11
constexpr int kSoBusyPollBudget = 70;

bool set_option(int fd, int level, int option, std::uint32_t value) noexcept {
  return setsockopt(fd, level, option, &value, sizeof value) == 0;
}

std::size_t memory_bytes(std::uint32_t frames) noexcept {
  return std::size_t{frames} * kChunk_bytes;
}

/// What to do about an errno of bind, set-up of rings or registering the UMEM.
std::string remedy(int error, const AfXdpConfig& config) {
  switch (error) {
    case EBUSY:
      return "another AF_XDP socket holds this queue; stop the program that has it, or give weir "
             "another channel";
    case EPERM:
      return "CAP_NET_RAW is needed; run as root or grant it";
    case ENOMEM:
    case ENOBUFS:
      return fmt::format(
          "{} MiB of locked memory are needed for each channel; raise RLIMIT_MEMLOCK "
          "(LimitMEMLOCK= of the unit), or set a smaller number of frames",
          memory_bytes(config.frames) >> 20U);
    case ENODEV:
    case ENXIO:
      return "there is no such interface; look at 'ip link'";
    case ENETDOWN:
      return "the interface is down; run 'ip link set dev NAME up'";
    case EINVAL:
      return "a queue of this number may not exist; look at 'ethtool -l', and set fewer channels";
    case EOPNOTSUPP:
    case EPROTONOSUPPORT:
    case EAFNOSUPPORT:
      return "kernel or driver have no AF_XDP; Linux 5.11 or later with CONFIG_XDP_SOCKETS is "
             "needed";
    default:
      return "see dmesg for the driver's reason";
  }
}

Status check(const AfXdpConfig& config) {
  if (!std::has_single_bit(config.frames) || !std::has_single_bit(config.ring)) {
    return fail(fmt::format("AF_XDP with {} frames and rings of {}: both must be powers of two",
                            config.frames, config.ring));
  }
  if (config.frames / kFramesPerEntry < config.ring) {
    return fail(fmt::format(
        "AF_XDP with {} frames and rings of {}: at least {} frames ({} times the ring) are "
        "expected",
        config.frames, config.ring, std::uint64_t{config.ring} * kFramesPerEntry, kFramesPerEntry));
  }
  return {};
}

}  // namespace

Result<std::unique_ptr<XskWire>> XskWire::bind(const AfXdpConfig& config, std::uint32_t channel) {
  WEIR_TRY(check(config));
  BusyQueue patience;
  bool copy = config.force_copy;
  for (;;) {
    // From the start each time: libxdp leaves a UMEM whose first bind failed half set up.
    std::unique_ptr<XskWire> wire(new XskWire(config.frames));
    const auto failure = wire->open(config, channel, copy);
    if (!failure) return wire;
    wire.reset();
    // One driver has zero-copy and the other not; a shared UMEM can only be one of both.
    const bool cannot_share = failure->error == EOPNOTSUPP || failure->error == EINVAL;
    if (cannot_share && !copy) {
      copy = true;
      continue;
    }
    if (failure->error != EBUSY || !patience.wait()) return fail(failure->text.message);
  }
}

std::optional<XskWire::Failure> XskWire::open(const AfXdpConfig& config, std::uint32_t channel,
                                              bool copy) {
  const std::size_t size = memory_bytes(config.frames);
  // Reserved hugepages are taken now or not at all: a fault without one would be a SIGBUS.
  const int kind = config.hugepages ? MAP_HUGETLB : MAP_NORESERVE;
  void* const memory =
      mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | kind, -1, 0);
  if (memory == MAP_FAILED && config.hugepages) {
    return Failure{errno,
                   {fmt::format("{0} MiB of hugepages for the frames of channel {1} cannot be had: "
                                "{2}; each channel needs {0} MiB of them: raise vm.nr_hugepages, "
                                "or set channels.hugepages = false",
                                size >> 20U, channel, std::strerror(errno))}};
  }
  if (memory == MAP_FAILED) {
    return Failure{errno,
                   {fmt::format("{} MiB for the frames of channel {} cannot be had: {}",
                                size >> 20U, channel, std::strerror(errno))}};
  }
  memory_ = static_cast<std::uint8_t*>(memory);
  // Both are advice: fewer TLB misses, and no copy of pinned pages in a child.
  madvise(memory, size, MADV_HUGEPAGE);
  madvise(memory, size, MADV_DONTFORK);

  xsk_umem_config umem_config{};
  umem_config.fill_size = config.ring;
  umem_config.comp_size = config.ring;
  umem_config.frame_size = kChunk_bytes;
  Xsk& first = sides_[index(Side::wan)];
  const int error =
      -xsk_umem__create(&umem_, memory, size, &first.fill, &first.completion, &umem_config);
  if (error != 0) {
    umem_ = nullptr;
    return Failure{error,
                   {fmt::format("the UMEM of channel {} cannot be registered: {}; {}", channel,
                                std::strerror(error), remedy(error, config))}};
  }
  // Before the bind: some drivers (ice, i40e) lose receive buffers when they find it empty.
  refill(Side::wan, config.ring);
  for (const Side side : {Side::wan, Side::lan}) {
    if (auto failure = open_socket(config, side, channel, copy)) return failure;
  }
  // The second socket's fill ring exists only once libxdp has bound it.
  refill(Side::lan, config.ring);
  set_options(config);
  return std::nullopt;
}

std::optional<XskWire::Failure> XskWire::open_socket(const AfXdpConfig& config, Side side,
                                                     std::uint32_t channel, bool copy) {
  Xsk& xsk = sides_[index(side)];
  xsk_socket_config socket_config{};
  socket_config.rx_size = config.ring;
  socket_config.tx_size = config.ring;
  socket_config.libxdp_flags = XSK_LIBXDP_FLAGS__INHIBIT_PROG_LOAD;
  // Without XDP_COPY the kernel tries zero-copy first.
  socket_config.bind_flags =
      static_cast<std::uint16_t>(XDP_USE_NEED_WAKEUP | (copy ? XDP_COPY : 0));
  const std::string& name = config.interfaces[index(side)];
  const int error = -xsk_socket__create_shared(&xsk.socket, name.c_str(), channel, umem_, &xsk.rx,
                                               &xsk.tx, &xsk.fill, &xsk.completion, &socket_config);
  if (error != 0) {
    xsk.socket = nullptr;
    return Failure{error,
                   {fmt::format("AF_XDP on interface '{}', queue {}: {}; {}", name, channel,
                                std::strerror(error), remedy(error, config))}};
  }
  xsk.fd = xsk_socket__fd(xsk.socket);
  xdp_options options{};
  socklen_t length = sizeof options;
  xsk.zero_copy = getsockopt(xsk.fd, SOL_XDP, XDP_OPTIONS, &options, &length) == 0 &&
                  (options.flags & XDP_OPTIONS_ZEROCOPY) != 0;
  return std::nullopt;
}

void XskWire::set_options(const AfXdpConfig& config) noexcept {
  busy_poll_ = config.busy_poll;
  for (Xsk& xsk : sides_) {
    // Copy mode charges each frame on its way to the socket: room for a whole ring of them.
    set_option(xsk.fd, SOL_SOCKET, SO_SNDBUFFORCE, config.ring * kChunk_bytes);
    // At most the ring's size; an older kernel has 32 and does not know the option.
    set_option(xsk.fd, SOL_XDP, kXdpMaxTxSkbBudget, std::min(config.tx_budget, config.ring));
    if (!config.busy_poll) continue;
    busy_poll_ = set_option(xsk.fd, SOL_SOCKET, kSoPreferBusyPoll, 1) &&
                 set_option(xsk.fd, SOL_SOCKET, SO_BUSY_POLL, config.busy_poll_us) &&
                 set_option(xsk.fd, SOL_SOCKET, kSoBusyPollBudget, config.busy_poll_budget) &&
                 busy_poll_;
  }
}

std::uint32_t XskWire::refill(Side side, std::uint32_t most) noexcept {
  Xsk& xsk = sides_[index(side)];
  std::array<std::uint32_t, 256> frames;
  std::uint32_t done = 0;
  while (done < most) {
    // Reserve exactly what is submitted: libxdp never takes a reservation back.
    const std::uint32_t room = xsk_prod_nb_free(&xsk.fill, 1);
    const std::size_t want = std::min<std::size_t>({frames.size(), room, most - done});
    const auto got =
        static_cast<std::uint32_t>(pool_.take(std::span(frames).first(want), Place::fill));
    if (got == 0) break;
    std::uint32_t at = 0;
    WEIR_CHECK(xsk_ring_prod__reserve(&xsk.fill, got, &at) == got);
    for (std::uint32_t i = 0; i < got; ++i) {
      *xsk_ring_prod__fill_addr(&xsk.fill, at + i) = std::uint64_t{frames[i]} * kChunk_bytes;
    }
    xsk_ring_prod__submit(&xsk.fill, got);
    done += got;
  }
  return done;
}

XskWire::~XskWire() {
  // The socket that carries the UMEM goes last, then the UMEM, then the memory under it.
  for (const Side side : {Side::lan, Side::wan}) {
    if (Xsk& xsk = sides_[index(side)]; xsk.socket != nullptr) xsk_socket__delete(xsk.socket);
  }
  if (umem_ != nullptr) xsk_umem__delete(umem_);
  if (memory_ != nullptr) munmap(memory_, memory_bytes(pool_.frames()));
}

}  // namespace weir::io
