// SPDX-License-Identifier: BSD-2-Clause
/// What bpf/maps.h names, as memory: the tables of the native datapath. Inside of native.h and
/// native_shared.h.
///
/// Shape     `NativeLists` is what changes while packets are judged: block- and allowlist, the
///           control value that counts them, and the screen. `NativeCounters` and `weir_tables` are one judge's.
/// Threads   lists: one owner at a time, but for hit counters of blocks, which several judges add
///           to at once where they say so (`weir_tables::shared`). Counters: one writer, any reader.
/// Errors    none but a full table.
#pragma once

#include <array>
#include <bitset>
#include <memory>
#include <optional>
#include <vector>

#include "base/count.h"
#include "datapath/address_table.h"
#include "datapath/datapath.h"
#include "datapath/native.h"
#include "packet/frame.h"
#include "packet/headers.h"

namespace weir::datapath {

class NativeLists {
 public:
  NativeLists(const Config& settings, std::uint64_t seed);

  std::size_t add_blocks(std::span<const Block> blocks);
  std::size_t remove_blocks(std::span<const BlockKey> blocks);
  [[nodiscard]] std::vector<Block> list_blocks() const;
  Status add_allow(const Prefix& prefix);
  bool remove_allow(const Prefix& prefix);
  [[nodiscard]] std::vector<Prefix> list_allow() const;

  weir_block* find_block(std::size_t family, const BlockKey& key) noexcept {
    return blocks_[family].find(key);
  }
  /// Cost: one table look-up for each prefix length in use; asked only after a block was hit.
  [[nodiscard]] bool allows(std::size_t family, const Address& address) noexcept;

  weir_control control{};
  std::shared_ptr<const Screen> screen;

 private:
  using Blocks = AddressTable<weir_block, BlockKey>;
  using Prefixes = AddressTable<std::uint8_t>;  // keys: cleared of host bits

  std::array<Blocks, 2> blocks_;                  // by family: 0 IPv4, 1 IPv6
  std::array<std::vector<Prefixes>, 2> allow_;    // by family, then by length
  std::array<std::vector<unsigned>, 2> lengths_;  // those that have prefixes
  std::size_t allow_max_;
};

struct NativeCounter {
  Count packets, bytes;
  void add(std::uint64_t length) noexcept {
    packets.add(1);
    bytes.add(length);
  }
  [[nodiscard]] Counter value() const noexcept { return {packets.value(), bytes.value()}; }
};

struct NativeCounters {
  std::array<std::array<NativeCounter, kOutcomes>, kSides> outcomes;
  std::array<NativeCounter, WEIR_REDIRECT_ERROR_SLOTS> redirect_errors;
  void add_to(Counters& sum) const noexcept;
};

/// .rodata and the ports map: fixed at the start.
struct NativeSettings {
  explicit NativeSettings(const Config& settings);
  weir_config config{};
  std::array<std::uint64_t, WEIR_PORT_WORDS> ports{};
};

}  // namespace weir::datapath

/// What bpf/datapath.h asks: one judge's view.
struct weir_tables {
  const weir::datapath::NativeSettings* settings = nullptr;
  weir::datapath::NativeLists* lists = nullptr;
  bool shared = false;       // other judges add to the hits of the same blocks
  std::uint64_t now_ns = 0;  // packet time of the frame that is being judged
  std::array<std::bitset<WEIR_CHANNELS_MAX>, weir::kSides> no_socket;
  std::bitset<WEIR_CHANNELS_MAX> has_heartbeat;  // told one; else a channel counts as alive
  std::array<std::uint64_t, WEIR_CHANNELS_MAX> heartbeats_ns{};
  weir::datapath::NativeCounters counters;

  void count(weir::Side side, std::size_t outcome, std::uint64_t bytes) noexcept {
    counters.outcomes[weir::index(side)][outcome].add(bytes);
  }
};

namespace weir::datapath {

/// The outcome of a frame that is as most are, from a look at a few fields; not counted. Nothing: its
/// headers have to be read.
std::optional<Glance> glance_natively(weir_tables& tables,
                                      std::span<const std::uint8_t> frame) noexcept;

/// The outcome of a frame that came in by rx queue `queue`, counted; `headers` are those that
/// `packet::parse` reads. `continues`: bytes of the packet behind those that the frame holds.
Outcome judge_natively(weir_tables& tables, const packet::Frame& frame, std::uint32_t queue,
                       std::uint32_t continues, const packet::Headers& headers) noexcept;

}  // namespace weir::datapath
