// SPDX-License-Identifier: BSD-2-Clause
/// The stages between receive and transmit, as plain functions over a batch; the engines only
/// decide where they run.
///
///   parse     headers (where the datapath did not leave them) and SSDP            stateless, any
///   thread extract   rows, contexts: touches the tables                                   in
///   ticket order, one at a time classify  scores by the forest stateless, one evaluator a thread
///   decide    verdicts; new blocks go to the `BlockSink`                           in ticket
///   order, one at a time
#pragma once

#include "datapath/datapath.h"
#include "detect/extractor.h"
#include "detect/policy.h"
#include "forest/evaluate.h"
#include "pipeline/batch.h"

namespace weir::pipeline {

/// Where decide leaves new blocks: bounded, never blocks the caller.
class BlockSink {
 public:
  virtual ~BlockSink() = default;
  /// False where it is full: the block is lost, counted, and made again by the source's next attack
  /// packet.
  virtual bool put(const datapath::Block& block, PacketTime first_seen) noexcept = 0;
};

void parse(Batch& batch) noexcept;
void extract(Batch& batch, detect::Extractor& extractor) noexcept;
void classify(Batch& batch, forest::Evaluator& evaluator) noexcept;
void decide(Batch& batch, detect::Policy& policy, BlockSink& sink) noexcept;

}  // namespace weir::pipeline
