// SPDX-License-Identifier: BSD-2-Clause
#include <array>
#include <mutex>
#include <utility>

#include "pipeline/engine.h"

namespace weir::pipeline {
namespace {

class SerialEngine final : public Engine {
 public:
  SerialEngine(const Judge& judge, Done done)
      : judge_(judge), done_(std::move(done)), evaluator_(judge.evaluator.clone()) {}

  void submit(Batch* batch) noexcept override {
    batch->enter(Batch::At::pool);
    batch->leave(Batch::At::submitted);
    WEIR_CHECK(batch->channel < texts_.size());
    parse(*batch, texts_[batch->channel]);
    // The tables have one owner at a time: channels take turns here. With one channel nobody ever
    // waits; one lock a batch is then a tenth of a nanosecond a packet.
    const std::lock_guard turn(turn_);
    batch->ticket = next_ticket_++;
    extract(*batch, judge_.extractor);
    classify(*batch, *evaluator_);
    decide(*batch, judge_.policy, judge_.sink, judge_.ledger);
    done_(batch);
  }

  void drain() noexcept override {}  // `submit` returns when its batch is done

  void use(const forest::Evaluator& evaluator) override {
    auto other = evaluator.clone();  // outlives the lock: the old one is freed behind it
    const std::lock_guard turn(turn_);
    evaluator_.swap(other);
  }

 private:
  Judge judge_;
  Done done_;
  std::array<packet::SsdpCache, WEIR_CHANNELS_MAX> texts_;  // by channel: each has one thread
  std::unique_ptr<forest::Evaluator> evaluator_;            // of whose turn it is
  std::mutex turn_;
  std::uint64_t next_ticket_ = 0;
};

}  // namespace

std::unique_ptr<Engine> make_serial_engine(const Judge& judge, Done done) {
  return std::make_unique<SerialEngine>(judge, std::move(done));
}

Result<std::unique_ptr<Engine>> make_engine(const EngineConfig& config, const Judge& judge,
                                            Done done) {
  if (config.workers == 0) return make_serial_engine(judge, std::move(done));
  return make_graph_engine(config, judge, std::move(done));
}

}  // namespace weir::pipeline
