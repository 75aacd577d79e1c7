// SPDX-License-Identifier: BSD-2-Clause
#include "synth/actors.h"

#include <array>

namespace weir::synth {
namespace {

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

}  // namespace

Announcer::Announcer(World& world, const Device& device, const AnnouncerKinds& kinds)
    : device_(device),
      kinds_(kinds),
      period_s_(device.messages.profile->period_s),
      port_(world.random.chance(0.46) ? std::uint16_t{1900} : world.ephemeral_port()),
      rounds_(kinds.rounds),
      burst_(&device.messages.notifies) {
  if (period_s_ == 0) period_s_ = std::array{4.0, 10.0, 30.0, 60.0, 300.0}[world.random.below(5)];
}

void Announcer::fire(World& world, std::uint32_t what) {
  const Messages& m = device_.messages;
  if (what >= burst_->size() * m.profile->copies) {
    if (rounds_ > 1) {
      --rounds_;
      return world.again(*this, world.random.real(0.2, 1.5));
    }
    const bool changes = burst_ == &m.notifies && world.random.chance(0.1);
    burst_ = &m.notifies;
    if (changes) {
      const bool moves = m.profile->has(Profile::nls) && world.random.chance(0.5);
      burst_ = moves ? &m.updates : &m.byebyes;
    }
    world.again(*this, changes ? 1.0 : period_s_ * world.random.real(0.5, 1.5));
    return;
  }
  const char* const kind = burst_ == &m.notifies  ? kinds_.notify
                           : burst_ == &m.byebyes ? kinds_.byebye
                                                  : kinds_.update;
  world.send({.side = device_.side,
              .source = device_.address,
              .destination = world.group(),
              .source_port = port_,
              .destination_port = 1900,
              .ttl = m.profile->ttl,
              .payload = (*burst_)[what % burst_->size()]},
             false, kind);
  world.again(*this, world.random.real(0.0001, world.random.chance(0.1) ? 0.1 : 0.004), what + 1);
}

Searcher::Searcher(World& world, const std::vector<Device>& devices, Side side, bool across,
                   const SearcherKinds& kinds)
    : devices_(devices),
      side_(side),
      across_(across),
      kinds_(kinds),
      controller_(world.pick_controller()),
      address_(world.new_host(side)),
      port_(world.ephemeral_port()) {}

void Searcher::fire(World& world, std::uint32_t what) {
  if (what == kSearch) {
    search(world);
  } else if (what == kRepeat) {
    send_search(world);
  } else {
    answer(world, what - kFirstAnswer);
  }
}

void Searcher::search(World& world) {
  if (!controller_.keeps_port) port_ = world.ephemeral_port();
  search_ = pick_search(world.random, controller_);
  asked_ = nullptr;
  if (world.random.chance(controller_.unicast) && !devices_.empty()) {
    const Device& device =
        devices_[world.random.below(static_cast<std::uint32_t>(devices_.size()))];
    if ((device.side == side_) != across_) asked_ = &device;
  }
  search_.unicast = asked_ != nullptr;
  if (search_.unicast) search_.target = "ssdp:all";
  send_search(world);
  const std::uint32_t copies = search_.unicast ? 1 : controller_.copies;
  for (std::uint32_t i = 1; i < copies; ++i) {
    world.again(*this, i * controller_.copy_gap_s * world.random.real(0.9, 1.1), kRepeat);
  }
  if (controller_.broadcast_port == 0) schedule_answers(world);
  world.again(*this, controller_.period_s * world.random.real(0.3, 1.7), kSearch);
}

void Searcher::send_search(World& world) {
  const bool finds = controller_.broadcast_port != 0;
  const Address to = asked_ != nullptr ? asked_->address
                     : finds           ? world.broadcast(side_)
                                       : world.group();
  const std::string text = make_search(controller_, search_, to);
  world.send({.side = side_,
              .source = address_,
              .destination = to,
              .source_port = port_,
              .destination_port = finds ? controller_.broadcast_port : std::uint16_t{1900},
              .ttl = asked_ != nullptr ? std::uint8_t{64} : controller_.ttl,
              .broadcast = finds && asked_ == nullptr,
              .payload = text},
             false, finds ? kinds_.finder : kinds_.search);
}

void Searcher::schedule_answers(World& world) {
  for (std::size_t i = 0; i < devices_.size(); ++i) {
    const Device& device = devices_[i];
    if ((device.side == side_) == across_ || (asked_ != nullptr && asked_ != &device)) continue;
    const bool by_twin = kinds_.answer_by_twin && asked_ != nullptr;
    schedule_device(world, device, by_twin ? devices_[i ^ 1U] : device);
  }
}

void Searcher::schedule_device(World& world, const Device& device, const Device& sender) {
  const Profile& p = *device.messages.profile;
  const bool late = p.has(Profile::late) && world.random.chance(0.6);
  const double delay_s =
      late ? world.random.real(1.0, 22.4)
           : world.random.real(0.002, world.random.chance(0.3) ? 0.1 : search_.mx);
  const std::uint16_t from =
      p.has(Profile::off_port) ? world.ephemeral_port() : std::uint16_t{1900};
  const std::uint32_t copies = world.random.chance(0.2) ? 2 : 1;
  double at_s = delay_s;
  for (std::uint32_t copy = 0; copy < copies; ++copy) {
    for (const std::size_t message : answers(world.random, device.messages, search_)) {
      pending_.push_back({&sender, message, from, port_, false});
      world.again(*this, at_s,
                  kFirstAnswer + first_pending_ + static_cast<std::uint32_t>(pending_.size()) - 1);
      at_s += world.random.real(0.0002, 0.05);
    }
  }
}

void Searcher::answer(World& world, std::uint32_t number) {
  const Answer a = pending_[number - first_pending_];
  const auto& replies = a.device->messages.replies;
  world.send({.side = a.device->side,
              .source = kinds_.from != nullptr ? *kinds_.from : a.device->address,
              .destination = address_,
              .source_port = a.from_port,
              .destination_port = a.to_port,
              .ttl = a.device->ttl,
              .payload = replies[a.message % replies.size()]},
             false, kinds_.answer);
  pending_[number - first_pending_].sent = true;
  while (!pending_.empty() && pending_.front().sent) {
    pending_.pop_front();
    ++first_pending_;
  }
}

}  // namespace weir::synth
