// SPDX-License-Identifier: BSD-2-Clause
/// Memory from mmap, of a file or anonymous, that is given back with its object.
/// Inside of io/capture.h; nobody else includes this.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>

#include "base/result.h"

namespace weir::io::detail {

class Mapping {
 public:
  /// A regular file, for reading; an empty one has no bytes and no map.
  static Result<Mapping> of_file(const std::string& path);
  /// Takes over what mmap returned.
  static Mapping adopt(void* at, std::size_t size) noexcept {
    Mapping mapping;
    mapping.bytes_ = {static_cast<std::uint8_t*>(at), size};
    return mapping;
  }
  Mapping() noexcept = default;
  Mapping(Mapping&& other) noexcept : bytes_(std::exchange(other.bytes_, {})) {}
  Mapping& operator=(Mapping&& other) noexcept {
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~Mapping();
  [[nodiscard]] std::span<const std::uint8_t> bytes() const noexcept { return bytes_; }

 private:
  std::span<std::uint8_t> bytes_;
};

}  // namespace weir::io::detail
