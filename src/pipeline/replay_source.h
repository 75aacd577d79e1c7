// SPDX-License-Identifier: BSD-2-Clause
/// One stream of packets out of one or more captures, merged by time, each with the side that it
/// came from, as far as the captures tell.
///
/// Side      of the whole file where it was given so; else a pcapng interface named "wan" or "lan";
///           else unknown: then the replay looks at the packet's source.
/// Order     by time between files, the file given first on a tie; within a file as it stands,
///           even where its time steps back.
/// Errors    the reader's: one sentence with file and packet. The first one ends the stream.
/// Threads   one owner.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/types.h"
#include "io/capture.h"

namespace weir::pipeline {

struct ReplayInput {
  std::string path;
  std::optional<Side> side;
};

struct ReplayPacket {
  io::CapturedPacket captured;
  std::optional<Side> side;
};

class ReplaySource {
 public:
  static Result<ReplaySource> open(const std::vector<ReplayInput>& inputs);
  /// The same over captures that are open already.
  void add(std::unique_ptr<io::CaptureReader> reader, std::optional<Side> side);

  io::Step next(ReplayPacket& packet) {
    if (inputs_.size() != 1) [[unlikely]]
      return merged(packet);
    // With nothing to merge, a packet goes where it is wanted at once.
    Input& input = inputs_.front();
    const io::Step step = input.reader->next(packet.captured);
    if (step == io::Step::packet) [[likely]]
      packet.side = side_of(input, packet.captured.interface);
    else if (step == io::Step::error)
      error_ = input.reader->error();
    return step;
  }
  /// Back to the first packet. What raw captures were copied to is gone then (io/capture.h).
  void rewind() noexcept;
  /// How much of the captures has been read, 0 to 1.
  [[nodiscard]] double fraction() const noexcept;
  [[nodiscard]] const Error& error() const noexcept { return error_; }

 private:
  struct Input {
    std::unique_ptr<io::CaptureReader> reader;
    std::optional<Side> side;
    std::vector<std::optional<Side>> interfaces;  // by number, as far as seen
    // Where there are several:
    io::CapturedPacket head;  // the next one of this file
    bool ended = false;
  };
  bool advance(Input& input);
  io::Step merged(ReplayPacket& packet);
  static std::optional<Side> side_of(Input& input, std::uint32_t interface) {
    if (interface >= input.interfaces.size()) [[unlikely]]
      learn(input, interface);
    return input.interfaces[interface];
  }
  static void learn(Input& input, std::uint32_t interface);

  std::vector<Input> inputs_;
  std::size_t at_ = 0;  // whose head was delivered last
  bool started_ = false;
  Error error_;
};

}  // namespace weir::pipeline
