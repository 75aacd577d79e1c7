// SPDX-License-Identifier: BSD-2-Clause
/// The rows of a replay as CSV: what `scripts/train` learns from.
///
/// Shape     number,time_ns,side,source,destination,label,kind,source_port,destination_port,
///           verdict,solicited,client_flow,reason,score, then every feature of
///           detect::all_features() in its order; one line a judged packet. Numbers are the
///           shortest text that reads back as the same float32; missing is empty.
/// Errors    what could not be written is said by `close`; a writer that is destroyed without it
///           removes its file: no partial rows are left.
/// Threads   one owner.
#pragma once

#include <fmt/format.h>

#include <cstdio>
#include <memory>
#include <span>
#include <string>

#include "base/result.h"
#include "pipeline/replay.h"

namespace weir::cli {

class FeatureWriter {
 public:
  static Result<std::unique_ptr<FeatureWriter>> create(const std::string& path);
  ~FeatureWriter();
  FeatureWriter(const FeatureWriter&) = delete;
  FeatureWriter& operator=(const FeatureWriter&) = delete;

  void write(const pipeline::Batch& batch, const std::vector<pipeline::LabelTally>& labels,
             std::span<const std::int32_t> label_of);
  Status close();

 private:
  FeatureWriter(std::string path, std::FILE* file);
  void flush();
  void remove() const;

  const std::string path_;
  std::FILE* file_;
  fmt::memory_buffer lines_;
  int error_ = 0;  // errno of the first write that failed
};

}  // namespace weir::cli
