// SPDX-License-Identifier: BSD-2-Clause
#include "detect/ledger.h"

#include <algorithm>

#include "detect/network_table.h"

namespace weir::detect {
namespace {

void count_up(std::uint32_t& count) noexcept {
  if (count != ~0U) ++count;
}

}  // namespace

Ledger::Ledger(const LedgerConfig& config)
    : config_(config),
      sources_(config.sources_max),
      blocks_(std::max(config.blocks_max, 1U)),
      rows_(blocks_.size() * config.columns) {}

std::size_t Ledger::memory_bytes(const LedgerConfig& config) noexcept {
  return BoundedTable<SourceTally>::bytes(config.sources_max) +
         std::size_t{config.blocks_max} * (sizeof(Kept) + config.columns * sizeof(float));
}

void Ledger::note_one(const Judged& judged, std::size_t i, std::uint64_t source_hash,
                      std::uint64_t number) noexcept {
  const Context& context = judged.contexts[i];
  const Decision& decision = judged.decisions[i];
  const bool made = (decision.block || decision.would_block) && !decision.again;
  if (made) keep(judged, i, number);
  if (!is_drop(decision.rule)) return;
  const auto rule = static_cast<std::size_t>(decision.rule);
  const bool asked_for = context.solicited || context.client_flow;
  ++rules_[rule].packets;
  rules_[rule].asked_for += asked_for ? 1 : 0;
  bool fresh = false;
  SourceTally& source = sources_.touch(context.source, source_hash, context.time, fresh);
  if (fresh) source.first = context.time;
  source.last = context.time;
  count_up(source.packets[rule]);
  count_up(source.total);
  if (asked_for) count_up(source.asked_for);
  if (made && decision.target != Target::victim) count_up(source.blocks);
}

void Ledger::keep(const Judged& judged, std::size_t i, std::uint64_t number) noexcept {
  const std::size_t slot = made_++ % blocks_.size();
  const Context& context = judged.contexts[i];
  const Decision& decision = judged.decisions[i];
  blocks_[slot] = {blocked_address(context, decision), context, decision, judged.scores[i], number};
  for (std::size_t f = 0; f < config_.columns; ++f)
    rows_[slot * config_.columns + f] = judged.columns[f][i];
}

Evidence Ledger::evidence(std::size_t slot) const {
  const Kept& kept = blocks_[slot];
  const auto row = rows_.begin() + static_cast<std::ptrdiff_t>(slot * config_.columns);
  return {kept.address, kept.context, kept.decision,
          kept.score,   kept.packet,  {row, row + static_cast<std::ptrdiff_t>(config_.columns)}};
}

Ledger::Snapshot Ledger::snapshot() const {
  Snapshot copy;
  {
    const std::lock_guard lock(mutex_);
    copy.rules = rules_;
    copy.blocks = made_;
    copy.sources_forgotten = sources_.evicted();
    copy.sources.reserve(sources_.size());
    sources_.each([&](const SourceTally& source) { copy.sources.push_back(source); });
  }
  std::sort(copy.sources.begin(), copy.sources.end(), [](const auto& a, const auto& b) {
    return a.total != b.total ? a.total > b.total : a.key < b.key;
  });
  return copy;
}

std::optional<Evidence> Ledger::find(const Address& address) const {
  const std::lock_guard lock(mutex_);
  const Address network = network_of(address);
  const std::uint64_t kept = std::min<std::uint64_t>(made_, blocks_.size());
  for (std::uint64_t back = 1; back <= kept; ++back) {
    const std::size_t slot = (made_ - back) % blocks_.size();
    const Kept& block = blocks_[slot];
    const bool is_network = block.decision.target == Target::network;
    if (block.address == (is_network ? network : address)) return evidence(slot);
  }
  return std::nullopt;
}

std::optional<SourceTally> Ledger::tally(const Address& source) const {
  const std::lock_guard lock(mutex_);
  const SourceTally* found = sources_.find(source, source.hash(config_.hash_seed));
  if (found == nullptr) return std::nullopt;
  return *found;
}

}  // namespace weir::detect
