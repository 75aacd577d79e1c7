// SPDX-License-Identifier: BSD-2-Clause
/// The packets of a replay as pcapng, apart by what became of them, each with its verdict and the
/// reason as a comment, behind the comment that it had:
///
///     label=attack kind=reflection weir=drop by=policy reason=scored
///
/// Interfaces  0 is named "wan", 1 "lan": what was written can be replayed.
/// Errors      the first one is said by `close`; what is not closed leaves no file.
/// Threads     one owner.
#pragma once

#include <memory>
#include <string>

#include "io/capture.h"
#include "pipeline/replay.h"

namespace weir::cli {

class VerdictFiles {
 public:
  /// An empty path: those packets are not written.
  static Result<std::unique_ptr<VerdictFiles>> create(const std::string& forwarded,
                                                      const std::string& dropped);
  void write(const pipeline::JudgedPacket& packet);
  Status close();

 private:
  std::unique_ptr<io::CaptureWriter> forwarded_, dropped_;
  Status status_;
  std::string comment_;
};

}  // namespace weir::cli
