// SPDX-License-Identifier: BSD-2-Clause
#include "cli/csv_file.h"

#include <cstring>

namespace weir::cli {

Result<std::unique_ptr<CsvFile>> CsvFile::create(const std::string& path) {
  auto file = WholeFile::create(path);
  if (!file)
    return fail(fmt::format(
        "'{}' cannot be written: {}; name a file in a folder that is there and may be written",
        path, std::strerror(file.error())));
  return std::unique_ptr<CsvFile>(new CsvFile(std::move(*file)));
}

void CsvFile::flush() {
  if (error_ == 0) error_ = file_.write(lines_.data(), lines_.size());
  lines_.clear();
}

Status CsvFile::close() {
  flush();
  if (error_ == 0) error_ = file_.finish();
  if (error_ == 0) return {};
  file_.discard();
  return fail_errno(fmt::format("writing features to '{}'", file_.path()), error_);
}

}  // namespace weir::cli
