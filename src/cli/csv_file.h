// SPDX-License-Identifier: BSD-2-Clause
/// A CSV file of rows that a command writes: whole, or not there.
///
/// Errors    what could not be written is said by `close`; a file that is destroyed without it leaves
///           what had its name before. What went into a pipe or /dev/stdout is its reader's.
/// Threads   one owner.
#pragma once

#include <fmt/format.h>

#include <iterator>
#include <memory>
#include <string>
#include <utility>

#include "base/result.h"
#include "base/whole_file.h"

namespace weir::cli {

class CsvFile {
 public:
  static Result<std::unique_ptr<CsvFile>> create(const std::string& path);

  /// For fmt::format_to; what is written there waits for `flush`.
  [[nodiscard]] auto out() noexcept { return std::back_inserter(lines_); }
  void flush();
  Status close();

 private:
  explicit CsvFile(WholeFile file) : file_(std::move(file)) {}

  WholeFile file_;
  fmt::memory_buffer lines_;
  int error_ = 0;  // errno of the first write that failed
};

}  // namespace weir::cli
