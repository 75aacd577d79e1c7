// SPDX-License-Identifier: BSD-2-Clause
#include "pipeline/batch.h"

#include <numeric>

namespace weir::pipeline {
namespace {

constexpr std::size_t kFloatsPerLine = kCacheLine_bytes / sizeof(float);
/// One line more than a column needs: at a power of two, the row that extract writes would find all
/// its columns in four sets of the L1 cache.
constexpr std::size_t kColumnStride = kBatchPackets + kFloatsPerLine;

}  // namespace

void Batch::allocate_columns(std::size_t features, std::span<const std::uint32_t> model_features) {
  column_storage_.assign(features * kColumnStride + kFloatsPerLine, 0.0F);
  void* start = column_storage_.data();
  std::size_t room = column_storage_.size() * sizeof(float);
  WEIR_CHECK(std::align(kCacheLine_bytes, features * kColumnStride * sizeof(float), start, room) !=
             nullptr);
  columns.clear();
  for (std::size_t f = 0; f < features; ++f)
    columns.push_back(static_cast<float*>(start) + f * kColumnStride);
  model_columns.clear();
  for (const std::uint32_t f : model_features) {
    WEIR_CHECK(f < features);
    model_columns.push_back(columns[f]);
  }
}

Columns Columns::all_of(std::size_t features) {
  Columns columns{features, std::vector<std::uint32_t>(features)};
  std::iota(columns.model_features.begin(), columns.model_features.end(), 0U);
  return columns;
}

BatchPool::BatchPool(std::uint32_t channel, std::size_t batches, const Columns& columns) {
  WEIR_CHECK(batches > 0);
  for (std::size_t i = 0; i < batches; ++i) {
    auto batch = std::make_unique<Batch>();
    batch->channel = channel;
    batch->allocate_columns(columns.extracted, columns.model_features);
    free_.push_back(batch.get());
    batches_.push_back(std::move(batch));
  }
}

Batch* BatchPool::take() noexcept {
  if (free_.empty()) return nullptr;
  Batch* batch = free_.back();
  free_.pop_back();
  batch->size = 0;
  batch->headers_known = false;
  return batch;
}

void BatchPool::give(Batch* batch) noexcept {
  const auto place = batch->place.load(std::memory_order_acquire);
  WEIR_CHECK(place == Batch::At::decided || place == Batch::At::pool);
  WEIR_CHECK(free_.size() < batches_.size());
  batch->place.store(Batch::At::pool, std::memory_order_relaxed);
  free_.push_back(batch);
}

}  // namespace weir::pipeline
