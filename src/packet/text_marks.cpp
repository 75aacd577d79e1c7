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

void mark_by_bytes(std::string_view text, TextMarks& out) noexcept {
  out.size = text.size();
  out.plain = true;
  BareReturns bare;
  for (std::size_t at = 0; at < text.size(); at += TextMarks::kWord) {
    const std::string_view block = text.substr(at, TextMarks::kWord);
    std::uint64_t returns = 0, line_feeds = 0, tokens = 0;
    for (std::size_t i = 0; i < block.size(); ++i) {
      const auto bit = std::uint64_t{1} << i;
      const auto byte = static_cast<unsigned char>(block[i]);
      if (byte == '\n') line_feeds |= bit;
      if (byte == '\r') returns |= bit;
      if (is_token(byte)) tokens |= bit;
      if ((byte < ' ' && byte != '\n' && byte != '\r' && byte != '\t') || byte >= 0x7f)
        out.plain = false;
    }
    out.line_feeds[at / TextMarks::kWord] = line_feeds;
    out.breaks[at / TextMarks::kWord] = ~tokens;
    bare.add(returns, line_feeds);
  }
  out.plain = out.plain && !bare.any();
}

void mark(std::string_view text, TextMarks& out) noexcept {
  static const Mark best = HWY_DYNAMIC_DISPATCH(marker)();
  best(text, out);
}

}  // namespace weir::packet
