// SPDX-License-Identifier: BSD-2-Clause
#include "cli/replay_live.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <thread>

#include "cli/progress.h"

namespace weir::cli {
namespace {

using Json = nlohmann::ordered_json;

/// Waits until packet `n` is due; what was posted before leaves first.
void wait_for(pipeline::Pacer& pacer, std::uint64_t n, PacketTime time, LoadSender& sender) {
  for (;;) {
    const Nanoseconds early = pacer.early(n, time);
    if (early.count() <= 0 || end_wanted()) return;
    sender.flush();
    std::this_thread::sleep_for(std::min<Nanoseconds>(early, std::chrono::milliseconds(50)));
  }
}

}  // namespace

Status play_live(const LivePlay& play) {
  WEIR_ASSIGN(auto source, pipeline::ReplaySource::open(play.captures));
  WEIR_ASSIGN(auto port, open_port(play.port, io::LoadUse::send));
  watch_for_end();
  const auto sender = std::make_unique<LoadSender>(*port);
  Progress progress("weir replay --live");
  const auto start = std::chrono::steady_clock::now();
  std::uint64_t too_long = 0;
  for (std::uint32_t loop = 0; loop < play.loops && !end_wanted() && !sender->stuck(); ++loop) {
    if (loop > 0) source.rewind();
    pipeline::Pacer pacer(play.pace);
    pipeline::ReplayPacket packet;
    io::Step step = io::Step::packet;
    for (std::uint64_t n = 0; !end_wanted() && !sender->stuck(); ++n) {
      step = source.next(packet);
      if (step != io::Step::packet) break;
      if (pacer.limited()) wait_for(pacer, n, packet.captured.time, *sender);
      if (packet.captured.bytes.size() > io::LoadPort::kFrame_bytes)
        ++too_long;
      else
        sender->post(packet.captured.bytes);
      if (n % 1024 == 0) progress.show((loop + source.fraction()) / play.loops);
    }
    if (step == io::Step::error) return tl::unexpected(source.error());
  }
  sender->flush();
  port->flush();
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  if (sender->stuck())
    return fail(fmt::format("{} takes no more packets; is its link up?", play.port.port));
  const double rate = seconds > 0 ? static_cast<double>(sender->packets()) / seconds : 0;
  if (play.json) {
    fmt::print("{}\n", Json{{"port", port->describe()},
                            {"packets", sender->packets()},
                            {"bytes", sender->bytes()},
                            {"too_long", too_long},
                            {"seconds", seconds},
                            {"packets_per_s", rate}}
                           .dump(2));
    return {};
  }
  fmt::print("sent {} packets in {:.2f} s by {}: {:.0f} packets/s\n", sender->packets(), seconds,
             port->describe(), rate);
  if (too_long > 0)
    fmt::print("{} packets of more than {} bytes were left out\n", too_long,
               io::LoadPort::kFrame_bytes);
  return {};
}

}  // namespace weir::cli
