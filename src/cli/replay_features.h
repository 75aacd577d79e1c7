// SPDX-License-Identifier: BSD-2-Clause
/// The rows of a replay as CSV: what `scripts/train` learns from.
///
/// Shape     number,time_ns,side,source,destination,label,kind,source_port,destination_port,
///           verdict,solicited,client_flow,reason,score, then every feature of
///           detect::all_features() in its order (but source_port, which stands before); one line a
///           judged packet. Numbers are the shortest text that reads back as the same float32;
///           missing is empty.
/// Errors    as CsvFile.
/// Threads   one owner.
#pragma once

#include <memory>
#include <span>
#include <string>

#include "base/result.h"
#include "cli/csv_file.h"
#include "pipeline/replay.h"

namespace weir::cli {

class FeatureWriter {
 public:
  static Result<std::unique_ptr<FeatureWriter>> create(const std::string& path);
  void write(const pipeline::Batch& batch, const std::vector<pipeline::LabelTally>& labels,
             std::span<const std::int32_t> label_of);
  Status close();

 private:
  explicit FeatureWriter(std::unique_ptr<CsvFile> file);

  std::unique_ptr<CsvFile> file_;
};

}  // namespace weir::cli
