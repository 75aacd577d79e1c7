// SPDX-License-Identifier: BSD-2-Clause
#include "synth/world.h"

#include <algorithm>
#include <cstring>

namespace weir::synth {
namespace {

Nanoseconds nanoseconds(double s) noexcept {
  return Nanoseconds{static_cast<std::int64_t>(s * 1e9)};
}

Address v4(std::uint32_t address) noexcept { return Address::v4(be32::from_host(address)); }

Address v6(std::uint64_t high, std::uint64_t low) noexcept {
  std::uint8_t bytes[16];
  for (unsigned i = 0; i < 8; ++i) {
    bytes[i] = static_cast<std::uint8_t>(high >> (56U - 8U * i));
    bytes[8 + i] = static_cast<std::uint8_t>(low >> (56U - 8U * i));
  }
  return Address::v6(bytes);
}

/// Not of a host on the Internet: private, shared, loopback, link-local, documentation, multicast.
bool is_reserved(std::uint32_t a) noexcept {
  const std::uint32_t top = a >> 24U;
  return top == 0 || top == 10 || top == 127 || top >= 224 || (a >> 20U) == 0xac1 ||
         (a >> 16U) == 0xc0a8 || (a >> 16U) == 0xa9fe || (a >> 22U) == (0x64400000U >> 22U) ||
         (a >> 8U) == 0xc63364 || (a >> 8U) == 0xc00002 || (a >> 8U) == 0xcb0071;
}

}  // namespace

World::World(const Options& o, const Sink& sink)
    : random(o.seed),
      options(o),
      sink_(sink),
      writer_(o.encapsulation),
      profiles_(choose_profiles(o.only, o.without)),
      controllers_(choose_controllers(o.only, o.without)),
      end_(kStart + nanoseconds(o.seconds)) {
  for (const Side side : {Side::wan, Side::lan}) {
    for (std::uint32_t i = 0; i < o.devices_a_side; ++i) devices.push_back(make_device(side));
  }
}

const Profile& World::pick_profile() {
  return all_profiles()[profiles_[random.below(static_cast<std::uint32_t>(profiles_.size()))]];
}

const Controller& World::pick_controller() {
  return all_controllers()[controllers_[random.below(
      static_cast<std::uint32_t>(controllers_.size()))]];
}

Device World::make_device(Side side) {
  Device device;
  device.side = side;
  device.address = new_host(side);
  const std::uint32_t hops = side == Side::wan ? random.below(4) : 0;
  device.ttl = static_cast<std::uint8_t>((random.chance(0.85) ? 64 : 128) - hops);
  device.messages = make_messages(random, pick_profile(), device.address);
  return device;
}

Address World::new_host(Side side) {
  if (side == Side::lan) {
    const std::uint32_t number = lan_hosts_++;
    if (options.ipv6) return v6(0xfd77000000000000ULL, 0x1000ULL + number);
    const std::uint32_t room = (1U << (32U - options.lan.length())) - 12;
    return v4(options.lan.address().as_v4().host() + 10 + number % room);
  }
  const std::uint32_t number = wan_hosts_++;
  if (options.ipv6) return v6(0x20010db800510000ULL, 0x1000ULL + number);
  return v4(0xc6336400U + 1 + number % 250);  // 198.51.100.0/24: the segment on the WAN side
}

Address World::stranger() {
  if (options.ipv6) {
    const std::uint64_t low = random.next();
    return v6(0x20010db800000000ULL | (random.next() >> 32U), low);
  }
  std::uint32_t address = 0;
  do {
    address = static_cast<std::uint32_t>(random.next());
  } while (is_reserved(address));
  return v4(address);
}

Address World::group() const {
  return options.ipv6 ? v6(0xff02000000000000ULL, 0xc) : v4(0xeffffffaU);
}

Address World::broadcast(Side side) const {
  if (options.ipv6) return v6(0xff02000000000000ULL, 1);
  return v4((side == Side::lan ? options.lan.address().as_v4().host() : 0xc6336400U) | 0xffU);
}

std::uint8_t World::far_ttl() {
  const std::uint32_t start = random.chance(0.7) ? 64 : (random.chance(0.6) ? 255 : 128);
  return static_cast<std::uint8_t>(start - random.between(5, 34));
}

void World::add(std::unique_ptr<Actor> actor, PacketTime first, std::uint32_t what) {
  events_.push({first, order_++, actor.get(), what});
  actors_.push_back(std::move(actor));
}

void World::again(Actor& actor, double after_s, std::uint32_t what) {
  events_.push({now_ + nanoseconds(after_s), order_++, &actor, what});
}

bool World::skip(double after_s) {
  const PacketTime to = now_ + nanoseconds(after_s);
  if (over_ || (!events_.empty() && events_.top().time <= to)) return false;
  if (to >= end_) {
    over_ = true;
    return false;
  }
  now_ = to;
  return true;
}

bool World::send(const Datagram& datagram, bool attack, const char* kind) {
  if (over_) return false;
  if (attack && options.attack_share > 0 &&
      static_cast<double>(attack_packets_) >=
          options.attack_share * static_cast<double>(packets_ + 1)) {
    return true;  // thinned out
  }
  if (datagram.payload.size() <= FrameWriter::kPayloadMax) {
    return emit(datagram, attack, kind, writer_.write(datagram));
  }
  writer_.begin_fragments(datagram);
  for (auto frame = writer_.next_fragment(); !frame.empty(); frame = writer_.next_fragment()) {
    if (!emit(datagram, attack, kind, frame)) return false;
  }
  return true;
}

bool World::emit(const Datagram& datagram, bool attack, const char* kind,
                 std::span<const std::uint8_t> frame) {
  io::CapturedPacket packet;
  packet.bytes = frame;
  packet.original_length = static_cast<std::uint32_t>(frame.size());
  packet.time = now_;
  packet.interface = static_cast<std::uint32_t>(index(datagram.side));
  ++packets_;
  attack_packets_ += attack ? 1 : 0;
  over_ = !sink_(packet, {.attack = attack, .kind = kind, .side = datagram.side}) ||
          (options.packets != 0 && packets_ >= options.packets);
  return !over_;
}

void World::run() {
  while (!events_.empty() && !over_) {
    const Event event = events_.top();
    if (event.time >= end_) return;
    events_.pop();
    now_ = std::max(now_, event.time);
    event.actor->fire(*this, event.what);
  }
}

}  // namespace weir::synth
