// SPDX-License-Identifier: BSD-2-Clause
#include "io/poll_channel.h"

#include <poll.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "io/channel_counts.h"

namespace weir::io {
namespace {

/// Packets taken from a device at once, and the most that one look takes: enough to empty what
/// comes in while a batch is judged, and not so much that the other side waits.
constexpr std::size_t kBurst = 64;
constexpr std::size_t kLook = 1024;
/// How far ahead packets are fetched: their first line is not in the cache when the device hands
/// them over.
constexpr std::size_t kAhead = 4;

/// Longer than this between two looks, and the thread was kept from running. In the kernel that would
/// be a stall; here nobody judged meanwhile, and the channel may be as well as before.
constexpr Nanoseconds kPause = std::chrono::milliseconds(10);

struct Counts : SideCounts {
  Count ring_full;
};

/// What was steered on one side and not received yet.
struct Ring {
  std::vector<packet::Frame> frames;
  std::uint32_t from = 0, to = 0;  // cursors
  [[nodiscard]] std::uint32_t size() const noexcept { return to - from; }
  packet::Frame& at(std::uint32_t cursor) noexcept {
    return frames[cursor & (static_cast<std::uint32_t>(frames.size()) - 1)];
  }
};

class PollChannel final : public Channel {
 public:
  PollChannel(const PollChannelConfig& config, PollDevices& devices,
              datapath::NativeShared::Judge& judge, std::uint32_t channel)
      : config_(config),
        devices_(devices),
        judge_(judge),
        channel_(channel),
        pool_(config.frames),
        handles_(config.frames) {
    for (Ring& ring : rings_) ring.frames.resize(config.ring);
    publish();
  }
  ~PollChannel() override;

  std::size_t receive(Side side, std::span<packet::Frame> out, PacketTime now) noexcept override;
  std::size_t transmit(Side side, std::span<const packet::Frame> frames) noexcept override;
  void release(std::span<const packet::Frame> frames) noexcept override;
  bool service() noexcept override;
  void wait(int wake_fd, Nanoseconds at_most) noexcept override;

  [[nodiscard]] std::uint32_t waiting(Side side) noexcept override {
    return rings_[index(side)].size();
  }
  [[nodiscard]] double room(Side side) noexcept override {
    const std::uint32_t left = config_.ring - rings_[index(side)].size();
    return static_cast<double>(std::min(left, pool_.count(Place::free))) / config_.ring;
  }
  [[nodiscard]] double headroom() const noexcept override {
    const auto counts = census_.read().frames;
    return static_cast<double>(counts[static_cast<std::size_t>(Place::free)]) / config_.frames;
  }
  [[nodiscard]] bool conserved() const noexcept override { return census_.read().conserved; }
  [[nodiscard]] std::array<std::uint32_t, kPlaces> frame_counts() const noexcept override {
    return census_.read().frames;
  }
  [[nodiscard]] ChannelCounters counters(Side side) const noexcept override;
  [[nodiscard]] int socket_fd(Side) const noexcept override { return -1; }
  [[nodiscard]] bool zero_copy(Side) const noexcept override { return true; }
  [[nodiscard]] bool busy_poll() const noexcept override { return config_.sleep_us == 0; }

 private:
  void look(Side side, PacketTime now) noexcept;
  void judge_burst(Side side, std::size_t packets, PacketTime now) noexcept;
  void keep(Side side, std::size_t steered, PacketTime now) noexcept;
  void send_to_peer(Side to, std::size_t packets) noexcept;
  void publish() noexcept;

  const PollChannelConfig config_;
  PollDevices& devices_;
  datapath::NativeShared::Judge& judge_;
  const std::uint32_t channel_;
  FramePool pool_;
  std::vector<void*> handles_;  // by frame
  std::array<Ring, kSides> rings_;
  std::array<Counts, kSides> counts_;
  PacketTime looked_ = monotonic_now();
  bool ready_ = false;         // the devices may be polled
  bool busy_ = false;          // the last look found something
  std::uint64_t outside_ = 0;  // frames that were handed out
  // Of the burst that is being judged:
  std::array<PollPacket, kBurst> burst_{};
  std::array<void*, kBurst> to_peer_{}, dropped_{};
  std::array<std::uint8_t, kBurst> steered_{};
  std::array<std::uint32_t, 256> scratch_{};
  std::array<void*, 256> outgoing_{};
  Published<Census> census_{Census{}};
};

PollChannel::~PollChannel() {
  for (Ring& ring : rings_)
    for (; ring.from != ring.to; ++ring.from)
      devices_.release({&handles_[ring.at(ring.from).index], 1});
}

bool PollChannel::service() noexcept {
  busy_ = false;
  if (ready_) {
    const PacketTime now = monotonic_now();
    const Nanoseconds pause = now - std::exchange(looked_, now);
    if (pause > kPause) judge_.excuse(pause);
    for (const Side side : {Side::wan, Side::lan}) look(side, now);
  }
  // At the next turn: by then the channel has a heartbeat.
  ready_ = ready_ || judge_.connected();
  publish();
  return busy_;
}

/// Takes what has arrived on a side, and sees it off.
void PollChannel::look(Side side, PacketTime now) noexcept {
  for (std::size_t looked = 0; looked < kLook; looked += kBurst) {
    const std::size_t got = devices_.receive(side, channel_, burst_);
    if (got == 0) return;
    busy_ = true;
    judge_.begin();
    judge_burst(side, got, now);
    judge_.end();
    if (got < kBurst) return;
  }
}

void PollChannel::judge_burst(Side side, std::size_t packets, PacketTime now) noexcept {
  std::size_t peers = 0, drops = 0, steered = 0;
  for (std::size_t i = 0; i < std::min(packets, kAhead); ++i) __builtin_prefetch(burst_[i].data);
  for (std::size_t i = 0; i < packets; ++i) {
    if (i + kAhead < packets) __builtin_prefetch(burst_[i + kAhead].data);
    const PollPacket& packet = burst_[i];
    const packet::Frame frame{packet.data, packet.length, 0, 0, now, side};
    switch (effect(judge_.judge(frame, packet.continues))) {
      case datapath::Effect::peer:
        to_peer_[peers++] = packet.handle;
        break;
      case datapath::Effect::drop:
        dropped_[drops++] = packet.handle;
        break;
      case datapath::Effect::socket:
        steered_[steered++] = static_cast<std::uint8_t>(i);
        break;
    }
  }
  if (steered > 0) keep(side, steered, now);
  if (peers > 0) send_to_peer(opposite(side), peers);
  if (drops > 0) devices_.release({dropped_.data(), drops});
}

/// Puts what is steered into the ring; what finds no room is lost.
void PollChannel::keep(Side side, std::size_t steered, PacketTime now) noexcept {
  Ring& ring = rings_[index(side)];
  const std::size_t room = std::min<std::size_t>(steered, config_.ring - ring.size());
  const std::size_t taken = pool_.take({scratch_.data(), room}, Place::rx);
  for (std::size_t i = 0; i < taken; ++i) {
    const PollPacket& packet = burst_[steered_[i]];
    handles_[scratch_[i]] = packet.handle;
    ring.at(ring.to++) = {packet.data, packet.length, scratch_[i], 0, now, side};
  }
  if (taken < room) counts_[index(side)].fill_short.add(1);
  for (std::size_t i = taken; i < steered; ++i) {
    const PollPacket& packet = burst_[steered_[i]];
    judge_.count_error(WEIR_REDIRECT_ERROR_socket, packet.length + packet.continues);
    counts_[index(side)].ring_full.add(1);
    devices_.release({&packet.handle, 1});
  }
}

void PollChannel::send_to_peer(Side to, std::size_t packets) noexcept {
  const std::size_t sent = devices_.transmit(to, channel_, {to_peer_.data(), packets});
  if (sent == packets) return;
  for (std::size_t i = sent; i < packets; ++i) judge_.count_error(WEIR_REDIRECT_ERROR_peer, 0);
  devices_.release({to_peer_.data() + sent, packets - sent});
}

std::size_t PollChannel::receive(Side side, std::span<packet::Frame> out, PacketTime) noexcept {
  Ring& ring = rings_[index(side)];
  std::size_t done = 0;
  std::uint64_t bytes = 0;
  while (done < out.size() && ring.size() > 0) {
    const std::size_t n = std::min<std::size_t>({out.size() - done, ring.size(), scratch_.size()});
    for (std::size_t i = 0; i < n; ++i) {
      const packet::Frame& frame = ring.at(ring.from++);
      __builtin_prefetch(frame.data);
      scratch_[i] = frame.index;
      bytes += frame.length;
      out[done + i] = frame;
    }
    pool_.move({scratch_.data(), n}, Place::rx, Place::batch);
    done += n;
  }
  counts_[index(side)].rx_packets.add(done);
  counts_[index(side)].rx_bytes.add(bytes);
  outside_ += done;
  return done;
}

std::size_t PollChannel::transmit(Side side, std::span<const packet::Frame> frames) noexcept {
  std::size_t all_taken = 0;
  while (!frames.empty()) {
    const std::size_t n = std::min(frames.size(), outgoing_.size());
    for (std::size_t i = 0; i < n; ++i) {
      scratch_[i] = frames[i].index;
      outgoing_[i] = handles_[frames[i].index];
    }
    std::size_t taken = devices_.transmit(side, channel_, {outgoing_.data(), n});
    // A second try is for a ring that was full and that the first one had emptied.
    if (taken < n)
      taken += devices_.transmit(side, channel_, {outgoing_.data() + taken, n - taken});
    if (taken < n) {
      devices_.release({outgoing_.data() + taken, n - taken});
      counts_[index(side)].tx_full.add(n - taken);
    }
    pool_.move({scratch_.data(), n}, Place::batch, Place::free);
    for (std::size_t i = 0; i < taken; ++i) counts_[index(side)].tx_bytes.add(frames[i].length);
    counts_[index(side)].tx_packets.add(taken);
    outside_ -= n;
    all_taken += taken;
    frames = frames.subspan(n);
  }
  return all_taken;
}

void PollChannel::release(std::span<const packet::Frame> frames) noexcept {
  while (!frames.empty()) {
    const std::size_t n = std::min(frames.size(), outgoing_.size());
    for (std::size_t i = 0; i < n; ++i) {
      scratch_[i] = frames[i].index;
      outgoing_[i] = handles_[frames[i].index];
      counts_[index(frames[i].side)].released.add(1);
    }
    devices_.release({outgoing_.data(), n});
    pool_.move({scratch_.data(), n}, Place::batch, Place::free);
    outside_ -= n;
    frames = frames.subspan(n);
  }
}

void PollChannel::publish() noexcept {
  const Census census =
      Census::of(pool_, pool_.conserved() && pool_.count(Place::batch) == outside_ &&
                            pool_.count(Place::rx) == rings_[0].size() + rings_[1].size());
  WEIR_DCHECK(census.conserved);
  census_.write(census);
}

void PollChannel::wait(int wake_fd, Nanoseconds at_most) noexcept {
  if (busy_ || rings_[0].size() + rings_[1].size() > 0 || config_.sleep_us == 0) return;
  const auto ns = std::clamp<std::int64_t>(at_most.count(), 0, config_.sleep_us * 1000);
  const timespec timeout{0, static_cast<long>(ns)};
  pollfd wake{wake_fd, POLLIN, 0};
  ppoll(&wake, 1, &timeout, nullptr);
}

ChannelCounters PollChannel::counters(Side side) const noexcept {
  const Counts& c = counts_[index(side)];
  ChannelCounters out = c.read();
  out.kernel_rx_ring_full = c.ring_full.value();
  return out;
}

}  // namespace

std::unique_ptr<Channel> make_poll_channel(const PollChannelConfig& config, PollDevices& devices,
                                           datapath::NativeShared::Judge& judge,
                                           std::uint32_t channel) {
  return std::make_unique<PollChannel>(config, devices, judge, channel);
}

}  // namespace weir::io
