// SPDX-License-Identifier: BSD-2-Clause
/// Stand-ins for extraction and forest whose answers a test can work out from the frame's number,
/// and which notice when an engine breaks its promises.
#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "pipeline/engine.h"

namespace weir::test {

/// Microseconds of delay for packet or batch `n`: mostly none, sometimes long enough to be
/// overtaken.
inline void sometimes_delay(std::uint64_t n, std::uint64_t seed) {
  std::uint64_t x = (n + 1) * 0x9e3779b97f4a7c15ULL ^ seed * 0xd6e8feb86659fd93ULL;
  x ^= x >> 29U;
  if (x % 7 == 0) std::this_thread::sleep_for(std::chrono::microseconds(x % 150));
}

/// Feature 0 is the frame's number. The source is 198.18.0.0 + number % 50.
class NumberExtractor final : public detect::Extractor {
 public:
  explicit NumberExtractor(std::uint64_t seed = 0) : seed_(seed) {}
  void populate() noexcept override {}
  void extract(const detect::Packets& packets) noexcept override {
    EXPECT_FALSE(busy_.exchange(true)) << "two threads extract at once";
    if (seed_ != 0 && !packets.frames.empty()) sometimes_delay(packets.frames[0].number, seed_);
    for (std::size_t row = 0; row < packets.frames.size(); ++row)
      packets.contexts[row] = one(packets.frames[row], packets.columns, row);
    busy_ = false;
  }
  [[nodiscard]] detect::TableCounters counters() const noexcept override { return {}; }

  std::vector<std::uint64_t> seen;  ///< numbers, in the order of extraction

 private:
  detect::Context one(const packet::Frame& frame, float* const* columns, std::size_t row) {
    seen.push_back(frame.number);
    columns[0][row] = static_cast<float>(frame.number);
    detect::Context context;
    context.method = packet::Method::reply;
    context.destination_unsolicited = 1'000;  // to a host under attack
    context.source_port = context.destination_port = 1900;
    const auto host = static_cast<std::uint32_t>(0xc6120000U + frame.number % 50);
    context.source = Address::v4(be32::from_host(host));
    context.time = frame.time;
    context.first_seen = frame.time;
    context.side = frame.side;
    return context;
  }

  const std::uint64_t seed_;
  std::atomic<bool> busy_{false};
};

inline bool is_attack(std::uint64_t number) { return number % 3 == 0; }

class NumberEvaluator final : public forest::Evaluator {
 public:
  explicit NumberEvaluator(std::uint64_t seed = 0) : seed_(seed) {}
  void evaluate(const float* const* columns, std::size_t rows, float* scores) noexcept override {
    EXPECT_FALSE(busy_.exchange(true)) << "two threads use one evaluator";
    if (seed_ != 0 && rows > 0)
      sometimes_delay(static_cast<std::uint64_t>(columns[0][0]), seed_ + 1);
    for (std::size_t i = 0; i < rows; ++i)
      scores[i] = is_attack(static_cast<std::uint64_t>(columns[0][i])) ? 1.0F : 0.0F;
    busy_ = false;
  }
  [[nodiscard]] std::unique_ptr<forest::Evaluator> clone() const override {
    return std::make_unique<NumberEvaluator>(seed_);
  }
  [[nodiscard]] std::string describe() const override { return "by number"; }

 private:
  const std::uint64_t seed_;
  std::atomic<bool> busy_{false};
};

class ListSink final : public pipeline::BlockSink {
 public:
  bool put(const datapath::Block& block, PacketTime /*first_seen*/) noexcept override {
    blocks.push_back(block);
    return true;
  }
  std::vector<datapath::Block> blocks;
};

/// Blocks on the third attack packet, however soon it comes.
inline detect::PolicyConfig quick() {
  detect::PolicyConfig config;
  config.evidence_span_ms = 0;
  return config;
}

/// Everything that an engine judges with, made of the above.
struct Doubles {
  explicit Doubles(std::uint64_t seed = 0, const detect::PolicyConfig& config = quick())
      : extractor(seed), evaluator(seed), policy(config) {}
  pipeline::Judge judge() { return {extractor, policy, evaluator, sink}; }
  NumberExtractor extractor;
  NumberEvaluator evaluator;
  detect::Policy policy;
  ListSink sink;
};

}  // namespace weir::test
