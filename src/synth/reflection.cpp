// SPDX-License-Identifier: BSD-2-Clause
/// Reflection in its variants: replies that a victim did not ask for.
#include <algorithm>
#include <array>

#include "synth/world.h"

namespace weir::synth {
namespace {

/// How a reflection flood picks its victim's addresses and ports, and its reflectors theirs.
struct Reflection {
  const char* name;
  double rate;        ///< of `Options::rate_pps`
  bool spread_ports;  ///< another destination port for each burst
  enum class Carpet : std::uint8_t { none, prefix, subnet } carpet;  ///< a new victim each burst
  double off_port;    ///< share of reflectors that answer from an ephemeral port
  bool on_open_port;  ///< the victim searches, and the flood hits the port it searches from
  enum class Shape : std::uint8_t {
    steady,  ///< a ramp of a second, then steady
    ramp,    ///< a ramp of twenty seconds
    pulse,   ///< half a second of flood, then silence for three to six
  } shape = Shape::steady;
  std::size_t padded_to = 0;  ///< bytes of payload; more than a frame holds: fragments
};

using Carpet = Reflection::Carpet;
using Shape = Reflection::Shape;

constexpr std::array<Reflection, 11> kReflections = {{
    {"reflection", 1, false, Carpet::none, 0.1, false},
    {"reflection_spread", 1, true, Carpet::none, 0.3, false},
    {"diffraction", 1, false, Carpet::none, 1, false},
    {"carpet", 1, true, Carpet::prefix, 0.3, false},
    {"carpet_24", 1, true, Carpet::subnet, 0.3, false},
    {"slow_reflection", 0.01, false, Carpet::none, 0.5, false},
    {"answered", 0.2, false, Carpet::none, 0.3, true},
    {"reflection_ramp", 1, false, Carpet::none, 0.3, false, Shape::ramp},
    {"reflection_pulse", 1, true, Carpet::none, 0.3, false, Shape::pulse},
    {"padded", 0.5, false, Carpet::none, 0.1, false, Shape::steady, 1'400},
    {"fragmented", 0.5, false, Carpet::none, 0.1, false, Shape::steady, 3'200},
}};

/// Any address of the /24, or of the last 256 of the /64, that `host` is in.
Address neighbour(Random& random, const Address& host) {
  std::array<std::uint8_t, 16> bytes{};
  std::copy(host.bytes().begin(), host.bytes().end(), bytes.begin());
  bytes[15] = static_cast<std::uint8_t>(random.below(256));
  if (!host.is_v4()) return Address::v6(bytes.data());
  return Address::v4(be32::from_host((host.as_v4().host() & ~0xffU) | bytes[15]));
}

/// Replies of many devices all over the world, pushed at one victim (or a prefix).
class Reflectors final : public Actor {
 public:
  Reflectors(World& world, const Reflection& how) : how_(how) {
    constexpr std::uint32_t kBanners = 64;
    for (std::uint32_t i = 0; i < kBanners; ++i) {
      const Address inside = Address::v4(be32::from_host(0xc0a80000U + world.random.below(65'536)));
      banners_.push_back(make_messages(world.random, world.pick_profile(), inside));
      if (how.padded_to == 0) continue;
      for (std::string& reply : banners_.back().replies)
        reply = pad(world.random, std::move(reply), how.padded_to);
    }
    for (std::uint32_t i = 0; i < world.options.attackers; ++i) {
      reflectors_.push_back(
          {world.stranger(), world.random.below(kBanners),
           world.random.chance(how.off_port) ? world.ephemeral_port() : std::uint16_t{1900},
           world.far_ttl()});
    }
    victim_ = world.new_host(Side::lan);
    const bool web = world.random.chance(0.3) && !how.on_open_port;
    port_ = web ? std::uint16_t{80} : world.ephemeral_port();
    begin_ = World::at(world.options.attack_after_s);
    pulse_until_ = begin_ + kPulse;
  }

  void fire(World& world, std::uint32_t what) override {
    if (what == kVictimSearches) {
      victim_searches(world);
      return;
    }
    if (!started_) {
      started_ = true;
      if (how_.on_open_port) victim_searches(world);
    }
    double gap_s = 0;
    do {
      if (left_ == 0) next_burst(world);
      if (!send_one(world)) return;
      gap_s = gap(world);
    } while (world.skip(gap_s));
    world.again(*this, gap_s);
  }

 private:
  static constexpr std::uint32_t kVictimSearches = 1;
  struct Reflector {
    Address address;
    std::uint32_t banner;
    std::uint16_t port;
    std::uint8_t ttl;
  };

  double gap(World& world) {
    if (how_.shape == Shape::pulse && world.now() >= pulse_until_) {
      const double silence_s = world.random.real(3, 6);
      pulse_until_ = world.now() + Nanoseconds{static_cast<std::int64_t>(silence_s * 1e9)} + kPulse;
      return silence_s;
    }
    const double ramp_s = how_.shape == Shape::ramp ? 20 : 1;
    const double share = std::clamp(0.1 + seconds(world.now() - begin_) / ramp_s, 0.1, 1.0);
    return world.random.real(0.5, 1.5) / (world.options.rate_pps * how_.rate * share);
  }

  /// The next forged search reaches a reflector: it answers with some or all of its services.
  void next_burst(World& world) {
    const Reflector& r =
        reflectors_[world.random.below(static_cast<std::uint32_t>(reflectors_.size()))];
    current_ = &r;
    const auto services = static_cast<std::uint32_t>(banners_[r.banner].replies.size());
    left_ = world.random.chance(0.5) ? services : world.random.between(1, services);
    if (how_.spread_ports) port_ = world.ephemeral_port();
    if (how_.carpet == Carpet::prefix) victim_ = world.new_host(Side::lan);
    if (how_.carpet == Carpet::subnet) victim_ = neighbour(world.random, victim_);
  }

  bool send_one(World& world) {
    const std::vector<std::string>& replies = banners_[current_->banner].replies;
    --left_;
    return world.send({.side = Side::wan,
                       .source = current_->address,
                       .destination = victim_,
                       .source_port = current_->port,
                       .destination_port = port_,
                       .ttl = current_->ttl,
                       .payload = replies[left_ % replies.size()]},
                      true, how_.name);
  }

  void victim_searches(World& world) {
    const Search search = pick_search(world.random);
    const std::string text = make_search(world.random, search, world.group());
    world.send({.side = Side::lan,
                .source = victim_,
                .destination = world.group(),
                .source_port = port_,
                .destination_port = 1900,
                .ttl = 2,
                .payload = text},
               false, "search");
    world.again(*this, world.random.real(5, 20), kVictimSearches);
  }

  const Reflection& how_;
  std::vector<Messages> banners_;
  std::vector<Reflector> reflectors_;
  Address victim_;
  std::uint16_t port_ = 0;
  static constexpr Nanoseconds kPulse = std::chrono::milliseconds(500);
  PacketTime begin_, pulse_until_;
  bool started_ = false;
  const Reflector* current_ = nullptr;
  std::uint32_t left_ = 0;
};

/// One bot of an imitation: a burst as a late device sends it, then silence as of one. Many of them
/// at one host make the attack; none of them stands out.
class Imitator final : public Actor {
 public:
  Imitator(World& world, const Address& victim)
      : victim_(victim),
        address_(world.stranger()),
        ttl_(static_cast<std::uint8_t>(64 - world.random.below(4))),
        port_(world.random.chance(0.7) ? std::uint16_t{1900} : world.ephemeral_port()),
        messages_(make_messages(world.random, world.pick_profile(), address_)) {}

  void fire(World& world, std::uint32_t what) override {
    if (what == 0) {
      left_ = world.random.between(1, 12);
      victim_port_ = world.ephemeral_port();
    }
    world.send({.side = Side::wan,
                .source = address_,
                .destination = victim_,
                .source_port = port_,
                .destination_port = victim_port_,
                .ttl = ttl_,
                .payload = messages_.replies[what % messages_.replies.size()]},
               true, "imitation");
    if (what + 1 < left_) {
      world.again(*this, world.random.real(0.001, 0.3), what + 1);
    } else {
      world.again(*this, world.random.real(2.0, 20.0));
    }
  }

 private:
  const Address victim_, address_;
  const std::uint8_t ttl_;
  const std::uint16_t port_;
  std::uint16_t victim_port_ = 0;
  std::uint32_t left_ = 0;
  const Messages messages_;
};

void add_imitators(World& world) {
  constexpr std::uint32_t kMost = 5'000;  // each has messages of its own
  const Address victim = world.new_host(Side::lan);
  for (std::uint32_t i = 0; i < std::min(world.options.attackers, kMost); ++i) {
    const PacketTime first = World::at(world.options.attack_after_s + world.random.real(0, 10));
    world.add(std::make_unique<Imitator>(world, victim), first);
  }
}

}  // namespace

bool add_reflection(World& world, std::string_view name) {
  if (name == "imitation") {
    add_imitators(world);
    return true;
  }
  for (const Reflection& how : kReflections) {
    if (name != how.name) continue;
    world.add(std::make_unique<Reflectors>(world, how), World::at(world.options.attack_after_s));
    return true;
  }
  return false;
}

}  // namespace weir::synth
