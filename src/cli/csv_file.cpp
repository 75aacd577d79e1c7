// SPDX-License-Identifier: BSD-2-Clause
#include "cli/csv_file.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

namespace weir::cli {

Result<std::unique_ptr<CsvFile>> CsvFile::create(const std::string& path) {
  std::FILE* file = std::fopen(path.c_str(), "we");
  if (file == nullptr)
    return fail(fmt::format(
        "'{}' cannot be written: {}; name a file in a folder that is there and may be written",
        path, std::strerror(errno)));
  return std::unique_ptr<CsvFile>(new CsvFile(path, file));
}

CsvFile::CsvFile(std::string path, std::FILE* file) : path_(std::move(path)), file_(file) {}

CsvFile::~CsvFile() {
  if (file_ == nullptr) return;
  std::fclose(file_);
  remove();
}

/// A pipe or /dev/stdout stays; what was written to it is its reader's.
void CsvFile::remove() const {
  struct stat status {};
  if (lstat(path_.c_str(), &status) == 0 && S_ISREG(status.st_mode)) unlink(path_.c_str());
}

void CsvFile::flush() {
  errno = 0;
  if (std::fwrite(lines_.data(), 1, lines_.size(), file_) != lines_.size() && error_ == 0)
    error_ = errno != 0 ? errno : EIO;
  lines_.clear();
}

Status CsvFile::close() {
  flush();
  std::FILE* file = std::exchange(file_, nullptr);
  errno = 0;
  if (std::fclose(file) != 0 && error_ == 0) error_ = errno != 0 ? errno : EIO;
  if (error_ == 0) return {};
  remove();
  return fail_errno(fmt::format("writing features to '{}'", path_), error_);
}

}  // namespace weir::cli
