// SPDX-License-Identifier: BSD-2-Clause
#include "pipeline/replay_source.h"

#include <utility>

namespace weir::pipeline {

Result<ReplaySource> ReplaySource::open(const std::vector<ReplayInput>& inputs) {
  ReplaySource source;
  for (const ReplayInput& input : inputs) {
    WEIR_ASSIGN(auto reader, io::CaptureReader::open(input.path));
    source.add(std::move(reader), input.side);
  }
  return source;
}

void ReplaySource::add(std::unique_ptr<io::CaptureReader> reader, std::optional<Side> side) {
  Input input;
  input.reader = std::move(reader);
  input.side = side;
  inputs_.push_back(std::move(input));
}

bool ReplaySource::advance(Input& input) {
  const io::Step step = input.reader->next(input.head);
  if (step == io::Step::error) {
    error_ = input.reader->error();
    return false;
  }
  input.ended = step == io::Step::end;
  return true;
}

/// The sides of all interfaces up to this one.
void ReplaySource::learn(Input& input, std::uint32_t interface) {
  while (input.interfaces.size() <= interface) {
    const std::string_view name = input.reader->interface_name(input.interfaces.size());
    std::optional<Side> side = input.side;
    if (!side && name == "wan") side = Side::wan;
    if (!side && name == "lan") side = Side::lan;
    input.interfaces.push_back(side);
  }
}

io::Step ReplaySource::merged(ReplayPacket& packet) {
  if (!error_.message.empty()) return io::Step::error;
  if (started_) {
    if (!inputs_[at_].ended && !advance(inputs_[at_])) return io::Step::error;
  } else {
    started_ = true;
    for (Input& input : inputs_)
      if (!advance(input)) return io::Step::error;
  }
  std::size_t first = inputs_.size();
  for (std::size_t i = 0; i < inputs_.size(); ++i)
    if (!inputs_[i].ended &&
        (first == inputs_.size() || inputs_[i].head.time < inputs_[first].head.time))
      first = i;
  if (first == inputs_.size()) return io::Step::end;
  at_ = first;
  packet.captured = inputs_[first].head;
  packet.side = side_of(inputs_[first], packet.captured.interface);
  return io::Step::packet;
}

void ReplaySource::rewind() noexcept {
  for (Input& input : inputs_) {
    input.reader->rewind();
    input.ended = false;
  }
  started_ = false;
}

double ReplaySource::fraction() const noexcept {
  double sum = 0;
  for (const Input& input : inputs_) sum += input.reader->fraction();
  return inputs_.empty() ? 1 : sum / static_cast<double>(inputs_.size());
}

}  // namespace weir::pipeline
