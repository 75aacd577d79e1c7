// SPDX-License-Identifier: BSD-2-Clause
/// Benign SSDP: announcements, searches and their answers, and answers whose search was not seen.
#include <array>
#include <deque>

#include "synth/world.h"

namespace weir::synth {
namespace {

/// A device that announces itself in bursts, says byebye now and then, and comes back.
class Announcer final : public Actor {
 public:
  Announcer(World& world, const Device& device) : device_(device) {
    period_s_ = std::array{4.0, 10.0, 30.0, 60.0, 300.0}[world.random.below(5)];
    port_ = world.random.chance(0.46) ? 1900 : world.ephemeral_port();
    copies_ = world.random.between(1, 2);
  }

  void fire(World& world, std::uint32_t what) override {
    const std::vector<std::string>& burst =
        leaving_ ? device_.messages.byebyes : device_.messages.notifies;
    if (what >= burst.size() * copies_) {
      leaving_ = !leaving_ && world.random.chance(0.1);
      world.again(*this, leaving_ ? 1.0 : period_s_ * world.random.real(0.5, 1.5));
      return;
    }
    world.send({.side = device_.side,
                .source = device_.address,
                .destination = world.group(),
                .source_port = port_,
                .destination_port = 1900,
                .ttl = device_.messages.profile->ttl,
                .payload = burst[what % burst.size()]},
               false, leaving_ ? "byebye" : "notify");
    world.again(*this, world.random.real(0.0001, world.random.chance(0.1) ? 0.1 : 0.004), what + 1);
  }

 private:
  const Device& device_;
  double period_s_;
  std::uint16_t port_;
  std::uint32_t copies_;
  bool leaving_ = false;
};

/// Which of a device's messages answer a search; a device answers what it is not asked for rarely
/// (sloppy stacks match loosely).
std::vector<std::size_t> answers(Random& random, const Messages& messages, const Search& search) {
  std::vector<std::size_t> list;
  for (std::size_t i = 0; i < messages.targets.size(); ++i) {
    const bool matches = search.target == "ssdp:all" || search.target == messages.targets[i];
    if (matches || random.chance(0.01)) list.push_back(i);
  }
  return list;
}

/// A control point that searches, and everybody whom it reaches answering.
class Searcher final : public Actor {
 public:
  /// `across`: devices on the other side answer. Else the whole segment is on the one side and seen
  /// by the box (a hub, a mirror port, flooded unicast): answers come in by the searcher's side.
  Searcher(World& world, Side side, bool across)
      : side_(side),
        across_(across),
        address_(world.new_host(side)),
        port_(world.ephemeral_port()),
        keeps_port_(world.random.chance(0.4)),
        period_s_(std::array{2.0, 5.0, 15.0, 60.0, 120.0}[world.random.below(5)]),
        ttl_(std::array<std::uint8_t, 4>{1, 1, 4, 2}[world.random.below(4)]) {}

  void fire(World& world, std::uint32_t what) override {
    if (what == kSearch) {
      search(world);
    } else if (what == kRepeat) {
      send_search(world);
    } else {
      answer(world, what - kFirstAnswer);
    }
  }

 private:
  static constexpr std::uint32_t kSearch = 0, kRepeat = 1, kFirstAnswer = 2;
  struct Answer {
    const Device* device;
    std::size_t message;
    std::uint16_t from_port, to_port;
  };

  void search(World& world) {
    if (!keeps_port_) port_ = world.ephemeral_port();
    search_ = pick_search(world.random);
    asked_ = nullptr;
    if (world.random.chance(0.15) && !world.devices.empty()) {
      const Device& device =
          world.devices[world.random.below(static_cast<std::uint32_t>(world.devices.size()))];
      if ((device.side == side_) != across_) asked_ = &device;
    }
    search_.unicast = asked_ != nullptr;
    if (search_.unicast) search_.target = "ssdp:all";
    const std::uint32_t copies = search_.unicast ? 1 : world.random.between(1, 3);
    send_search(world);
    for (std::uint32_t i = 1; i < copies; ++i) {
      world.again(*this, i * world.random.real(0.1, 1.0), kRepeat);
    }
    schedule_answers(world);
    world.again(*this, period_s_ * world.random.real(0.3, 1.7), kSearch);
  }

  void send_search(World& world) {
    const Address to = asked_ != nullptr ? asked_->address : world.group();
    const std::string text = make_search(world.random, search_, to);
    world.send({.side = side_,
                .source = address_,
                .destination = to,
                .source_port = port_,
                .destination_port = 1900,
                .ttl = asked_ != nullptr ? std::uint8_t{64} : ttl_,
                .payload = text},
               false, "search");
  }

  void schedule_answers(World& world) {
    for (const Device& device : world.devices) {
      if ((device.side == side_) == across_ || (asked_ != nullptr && asked_ != &device)) continue;
      const Profile& p = *device.messages.profile;
      const bool late = p.late && world.random.chance(0.6);
      const double delay_s =
          late ? world.random.real(1.0, 22.4)
               : world.random.real(0.002, world.random.chance(0.3) ? 0.1 : search_.mx);
      const std::uint16_t from = p.off_port ? world.ephemeral_port() : std::uint16_t{1900};
      const std::uint32_t copies = world.random.chance(0.2) ? 2 : 1;
      double at_s = delay_s;
      for (std::uint32_t copy = 0; copy < copies; ++copy) {
        for (const std::size_t message : answers(world.random, device.messages, search_)) {
          pending_.push_back({&device, message, from, port_});
          world.again(
              *this, at_s,
              kFirstAnswer + first_pending_ + static_cast<std::uint32_t>(pending_.size()) - 1);
          at_s += world.random.real(0.0002, 0.05);
        }
      }
    }
  }

  void answer(World& world, std::uint32_t number) {
    const Answer& a = pending_[number - first_pending_];
    world.send({.side = a.device->side,
                .source = a.device->address,
                .destination = address_,
                .source_port = a.from_port,
                .destination_port = a.to_port,
                .ttl = a.device->ttl,
                .payload = a.device->messages.replies[a.message]},
               false, across_ ? "answer" : "segment_answer");
    constexpr std::size_t kKept = 4'096;  // more than can be open at once
    while (pending_.size() > kKept) {
      pending_.pop_front();
      ++first_pending_;
    }
  }

  const Side side_;
  const bool across_;
  const Address address_;
  std::uint16_t port_;
  const bool keeps_port_;
  const double period_s_;
  const std::uint8_t ttl_;
  Search search_;
  const Device* asked_ = nullptr;
  std::deque<Answer> pending_;
  std::uint32_t first_pending_ = 0;
};

/// A host that gets answers to searches which the box did not see, or forgot: it was started after
/// them, they took another way, or the devices are very late.
class Forgotten final : public Actor {
 public:
  explicit Forgotten(World& world) : host_(world.new_host(Side::lan)) {}

  void fire(World& world, std::uint32_t what) override {
    std::vector<const Device*> far;
    for (const Device& device : world.devices) {
      if (device.side == Side::wan) far.push_back(&device);
    }
    if (far.empty()) return;
    if (what == 0) {
      port_ = world.ephemeral_port();
      left_ = world.random.between(1, 12);
      device_ = far[world.random.below(static_cast<std::uint32_t>(far.size()))];
    }
    const Messages& m = device_->messages;
    world.send({.side = Side::wan,
                .source = device_->address,
                .destination = host_,
                .source_port = m.profile->off_port ? port_ : std::uint16_t{1900},
                .destination_port = port_,
                .ttl = device_->ttl,
                .payload = m.replies[what % m.replies.size()]},
               false, "late_reply");
    if (what + 1 < left_) {
      world.again(*this, world.random.real(0.001, 0.3), what + 1);
    } else {
      world.again(*this, world.random.real(2.0, 20.0));
    }
  }

 private:
  const Address host_;
  std::uint16_t port_ = 0;
  std::uint32_t left_ = 0;
  const Device* device_ = nullptr;
};

PacketTime soon(World& world, double within_s) {
  return kStart + Nanoseconds{static_cast<std::int64_t>(world.random.real(0, within_s) * 1e9)};
}

}  // namespace

void add_devices(World& world) {
  for (const Device& device : world.devices) {
    auto actor = std::make_unique<Announcer>(world, device);
    world.add(std::move(actor), soon(world, std::min(world.options.seconds / 2, 60.0)));
  }
}

void add_discovery(World& world) {
  for (const Side side : {Side::lan, Side::wan}) {
    for (std::uint32_t i = 0; i < world.options.searchers_a_side; ++i) {
      auto actor = std::make_unique<Searcher>(world, side, true);
      world.add(std::move(actor), soon(world, std::min(world.options.seconds / 4, 5.0)));
    }
  }
}

void add_segment(World& world) {
  for (const Side side : {Side::lan, Side::wan}) {
    for (std::uint32_t i = 0; i < world.options.searchers_a_side; ++i) {
      auto actor = std::make_unique<Searcher>(world, side, false);
      world.add(std::move(actor), soon(world, std::min(world.options.seconds / 4, 5.0)));
    }
  }
}

void add_late_replies(World& world) {
  for (std::uint32_t i = 0; i < world.options.searchers_a_side; ++i) {
    auto actor = std::make_unique<Forgotten>(world);
    world.add(std::move(actor), soon(world, std::min(world.options.seconds / 2, 20.0)));
  }
}

}  // namespace weir::synth
