// SPDX-License-Identifier: BSD-2-Clause
#include "io/frame_pool.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <numeric>
#include <set>

namespace weir::io {
namespace {

constexpr std::array kAll = {Place::free,  Place::fill, Place::rx,
                             Place::batch, Place::tx,   Place::completion};

TEST(FramePool, StartsWithAllFramesFree) {
  const FramePool pool(8);
  EXPECT_EQ(pool.frames(), 8U);
  EXPECT_EQ(pool.count(Place::free), 8U);
  EXPECT_TRUE(pool.conserved());
  std::set<std::string> names;
  for (const Place place : kAll) names.insert(name(place));
  EXPECT_EQ(names.size(), kPlaces);
}

TEST(FramePool, TakesWhatThereIs) {
  FramePool pool(5);
  std::array<std::uint32_t, 4> out{};
  EXPECT_EQ(pool.take(out, Place::fill), 4U);
  std::array<std::uint32_t, 4> rest{};
  EXPECT_EQ(pool.take(rest, Place::batch), 1U);
  EXPECT_EQ(pool.take(rest, Place::fill), 0U);
  EXPECT_EQ(pool.count(Place::fill), 4U);
  EXPECT_EQ(pool.count(Place::batch), 1U);
  std::set<std::uint32_t> numbers(out.begin(), out.end());
  numbers.insert(rest[0]);
  EXPECT_EQ(numbers.size(), 5U) << "each frame once";
  EXPECT_LT(*numbers.rbegin(), 5U);
}

TEST(FramePool, WhatWasUsedLastIsTakenFirst) {
  FramePool pool(64);
  std::array<std::uint32_t, 3> out{};
  ASSERT_EQ(pool.take(out, Place::batch), 3U);
  pool.move(out[1], Place::batch, Place::free);
  std::array<std::uint32_t, 1> again{};
  ASSERT_EQ(pool.take(again, Place::tx), 1U);
  EXPECT_EQ(again[0], out[1]);
}

// Any order of takes and moves, against the plainest model there is: a list of frames a place.
RC_GTEST_PROP(FramePool, AgreesWithAListOfFramesForEachPlace, ()) {
  const auto frames = *rc::gen::inRange<std::uint32_t>(1, 200);
  FramePool pool(frames);
  std::array<std::vector<std::uint32_t>, kPlaces> model;
  model[0].resize(frames);
  std::iota(model[0].begin(), model[0].end(), 0U);
  const auto steps = *rc::gen::inRange(1, 200);
  for (int i = 0; i < steps; ++i) {
    const auto from = *rc::gen::inRange<std::size_t>(0, kPlaces);
    const auto to = *rc::gen::inRange<std::size_t>(from == 0 ? 1 : 0, kPlaces);
    if (from == 0) {
      std::vector<std::uint32_t> out(*rc::gen::inRange<std::size_t>(0, frames + 2));
      const std::size_t taken = pool.take(out, kAll[to]);
      RC_ASSERT(taken == std::min(out.size(), model[0].size()));
      for (std::size_t j = 0; j < taken; ++j) {
        const auto found = std::find(model[0].begin(), model[0].end(), out[j]);
        RC_ASSERT(found != model[0].end());
        model[0].erase(found);
        model[to].push_back(out[j]);
      }
    } else {
      const auto count = *rc::gen::inRange<std::size_t>(0, model[from].size() + 1);
      const std::vector<std::uint32_t> moved(model[from].end() - static_cast<long>(count),
                                             model[from].end());
      pool.move(moved, kAll[from], kAll[to]);
      model[from].resize(model[from].size() - count);
      model[to].insert(model[to].end(), moved.begin(), moved.end());
    }
    for (std::size_t p = 0; p < kPlaces; ++p) RC_ASSERT(pool.count(kAll[p]) == model[p].size());
    RC_ASSERT(pool.conserved());
  }
}

TEST(FramePoolDeathTest, MoreThanAPlaceHoldsAborts) {
  FramePool pool(4);
  std::array<std::uint32_t, 2> out{};
  ASSERT_EQ(pool.take(out, Place::batch), 2U);
  pool.move(out, Place::batch, Place::free);
  EXPECT_DEATH(pool.move(out, Place::batch, Place::free), "fault in the program");
}

TEST(FramePoolDeathTest, FreeFramesAreOnlyTaken) {
  FramePool pool(4);
  EXPECT_DEATH(pool.move(0, Place::free, Place::tx), "fault in the program");
}

#ifndef NDEBUG
// Counts alone cannot see these: another frame is rightly at the place.
TEST(FramePoolDeathTest, AFrameThatIsGivenBackTwiceAborts) {
  FramePool pool(4);
  std::array<std::uint32_t, 2> out{};
  ASSERT_EQ(pool.take(out, Place::batch), 2U);
  pool.move(out[0], Place::batch, Place::free);
  EXPECT_DEATH(pool.move(out[0], Place::batch, Place::free), "places_\\[frame\\] == from");
}

TEST(FramePoolDeathTest, AFrameThatIsSentTwiceAborts) {
  FramePool pool(4);
  std::array<std::uint32_t, 2> out{};
  ASSERT_EQ(pool.take(out, Place::batch), 2U);
  const std::array<std::uint32_t, 2> twice = {out[0], out[0]};
  EXPECT_DEATH(pool.move(twice, Place::batch, Place::tx), "places_\\[frame\\] == from");
}

TEST(FramePoolDeathTest, AFrameThatThereIsNotAborts) {
  FramePool pool(4);
  std::array<std::uint32_t, 2> out{};
  ASSERT_EQ(pool.take(out, Place::batch), 2U);
  EXPECT_DEATH(pool.move(4, Place::batch, Place::tx), "frame < frames_");
}
#endif

}  // namespace
}  // namespace weir::io
