// SPDX-License-Identifier: BSD-2-Clause
/// Where a text's lines end and what is no token stands, and whether it is plain: one pass over its
/// bytes, a vector at a time, so that reading its lines is a matter of counting bits.
///
/// Shape     bit i of word w stands for byte 64 w + i; words behind the text's last are not written.
/// Token     letters, digits and !#$%&'*+-.^_`|~ (RFC 7230, 3.2.6): what names of headers are made of.
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
  Words line_feeds;
  Words breaks;  ///< bytes that are no token's; all those behind the text's end in its last word
  /// Nothing but printable ASCII, tabs, and line ends (LF, or CR and LF). Where it is false, the
  /// text has something else anywhere.
  bool plain = true;

  /// The first marked byte from `from` on, `from <= size`; `size` where there is none.
  [[nodiscard]] std::size_t next(const Words& words, std::size_t from) const noexcept {
    if (from >= size) return size;
    std::size_t w = from / kWord;
    std::uint64_t bits = words[w] & ~std::uint64_t{0} << from % kWord;
    while (bits == 0) {
      if (++w * kWord >= size) return size;
      bits = words[w];
    }
    return w * kWord + static_cast<std::size_t>(std::countr_zero(bits));
  }
};

/// Whether this byte is a token's.
constexpr bool is_token(unsigned char byte) noexcept {
  return (byte >= '0' && byte <= '9') || (byte >= 'A' && byte <= 'Z') ||
         (byte >= 'a' && byte <= 'z') ||
         std::string_view("!#$%&'*+-.^_`|~").find(static_cast<char>(byte)) !=
             std::string_view::npos;
}

/// `text` has at most TextMarks::kBytes.
void mark(std::string_view text, TextMarks& out) noexcept;

/// The same byte by byte: what `mark` is held against, and what it is where there are no vectors.
void mark_by_bytes(std::string_view text, TextMarks& out) noexcept;

using Mark = void (*)(std::string_view text, TextMarks& out) noexcept;
/// Looks for a carriage return that no line feed follows, in words that come in order.
class BareReturns {
 public:
  void add(std::uint64_t returns, std::uint64_t line_feeds) noexcept {
    constexpr unsigned kLast = TextMarks::kWord - 1;
    bare_ |= (last_ & ~line_feeds) | (returns & ~(line_feeds >> 1U | std::uint64_t{1} << kLast));
    last_ = returns >> kLast;
  }
  [[nodiscard]] bool any() const noexcept { return (bare_ | last_) != 0; }

 private:
  std::uint64_t bare_ = 0;
  std::uint64_t last_ = 0;  // 1: the last byte before is a return
};

}  // namespace weir::packet
