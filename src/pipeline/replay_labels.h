// SPDX-License-Identifier: BSD-2-Clause
/// The labels that packets of a capture carry in their comments, counted by comment.
///
/// Shape     one `LabelTally` for each distinct comment that has a label; -1 stands for none.
/// Cost      the comment of the packet before is tried first: traffic comes in runs.
/// Threads   one owner.
#pragma once

#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "pipeline/replay.h"

namespace weir::pipeline {

class ReplayLabels {
 public:
  /// More distinct comments than this are no labels but notes: the rest is not counted.
  static constexpr std::size_t kLabelsMax = 1024;

  std::int32_t of(std::string_view comment) {
    if (comment.empty()) return -1;
    if (comment == last_) return last_place_;
    const auto known = places_.find(std::string(comment));
    const std::int32_t place = known != places_.end() ? known->second : add(comment);
    last_ = comment;
    last_place_ = place;
    return place;
  }

  LabelTally& operator[](std::int32_t place) noexcept {
    return tallies_[static_cast<std::size_t>(place)];
  }
  [[nodiscard]] const std::vector<LabelTally>& tallies() const& noexcept { return tallies_; }
  [[nodiscard]] std::vector<LabelTally> tallies() && noexcept { return std::move(tallies_); }

 private:
  static std::string word(std::string_view comment, std::string_view key) {
    std::size_t at = comment.find(key);
    while (at != std::string_view::npos && at != 0 && comment[at - 1] != ' ')
      at = comment.find(key, at + 1);
    if (at == std::string_view::npos) return {};
    comment.remove_prefix(at + key.size());
    return std::string(comment.substr(0, comment.find(' ')));
  }

  std::int32_t add(std::string_view comment) {
    std::string label = word(comment, "label=");
    if (label.empty() || tallies_.size() >= kLabelsMax) return -1;
    const auto place = static_cast<std::int32_t>(tallies_.size());
    LabelTally tally;
    tally.label = std::move(label);
    tally.kind = word(comment, "kind=");
    tallies_.push_back(std::move(tally));
    places_.emplace(comment, place);
    return place;
  }

  std::vector<LabelTally> tallies_;
  std::unordered_map<std::string, std::int32_t> places_;
  std::string last_;
  std::int32_t last_place_ = -1;
};

}  // namespace weir::pipeline
