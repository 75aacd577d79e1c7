// SPDX-License-Identifier: BSD-2-Clause
#include "base/whole_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <system_error>
#include <utility>

namespace weir {

tl::expected<WholeFile, int> WholeFile::create(const std::string& path) {
  WholeFile output;
  output.path_ = path;
  std::error_code ignored;
  const auto status = std::filesystem::status(path, ignored);
  int flags = O_WRONLY | O_CLOEXEC;
  if (!std::filesystem::exists(status) || std::filesystem::is_regular_file(status)) {
    // Where `path` is a link, the file behind it is replaced, not the link.
    const auto target = std::filesystem::weakly_canonical(path, ignored);
    output.target_ = ignored ? path : target.string();
    output.partial_ = output.target_ + "." + std::to_string(getpid()) + ".partial";
    ::unlink(output.partial_.c_str());  // of a dead process with our number
    flags |= O_CREAT | O_EXCL;
  }
  const std::string& name = output.partial_.empty() ? path : output.partial_;
  output.fd_ = ::open(name.c_str(), flags, 0666);
  if (output.fd_ < 0) {
    const int error = errno;
    output.partial_.clear();
    return tl::unexpected(error);
  }
  return output;
}

WholeFile::WholeFile(WholeFile&& other) noexcept
    : path_(std::move(other.path_)),
      target_(std::move(other.target_)),
      partial_(std::exchange(other.partial_, {})),
      fd_(std::exchange(other.fd_, -1)) {}

int WholeFile::write(const void* data, std::size_t size) noexcept {
  const auto* at = static_cast<const std::byte*>(data);
  while (size > 0) {
    const ssize_t n = ::write(fd_, at, size);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return errno;
    at += n;
    size -= static_cast<std::size_t>(n);
  }
  return 0;
}

int WholeFile::finish() noexcept {
  if (::close(std::exchange(fd_, -1)) != 0) return errno;
  if (!partial_.empty() && ::rename(partial_.c_str(), target_.c_str()) != 0) return errno;
  partial_.clear();
  return 0;
}

void WholeFile::discard() noexcept {
  if (fd_ >= 0) ::close(std::exchange(fd_, -1));
  if (!partial_.empty()) ::unlink(partial_.c_str());
  partial_.clear();
}

int write_whole(const std::string& path, std::string_view text) {
  auto file = WholeFile::create(path);
  if (!file) return file.error();
  const int error = file->write(text.data(), text.size());
  return error != 0 ? error : file->finish();
}

}  // namespace weir
