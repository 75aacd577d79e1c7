// SPDX-License-Identifier: BSD-2-Clause
/// The datapath compiled natively over tables in memory: judges captures.
///
/// Threads   `judge` belongs to one thread; table changes go through the same thread (a replay's
///           reader), or must be fenced by the caller. Nothing allocates in `judge`.
/// Source    bpf/datapath.h, the very text that the XDP program is made of.
#pragma once

#include <memory>
#include <optional>
#include <span>

#include "datapath/datapath.h"
#include "packet/frame.h"
#include "packet/headers.h"

namespace weir::datapath {

/// What a look at a few fields of a frame tells of it.
struct Glance {
  Outcome outcome;
  std::uint8_t family;  ///< 4 or 6
  std::uint16_t source_offset;
  [[nodiscard]] Address source(std::span<const std::uint8_t> frame) const noexcept {
    return packet::address_at(frame, family, source_offset);
  }
};

class Native final : public Datapath {
 public:
  explicit Native(const Config& config);
  ~Native() override;

  /// The outcome of `frame` at its packet time, counted; sockets count as present and alive. Fills
  /// `headers`.
  Outcome judge(const packet::Frame& frame, packet::Headers& headers) noexcept;
  /// The outcome of a frame that is as most are, from a glance at it: none of weir's business. What
  /// `judge` would say, without its count; nothing where that has to look at all headers.
  [[nodiscard]] std::optional<Glance> glance(std::span<const std::uint8_t> frame) const noexcept;
  /// The headers that the XDP program reads of a frame at a glance, where that finds no outcome;
  /// nothing where it has to parse. For tests: they are what bpf/parse.h would make of it.
  [[nodiscard]] std::optional<packet::Headers> read_at_a_glance(
      std::span<const std::uint8_t> frame) const noexcept;
  /// What is left to do with a glance's outcome, which it gives back.
  Outcome count(Side side, std::size_t bytes, Outcome outcome) noexcept;
  /// The same as `judge` for a frame whose headers `packet::parse` has read.
  Outcome judge_parsed(const packet::Frame& frame, const packet::Headers& headers) noexcept;

  /// What the kernel would be told of a missing socket or a stale heartbeat: for tests of the fail
  /// modes.
  void set_socket(Side side, std::uint32_t queue, bool present) noexcept;
  void set_heartbeat(std::uint32_t channel, PacketTime time) noexcept;

  Result<std::size_t> add_blocks(std::span<const Block> blocks) override;
  Result<std::size_t> remove_blocks(std::span<const BlockKey> blocks) override;
  Result<std::vector<Block>> list_blocks() const override;
  Status add_allow(const Prefix& prefix) override;
  Result<bool> remove_allow(const Prefix& prefix) override;
  Result<std::vector<Prefix>> list_allow() const override;
  Result<Counters> counters() const override;

  struct Tables;  ///< what bpf/maps.h names, in memory

 private:
  std::unique_ptr<Tables> tables_;
};

}  // namespace weir::datapath
