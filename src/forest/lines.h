// SPDX-License-Identifier: BSD-2-Clause
/// Memory for vectors.
///
/// Owner     the `Lines` itself; moved, never copied.
#pragma once

#include <cstddef>
#include <cstdint>

namespace weir::forest {

/// 64-byte aligned memory, zero at first.
class Lines {
 public:
  Lines() = default;
  explicit Lines(std::size_t bytes);
  Lines(const Lines&) = delete;
  Lines& operator=(const Lines&) = delete;
  Lines(Lines&& other) noexcept;
  Lines& operator=(Lines&& other) noexcept;
  ~Lines();
  [[nodiscard]] std::uint8_t* data() const noexcept { return data_; }

 private:
  std::uint8_t* data_ = nullptr;
};

}  // namespace weir::forest
