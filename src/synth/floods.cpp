// SPDX-License-Identifier: BSD-2-Clause
/// Floods of messages that are no replies, of what is no SSDP, and scans.
#include <algorithm>
#include <array>

#include "synth/world.h"

namespace weir::synth {
namespace {

/// What a flood of messages (not of replies) sends, and where to.
struct Flood {
  const char* name;
  double rate;
  Side side;
  bool forged_victim;  ///< all from one forged address: the victim of the reflection that it wants
  enum class What : std::uint8_t { search, notify, malformed, noise } what;
  enum class To : std::uint8_t { device, prefix, internet, group } to;
  enum class Ports : std::uint8_t { to_1900, from_1900 } ports = Ports::to_1900;
};

using What = Flood::What;
using To = Flood::To;

constexpr std::array<Flood, 12> kFloods = {{
    {"search_flood", 0.5, Side::wan, true, What::search, To::device},
    {"search_group", 0.05, Side::wan, true, What::search, To::group},
    {"scan", 0.01, Side::wan, false, What::search, To::prefix},
    {"slow_scan", 0.0005, Side::wan, false, What::search, To::prefix},
    {"slow_search", 0.0005, Side::wan, true, What::search, To::device},
    {"notify_flood", 0.5, Side::wan, false, What::notify, To::device},
    {"notify_group", 0.5, Side::wan, false, What::notify, To::group},
    {"malformed", 0.25, Side::wan, false, What::malformed, To::device},
    {"flood_to_1900", 0.5, Side::wan, false, What::noise, To::device},
    {"flood_from_1900", 0.5, Side::wan, false, What::noise, To::device, Flood::Ports::from_1900},
    {"search_flood_out", 0.5, Side::lan, true, What::search, To::internet},
    {"bot_flood_out", 0.25, Side::lan, false, What::search, To::internet},
}};

/// Low and slow attacks do not get faster with the rate: so many packets a second at most.
constexpr double kSlow_pps = 2;
constexpr double kSlowShare = 0.001;

class Flooder final : public Actor {
 public:
  Flooder(World& world, const Flood& how) : how_(how) {
    std::uint32_t sources = std::min(world.options.attackers, 200U);
    if (how.forged_victim) sources = 1;
    if (how.to == To::prefix) sources = world.random.between(1, 8);
    if (how.side == Side::lan && !how.forged_victim) sources = world.random.between(1, 4);
    const bool own_address = how.side == Side::lan && !how.forged_victim;
    for (std::uint32_t i = 0; i < sources; ++i) {
      sources_.push_back(
          {own_address ? world.new_host(Side::lan) : world.stranger(), world.far_ttl()});
    }
    target_ = how.what == What::search ? device_of_lan(world) : world.new_host(Side::lan);
    for (unsigned i = 0; i < 32; ++i) texts_.push_back(make_text(world));
    begin_ = World::at(world.options.attack_after_s);
  }

  void fire(World& world, std::uint32_t /*what*/) override {
    double gap_s = 0;
    do {
      if (!send_one(world)) return;
      gap_s = gap(world);
    } while (world.skip(gap_s));
    world.again(*this, gap_s);
  }

 private:
  struct Source {
    Address address;
    std::uint8_t ttl;
  };

  /// Who wants answers asks where there are some.
  static Address device_of_lan(World& world) {
    std::vector<const Device*> near;
    for (const Device& device : world.devices)
      if (device.side == Side::lan) near.push_back(&device);
    if (near.empty()) return world.new_host(Side::lan);
    return near[world.random.below(static_cast<std::uint32_t>(near.size()))]->address;
  }

  double gap(World& world) {
    double rate_pps = world.options.rate_pps * how_.rate;
    if (how_.rate < kSlowShare) return world.random.real(0.5, 1.5) / std::min(rate_pps, kSlow_pps);
    rate_pps *= std::clamp(0.1 + seconds(world.now() - begin_), 0.1, 1.0);
    return world.random.real(0.5, 1.5) / rate_pps;
  }

  std::string make_text(World& world) {
    Random& random = world.random;
    if (how_.what == What::noise) return noise(random, "\x16", random.between(64, 1'300));
    // Attackers like ssdp:all for its yield; the one real scan that was had asked for rootdevice.
    const Search search{.target = random.chance(0.6) ? "ssdp:all" : "upnp:rootdevice",
                        .mx = random.between(1, 3)};
    if (how_.what == What::search) return make_search(random, search, world.group());
    const Address address = world.stranger();
    const Messages m = make_messages(random, world.pick_profile(), address);
    const std::string& notify =
        m.notifies[random.below(static_cast<std::uint32_t>(m.notifies.size()))];
    if (how_.what == What::notify) return notify;
    return damage(random, random.chance(0.5) ? notify : make_search(random, search, world.group()));
  }

  Address destination(World& world) {
    switch (how_.to) {
      case To::prefix:
        return world.new_host(Side::lan);
      case To::internet:
        return world.stranger();
      case To::group:
        return world.group();
      default:
        return target_;
    }
  }

  bool send_one(World& world) {
    const bool from_1900 = how_.ports == Flood::Ports::from_1900;
    const Source& source =
        sources_[world.random.below(static_cast<std::uint32_t>(sources_.size()))];
    return world.send(
        {.side = how_.side,
         .source = source.address,
         .destination = destination(world),
         .source_port = from_1900 ? std::uint16_t{1900} : world.ephemeral_port(),
         .destination_port = from_1900 ? world.ephemeral_port() : std::uint16_t{1900},
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

bool add_flood(World& world, std::string_view name) {
  for (const Flood& how : kFloods) {
    if (name != how.name) continue;
    world.add(std::make_unique<Flooder>(world, how), World::at(world.options.attack_after_s));
    return true;
  }
  return false;
}

}  // namespace weir::synth
