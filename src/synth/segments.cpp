// SPDX-License-Identifier: BSD-2-Clause
/// Benign SSDP that is harder to tell: relays, hosts in two places, and the scopes of IPv6.
#include <array>

#include "synth/actors.h"

namespace weir::synth {
namespace {

/// A relay (a router's SSDP proxy) that repeats under its own address what a segment of its own
/// says: one source with the announcements, and the answers, of forty devices.
class Relay final : public Actor {
 public:
  explicit Relay(World& world) : segment_(world.segments.emplace_back()) {
    constexpr std::uint32_t kDevices = 40;
    address_ = world.new_host(Side::wan);
    for (std::uint32_t i = 0; i < kDevices; ++i) {
      Device device = world.make_device(Side::wan);
      device.ttl = 63;
      segment_.push_back(std::move(device));
    }
  }

  [[nodiscard]] const std::vector<Device>& segment() const noexcept { return segment_; }
  [[nodiscard]] const Address& address() const noexcept { return address_; }

  void fire(World& world, std::uint32_t what) override {
    const Messages& m = segment_[device_].messages;
    if (what >= m.notifies.size()) {
      device_ = world.random.below(static_cast<std::uint32_t>(segment_.size()));
      return world.again(*this, world.random.real(0.05, 2.5));
    }
    world.send({.side = Side::wan,
                .source = address_,
                .destination = world.group(),
                .source_port = 1900,
                .destination_port = 1900,
                .ttl = 3,
                .payload = m.notifies[what]},
               false, "relay_notify");
    world.again(*this, world.random.real(0.0002, 0.004), what + 1);
  }

 private:
  std::vector<Device>& segment_;
  Address address_;
  std::uint32_t device_ = 0;
};

/// A host of one family that announces itself, and searches, in every scope that it has.
class Scoped final : public Actor {
 public:
  Scoped(World& world, Side side, std::uint32_t number)
      : side_(side), v4_(number % 3 == 0), messages_(make(world, number)) {}

  void fire(World& world, std::uint32_t what) override {
    const std::size_t scopes = v4_ ? 1 : kScopes.size();
    const std::size_t scope = what % scopes;
    const std::size_t message = what / scopes;
    if (message > messages_.notifies.size()) {
      return world.again(*this, world.random.real(10, 60));
    }
    const bool search = message == messages_.notifies.size();
    const Address group = v4_ ? Address::v4(be32::from_host(0xeffffffaU)) : kScopes[scope].group();
    const std::string text =
        search ? make_search(world.random, pick_search(world.random), group) : std::string();
    world.send({.side = side_,
                .source = v4_                         ? address_
                          : kScopes[scope].link_local ? link_local_
                                                      : address_,
                .destination = group,
                .source_port = search ? std::uint16_t{50'123} : std::uint16_t{1900},
                .destination_port = 1900,
                .ttl = v4_ ? std::uint8_t{4} : std::uint8_t{255},
                .payload = search ? text : messages_.notifies[message]},
               false, search ? "scope_search" : "scope_notify");
    world.again(*this, world.random.real(0.0005, 0.02), what + 1);
  }

 private:
  struct Scope {
    std::uint8_t scope;  ///< RFC 4291, 2.7: link, site, organisation
    bool link_local;
    [[nodiscard]] Address group() const noexcept {
      std::uint8_t bytes[16] = {0xff, scope};
      bytes[15] = 0xc;
      return Address::v6(bytes);
    }
  };
  static constexpr std::array<Scope, 3> kScopes = {{{2, true}, {5, false}, {8, false}}};

  Messages make(World& world, std::uint32_t number) {
    std::uint8_t bytes[16] = {0xfe, 0x80};
    bytes[8] = side_ == Side::lan ? 2 : 0x12;
    bytes[14] = static_cast<std::uint8_t>(number >> 8U);
    bytes[15] = static_cast<std::uint8_t>(number + 1);
    link_local_ = Address::v6(bytes);
    if (v4_) {
      const std::uint32_t net =
          side_ == Side::lan ? world.options.lan.address().as_v4().host() + 2 : 0xc6336401U + 200;
      address_ = Address::v4(be32::from_host(net + number % 8));
    } else {
      bytes[0] = 0xfd;
      bytes[1] = 0x77;
      address_ = Address::v6(bytes);
    }
    return make_messages(world.random, world.pick_profile(), address_);
  }

  const Side side_;
  const bool v4_;
  Address address_, link_local_;
  const Messages messages_;
};

}  // namespace

void add_relay(World& world) {
  auto relay = std::make_unique<Relay>(world);
  const SearcherKinds kinds{
      .search = "search", .answer = "relay_answer", .from = &relay->address()};
  for (std::uint32_t i = 0; i < std::max(world.options.searchers_a_side, 1U); ++i) {
    auto searcher = std::make_unique<Searcher>(world, relay->segment(), Side::lan, true, kinds);
    world.add(std::move(searcher), soon(world, std::min(world.options.seconds / 4, 10.0)));
  }
  world.add(std::move(relay), soon(world, 1));
}

/// Devices with a cable and a radio: the same messages from two addresses, and one asked at the one
/// answers by the other.
void add_multihomed(World& world) {
  std::vector<Device>& homes = world.segments.emplace_back();
  for (std::uint32_t i = 0; i < std::max(world.options.devices_a_side, 2U); ++i) {
    const Device device = world.make_device(Side::wan);
    for (unsigned home = 0; home < 2; ++home) {
      homes.push_back(device);
      if (home == 1) homes.back().address = world.new_host(Side::wan);
    }
  }
  for (const Device& device : homes) {
    auto actor = std::make_unique<Announcer>(world, device, AnnouncerKinds{});
    world.add(std::move(actor), soon(world, std::min(world.options.seconds / 2, 60.0)));
  }
  const SearcherKinds kinds{.answer = "multihomed_answer", .answer_by_twin = true};
  for (std::uint32_t i = 0; i < std::max(world.options.searchers_a_side, 1U); ++i) {
    auto searcher = std::make_unique<Searcher>(world, homes, Side::lan, true, kinds);
    world.add(std::move(searcher), soon(world, std::min(world.options.seconds / 4, 10.0)));
  }
}

void add_scopes(World& world) {
  for (const Side side : {Side::lan, Side::wan}) {
    for (std::uint32_t i = 0; i < std::max(world.options.devices_a_side, 3U); ++i) {
      const PacketTime first = soon(world, std::min(world.options.seconds / 2, 20.0));
      world.add(std::make_unique<Scoped>(world, side, i), first);
    }
  }
}

}  // namespace weir::synth
