// SPDX-License-Identifier: BSD-2-Clause
// Nothing is allocated after load: this program counts what operator new is asked for.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <memory>
#include <new>

#include "forest/tuning.h"
#include "tests/forest/random_model.h"

namespace {
std::atomic<std::size_t> allocations{0};
constexpr std::size_t kUsual = __STDCPP_DEFAULT_NEW_ALIGNMENT__;

void* counted(std::size_t size, std::size_t alignment) {
  allocations.fetch_add(1, std::memory_order_relaxed);
  void* memory = nullptr;
  if (posix_memalign(&memory, std::max(alignment, sizeof(void*)), std::max<std::size_t>(size, 1)) !=
      0)
    throw std::bad_alloc();
  return memory;
}
}  // namespace

// All of them: a sanitizer brings its own of those that are left out, and they would not match.
void* operator new(std::size_t size) { return counted(size, kUsual); }
void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
  return counted(size, kUsual);
}
void* operator new(std::size_t size, std::align_val_t alignment) {
  return counted(size, static_cast<std::size_t>(alignment));
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, const std::nothrow_t&) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept { std::free(memory); }
void* operator new[](std::size_t size) { return counted(size, kUsual); }
void* operator new[](std::size_t size, const std::nothrow_t&) noexcept {
  return counted(size, kUsual);
}
void* operator new[](std::size_t size, std::align_val_t alignment) {
  return counted(size, static_cast<std::size_t>(alignment));
}
void operator delete[](void* memory) noexcept { std::free(memory); }
void operator delete[](void* memory, const std::nothrow_t&) noexcept { std::free(memory); }
void operator delete[](void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete[](void* memory, std::align_val_t) noexcept { std::free(memory); }
void operator delete[](void* memory, std::size_t, std::align_val_t) noexcept { std::free(memory); }

namespace weir::forest {
namespace {

using testing::Aligned;
using testing::Maker;
using testing::Shape;

void expect_none(const Shape& shape, std::uint64_t seed) {
  Maker maker(shape, seed);
  const Model model = maker.model();
  auto values = maker.columns(kBatchMax);
  for (auto& column : values)  // the last block is a flood
    for (std::size_t r = kBatchMax - 512; r < kBatchMax; ++r) column[r] = column[r % 2];
  const Aligned columns(values);
  std::vector<float> scores(kBatchMax * score_columns(model));
  auto made = make_evaluator(model);
  ASSERT_TRUE(made.has_value()) << made.error().message;
  const auto plain = make_scalar_evaluator(model);
  for (Evaluator* evaluator : {made->get(), plain.get()}) {
    for (const std::size_t rows : {1U, 7U, 64U, 256U, 513U, 4096U}) {
      const std::size_t before = allocations.load();
      evaluator->evaluate(columns.data(), rows, scores.data());
      EXPECT_EQ(allocations.load() - before, 0U)
          << evaluator->describe() << ", " << rows << " rows";
    }
  }
}

TEST(Allocation, IsCounted) {
  const std::size_t before = allocations.load();
  const auto memory = std::make_unique<std::vector<int>>(100);
  EXPECT_EQ(allocations.load() - before, 2U) << memory->size();
}

TEST(Allocation, NoneAfterLoad) {
  Shape shape;
  expect_none(shape, 1);
  shape.depth = 11;  // some sliced, some walked
  shape.leaf_chance = 0.3;
  shape.trees = 80;
  expect_none(shape, 2);
  shape.missing_left = true;
  shape.classes = shape.outputs = 5;
  expect_none(shape, 3);
  shape.sum = true;
  shape.per_class_trees = true;
  shape.float32_sums = true;
  expect_none(shape, 4);
}

TEST(Allocation, NoneOfALinearModel) {
  Model model;
  model.kind = Model::Kind::linear;
  model.features = {"a", "b"};
  model.units = {"", ""};
  model.classes = {{"no", 0}, {"yes", 0}};
  model.link = Link::sigmoid;
  model.bias = {0.5};
  model.weights = {1, -2};
  Maker maker({.features = 2}, 1);
  static_cast<void>(maker.model());  // its thresholds are where the rows stand
  const Aligned columns(maker.columns(300));
  std::vector<float> scores(300);
  auto made = make_evaluator(model);
  ASSERT_TRUE(made.has_value());
  const std::size_t before = allocations.load();
  (*made)->evaluate(columns.data(), 300, scores.data());
  EXPECT_EQ(allocations.load() - before, 0U);
}

}  // namespace
}  // namespace weir::forest
