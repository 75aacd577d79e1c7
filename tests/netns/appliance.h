// SPDX-License-Identifier: BSD-2-Clause
/// A real `weir run` in the box of a `Wire`, with a generator and a sink at each end.
///
/// Binary    the environment variable WEIR names it, WEIR_MODEL its model.
/// Files     configuration, socket and state are in /run/weir, which is this process's own mount.
/// Clean-up  the process dies with its `Appliance`; namespaces and pins with the test program.
/// Threads   one owner, but for the generators: each may send on a thread of its own.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/types.h"
#include "perf/generator/generator.h"
#include "support/packet_builder.h"
#include "support/process.h"
#include "support/wire.h"

namespace weir::test {

/// What the tests read of `weir status --json`.
struct Totals {
  std::map<std::string, std::uint64_t> outcomes;     ///< packets by name, both sides together
  std::array<std::uint64_t, kSides> received{};      ///< sum of a side's outcomes
  std::uint64_t socket_errors = 0, peer_errors = 0;  ///< failed redirects
  std::uint64_t channels = 0;
  bool conserved = false;           ///< as weir itself says, over all channels
  std::uint64_t frames_placed = 0;  ///< sum over all places and channels
  std::uint64_t sockets_received = 0, sockets_sent = 0, sockets_full = 0, sockets_lost = 0;
  std::uint64_t redirected = 0;                 ///< of `sockets_sent`
  std::vector<std::uint64_t> channel_received;  ///< by channel, both sides together
  std::uint64_t judged_forward = 0, judged_drop = 0, shed_forward = 0, shed_drop = 0;
  std::uint64_t blocks = 0;
};

class Appliance {
 public:
  explicit Appliance(unsigned queues = 1);
  ~Appliance();
  Appliance(const Appliance&) = delete;
  Appliance& operator=(const Appliance&) = delete;

  Wire wire;

  /// Writes the configuration: the two interfaces, and `more`, TOML text behind them.
  void configure(const std::string& more = "", const std::string& interface_keys = "");
  /// The same with DPDK's `driver` over the two interfaces, whose stacks it shares.
  void configure_polled(const std::string& more = "", const std::string& driver = "net_af_packet",
                        const std::string& arguments = "");
  /// What DPDK's `driver` wants of the two interfaces: the part of it that is no configuration.
  void polling(const std::string& driver) const;
  /// Starts `weir run` and waits until it forwards; false, with its stderr in `trouble`, where it
  /// does not.
  bool start();
  [[nodiscard]] std::string trouble() const;
  /// Ends it by `signal` and gives its exit status.
  int stop(int signal);
  [[nodiscard]] Process& process() { return *process_; }

  /// Runs `weir COMMAND... -c FILE` in the box.
  Ran weir(std::vector<std::string> command) const;
  /// Runs `weir COMMAND...` in the box with nothing added.
  Ran bare(std::vector<std::string> command) const;
  [[nodiscard]] nlohmann::json status() const;
  [[nodiscard]] Totals totals() const;
  /// The sources that are blocked, as `weir block list` has them.
  [[nodiscard]] nlohmann::json blocks() const;

  /// Puts sinks at both ends (others' frames pass up the stack) and generators behind them.
  void equip();
  perf::Generator& generator(Side from) { return *generators_[index(from)]; }
  /// Takes IPv6 from the ends' stacks: its chatter would have another CPU empty the ring that a
  /// generator fills, at a pace of its own.
  void hush() const;
  /// One more, for a stream that goes on beside what `send` sends.
  [[nodiscard]] std::unique_ptr<perf::Generator> another_generator(Side from) const;
  perf::Sink& sink(Side at) { return *sinks_[index(at)]; }

  /// Sends these frames, each once and exactly as they are, from the end at `from`.
  void send(Side from, const std::vector<Bytes>& frames);
  /// What the sink at `at` recorded since the last call, after `count` frames of this set have come
  /// or `at_most` is over; frames that are not in `wanted` (the stacks' own chatter) are left out.
  std::vector<Bytes> received(Side at, const std::vector<Bytes>& wanted);

  /// Packets that the box's interface of a side gave to its XDP program, as the driver counts them.
  [[nodiscard]] std::uint64_t driver_packets(Side side) const;

  /// Frames of a channel where the configuration says nothing.
  static constexpr std::uint64_t kFrames = 8192;

  [[nodiscard]] static const char* config_file() { return "/run/weir/weir.toml"; }

 private:
  std::unique_ptr<Process> process_;
  std::array<std::unique_ptr<perf::Generator>, kSides> generators_;
  std::array<std::unique_ptr<perf::Sink>, kSides> sinks_;
};

/// Waits until `condition` holds, looking every 5 ms; false where `at_most` was over first. For
/// what must happen at some time: no test passes or fails by how long it took.
template <typename Condition>
bool eventually(Condition condition, std::chrono::milliseconds at_most = std::chrono::seconds(10)) {
  const auto end = std::chrono::steady_clock::now() + at_most;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return true;
}

/// Skips a test that cannot have namespaces here, with the cause.
#define WEIR_NEEDS_PRIVILEGE() \
  if (const auto& cause = ::weir::test::missing_privilege(); !cause.empty()) GTEST_SKIP() << cause
/// Empty where this process has its own mounts and may do everything that these tests do.
const std::string& missing_privilege();

}  // namespace weir::test
