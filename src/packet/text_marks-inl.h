// SPDX-License-Identifier: BSD-2-Clause
// The vector code of text_marks.cpp, compiled once for each target.
#if defined(WEIR_PACKET_TEXT_MARKS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef WEIR_PACKET_TEXT_MARKS_INL_H_
#undef WEIR_PACKET_TEXT_MARKS_INL_H_
#else
#define WEIR_PACKET_TEXT_MARKS_INL_H_
#endif

#include <hwy/highway.h>

#include <array>
#include <cstring>

#include "packet/text_marks.h"

HWY_BEFORE_NAMESPACE();
namespace weir::packet::HWY_NAMESPACE {

#if HWY_TARGET == HWY_SCALAR || HWY_TARGET == HWY_EMU128

inline void mark(std::string_view text, TextMarks& out) noexcept { mark_by_bytes(text, out); }

#else

namespace hn = hwy::HWY_NAMESPACE;

/// What is known of 64 bytes.
class Block {
 public:
  explicit Block(const std::uint8_t* text) noexcept {
    const hn::CappedTag<std::uint8_t, TextMarks::kWord> d;
    for (std::size_t i = 0; i < TextMarks::kWord; i += hn::Lanes(d)) {
      const auto bytes = hn::LoadU(d, text + i);
      const auto is_line_feed = hn::Eq(bytes, hn::Set(d, '\n'));
      const auto is_return = hn::Eq(bytes, hn::Set(d, '\r'));
      line_feeds |= bits_of(is_line_feed) << i;
      returns |= bits_of(is_return) << i;
      colons |= bits_of(hn::Eq(bytes, hn::Set(d, ':'))) << i;
      // As signed numbers, bytes from 0x80 on are below space too.
      const hn::RebindToSigned<decltype(d)> s;
      const auto low = hn::RebindMask(d, hn::Lt(hn::BitCast(s, bytes), hn::Set(s, ' ')));
      const auto fine = hn::Or(hn::Or(is_line_feed, is_return), hn::Eq(bytes, hn::Set(d, '\t')));
      const auto odd = hn::Or(hn::AndNot(fine, low), hn::Eq(bytes, hn::Set(d, 0x7f)));
      plain = plain && hn::AllFalse(d, odd);
    }
  }
  std::uint64_t line_feeds = 0, returns = 0, colons = 0;
  bool plain = true;

 private:
  template <typename Mask>
  static std::uint64_t bits_of(const Mask& mask) noexcept {
    std::array<std::uint8_t, sizeof(std::uint64_t)> bytes{};
    hn::StoreMaskBits(hn::CappedTag<std::uint8_t, TextMarks::kWord>{}, mask, bytes.data());
    std::uint64_t bits = 0;  // the first lane's is the lowest, whatever the machine's byte order
    if constexpr (std::endian::native == std::endian::little) {
      std::memcpy(&bits, bytes.data(), sizeof bits);
    } else {
      for (std::size_t b = 0; b < bytes.size(); ++b) bits |= std::uint64_t{bytes[b]} << b * 8;
    }
    return bits;
  }
};

inline void mark(std::string_view text, TextMarks& out) noexcept {
  TextMarks::Words returns;
  out.size = text.size();
  out.plain = true;
  const auto* const bytes = reinterpret_cast<const std::uint8_t*>(text.data());
  std::array<std::uint8_t, TextMarks::kWord> last;
  for (std::size_t at = 0; at < text.size(); at += TextMarks::kWord) {
    const std::uint8_t* from = bytes + at;
    if (const std::size_t left = text.size() - at; left < TextMarks::kWord) {
      last.fill(' ');  // what is no text must look like nothing
      std::memcpy(last.data(), from, left);
      from = last.data();
    }
    const Block block(from);
    const std::size_t w = at / TextMarks::kWord;
    out.line_feeds[w] = block.line_feeds;
    out.colons[w] = block.colons;
    returns[w] = block.returns;
    out.plain = out.plain && block.plain;
  }
  out.plain = out.plain && returns_are_plain(out, returns);
}

#endif

inline Mark marker() { return mark; }

}  // namespace weir::packet::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
