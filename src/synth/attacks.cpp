// SPDX-License-Identifier: BSD-2-Clause
/// Attacks: reflection in its variants, floods of searches and announcements, scans.
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
  bool carpet;        ///< another destination address for each burst
  double off_port;    ///< share of reflectors that answer from an ephemeral port
  bool on_open_port;  ///< the victim searches, and the flood hits the port it searches from
};

constexpr std::array<Reflection, 6> kReflections = {{
    {"reflection", 1, false, false, 0.1, false},
    {"reflection_spread", 1, true, false, 0.3, false},
    {"diffraction", 1, false, false, 1, false},
    {"carpet", 1, true, true, 0.3, false},
    {"slow_reflection", 0.01, false, false, 0.5, false},
    {"answered", 0.2, false, false, 0.3, true},
}};

/// Replies of many devices all over the world, pushed at one victim (or a prefix).
class Reflectors final : public Actor {
 public:
  Reflectors(World& world, const Reflection& how) : how_(how) {
    constexpr std::uint32_t kBanners = 64;
    for (std::uint32_t i = 0; i < kBanners; ++i) {
      const Address inside = Address::v4(be32::from_host(0xc0a80000U + world.random.below(65'536)));
      banners_.push_back(
          make_messages(world.random, pick_profile(world.random, world.options.profiles), inside));
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
    begin_ =
        world.now() + Nanoseconds{static_cast<std::int64_t>(world.options.attack_after_s * 1e9)};
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

  /// A ramp of a second, then steady with some jitter.
  double gap(World& world) {
    const double since_s = seconds(world.now() - begin_);
    const double share = std::clamp(0.1 + since_s, 0.1, 1.0);
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
    if (how_.carpet) victim_ = world.new_host(Side::lan);
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
  PacketTime begin_;
  bool started_ = false;
  const Reflector* current_ = nullptr;
  std::uint32_t left_ = 0;
};

/// What a flood of messages (not of replies) sends, and where to.
struct Flood {
  const char* name;
  double rate;
  Side side;
  bool forged_victim;  ///< all from one forged address: the victim of the reflection that it wants
  enum class What : std::uint8_t { search, notify, malformed } what;
  enum class To : std::uint8_t { device, prefix, internet, group } to;
};

constexpr std::array<Flood, 6> kFloods = {{
    {"search_flood", 0.5, Side::wan, true, Flood::What::search, Flood::To::device},
    {"scan", 0.01, Side::wan, false, Flood::What::search, Flood::To::prefix},
    {"notify_flood", 0.5, Side::wan, false, Flood::What::notify, Flood::To::device},
    {"malformed", 0.25, Side::wan, false, Flood::What::malformed, Flood::To::device},
    {"search_flood_out", 0.5, Side::lan, true, Flood::What::search, Flood::To::internet},
    {"bot_flood_out", 0.25, Side::lan, false, Flood::What::search, Flood::To::internet},
}};

class Flooder final : public Actor {
 public:
  Flooder(World& world, const Flood& how) : how_(how) {
    std::uint32_t sources = std::min(world.options.attackers, 200U);
    if (how.forged_victim) sources = 1;
    if (how.to == Flood::To::prefix) sources = world.random.between(1, 8);
    if (how.side == Side::lan && !how.forged_victim) sources = world.random.between(1, 4);
    const bool own_address = how.side == Side::lan && !how.forged_victim;
    for (std::uint32_t i = 0; i < sources; ++i) {
      sources_.push_back(
          {own_address ? world.new_host(Side::lan) : world.stranger(), world.far_ttl()});
    }
    target_ = world.new_host(Side::lan);
    for (unsigned i = 0; i < 32; ++i) texts_.push_back(make_text(world));
    begin_ =
        world.now() + Nanoseconds{static_cast<std::int64_t>(world.options.attack_after_s * 1e9)};
  }

  void fire(World& world, std::uint32_t /*what*/) override {
    double gap_s = 0;
    do {
      if (!send_one(world)) return;
      const double share = std::clamp(0.1 + seconds(world.now() - begin_), 0.1, 1.0);
      gap_s = world.random.real(0.5, 1.5) / (world.options.rate_pps * how_.rate * share);
    } while (world.skip(gap_s));
    world.again(*this, gap_s);
  }

 private:
  struct Source {
    Address address;
    std::uint8_t ttl;
  };

  std::string make_text(World& world) {
    Random& random = world.random;
    // Attackers like ssdp:all for its yield; the one real scan that was had asked for rootdevice.
    const Search search{.target = random.chance(0.6) ? "ssdp:all" : "upnp:rootdevice",
                        .mx = random.between(1, 3)};
    if (how_.what == Flood::What::search) return make_search(random, search, world.group());
    const Messages m =
        make_messages(random, pick_profile(random, world.options.profiles), world.stranger());
    const std::string& notify =
        m.notifies[random.below(static_cast<std::uint32_t>(m.notifies.size()))];
    if (how_.what == Flood::What::notify) return notify;
    return damage(random, random.chance(0.5) ? notify : make_search(random, search, world.group()));
  }

  Address destination(World& world) {
    switch (how_.to) {
      case Flood::To::prefix:
        return world.new_host(Side::lan);
      case Flood::To::internet:
        return world.stranger();
      case Flood::To::group:
        return world.group();
      default:
        return target_;
    }
  }

  bool send_one(World& world) {
    const Source& source =
        sources_[world.random.below(static_cast<std::uint32_t>(sources_.size()))];
    return world.send(
        {.side = how_.side,
         .source = source.address,
         .destination = destination(world),
         .source_port = world.ephemeral_port(),
         .destination_port = 1900,
         .ttl = how_.side == Side::lan ? std::uint8_t{64} : source.ttl,
         .payload = texts_[world.random.below(static_cast<std::uint32_t>(texts_.size()))]},
        true, how_.name);
  }

  const Flood& how_;
  std::vector<Source> sources_;
  std::vector<std::string> texts_;
  Address target_;
  PacketTime begin_;
};

}  // namespace

void add_attack(World& world, std::string_view name) {
  const PacketTime begin =
      kStart + Nanoseconds{static_cast<std::int64_t>(world.options.attack_after_s * 1e9)};
  for (const Reflection& how : kReflections) {
    if (name == how.name) world.add(std::make_unique<Reflectors>(world, how), begin);
  }
  for (const Flood& how : kFloods) {
    if (name == how.name) world.add(std::make_unique<Flooder>(world, how), begin);
  }
}

}  // namespace weir::synth
