// SPDX-License-Identifier: BSD-2-Clause
#include "cli/replay_features.h"

#include <fmt/compile.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cmath>
#include <iterator>
#include <utility>

#include "detect/extractor.h"

namespace weir::cli {

Result<std::unique_ptr<FeatureWriter>> FeatureWriter::create(const std::string& path) {
  std::FILE* file = std::fopen(path.c_str(), "we");
  if (file == nullptr) return fail_errno(fmt::format("writing features to '{}'", path), errno);
  return std::unique_ptr<FeatureWriter>(new FeatureWriter(path, file));
}

FeatureWriter::FeatureWriter(std::string path, std::FILE* file)
    : path_(std::move(path)), file_(file) {
  fmt::format_to(std::back_inserter(lines_),
                 "number,time_ns,side,source,destination,label,kind,source_port,destination_port,"
                 "verdict,solicited,client_flow,reason,score");
  for (const detect::FeatureInfo& feature : detect::all_features())
    fmt::format_to(std::back_inserter(lines_), ",{}", feature.name);
  lines_.push_back('\n');
}

FeatureWriter::~FeatureWriter() {
  if (file_ == nullptr) return;
  std::fclose(file_);
  remove();
}

/// A pipe or /dev/stdout stays; what was written to it is its reader's.
void FeatureWriter::remove() const {
  struct stat status {};
  if (lstat(path_.c_str(), &status) == 0 && S_ISREG(status.st_mode)) unlink(path_.c_str());
}

void FeatureWriter::flush() {
  errno = 0;
  if (std::fwrite(lines_.data(), 1, lines_.size(), file_) != lines_.size() && error_ == 0)
    error_ = errno != 0 ? errno : EIO;
  lines_.clear();
}

void FeatureWriter::write(const pipeline::Batch& batch,
                          const std::vector<pipeline::LabelTally>& labels,
                          std::span<const std::int32_t> label_of) {
  const auto out = std::back_inserter(lines_);
  for (std::size_t i = 0; i < batch.size; ++i) {
    const packet::Frame& frame = batch.frames[i];
    const detect::Context& context = batch.contexts[i];
    const bool labelled = label_of[i] >= 0;
    const auto label = labelled ? static_cast<std::size_t>(label_of[i]) : 0;
    fmt::format_to(
        out, FMT_COMPILE("{},{},{},{},{},{},{},{},{},{},{:d},{:d},{},{}"), frame.number,
        frame.time.ns, frame.side == Side::wan ? "wan" : "lan", context.source.text(),
        context.destination.text(), labelled ? labels[label].label : "",
        labelled ? labels[label].kind : "", context.source_port, context.destination_port,
        batch.decisions[i].verdict == Verdict::drop ? "drop" : "forward", context.solicited,
        context.client_flow, detect::name(batch.decisions[i].reason), batch.scores[i]);
    for (const float* column : batch.columns) {
      lines_.push_back(',');
      if (!std::isnan(column[i])) fmt::format_to(out, FMT_COMPILE("{}"), column[i]);
    }
    lines_.push_back('\n');
  }
  flush();
}

Status FeatureWriter::close() {
  flush();
  std::FILE* file = std::exchange(file_, nullptr);
  errno = 0;
  if (std::fclose(file) != 0 && error_ == 0) error_ = errno != 0 ? errno : EIO;
  if (error_ == 0) return {};
  remove();
  return fail_errno(fmt::format("writing features to '{}'", path_), error_);
}

}  // namespace weir::cli
