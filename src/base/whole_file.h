// SPDX-License-Identifier: BSD-2-Clause
/// A file that is there whole or not at all: it has a name of its own until it is finished, so that
/// what had the name before stays until then.
///
/// Name      PATH.PID.partial meanwhile, beside the file that PATH leads to. What cannot be renamed
///           over (a pipe, a device) is written to directly.
/// Errors    errno values: the caller says what the file is for.
/// Threads   one owner.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <tl/expected.hpp>

namespace weir {

class WholeFile {
 public:
  static tl::expected<WholeFile, int> create(const std::string& path);
  WholeFile() = default;
  WholeFile(WholeFile&& other) noexcept;
  WholeFile& operator=(WholeFile&&) = delete;
  ~WholeFile() { discard(); }

  /// errno of the failure, or 0.
  int write(const void* data, std::size_t size) noexcept;
  /// Closes the file and gives it its name; errno of the failure, or 0.
  int finish() noexcept;
  /// Leaves what was there before, if it is not finished.
  void discard() noexcept;

  [[nodiscard]] const std::string& path() const noexcept { return path_; }

 private:
  std::string path_;     // as the caller named it
  std::string target_;   // with links followed
  std::string partial_;  // the name until `finish`; empty where there is none
  int fd_ = -1;
};

/// All of it at once; errno of the failure, or 0.
int write_whole(const std::string& path, std::string_view text);

}  // namespace weir
