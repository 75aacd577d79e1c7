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

/// By two looks in tables of 16, of a byte's halves: bit b of `kLow[l]` says that byte 16 (b + 2) + l
/// is a token's, and bit b of `kHigh[h]` that h is b + 2. No token's byte is below 0x20 or above 0x7f.
constexpr std::array<std::uint8_t, 16> kHigh{0, 0, 1, 2, 4, 8, 16, 32};
constexpr std::array<std::uint8_t, 16> kLow = [] {
  std::array<std::uint8_t, 16> table{};
  for (unsigned byte = 0x20; byte < 0x80; ++byte)
    if (is_token(static_cast<unsigned char>(byte)))
      table[byte % 16] = static_cast<std::uint8_t>(table[byte % 16] | 1U << (byte / 16 - 2));
  return table;
}();
template <typename Bytes>
auto is_break(Bytes bytes) noexcept {
  const hn::DFromV<Bytes> d;
  const auto low =
      hn::TableLookupBytes(hn::LoadDup128(d, kLow.data()), hn::And(bytes, hn::Set(d, 0x0f)));
  const auto high = hn::TableLookupBytes(hn::LoadDup128(d, kHigh.data()), hn::ShiftRight<4>(bytes));
  return hn::Eq(hn::And(low, high), hn::Zero(d));
}

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
      breaks |= bits_of(is_break(bytes)) << i;
      // As signed numbers, bytes from 0x80 on are below space too.
      const hn::RebindToSigned<decltype(d)> s;
      const auto low = hn::RebindMask(d, hn::Lt(hn::BitCast(s, bytes), hn::Set(s, ' ')));
      const auto fine = hn::Or(hn::Or(is_line_feed, is_return), hn::Eq(bytes, hn::Set(d, '\t')));
      const auto odd = hn::Or(hn::AndNot(fine, low), hn::Eq(bytes, hn::Set(d, 0x7f)));
      plain &= hn::AllFalse(d, odd);
    }
  }
  std::uint64_t line_feeds = 0, returns = 0, breaks = 0;
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
  BareReturns bare;
  bool plain = true;
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
    out.breaks[w] = block.breaks;
    bare.add(block.returns, block.line_feeds);
    plain &= block.plain;
  }
  out.size = text.size();
  out.plain = plain && !bare.any();
}

#endif

inline Mark marker() { return mark; }

}  // namespace weir::packet::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
