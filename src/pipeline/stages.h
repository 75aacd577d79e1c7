// SPDX-License-Identifier: BSD-2-Clause
/// The stages between receive and transmit, as plain functions over a batch; the engines only
/// decide where they run.
///
///   parse     headers (where the datapath did not leave them) and SSDP
///             any thread, with a cache of texts of its own
///   extract   rows and contexts: touches the tables
///             in ticket order, one batch at a time
///   classify  scores by the forest
///             stateless, one evaluator a thread
///   decide    verdicts; new blocks go to the `BlockSink`
///             in ticket order, one batch at a time
///
/// Cost      every stage runs over the whole batch before the next one starts, so that its code is
///           fetched once a batch and not once a packet.
#pragma once

#include "datapath/datapath.h"
#include "detect/extractor.h"
#include "detect/ledger.h"
#include "detect/policy.h"
#include "forest/evaluate.h"
#include "packet/ssdp_cache.h"
#include "pipeline/batch.h"

namespace weir::pipeline {

/// Where decide leaves new blocks: bounded, never blocks the caller.
class BlockSink {
 public:
  virtual ~BlockSink() = default;
  /// Decide is about to begin with a batch: the moment for whoever has something to tell its
  /// policy.
  virtual void before(detect::Policy& /*policy*/) noexcept {}
  /// False where it is full: the block is lost, counted by the sink, and made again by the source's
  /// next attack packet.
  virtual bool put(const datapath::Block& block, PacketTime first_seen) noexcept = 0;
};

/// The blocklist entry that `decision` asks for.
datapath::Block make_block(const detect::Context& context,
                           const detect::Decision& decision) noexcept;

void parse(Batch& batch, packet::SsdpCache& texts) noexcept;
void extract(Batch& batch, detect::Extractor& extractor) noexcept;
void classify(Batch& batch, forest::Evaluator& evaluator) noexcept;
/// `ledger` may be nullptr.
void decide(Batch& batch, detect::Policy& policy, BlockSink& sink, detect::Ledger* ledger) noexcept;

}  // namespace weir::pipeline
