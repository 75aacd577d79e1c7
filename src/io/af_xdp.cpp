// SPDX-License-Identifier: BSD-2-Clause
#include "io/af_xdp.h"

#include <linux/if_xdp.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <numeric>
#include <vector>

#include "io/channel_counts.h"
#include "io/xsk.h"

namespace weir::io {

namespace {

/// Frames moved at once between rings and pool: a batch of the pipeline.
constexpr std::size_t kChunk_frames = 256;
/// `receive` tops the fill ring up when it has room for as many: fewer would touch the kernel's
/// cache line for each packet, more would let the ring run low. `service` takes whatever fits.
constexpr std::uint32_t kRefillLeast_frames = 64;
/// How soon a sleeping channel looks again while frames wait to be sent: twice as late each time
/// that none of them left, for the link may be down for days.
constexpr Nanoseconds kSendAgainFirst{100'000};
constexpr Nanoseconds kSendAgainLast{10'000'000};
/// A call ends at each frame that the device refuses: so many at a time, or a dead link would hold
/// the thread up. What else waits is refused at the next turns, or finds no room.
constexpr std::uint32_t kLostAtOnce = 64;

struct Counts : SideCounts {
  Count tx_redirected, tx_lost, not_completed, wakeups_rx, wakeups_tx, wakeup_errors;
};

/// What became of the frames where `sendto` on a socket failed.
enum class Unsent : std::uint8_t {
  more,    ///< as many as one call may send have left; there are more
  lost,    ///< the device refused one (no carrier, or it is going down), which is gone
  later,   ///< they wait: out of buffers, or interrupted
  broken,  ///< they wait for the interface: it is down, or there is none any more
};

/// Source: net/xdp/xsk.c, xsk_generic_xmit: in copy mode EBUSY stands for NET_XMIT_DROP, "SKB
/// completed but not sent". A zero-copy driver says it where it is busy, and has taken nothing.
Unsent why_unsent(int error, bool zero_copy) noexcept {
  switch (error) {
    case EAGAIN:
      return Unsent::more;
    case EBUSY:
      return zero_copy ? Unsent::later : Unsent::lost;
    case ENOBUFS:
    case EINTR:
      return Unsent::later;
    default:
      return Unsent::broken;
  }
}

class AfXdpChannel final : public Channel {
 public:
  AfXdpChannel(std::unique_ptr<XskWire> wire, const AfXdpConfig& config, std::uint32_t number,
               RedirectTx* redirect)
      : wire_(std::move(wire)),
        number_(number),
        redirect_(redirect),
        pool_(wire_->pool()),
        tx_budget_(std::max(config.tx_budget, 1U)),
        sending_(config.frames, Sending::no) {
    for (const Side side : {Side::wan, Side::lan}) with_kernel_[index(side)] = config.ring;
    publish();
  }

  std::size_t receive(Side side, std::span<packet::Frame> out, PacketTime now) noexcept override;
  std::size_t transmit(Side side, std::span<const packet::Frame> frames) noexcept override;
  void release(std::span<const packet::Frame> frames) noexcept override;
  bool service() noexcept override;
  void wait(int wake_fd, Nanoseconds at_most) noexcept override;

  [[nodiscard]] std::uint32_t waiting(Side side) noexcept override;
  [[nodiscard]] double room(Side side) noexcept override;

  [[nodiscard]] double headroom() const noexcept override {
    const auto counts = census_.read().frames;
    const auto of = [&](Place place) { return counts[static_cast<std::size_t>(place)]; };
    return static_cast<double>(of(Place::free) + of(Place::fill)) / frames_;
  }
  [[nodiscard]] bool conserved() const noexcept override { return census_.read().conserved; }
  [[nodiscard]] std::array<std::uint32_t, kPlaces> frame_counts() const noexcept override {
    return census_.read().frames;
  }
  [[nodiscard]] ChannelCounters counters(Side side) const noexcept override;
  [[nodiscard]] int socket_fd(Side side) const noexcept override { return wire_->side(side).fd; }
  [[nodiscard]] bool zero_copy(Side side) const noexcept override {
    return wire_->side(side).zero_copy;
  }
  [[nodiscard]] bool busy_poll() const noexcept override { return wire_->busy_poll(); }

 private:
  /// Of a frame: completed is what the kernel says of one that was in a TX ring.
  enum class Sending : std::uint8_t { no, yes, completed };

  void see_received(Side side) noexcept;
  void see_completed(Side side) noexcept;
  void refill(Side side, std::uint32_t least) noexcept;
  void reap(Side side) noexcept;
  std::size_t submit(Side side, std::span<const packet::Frame> frames) noexcept;
  std::size_t redirect(Side side, std::span<const packet::Frame> frames) noexcept;
  [[nodiscard]] std::uint32_t unsent(Side side) noexcept;
  void kick_tx(Side side) noexcept;
  void kick_rx(Side side) noexcept;
  void give_back(std::span<const packet::Frame> frames) noexcept;
  [[nodiscard]] bool accounts_agree() const noexcept;
  void publish() noexcept;
  Counts& counts(Side side) noexcept { return counts_[index(side)]; }

  const std::unique_ptr<XskWire> wire_;
  const std::uint32_t number_;
  RedirectTx* const redirect_;
  FramePool& pool_;
  const std::uint32_t tx_budget_;
  const std::uint32_t frames_ = pool_.frames();
  std::vector<Sending> sending_;                     // by frame
  std::array<std::uint32_t, kSides> with_kernel_{};  // frames in fill and rx rings, by side
  // Cursors: how far into the RX and completion rings the frames' places are known.
  std::array<std::uint32_t, kSides> received_to_{}, completed_to_{};
  std::array<std::uint64_t, kSides> arrivals_{};  // numbers of frames
  std::array<std::uint32_t, kChunk_frames> scratch_{};
  Nanoseconds send_again_ = kSendAgainFirst;
  std::uint32_t waiting_ = 0;  // frames that waited to be sent at the last `wait`
  std::array<Counts, kSides> counts_;
  Published<Census> census_{Census{}};
};

/// Notes what has arrived since it was last asked.
void AfXdpChannel::see_received(Side side) noexcept {
  const xsk_ring_cons& rx = wire_->side(side).rx;
  const std::uint32_t end = __atomic_load_n(rx.producer, __ATOMIC_ACQUIRE);
  std::uint32_t& at = received_to_[index(side)];
  while (at != end) {
    const auto n = std::min(end - at, static_cast<std::uint32_t>(kChunk_frames));
    for (std::uint32_t i = 0; i < n; ++i) {
      const xdp_desc& desc = *xsk_ring_cons__rx_desc(&rx, at + i);
      scratch_[i] = static_cast<std::uint32_t>(desc.addr / kChunk_bytes);
    }
    pool_.move(std::span(scratch_).first(n), Place::fill, Place::rx);
    at += n;
  }
}

std::uint32_t AfXdpChannel::waiting(Side side) noexcept {
  see_received(side);
  return received_to_[index(side)] - wire_->side(side).rx.cached_cons;
}

double AfXdpChannel::room(Side side) noexcept {
  const std::uint32_t received = waiting(side);
  const std::uint32_t ring = wire_->side(side).rx.size;
  const std::uint32_t to_fill = with_kernel_[index(side)] - received;
  return static_cast<double>(std::min(ring - received, to_fill)) / ring;
}

std::size_t AfXdpChannel::receive(Side side, std::span<packet::Frame> out,
                                  PacketTime now) noexcept {
  refill(side, kRefillLeast_frames);
  see_received(side);
  Xsk& xsk = wire_->side(side);
  std::size_t done = 0;
  std::uint64_t bytes = 0;
  while (done < out.size()) {
    // Not beyond what was seen: the kernel may add to the ring at any moment.
    const std::uint32_t seen = received_to_[index(side)] - xsk.rx.cached_cons;
    const auto want =
        static_cast<std::uint32_t>(std::min<std::size_t>({kChunk_frames, out.size() - done, seen}));
    std::uint32_t at = 0;
    const std::uint32_t got = want > 0 ? xsk_ring_cons__peek(&xsk.rx, want, &at) : 0;
    if (got == 0) break;
    for (std::uint32_t i = 0; i < got; ++i) {
      const xdp_desc& desc = *xsk_ring_cons__rx_desc(&xsk.rx, at + i);
      const auto frame = static_cast<std::uint32_t>(desc.addr / kChunk_bytes);
      const std::uint8_t* const data = wire_->memory() + desc.addr;
      __builtin_prefetch(data);
      scratch_[i] = frame;
      bytes += desc.len;
      out[done + i] = {data, desc.len, frame, arrivals_[index(side)]++, now, side};
    }
    xsk_ring_cons__release(&xsk.rx, got);
    pool_.move(std::span(scratch_).first(got), Place::rx, Place::batch);
    with_kernel_[index(side)] -= got;
    done += got;
  }
  if (done > 0) {
    counts(side).rx_packets.add(done);
    counts(side).rx_bytes.add(bytes);
  }
  return done;
}

/// Tops a side's fill ring up, where it has room for `least`. The side that holds more frames than
/// the other takes at most half of what is free: a flood on one side must not starve the other.
void AfXdpChannel::refill(Side side, std::uint32_t least) noexcept {
  const std::uint32_t room = xsk_prod_nb_free(&wire_->side(side).fill, least);
  if (room < least) return;
  std::uint32_t& held = with_kernel_[index(side)];
  const std::uint32_t free = pool_.count(Place::free);
  const std::uint32_t most = held > with_kernel_[index(opposite(side))] ? (free + 1) / 2 : free;
  const std::uint32_t added = wire_->refill(side, std::min(room, most));
  held += added;
  if (added == 0 && room == wire_->side(side).fill.size) counts(side).fill_short.add(1);
}

/// Notes what was sent since it was last asked.
void AfXdpChannel::see_completed(Side side) noexcept {
  const xsk_ring_cons& ring = wire_->side(side).completion;
  const std::uint32_t end = __atomic_load_n(ring.producer, __ATOMIC_ACQUIRE);
  std::uint32_t& at = completed_to_[index(side)];
  while (at != end) {
    const auto n = std::min(end - at, static_cast<std::uint32_t>(kChunk_frames));
    std::uint32_t real = 0;
    for (std::uint32_t i = 0; i < n; ++i) {
      const std::uint64_t address = *xsk_ring_cons__comp_addr(&ring, at + i);
      const auto frame = static_cast<std::uint32_t>(address / kChunk_bytes);
      // Old kernels complete a frame twice in copy mode: a frame with two owners is worse than a
      // count.
      const bool sent = frame < frames_ && sending_[frame] == Sending::yes;
      WEIR_DCHECK(sent);
      if (!sent) continue;
      sending_[frame] = Sending::completed;
      scratch_[real++] = frame;
    }
    pool_.move(std::span(scratch_).first(real), Place::tx, Place::completion);
    if (real < n) counts(side).not_completed.add(n - real);
    at += n;
  }
}

/// Takes back what was sent.
void AfXdpChannel::reap(Side side) noexcept {
  see_completed(side);
  xsk_ring_cons& ring = wire_->side(side).completion;
  while (const std::uint32_t left = completed_to_[index(side)] - ring.cached_cons) {
    const auto want = std::min(left, static_cast<std::uint32_t>(kChunk_frames));
    std::uint32_t at = 0;
    const std::uint32_t got = xsk_ring_cons__peek(&ring, want, &at);
    if (got == 0) return;
    std::uint32_t real = 0;
    for (std::uint32_t i = 0; i < got; ++i) {
      const std::uint64_t address = *xsk_ring_cons__comp_addr(&ring, at + i);
      const auto frame = static_cast<std::uint32_t>(address / kChunk_bytes);
      if (frame >= frames_ || sending_[frame] != Sending::completed) continue;
      sending_[frame] = Sending::no;
      scratch_[real++] = frame;
    }
    xsk_ring_cons__release(&ring, got);
    pool_.move(std::span(scratch_).first(real), Place::completion, Place::free);
  }
}

std::size_t AfXdpChannel::transmit(Side side, std::span<const packet::Frame> frames) noexcept {
  std::size_t taken = redirect(side, frames);
  // The second turn is for a ring that was full and that the kick has made room in.
  for (int turn = 0; turn < 2 && taken < frames.size(); ++turn) {
    reap(side);
    taken += submit(side, frames.subspan(taken));
    kick_tx(side);
  }
  if (taken < frames.size()) {
    give_back(frames.subspan(taken));
    counts(side).tx_full.add(frames.size() - taken);
  }
  return taken;
}

/// Sends large batches past the socket, while nothing waits in its ring that came before.
std::size_t AfXdpChannel::redirect(Side side, std::span<const packet::Frame> frames) noexcept {
  if (redirect_ == nullptr || frames.size() < RedirectTx::kLeast_frames || unsent(side) > 0 ||
      wire_->side(side).zero_copy)
    return 0;
  const RedirectTx::Sent sent = redirect_->send(number_, side, frames);
  const auto done = frames.first(sent.frames);
  Counts& c = counts(side);
  if (sent.calls > 0 && done.empty()) c.wakeup_errors.add(1);
  c.wakeups_tx.add(sent.calls);
  c.tx_packets.add(done.size());
  c.tx_redirected.add(done.size());
  c.tx_bytes.add(std::accumulate(
      done.begin(), done.end(), std::uint64_t{0},
      [](std::uint64_t sum, const packet::Frame& frame) { return sum + frame.length; }));
  if (sent.refused > 0) c.tx_lost.add(sent.refused);
  give_back(done);
  return done.size();
}

/// Puts into the TX ring what there is room for.
std::size_t AfXdpChannel::submit(Side side, std::span<const packet::Frame> frames) noexcept {
  Xsk& xsk = wire_->side(side);
  std::size_t done = 0;
  std::uint64_t bytes = 0;
  while (done < frames.size()) {
    const auto want = static_cast<std::uint32_t>(std::min(kChunk_frames, frames.size() - done));
    const std::uint32_t n = std::min(want, xsk_prod_nb_free(&xsk.tx, want));
    if (n == 0) break;
    std::uint32_t at = 0;
    // Reserve exactly what is submitted: libxdp never takes a reservation back.
    WEIR_CHECK(xsk_ring_prod__reserve(&xsk.tx, n, &at) == n);
    for (std::uint32_t i = 0; i < n; ++i) {
      const packet::Frame& frame = frames[done + i];
      const auto address = static_cast<std::uint64_t>(frame.data - wire_->memory());
      WEIR_DCHECK(address / kChunk_bytes == frame.index);
      xdp_desc& desc = *xsk_ring_prod__tx_desc(&xsk.tx, at + i);
      desc = {address, frame.length, 0};
      scratch_[i] = frame.index;
      sending_[frame.index] = Sending::yes;
      bytes += frame.length;
    }
    pool_.move(std::span(scratch_).first(n), Place::batch, Place::tx);
    xsk_ring_prod__submit(&xsk.tx, n);
    done += n;
  }
  if (done > 0) {
    counts(side).tx_packets.add(done);
    counts(side).tx_bytes.add(bytes);
  }
  return done;
}

void AfXdpChannel::give_back(std::span<const packet::Frame> frames) noexcept {
  while (!frames.empty()) {
    const std::size_t n = std::min(kChunk_frames, frames.size());
    for (std::size_t i = 0; i < n; ++i) scratch_[i] = frames[i].index;
    pool_.move(std::span(scratch_).first(n), Place::batch, Place::free);
    frames = frames.subspan(n);
  }
}

void AfXdpChannel::release(std::span<const packet::Frame> frames) noexcept {
  std::array<std::uint64_t, kSides> by_side{};
  for (const packet::Frame& frame : frames) ++by_side[index(frame.side)];
  for (const Side side : {Side::wan, Side::lan}) {
    if (by_side[index(side)] > 0) counts(side).released.add(by_side[index(side)]);
  }
  give_back(frames);
}

/// Frames in the TX ring that the kernel has not taken yet.
std::uint32_t AfXdpChannel::unsent(Side side) noexcept {
  xsk_ring_prod& tx = wire_->side(side).tx;
  return tx.size - xsk_prod_nb_free(&tx, tx.size);
}

/// Tells the kernel to send, where it wants to be told. In copy mode a call sends `tx_budget_`
/// frames and says "try again"; a send buffer that is full says so too, and then only time helps:
/// the tries are bounded, and `service` comes back for the rest.
void AfXdpChannel::kick_tx(Side side) noexcept {
  Xsk& xsk = wire_->side(side);
  const std::uint32_t in_ring = unsent(side);
  if (in_ring == 0 || xsk_ring_prod__needs_wakeup(&xsk.tx) == 0) return;
  std::uint32_t lost = 0;
  for (std::uint32_t tries = in_ring / tx_budget_ + 1; tries > 0;) {
    counts(side).wakeups_tx.add(1);
    if (sendto(xsk.fd, nullptr, 0, MSG_DONTWAIT, nullptr, 0) >= 0) break;
    const Unsent why = why_unsent(errno, xsk.zero_copy);
    if (why == Unsent::broken) counts(side).wakeup_errors.add(1);
    if (why == Unsent::later || why == Unsent::broken) break;
    if (why == Unsent::more) --tries;
    if (why == Unsent::lost && ++lost == std::min(in_ring, kLostAtOnce)) break;
  }
  if (lost > 0) counts(side).tx_lost.add(lost);
}

/// Tells a driver that ran out of buffers that there are some; drives the poll where we busy-poll.
void AfXdpChannel::kick_rx(Side side) noexcept {
  Xsk& xsk = wire_->side(side);
  if (!wire_->busy_poll() && xsk_ring_prod__needs_wakeup(&xsk.fill) == 0) return;
  counts(side).wakeups_rx.add(1);
  if (recvfrom(xsk.fd, nullptr, 0, MSG_DONTWAIT, nullptr, nullptr) < 0 && errno != EAGAIN &&
      errno != EBUSY && errno != ENOBUFS && errno != EINTR) {
    counts(side).wakeup_errors.add(1);
  }
}

bool AfXdpChannel::service() noexcept {
  for (const Side side : {Side::wan, Side::lan}) {
    reap(side);
    kick_tx(side);
  }
  for (const Side side : {Side::wan, Side::lan}) {
    refill(side, 1);
    kick_rx(side);
  }
  for (const Side side : {Side::wan, Side::lan}) {
    see_received(side);
    see_completed(side);
  }
  publish();
  return false;
}

/// Whether the places, which change frame by frame, agree with what is known without them: the
/// rings' cursors, and the counters of what was handed out and came back.
bool AfXdpChannel::accounts_agree() const noexcept {
  std::uint64_t handed_out = 0;
  std::uint32_t received = 0;
  for (const Side side : {Side::wan, Side::lan}) {
    const Counts& c = counts_[index(side)];
    handed_out += c.rx_packets.value() - c.released.value();
    handed_out -= c.tx_packets.value() + c.tx_full.value();
    received += received_to_[index(side)] - wire_->side(side).rx.cached_cons;
  }
  return pool_.conserved() && pool_.count(Place::batch) == handed_out &&
         pool_.count(Place::rx) == received &&
         pool_.count(Place::fill) == with_kernel_[0] + with_kernel_[1] - received;
}

/// For the readers: a few stores for each turn of the I/O loop.
void AfXdpChannel::publish() noexcept {
  const Census census = Census::of(pool_, accounts_agree());
  WEIR_DCHECK(census.conserved);
  census_.write(census);
}

void AfXdpChannel::wait(int wake_fd, Nanoseconds at_most) noexcept {
  pollfd fds[] = {{wire_->side(Side::wan).fd, POLLIN, 0},
                  {wire_->side(Side::lan).fd, POLLIN, 0},
                  {wake_fd, POLLIN, 0}};
  const std::uint32_t waiting = unsent(Side::wan) + unsent(Side::lan);
  send_again_ = waiting > 0 && waiting == waiting_ ? std::min(send_again_ * 2, kSendAgainLast)
                                                   : kSendAgainFirst;
  waiting_ = waiting;
  if (waiting > 0) at_most = std::min(at_most, send_again_);
  const auto ns = std::max<std::int64_t>(at_most.count(), 0);
  const timespec timeout{static_cast<time_t>(ns / 1'000'000'000),
                         static_cast<long>(ns % 1'000'000'000)};
  // A negative fd is skipped; errors (a signal) end the sleep, which is all there is to do.
  ppoll(fds, std::size(fds), &timeout, nullptr);
}

ChannelCounters AfXdpChannel::counters(Side side) const noexcept {
  const Counts& c = counts_[index(side)];
  ChannelCounters out = c.read();
  out.tx_redirected = c.tx_redirected.value();
  out.tx_lost = c.tx_lost.value();
  out.not_completed = c.not_completed.value();
  out.wakeups_rx = c.wakeups_rx.value();
  out.wakeups_tx = c.wakeups_tx.value();
  out.wakeup_errors = c.wakeup_errors.value();
  xdp_statistics kernel{};
  socklen_t length = sizeof kernel;
  if (getsockopt(socket_fd(side), SOL_XDP, XDP_STATISTICS, &kernel, &length) == 0) {
    out.kernel_rx_dropped = kernel.rx_dropped;
    out.kernel_rx_ring_full = kernel.rx_ring_full;
    out.kernel_fill_empty = kernel.rx_fill_ring_empty_descs;
    out.kernel_rx_invalid = kernel.rx_invalid_descs;
    out.kernel_tx_invalid = kernel.tx_invalid_descs;
    out.kernel_tx_ring_empty = kernel.tx_ring_empty_descs;
  }
  return out;
}

}  // namespace

Result<std::unique_ptr<Channel>> open_af_xdp(const AfXdpConfig& config, std::uint32_t channel,
                                             RedirectTx* redirect) {
  WEIR_ASSIGN(auto wire, XskWire::bind(config, channel));
  return std::make_unique<AfXdpChannel>(std::move(wire), config, channel, redirect);
}

}  // namespace weir::io
