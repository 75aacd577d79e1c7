// SPDX-License-Identifier: BSD-2-Clause
/// A CSV file of rows that a command writes: whole, or not there.
///
/// Errors    what could not be written is said by `close`; a file that is destroyed without it is
///           removed: no partial rows are left. A pipe or /dev/stdout stays.
/// Threads   one owner.
#pragma once

#include <fmt/format.h>

#include <cstdio>
#include <iterator>
#include <memory>
#include <string>

#include "base/result.h"

namespace weir::cli {

class CsvFile {
 public:
  static Result<std::unique_ptr<CsvFile>> create(const std::string& path);
  ~CsvFile();
  CsvFile(const CsvFile&) = delete;
  CsvFile& operator=(const CsvFile&) = delete;

  /// For fmt::format_to; what is written there waits for `flush`.
  [[nodiscard]] auto out() noexcept { return std::back_inserter(lines_); }
  void flush();
  Status close();

 private:
  CsvFile(std::string path, std::FILE* file);
  void remove() const;

  const std::string path_;
  std::FILE* file_;
  fmt::memory_buffer lines_;
  int error_ = 0;  // errno of the first write that failed
};

}  // namespace weir::cli
