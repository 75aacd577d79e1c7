// SPDX-License-Identifier: BSD-2-Clause
#include "io/mapping.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace weir::io::detail {

Result<Mapping> Mapping::of_file(const std::string& path) {
  // Without waiting for who writes into a pipe: it is refused.
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0)
    return fail(
        fmt::format("capture '{}' cannot be opened: {}; name a file that is there and may be read",
                    path, std::strerror(errno)));
  struct stat status {};
  Mapping mapping;
  Status result;
  if (fstat(fd, &status) != 0) {
    result = fail_errno(fmt::format("capture '{}' cannot be read", path), errno);
  } else if (!S_ISREG(status.st_mode)) {
    result = fail(fmt::format(
        "capture '{}' is no regular file: it must be mapped; write it to a file first", path));
  } else if (status.st_size > 0) {
    const auto size = static_cast<std::size_t>(status.st_size);
    void* const at = mmap(nullptr, size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (at == MAP_FAILED) {
      result = fail_errno(fmt::format("capture '{}' cannot be mapped", path), errno);
    } else {
      // Read ahead, and let go behind: the advice may be refused, and nothing depends on it.
      madvise(at, size, MADV_SEQUENTIAL);
      mapping.bytes_ = {static_cast<std::uint8_t*>(at), size};
    }
  }
  ::close(fd);
  if (!result) return tl::unexpected<Error>(std::move(result).error());
  return mapping;
}

Mapping::~Mapping() {
  if (!bytes_.empty()) munmap(bytes_.data(), bytes_.size());
}

}  // namespace weir::io::detail
