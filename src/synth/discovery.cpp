// SPDX-License-Identifier: BSD-2-Clause
/// Benign SSDP: announcements, searches and their answers, and answers whose search was not seen.
#include "synth/actors.h"

namespace weir::synth {
namespace {

/// A host that gets answers to searches which the box did not see, or forgot: it was started after
/// them, they took another way, or the devices are very late.
class Forgotten final : public Actor {
 public:
  explicit Forgotten(World& world)
      : host_(world.new_host(Side::lan)),
        was_seen_(world.random.chance(0.5)),
        port_(world.ephemeral_port()) {}

  void fire(World& world, std::uint32_t what) override {
    if (what == kSearch) return search(world);
    if (what == 0) choose(world);
    if (device_ == nullptr) return;
    const Messages& m = device_->messages;
    world.send({.side = Side::wan,
                .source = device_->address,
                .destination = host_,
                .source_port = m.profile->has(Profile::off_port) ? from_ : std::uint16_t{1900},
                .destination_port = port_,
                .ttl = device_->ttl,
                .payload = m.replies[what % m.replies.size()]},
               false, "late_reply");
    if (what + 1 < left_) {
      world.again(*this, world.random.real(0.001, 0.3), what + 1);
    } else if (was_seen_ && world.random.chance(0.2)) {
      world.again(*this, world.random.real(2.0, 20.0), kSearch);
    } else {
      world.again(*this, world.random.real(2.0, 20.0));
    }
  }

 private:
  static constexpr std::uint32_t kSearch = 1'000'000;

  void choose(World& world) {
    std::vector<const Device*> far;
    for (const Device& device : world.devices) {
      if (device.side == Side::wan) far.push_back(&device);
    }
    if (far.empty()) return;
    if (!was_seen_) port_ = world.ephemeral_port();
    from_ = world.ephemeral_port();
    left_ = world.random.between(1, 12);
    device_ = far[world.random.below(static_cast<std::uint32_t>(far.size()))];
  }

  /// Seen by the box, which waits for its answers for 30 s.
  void search(World& world) {
    port_ = world.ephemeral_port();
    const std::string text = make_search(world.random, pick_search(world.random), world.group());
    world.send({.side = Side::lan,
                .source = host_,
                .destination = world.group(),
                .source_port = port_,
                .destination_port = 1900,
                .ttl = 4,
                .payload = text},
               false, "search");
    world.again(*this, world.random.real(31, 90));
  }

  const Address host_;
  const bool was_seen_;
  std::uint16_t port_, from_ = 0;
  std::uint32_t left_ = 0;
  const Device* device_ = nullptr;
};

void add_searchers(World& world, bool across, std::uint32_t lan, std::uint32_t wan,
                   const SearcherKinds& kinds) {
  for (const Side side : {Side::lan, Side::wan}) {
    for (std::uint32_t i = 0; i < (side == Side::lan ? lan : wan); ++i) {
      auto actor = std::make_unique<Searcher>(world, world.devices, side, across, kinds);
      world.add(std::move(actor), soon(world, std::min(world.options.seconds / 4, 5.0)));
    }
  }
}

}  // namespace

void add_devices(World& world) {
  for (const Device& device : world.devices) {
    auto actor = std::make_unique<Announcer>(world, device, AnnouncerKinds{});
    world.add(std::move(actor), soon(world, std::min(world.options.seconds / 2, 60.0)));
  }
}

void add_discovery(World& world) {
  const std::uint32_t searchers = world.options.searchers_a_side;
  add_searchers(world, true, searchers, searchers, {});
}

void add_segment(World& world) {
  const std::uint32_t searchers = world.options.searchers_a_side;
  add_searchers(world, false, searchers, searchers, {.answer = "segment_answer"});
}

/// A building of control points on the LAN, and the devices of the other buildings on the WAN side.
void add_campus(World& world) {
  constexpr std::uint32_t kControllers = 1'000;
  const SearcherKinds kinds{.search = "campus_search", .answer = "campus_answer"};
  for (std::uint32_t i = 0; i < kControllers; ++i) {
    auto actor = std::make_unique<Searcher>(world, world.devices, Side::lan, true, kinds);
    world.add(std::move(actor), soon(world, std::min(world.options.seconds, 60.0)));
  }
}

/// The power comes back: every device announces itself in rounds, every control point searches.
void add_boot_storm(World& world) {
  const double power_s = world.random.real(0.1, 0.4) * world.options.seconds;
  for (const Device& device : world.devices) {
    const AnnouncerKinds kinds{.notify = "storm_notify", .rounds = 4};
    const PacketTime first = World::at(power_s + world.random.real(0, 3));
    world.add(std::make_unique<Announcer>(world, device, kinds), first);
  }
  const SearcherKinds kinds{.search = "storm_search", .answer = "storm_answer"};
  for (const Side side : {Side::lan, Side::wan}) {
    for (std::uint32_t i = 0; i < 2 * world.options.searchers_a_side; ++i) {
      auto actor = std::make_unique<Searcher>(world, world.devices, side, true, kinds);
      world.add(std::move(actor), World::at(power_s + world.random.real(0, 2)));
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
