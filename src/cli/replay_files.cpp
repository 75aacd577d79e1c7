// SPDX-License-Identifier: BSD-2-Clause
#include "cli/replay_files.h"

#include <fmt/format.h>

#include <array>
#include <iterator>

namespace weir::cli {

Result<std::unique_ptr<VerdictFiles>> VerdictFiles::create(const std::string& forwarded,
                                                           const std::string& dropped) {
  static const std::array<std::string, kSides> kInterfaces = {"wan", "lan"};
  auto files = std::make_unique<VerdictFiles>();
  if (!forwarded.empty()) {
    WEIR_ASSIGN(files->forwarded_,
                io::CaptureWriter::create(forwarded, io::CaptureFormat::pcapng, kInterfaces));
  }
  if (!dropped.empty()) {
    WEIR_ASSIGN(files->dropped_,
                io::CaptureWriter::create(dropped, io::CaptureFormat::pcapng, kInterfaces));
  }
  return files;
}

void VerdictFiles::write(const pipeline::JudgedPacket& packet) {
  const bool drop = packet.verdict == Verdict::drop;
  io::CaptureWriter* const writer = (drop ? dropped_ : forwarded_).get();
  if (writer == nullptr || !status_) return;
  comment_.clear();
  fmt::format_to(std::back_inserter(comment_), "{}{}weir={} by={} reason={}",
                 packet.captured.comment, packet.captured.comment.empty() ? "" : " ",
                 drop ? "drop" : "forward", packet.by, packet.reason);
  io::CapturedPacket out = packet.captured;
  out.interface = static_cast<std::uint32_t>(index(packet.side));
  out.comment = comment_;
  status_ = writer->write(out);
}

Status VerdictFiles::close() {
  WEIR_TRY(status_);
  if (forwarded_) WEIR_TRY(forwarded_->close());
  if (dropped_) WEIR_TRY(dropped_->close());
  return {};
}

}  // namespace weir::cli
