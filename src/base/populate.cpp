// SPDX-License-Identifier: BSD-2-Clause
#include "base/populate.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>

namespace weir {

void populate(void* memory, std::size_t bytes) noexcept {
  const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  auto* const first = static_cast<volatile std::uint8_t*>(memory);
  const std::size_t before = reinterpret_cast<std::uintptr_t>(memory) % page;
  void* const start = static_cast<std::uint8_t*>(memory) - before;
  if (madvise(start, before + bytes, MADV_POPULATE_WRITE) == 0 || errno != EINVAL) return;
  for (std::size_t at = 0; at < bytes; at += page) first[at] = first[at];
  if (bytes > 0) first[bytes - 1] = first[bytes - 1];
}

}  // namespace weir
