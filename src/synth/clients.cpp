// SPDX-License-Identifier: BSD-2-Clause
/// Benign traffic that is no SSDP: flows that use port 1900 by chance, and what never is steered.
#include <array>

#include "synth/world.h"

namespace weir::synth {
namespace {

/// How an application's flow looks: who sends how much, how often, in what sizes.
struct Application {
  const char* kind;
  std::uint16_t server_port;
  const char* up_start;                 ///< first bytes of what the client sends
  const char* down_start;               ///< and the server
  double gap_s;                         ///< between exchanges
  std::uint32_t down_least, down_most;  ///< packets of the server an exchange
  std::uint32_t up_bytes_least, up_bytes_most, down_bytes_least, down_bytes_most;
  double length_s;  ///< of a flow
};

constexpr std::array<Application, 8> kApplications = {{
    {"quic", 443, "\xc3", "\xcf", 0.03, 1, 12, 40, 1'200, 600, 1'250, 4},
    {"dns", 53, "\x5a", "\x5a", 1.0, 1, 1, 28, 60, 60, 900, 0.5},
    {"wireguard", 51'820, "\x04", "\x04", 0.01, 0, 3, 64, 1'300, 64, 1'380, 30},
    {"game", 27'015, "\x21", "\x21", 0.02, 1, 2, 40, 120, 60, 500, 20},
    {"rtp", 5'004, "\x80", "\x80", 0.02, 1, 1, 172, 172, 172, 172, 15},
    {"stun", 3'478, "", "", 0.5, 1, 1, 28, 108, 44, 120, 2},
    {"ntp", 123, "\x23", "\x24", 16, 1, 1, 48, 48, 48, 48, 40},
    {"shooter", 3'074, "\xff\xff", "\xff\xff", 0.015, 1, 2, 30, 90, 80, 700, 60},
}};

/// One client after another whose NAT, or whose kernel, picked 1900; or whose server listens there.
class Client final : public Actor {
 public:
  /// The first flow is of application `first`, so that each of them occurs; later ones are drawn.
  Client(World& world, unsigned first) { begin(world, first); }

  void fire(World& world, std::uint32_t what) override {
    if (what != 0) {
      if (what == flow_) down(world);  // not of a flow that has ended
      return;
    }
    if (left_s_ <= 0) {
      begin(world, world.random.below(kApplications.size()));
      world.again(*this, world.random.real(0.1, 3.0));
      return;
    }
    up(world);
    const std::uint32_t answers = world.random.between(app_->down_least, app_->down_most);
    double at_s = world.random.real(0.004, 0.06);
    for (std::uint32_t i = 0; i < answers; ++i) {
      world.again(*this, at_s, flow_);
      at_s += world.random.real(0.00001, 0.002);
    }
    const double gap_s = app_->gap_s * world.random.real(0.3, 1.7);
    left_s_ -= gap_s;
    world.again(*this, gap_s);
  }

 private:
  void begin(World& world, unsigned application) {
    ++flow_;
    app_ = &kApplications[application];
    left_s_ = app_->length_s * world.random.real(0.2, 1.8);
    const bool server_has_it = world.random.chance(0.15);
    client_ = world.new_host(Side::lan);
    server_ = world.stranger();
    ttl_ = world.far_ttl();
    client_port_ = server_has_it ? world.ephemeral_port() : std::uint16_t{1900};
    server_port_ = server_has_it ? std::uint16_t{1900} : app_->server_port;
  }
  void up(World& world) {
    const std::string payload =
        noise(world.random, app_->up_start,
              world.random.between(app_->up_bytes_least, app_->up_bytes_most));
    world.send({.side = Side::lan,
                .source = client_,
                .destination = server_,
                .source_port = client_port_,
                .destination_port = server_port_,
                .ttl = 64,
                .payload = payload},
               false, app_->kind);
  }
  void down(World& world) {
    const std::string payload =
        noise(world.random, app_->down_start,
              world.random.between(app_->down_bytes_least, app_->down_bytes_most));
    world.send({.side = Side::wan,
                .source = server_,
                .destination = client_,
                .source_port = server_port_,
                .destination_port = client_port_,
                .ttl = ttl_,
                .payload = payload},
               false, app_->kind);
  }

  const Application* app_ = nullptr;
  double left_s_ = 0;
  std::uint32_t flow_ = 0;
  Address client_, server_;
  std::uint16_t client_port_ = 0, server_port_ = 0;
  std::uint8_t ttl_ = 64;
};

/// A host of the LAN that strangers call first: a shared file, a game that it serves. The NATs of
/// some of them picked 1900.
class Served final : public Actor {
 public:
  explicit Served(World& world) : host_(world.new_host(Side::lan)), port_(world.ephemeral_port()) {
    call(world);
  }

  void fire(World& world, std::uint32_t what) override {
    if (what == kAnswer) return send(world, Side::lan);
    if (left_ == 0) {
      call(world);
      return world.again(*this, world.random.real(0.2, 6));
    }
    --left_;
    send(world, Side::wan);
    world.again(*this, world.random.real(0.01, 0.05), kAnswer);
    world.again(*this, world.random.real(0.02, 0.4));
  }

 private:
  static constexpr std::uint32_t kAnswer = 1;
  void call(World& world) {
    peer_ = world.stranger();
    ttl_ = world.far_ttl();
    left_ = world.random.between(2, 120);
  }
  void send(World& world, Side from) {
    const bool in = from == Side::wan;
    const std::string payload = noise(world.random, "d1:", world.random.between(30, 400));
    world.send({.side = from,
                .source = in ? peer_ : host_,
                .destination = in ? host_ : peer_,
                .source_port = in ? std::uint16_t{1900} : port_,
                .destination_port = in ? port_ : std::uint16_t{1900},
                .ttl = in ? ttl_ : std::uint8_t{64},
                .payload = payload},
               false, "incoming");
  }

  const Address host_;
  const std::uint16_t port_;
  Address peer_;
  std::uint8_t ttl_ = 64;
  std::uint32_t left_ = 0;
};

/// UDP of other ports, both ways: nothing that weir steers, everything that it must not lose.
class Background final : public Actor {
 public:
  explicit Background(World& world)
      : near_(world.new_host(Side::lan)),
        far_(world.stranger()),
        port_(static_cast<std::uint16_t>(world.random.between(20'000, 60'000))) {}

  void fire(World& world, std::uint32_t /*what*/) override {
    const bool up = world.random.chance(0.4);
    const std::string payload = noise(world.random, "\x17", world.random.between(20, 1'200));
    world.send({.side = up ? Side::lan : Side::wan,
                .source = up ? near_ : far_,
                .destination = up ? far_ : near_,
                .source_port = up ? port_ : std::uint16_t{443},
                .destination_port = up ? std::uint16_t{443} : port_,
                .ttl = 57,
                .payload = payload},
               false, "background");
    world.again(*this, world.random.real(0.001, 0.02));
  }

 private:
  const Address near_, far_;
  const std::uint16_t port_;
};

}  // namespace

void add_clients(World& world) {
  for (unsigned i = 0; i < kApplications.size(); ++i)
    world.add(std::make_unique<Client>(world, i), kStart);
}

void add_incoming(World& world) {
  for (unsigned i = 0; i < 4; ++i) world.add(std::make_unique<Served>(world), kStart);
}

void add_background(World& world) {
  for (unsigned i = 0; i < 8; ++i) world.add(std::make_unique<Background>(world), kStart);
}

}  // namespace weir::synth
