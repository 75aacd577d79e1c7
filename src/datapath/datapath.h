// SPDX-License-Identifier: BSD-2-Clause
/// The packet decision that runs first, and its tables, seen from userspace: one interface, two
/// builds.
///
/// `kernel.cpp` loads the XDP program and keeps its maps; `native.cpp` compiles the same
/// bpf/datapath.h over tables in memory, for captures. What one does, the other does: tests/equal
/// holds them together frame by frame.
///
/// Owner     the service (or the replay) owns the datapath; the enforcer thread is the only one
///           that changes tables.
/// Threads   see each call; counters may be read from any thread.
/// Errors    `Result` with errno text and, for a load, the verifier's log.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "../../bpf/abi.h"
#include "../../bpf/outcomes.h"
#include "base/address.h"
#include "base/clock.h"
#include "base/result.h"
#include "base/types.h"
#include "datapath/screen.h"

namespace weir::datapath {

inline constexpr std::size_t kOutcomes = WEIR_OUTCOME_SLOTS;

enum class Outcome : std::uint8_t {
#define WEIR_OUTCOME_CLASS(number, name, effect, help) name = number,
  WEIR_OUTCOMES(WEIR_OUTCOME_CLASS)
#undef WEIR_OUTCOME_CLASS
};

enum class Effect : std::uint8_t { peer, socket, drop };

inline constexpr std::array<Effect, kOutcomes> kEffects = [] {
  std::array<Effect, kOutcomes> effects{};
#define WEIR_OUTCOME_EFFECT(number, name, effect, help) effects[number] = Effect::effect;
  WEIR_OUTCOMES(WEIR_OUTCOME_EFFECT)
#undef WEIR_OUTCOME_EFFECT
  return effects;
}();
/// Of an outcome that there is.
constexpr Effect effect(Outcome outcome) noexcept {
  return kEffects[static_cast<std::size_t>(outcome)];
}
const char* name(Outcome outcome) noexcept;
const char* help(Outcome outcome) noexcept;

/// Settings of the datapath: filled from the configuration by control/.
struct Config {
  bool fail_closed = false;
  bool drop_fragments = false;     ///< UDP fragments after the first, all of them
  bool blocked_fragments = false;  ///< those of a blocked source or network
  bool ssdp_payload = true;
  bool host_mode = false;  ///< one interface; its peer is this host's stack
  bool observe = false;    ///< with `host_mode`: what is steered passes at once, and is copied
  /// Host mode: room for copies, a power of two and at least a page.
  std::uint32_t copies_bytes = 1U << 20U;
  bool shadow = false;                            ///< blocks are kept and have no effect
  std::vector<std::uint16_t> udp_ports = {1900};  ///< host order, without duplicates
  bool all_ports = false;                         ///< all of UDP, whatever `udp_ports` says
  bool all_ip = false;                            ///< all of IPv4 and IPv6, fragments too
  std::uint32_t heartbeat_limit_ms = 200;
  std::uint32_t blocks_max = 131'072;  ///< per family; the hash stays fast while at most half full
  std::uint32_t allow_max = 4'096;     ///< prefixes per family
  std::shared_ptr<const Screen> screen = nullptr;  ///< none: all that is steered goes to a socket
  bool screen_ssdp = false;                        ///< the screen judges SSDP too
};

struct Counter {
  std::uint64_t packets = 0;
  std::uint64_t bytes = 0;
};

/// By side and outcome, summed over CPUs; and redirects that failed after the program returned.
struct Counters {
  std::array<std::array<Counter, kOutcomes>, kSides> outcomes{};
  std::array<Counter, WEIR_REDIRECT_ERROR_SLOTS> redirect_errors{};
};

/// As commands, answers and reports name what a block is of.
constexpr const char* target_name(weir_target target) noexcept {
  return target == WEIR_TARGET_network  ? "network"
         : target == WEIR_TARGET_victim ? "victim"
                                        : "source";
}

/// What a block is of. A network's address has no host bits.
struct BlockKey {
  Address address;
  weir_target target = WEIR_TARGET_source;

  [[nodiscard]] std::uint64_t hash(std::uint64_t seed) const noexcept {
    return address.hash(seed + target);
  }
  friend bool operator==(const BlockKey&, const BlockKey&) = default;
};

/// An entry of the blocklist, family-blind.
struct Block {
  Address source;  ///< or the network, or the victim
  weir_block value{};
  weir_target target = WEIR_TARGET_source;

  [[nodiscard]] BlockKey key() const noexcept { return {source, target}; }
};

class Datapath {
 public:
  virtual ~Datapath() = default;

  /// Adds or replaces blocks, as many as there is room for, in as few system calls as the kernel
  /// allows. Returns how many were added; fewer than asked means full, or a system error (also in
  /// the status text of metrics). Keeps `weir_control` right. One thread at a time (the enforcer).
  virtual Result<std::size_t> add_blocks(std::span<const Block> blocks) = 0;
  /// Removes these blocks; absent ones are not an error. Returns how many were there.
  virtual Result<std::size_t> remove_blocks(std::span<const BlockKey> blocks) = 0;
  /// Every block there is, expired ones too, in no order.
  virtual Result<std::vector<Block>> list_blocks() const = 0;

  virtual Status add_allow(const Prefix& prefix) = 0;
  virtual Result<bool> remove_allow(const Prefix& prefix) = 0;  ///< false where it was not there
  virtual Result<std::vector<Prefix>> list_allow() const = 0;

  virtual Result<Counters> counters() const = 0;
};

}  // namespace weir::datapath
