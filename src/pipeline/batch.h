// SPDX-License-Identifier: BSD-2-Clause
/// Up to 256 frames that travel together, by handle: never copied, one owner at a time.
///
/// Shape     arrays by packet; features by column, each column on its own 64-byte lines.
/// Owner     the channel whose pool it came from; while it travels, the stage that holds it.
/// Threads   hand-over by the graph or by a ring; no field is shared.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "detect/context.h"
#include "detect/policy.h"
#include "packet/frame.h"
#include "packet/headers.h"
#include "packet/ssdp.h"

namespace weir::pipeline {

inline constexpr std::size_t kBatchPackets =
    256;  ///< graph cost a packet is 1-4 ns at 256 and 100 at 8 (perf/)

struct alignas(kCacheLine_bytes) Batch {
  std::uint32_t channel = 0;
  std::uint32_t size = 0;
  std::uint64_t ticket =
      0;  ///< place in the total order of batches that extract and decide follow, from 0

  std::array<packet::Frame, kBatchPackets> frames;
  std::array<packet::Headers, kBatchPackets> headers;
  std::array<packet::Ssdp, kBatchPackets> ssdp;
  std::array<detect::Context, kBatchPackets> contexts;
  alignas(kCacheLine_bytes) std::array<float, kBatchPackets> scores;
  std::array<detect::Decision, kBatchPackets> decisions;

  /// Columns for `features` features; called once, when the pool is made.
  void allocate_columns(std::size_t features);
  std::vector<float*> columns;        ///< by feature, each kBatchPackets long
  std::vector<float> column_storage;  ///< what `columns` points into
};

}  // namespace weir::pipeline
