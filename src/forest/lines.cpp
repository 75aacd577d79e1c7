// SPDX-License-Identifier: BSD-2-Clause
#include "forest/lines.h"

#include <cstring>
#include <new>
#include <utility>

namespace weir::forest {

Lines::Lines(std::size_t bytes)
    : data_(static_cast<std::uint8_t*>(::operator new (bytes + 64, std::align_val_t{64}))) {
  std::memset(data_, 0, bytes + 64);
}
Lines::Lines(Lines&& other) noexcept : data_(std::exchange(other.data_, nullptr)) {}
Lines& Lines::operator=(Lines&& other) noexcept {
  std::swap(data_, other.data_);
  return *this;
}
Lines::~Lines() { ::operator delete (data_, std::align_val_t{64}); }

}  // namespace weir::forest
