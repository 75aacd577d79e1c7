// SPDX-License-Identifier: BSD-2-Clause
#include "cli/replay_features.h"

#include <fmt/compile.h>

#include <cmath>
#include <string_view>
#include <utility>

#include "detect/extractor.h"

namespace weir::cli {
namespace {

/// A feature of a column that every row begins with.
bool stands_in_front(const detect::FeatureInfo& feature) {
  return std::string_view(feature.name) == "source_port";
}

}  // namespace

Result<std::unique_ptr<FeatureWriter>> FeatureWriter::create(const std::string& path) {
  WEIR_ASSIGN(auto file, CsvFile::create(path));
  return std::unique_ptr<FeatureWriter>(new FeatureWriter(std::move(file)));
}

FeatureWriter::FeatureWriter(std::unique_ptr<CsvFile> file) : file_(std::move(file)) {
  fmt::format_to(file_->out(),
                 "number,time_ns,side,source,destination,label,kind,source_port,destination_port,"
                 "verdict,solicited,client_flow,reason,score");
  for (const detect::FeatureInfo& feature : detect::all_features())
    if (!stands_in_front(feature)) fmt::format_to(file_->out(), ",{}", feature.name);
  fmt::format_to(file_->out(), "\n");
}

void FeatureWriter::write(const pipeline::Batch& batch,
                          const std::vector<pipeline::LabelTally>& labels,
                          std::span<const std::int32_t> label_of) {
  const auto out = file_->out();
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
    for (std::size_t f = 0; f < batch.columns.size(); ++f) {
      const float* const column = batch.columns[f];
      if (stands_in_front(detect::all_features()[f])) continue;
      fmt::format_to(out, FMT_COMPILE(","));
      if (!std::isnan(column[i])) fmt::format_to(out, FMT_COMPILE("{}"), column[i]);
    }
    fmt::format_to(out, FMT_COMPILE("\n"));
  }
  file_->flush();
}

Status FeatureWriter::close() { return file_->close(); }

}  // namespace weir::cli
