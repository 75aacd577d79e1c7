// SPDX-License-Identifier: BSD-2-Clause
/// The simulation that scenarios run in: a clock, hosts on both sides, and the wire through the
/// box.
///
/// Shape     actors schedule themselves; the world fires them in order of time, and of scheduling
///           where times are equal. A packet that an actor sends is out at the actor's time.
/// Owner     the world owns its actors; hosts are values.
/// Threads   one owner.
#pragma once

#include <deque>
#include <memory>
#include <queue>
#include <vector>

#include "synth/frame_writer.h"
#include "synth/messages.h"
#include "synth/random.h"
#include "synth/synth.h"

namespace weir::synth {

class World;

class Actor {
 public:
  virtual ~Actor() = default;
  /// Called at the time that was scheduled, with the number that was.
  virtual void fire(World& world, std::uint32_t what) = 0;
};

struct Device {
  Side side = Side::wan;
  Address address;
  std::uint8_t ttl = 64;  ///< of its replies, as they pass the box
  Messages messages;
};

class World {
 public:
  World(const Options& options, const Sink& sink);

  /// What scenarios are made of.
  Random random;
  const Options& options;
  std::vector<Device> devices;  ///< of both sides, from the start
  /// Segments of their own, beside `devices`; references stay valid.
  std::deque<std::vector<Device>> segments;

  [[nodiscard]] PacketTime now() const noexcept { return now_; }
  void add(std::unique_ptr<Actor> actor, PacketTime first, std::uint32_t what = 0);
  /// For actors: fire `actor` again, `after_s` from now.
  void again(Actor& actor, double after_s, std::uint32_t what = 0);
  /// Sends a datagram across the box, in fragments where it is longer than a frame; false where the
  /// simulation is over.
  bool send(const Datagram& datagram, bool attack, const char* kind);
  /// For floods, which would spend their time in the queue: moves time on by `after_s` where
  /// nothing else happens before that; false (and time stands) where something does.
  bool skip(double after_s);

  /// One of the devices and control points that exist here.
  const Profile& pick_profile();
  const Controller& pick_controller();
  /// A new device on `side`.
  Device make_device(Side side);
  /// `s` seconds after the start.
  static PacketTime at(double s) noexcept {
    return kStart + Nanoseconds{static_cast<std::int64_t>(s * 1e9)};
  }

  /// A new address of a host on `side`. LAN addresses repeat when the prefix is used up.
  Address new_host(Side side);
  /// Anywhere on the Internet.
  Address stranger();
  [[nodiscard]] Address group() const;
  /// Of the /24 that hosts of `side` live in; IPv6: all nodes.
  [[nodiscard]] Address broadcast(Side side) const;
  /// TTL of what crossed the Internet: 57 different values from 30 to 250 were measured.
  std::uint8_t far_ttl();
  std::uint16_t ephemeral_port() {
    return static_cast<std::uint16_t>(random.chance(0.8) ? random.between(49'152, 65'535)
                                                         : random.between(1'024, 49'151));
  }

  void run();

 private:
  struct Event {
    PacketTime time;
    std::uint64_t order;
    Actor* actor;
    std::uint32_t what;
    bool operator>(const Event& other) const noexcept {
      return time != other.time ? time > other.time : order > other.order;
    }
  };

  const Sink& sink_;
  FrameWriter writer_;
  const std::vector<std::uint32_t> profiles_, controllers_;  // that exist
  PacketTime now_ = kStart;
  PacketTime end_;
  bool emit(const Datagram& datagram, bool attack, const char* kind,
            std::span<const std::uint8_t> frame);

  bool over_ = false;
  std::uint64_t order_ = 0;
  std::uint64_t packets_ = 0, attack_packets_ = 0;
  std::uint32_t lan_hosts_ = 0, wan_hosts_ = 0;
  std::priority_queue<Event, std::vector<Event>, std::greater<>> events_;
  std::vector<std::unique_ptr<Actor>> actors_;
};

// discovery.cpp: who announces, searches and answers.
void add_devices(World& world);
void add_discovery(World& world);
void add_late_replies(World& world);
void add_segment(World& world);
void add_campus(World& world);
void add_boot_storm(World& world);
// segments.cpp: what stands between segments, or in several.
void add_relay(World& world);
void add_multihomed(World& world);
void add_scopes(World& world);
// clients.cpp
void add_clients(World& world);
void add_incoming(World& world);
void add_background(World& world);
// reflection.cpp, floods.cpp: true where the attack is theirs.
bool add_reflection(World& world, std::string_view name);
bool add_flood(World& world, std::string_view name);

}  // namespace weir::synth
