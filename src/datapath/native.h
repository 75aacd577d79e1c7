// SPDX-License-Identifier: BSD-2-Clause
/// The datapath compiled natively over tables in memory: judges captures.
///
/// Threads   `judge` belongs to one thread; table changes go through the same thread (a replay's
///           reader), or must be fenced by the caller. Nothing allocates in `judge`.
/// Source    bpf/datapath.h, the very text that the XDP program is made of.
#pragma once

#include <memory>
#include <optional>

#include "datapath/datapath.h"
#include "packet/frame.h"
#include "packet/headers.h"

namespace weir::datapath {

class Native final : public Datapath {
 public:
  explicit Native(const Config& config);
  ~Native() override;

  /// The outcome of `frame` at its packet time, counted; sockets count as present and alive. Fills
  /// `headers`.
  Outcome judge(const packet::Frame& frame, packet::Headers& headers) noexcept;
  /// The outcome of a frame that is as most are, from a glance at it: none of weir's business. What
  /// `judge` would say, without its count; nothing where that has to look at all headers. Of
  /// `headers`, family and source alone are set. Asks for no side.
  [[nodiscard]] std::optional<Outcome> glance(const packet::Frame& frame,
                                              packet::Headers& headers) const noexcept;
  /// What is left to do with a glance's outcome, which it gives back; asks for the frame's side.
  Outcome count(const packet::Frame& frame, Outcome outcome) noexcept;
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
