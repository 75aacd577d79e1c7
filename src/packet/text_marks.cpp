// SPDX-License-Identifier: BSD-2-Clause
#include "packet/text_marks.h"

// SSSE3 and SVE machines take the next target: not worth their compile time.
#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128)
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "packet/text_marks-inl.h"
#include <hwy/foreach_target.h>
//
#include "packet/text_marks-inl.h"

namespace weir::packet {

HWY_EXPORT(marker);

bool returns_are_plain(const TextMarks& marks, const TextMarks::Words& returns) noexcept {
  const std::size_t words = (marks.size + TextMarks::kWord - 1) / TextMarks::kWord;
  std::uint64_t bare = 0;
  for (std::size_t w = 0; w < words; ++w) {
    const std::uint64_t next = w + 1 < words ? marks.line_feeds[w + 1] : 0;
    bare |= returns[w] & ~(marks.line_feeds[w] >> 1U | next << 63U);
  }
  return bare == 0;
}

void mark_by_bytes(std::string_view text, TextMarks& out) noexcept {
  TextMarks::Words returns;
  out.size = text.size();
  out.plain = true;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const std::size_t w = i / TextMarks::kWord;
    if (i % TextMarks::kWord == 0) out.line_feeds[w] = out.colons[w] = returns[w] = 0;
    const auto bit = std::uint64_t{1} << i % TextMarks::kWord;
    const auto byte = static_cast<std::uint8_t>(text[i]);
    if (byte == '\n') out.line_feeds[w] |= bit;
    if (byte == '\r') returns[w] |= bit;
    if (byte == ':') out.colons[w] |= bit;
    if ((byte < ' ' && byte != '\n' && byte != '\r' && byte != '\t') || byte >= 0x7f)
      out.plain = false;
  }
  out.plain = out.plain && returns_are_plain(out, returns);
}

void mark(std::string_view text, TextMarks& out) noexcept {
  static const Mark best = HWY_DYNAMIC_DISPATCH(marker)();
  best(text, out);
}

}  // namespace weir::packet
