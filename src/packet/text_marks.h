// SPDX-License-Identifier: BSD-2-Clause
/// Where a text's lines end and its colons stand, and whether it is plain: one pass over its bytes,
/// a vector at a time, so that reading its lines is a matter of counting bits.
///
/// Shape     bit i of word w stands for byte 64 w + i; words behind the text's last are not written.
/// Bounds    texts of up to `kBytes`; nothing behind the text is read.
/// Threads   pure functions.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace weir::packet {

struct TextMarks {
  static constexpr std::size_t kBytes = 2048;
  static constexpr std::size_t kWord = 64;
  using Words = std::array<std::uint64_t, kBytes / kWord>;

  std::size_t size = 0;  ///< of the text
  Words line_feeds, colons;
  /// Nothing but printable ASCII, tabs, and line ends (LF, or CR and LF). Where it is false, the
  /// text has something else anywhere.
  bool plain = true;

  /// The first marked byte from `from` on, `from <= size`; `size` where there is none.
  [[nodiscard]] std::size_t next(const Words& words, std::size_t from) const noexcept {
    if (from >= size) return size;
    std::size_t w = from / kWord;
    std::uint64_t bits = words[w] >> from % kWord << from % kWord;
    while (bits == 0) {
      if (++w * kWord >= size) return size;
      bits = words[w];
    }
    return w * kWord + static_cast<std::size_t>(std::countr_zero(bits));
  }
};

/// `text` has at most TextMarks::kBytes.
void mark(std::string_view text, TextMarks& out) noexcept;

/// The same byte by byte: what `mark` is held against, and what it is where there are no vectors.
void mark_by_bytes(std::string_view text, TextMarks& out) noexcept;

using Mark = void (*)(std::string_view text, TextMarks& out) noexcept;
/// Whether each carriage return of `marks` has a line feed behind it: the last step of both.
bool returns_are_plain(const TextMarks& marks, const TextMarks::Words& returns) noexcept;

}  // namespace weir::packet
