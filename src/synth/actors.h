// SPDX-License-Identifier: BSD-2-Clause
/// Who announces and who searches: the actors that several scenarios are made of.
///
/// Owner     the world; they refer to devices that live as long as it does.
/// Threads   one owner.
#pragma once

#include <deque>

#include "synth/world.h"

namespace weir::synth {

/// What the packets of an announcer are called, and how it begins.
struct AnnouncerKinds {
  const char* notify = "notify";
  const char* byebye = "byebye";
  const char* update = "update";
  std::uint32_t rounds = 1;  ///< of the first burst, within some seconds: a start
};

/// A device that announces itself in bursts, says byebye or (UDA 1.1) update now and then, and
/// comes back.
class Announcer final : public Actor {
 public:
  Announcer(World& world, const Device& device, const AnnouncerKinds& kinds);
  void fire(World& world, std::uint32_t what) override;

 private:
  const Device& device_;
  const AnnouncerKinds kinds_;
  double period_s_;
  std::uint16_t port_;
  std::uint32_t rounds_;                   // of the start that are left
  const std::vector<std::string>* burst_;  // of its messages
};

struct SearcherKinds {
  const char* search = "search";
  const char* answer = "answer";
  bool answer_by_twin = false;  ///< devices are pairs, and who is asked alone answers as the other
  const char* finder = "finder_search";  ///< of who borrows the search for another protocol
  const Address* from =
      nullptr;  ///< all answers come from here: a relay's; nullptr: their device's
};

/// A control point that searches, and everybody of `devices` whom it reaches answering.
class Searcher final : public Actor {
 public:
  /// `across`: devices on the other side answer. Else the whole segment is on the one side and seen
  /// by the box (a hub, a mirror port, flooded unicast): answers come in by the searcher's side.
  Searcher(World& world, const std::vector<Device>& devices, Side side, bool across,
           const SearcherKinds& kinds);
  void fire(World& world, std::uint32_t what) override;

 private:
  static constexpr std::uint32_t kSearch = 0, kRepeat = 1, kFirstAnswer = 2;
  struct Answer {
    const Device* device;
    std::size_t message;
    std::uint16_t from_port, to_port;
    bool sent;
  };

  void search(World& world);
  void send_search(World& world);
  void schedule_answers(World& world);
  void schedule_device(World& world, const Device& device, const Device& sender);
  void answer(World& world, std::uint32_t number);

  const std::vector<Device>& devices_;
  const Side side_;
  const bool across_;
  const SearcherKinds kinds_;
  const Controller& controller_;
  const Address address_;
  std::uint16_t port_;
  Search search_;
  const Device* asked_ = nullptr;
  std::deque<Answer> pending_;  // by number; those at the front go when they are sent
  std::uint32_t first_pending_ = 0;
};

/// A time within `within_s` of the start.
inline PacketTime soon(World& world, double within_s) {
  return World::at(world.random.real(0, within_s));
}

}  // namespace weir::synth
