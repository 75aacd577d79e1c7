// SPDX-License-Identifier: BSD-2-Clause
/// Shows a watcher every packet of a replay with its verdict, in the capture's order, though the
/// verdicts of those that travel in batches come later than those of the datapath.
///
/// Bounds    as many packets wait as there are between the oldest that travels and the newest: the
///           reader stops while too many travel, but not for those that the datapath ends.
/// Threads   one owner.
#pragma once

#include <deque>
#include <functional>
#include <string_view>

#include "base/types.h"
#include "io/capture.h"

namespace weir::pipeline {

/// A packet and what became of it. `by` is "datapath" or "policy", `reason` its outcome's or
/// reason's name; both live as long as the program.
struct JudgedPacket {
  io::CapturedPacket captured;
  Side side = Side::wan;
  Verdict verdict = Verdict::forward;
  std::string_view by;
  std::string_view reason;
};

using ReplayWatcher = std::function<void(const JudgedPacket& packet)>;

class ReplayOrder {
 public:
  explicit ReplayOrder(ReplayWatcher watcher) : watcher_(std::move(watcher)) {}

  /// Ended by the datapath.
  void ended(const JudgedPacket& packet) {
    if (waiting_.empty())
      watcher_(packet);
    else
      waiting_.push_back(packet);
  }
  /// Travels: `judged` will tell, in the same order.
  void travels(const io::CapturedPacket& captured, Side side) {
    waiting_.push_back({captured, side, Verdict::forward, {}, {}});
  }
  /// The verdict of the oldest that travels, which is the first one of all that wait.
  void judged(Verdict verdict, std::string_view reason) {
    JudgedPacket& oldest = waiting_.front();
    oldest.verdict = verdict;
    oldest.by = "policy";
    oldest.reason = reason;
    for (; !waiting_.empty() && !waiting_.front().by.empty(); waiting_.pop_front())
      watcher_(waiting_.front());
  }

 private:
  const ReplayWatcher watcher_;
  std::deque<JudgedPacket> waiting_;
};

}  // namespace weir::pipeline
