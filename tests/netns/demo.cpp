// SPDX-License-Identifier: BSD-2-Clause
// The demonstration: a LAN that lives its life behind weir, a reflection flood against one of its
// hosts, and what became of everybody's packets. Exits with 1 where an expectation fails.
#include <fmt/format.h>

#include <atomic>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <thread>

#include "appliance.h"
#include "frames.h"

namespace weir::test {
namespace {

// Flows, as the stamps behind the frames number them; each part of the story has its own ten.
constexpr std::uint32_t kParts = 2, kFlowsOfAPart = 10;
constexpr std::uint32_t kAttack = 1, kBackground = 2, kSearch = 3, kReply = 4;
constexpr std::uint32_t kReflectors = 1000, kDevices = 20;
// Streams of the WAN's generator, in its own order.
enum WanStream : std::uint8_t { attack = 0, background = 1, answer = 2 };

void say(const std::string& text) {
  std::puts(text.c_str());
  std::fflush(stdout);
}

std::string grouped(std::uint64_t number) {
  std::string text = fmt::format("{}", number);
  for (auto at = static_cast<std::ptrdiff_t>(text.size()) - 3; at > 0; at -= 3)
    text.insert(static_cast<std::size_t>(at), ",");
  return text;
}

std::string time_text(double us) {
  return us < 1000 ? fmt::format("{:.0f} us", us) : fmt::format("{:.1f} ms", us / 1000);
}

/// Background with an answer of a device in every 1024th place.
std::vector<std::uint8_t> ordinary_life() {
  std::vector<std::uint8_t> slots(1024, background);
  slots.back() = answer;
  return slots;
}

/// The same beside a flood: 15 of 16 packets are the attack's.
std::vector<std::uint8_t> under_attack() {
  std::vector<std::uint8_t> slots(65'536, attack);
  for (std::size_t i = 15; i < slots.size(); i += 16) slots[i] = background;
  slots[slots.size() - 2] = answer;
  return slots;
}

class Demonstration {
 public:
  bool run() {
    say("Building a WAN, a LAN and weir between them, in three network namespaces ...");
    // Of a flood that is not known yet, what cannot be judged shall not come through; and the
    // reflectors are neighbours, but are to be counted one by one.
    box_.configure("[channels]\noverload = \"drop\"\n[policy]\nnetwork_sources = 0");
    if (!box_.start()) {
      say("weir did not start: " + box_.trouble());
      return false;
    }
    box_.equip();
    box_.hush();
    const auto status = box_.status();
    say(fmt::format("weir runs: {} XDP on both sides, model '{}'.",
                    status.at("interfaces").at("wan").at("attached").get<std::string>(),
                    status.at("model").at("name").get<std::string>()));

    say("Three seconds of ordinary life: a host of the LAN searches, 20 devices answer, others "
        "talk ...");
    live(ordinary_life(), 50'000, 150'000);
    say(fmt::format(
        "A reflection flood from {} sources joins in, as fast as this machine can make it ...",
        grouped(kReflectors)));
    live(under_attack(), 0, 16'000'000);
    if (!eventually([&] { return settled(); }))
      say("The counters have not come to rest; the table below may not add up.");
    return table();
  }

 private:
  void must(const Status& status) {
    if (status) return;
    say(status.error().message);
    std::exit(1);
  }

  /// Sends `packets` of a mix from the WAN, while the LAN's host searches twice a second.
  void live(const std::vector<std::uint8_t>& mix, double packets_per_s, std::uint64_t packets) {
    const std::uint32_t part = kFlowsOfAPart * parts_++;
    const std::vector<perf::Stream> from_wan{
        {.frame = reflection(Shape::ip4), .flow = part + kAttack, .sources = kReflectors},
        {.frame = test::background(Shape::ip4), .flow = part + kBackground},
        {.frame = reply(Shape::ip4), .flow = part + kReply, .sources = kDevices}};
    must(box_.generator(Side::wan).set(from_wan, mix));

    const perf::Stream from_lan{.frame = search(Shape::ip4), .flow = part + kSearch};
    must(box_.generator(Side::lan).set({&from_lan, 1}));
    // Asked before the first answer comes.
    must(box_.generator(Side::lan).send(1));
    std::this_thread::sleep_for(std::chrono::milliseconds(100));

    std::atomic<bool> over{false};
    std::thread searching([&] {
      while (!over) {
        must(box_.generator(Side::lan).send(1));
        std::this_thread::sleep_for(std::chrono::milliseconds(500));
      }
    });
    {
      const OnCpu one(kGeneratorCpu);
      must(box_.generator(Side::wan).send(packets, packets_per_s));
    }
    over = true;
    searching.join();

    attack_sent_ += box_.generator(Side::wan).sent(attack);
    background_sent_ += box_.generator(Side::wan).sent(background);
    benign_sent_ += box_.generator(Side::wan).sent(answer);
    benign_sent_ += box_.generator(Side::lan).sent(0);
  }

  /// What arrived of a flow, over all parts.
  [[nodiscard]] perf::Flow arrived(Side at, std::uint32_t flow) const {
    perf::Flow sum;
    for (std::uint32_t part = 0; part < kParts; ++part) {
      const perf::Flow of_part = box_.sink(at).flow(kFlowsOfAPart * part + flow);
      sum.packets += of_part.packets;
      sum.out_of_order += of_part.out_of_order;
    }
    return sum;
  }

  [[nodiscard]] std::uint64_t benign_delivered() const {
    return arrived(Side::lan, kReply).packets + arrived(Side::wan, kSearch).packets;
  }

  [[nodiscard]] bool settled() const {
    const Totals totals = box_.totals();
    return totals.received[index(Side::wan)] == box_.driver_packets(Side::wan) &&
           totals.judged_forward + totals.judged_drop + totals.shed_forward + totals.shed_drop ==
               totals.sockets_received;
  }

  void expect(bool holds, const std::string& what) {
    if (!holds) failures_.push_back(what);
  }

  bool table() {
    Totals totals = box_.totals();
    const auto status = box_.status();
    const perf::Flow background = arrived(Side::lan, kBackground);
    const std::uint64_t attack_delivered = arrived(Side::lan, kAttack).packets;
    const std::uint64_t in_kernel = totals.outcomes["drop_block_ssdp"];
    const auto& time = status.at("time_to_block");
    const double median_us = time.at("median_us"), p99_us = time.at("p99_us");

    say("");
    say(fmt::format("{:<42}{:>14}{:>14}", "", "sent", "delivered"));
    say(fmt::format("{:<42}{:>14}{:>14}", "background packets", grouped(background_sent_),
                    grouped(background.packets)));
    say(fmt::format("{:<42}{:>14}{:>14}", "benign SSDP", grouped(benign_sent_),
                    grouped(benign_delivered())));
    const auto row = [](const std::string& what, const std::string& value) {
      say(fmt::format("{:<42}{:>14}", what, value));
    };
    row("attack packets seen", grouped(attack_sent_));
    row("  dropped by userspace", grouped(totals.judged_drop));
    row("  dropped by the kernel", grouped(in_kernel));
    row("  dropped unjudged, by overload", grouped(totals.shed_drop));
    row("  no room at the socket (any SSDP)", grouped(totals.socket_errors));
    row("  delivered before they were known", grouped(attack_delivered));
    row("sources blocked", fmt::format("{}", totals.blocks));
    row("a source's first packet to its block: median", time_text(median_us));
    row("                                         p99", time_text(p99_us));
    say("");

    expect(background.packets == background_sent_, "every background packet is delivered");
    expect(background.out_of_order == 0, "the background stream keeps its order");
    expect(benign_delivered() * 100 >= benign_sent_ * 99,
           "at least 99 of 100 benign SSDP packets are delivered");
    expect(totals.blocks == kReflectors, "exactly the reflectors are blocked");
    expect(in_kernel * 100 >= attack_sent_ * 90, "the kernel drops at least 90 % of the attack");
    // Where there was no room, nobody looked whose packet it was.
    expect(totals.judged_drop + totals.shed_drop + in_kernel + totals.socket_errors +
                   attack_delivered + benign_delivered() ==
               attack_sent_ + benign_sent_,
           "each SSDP packet has one end");
    expect(attack_delivered * 1000 <= attack_sent_,
           "at most 1 of 1,000 attack packets comes through");
    expect(time.at("count").get<std::uint64_t>() >= kReflectors, "each block's time was measured");
    expect(totals.conserved && totals.frames_placed == totals.channels * Appliance::kFrames,
           "no frame is lost");
    expect(box_.stop(SIGTERM) == 0, "weir ends cleanly");
    for (const std::string& failure : failures_) say("FAILED: " + failure);
    if (failures_.empty())
      say("As expected: nobody else's packet was lost, and the attackers are blocked.");
    else
      say_what_else_ran();
    return failures_.empty();
  }

  /// A weir that gets no CPU judges late: who looks for a fault should know.
  static void say_what_else_ran() {
    double load = 0;
    const unsigned cpus = std::thread::hardware_concurrency();
    constexpr double kOwn = 3;  // generator, weir and the streams beside them
    if (getloadavg(&load, 1) != 1 || load <= kOwn + cpus) return;
    say(fmt::format(
        "This machine has other work to do (load {:.1f}, {} CPUs), which alone can make "
        "it fail: run it again when it is quiet.",
        load, cpus));
  }

  mutable Appliance box_;
  std::uint64_t attack_sent_ = 0, background_sent_ = 0, benign_sent_ = 0;
  std::uint32_t parts_ = 0;
  std::vector<std::string> failures_;
};

}  // namespace
}  // namespace weir::test

int main() {
  if (const auto& cause = weir::test::missing_privilege(); !cause.empty()) {
    std::fprintf(stderr, "weir demo: %s\n", cause.c_str());
    return 1;
  }
  return weir::test::Demonstration().run() ? 0 : 1;
}
