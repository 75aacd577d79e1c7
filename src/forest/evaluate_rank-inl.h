// SPDX-License-Identifier: BSD-2-Clause
// Included once for each target by evaluate_sliced-inl.h: from columns of floats to planes of rank
// bits, groups of equal rows, and the conditions that the descent selects by.
#if defined(WEIR_FOREST_RANK_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef WEIR_FOREST_RANK_INL
#undef WEIR_FOREST_RANK_INL
#else
#define WEIR_FOREST_RANK_INL
#endif

#include <hwy/highway.h>

#include <algorithm>
#include <bit>
#include <cstring>

#include "forest/evaluate_sliced.h"

HWY_BEFORE_NAMESPACE();
#if HWY_TARGET == HWY_AVX3_DL
// Every CPU with VBMI has GFNI; sliced_kernel() makes sure.
#pragma GCC push_options
#pragma GCC target("gfni")
#endif
namespace weir::forest::HWY_NAMESPACE {
#if HWY_TARGET != HWY_SCALAR
namespace hn = hwy::HWY_NAMESPACE;

/// Blocks of W bytes of bits: 8 W rows.
template <std::size_t W>
using Bits = hn::CappedTag<std::uint8_t, W>;
template <std::size_t W>
using BitVec = hn::Vec<Bits<W> >;

constexpr std::size_t kVector_bytes = HWY_LANES(std::uint8_t);

// ---- Ranks ----------------------------------------------------------------------------------

#if HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_AVX3_DL
/// Thresholds of up to 128 places, held in registers.
template <int kLevel>
struct Level {
  static constexpr int kVectors = kLevel <= 4 ? 1 : 1 << (kLevel - 4);
  __m512 table[kVectors];

  HWY_INLINE void load(const float* levels) {
    for (int i = 0; i < kVectors; ++i)
      table[i] = _mm512_loadu_ps(levels + (1 << kLevel) - 1 + 16 * i);
  }
  HWY_INLINE __m512 at(__m512i place) const {
    if constexpr (kLevel == 0) return _mm512_broadcastss_ps(_mm512_castps512_ps128(table[0]));
    if constexpr (kLevel <= 4) return _mm512_permutexvar_ps(place, table[0]);
    if constexpr (kLevel >= 5) {
      __m512 found[kVectors / 2];
      for (int i = 0; i < kVectors / 2; ++i)
        found[i] = _mm512_permutex2var_ps(table[2 * i], place, table[2 * i + 1]);
      for (int step = 1; step < kVectors / 2; step *= 2) {
        const __mmask16 upper = _mm512_test_epi32_mask(place, _mm512_set1_epi32(32 * step));
        for (int i = 0; i < kVectors / 2; i += 2 * step)
          found[i] = _mm512_mask_blend_ps(upper, found[i], found[i + step]);
      }
      return found[0];
    }
  }
};

/// The levels of a search in which all tables stand in registers; deeper ones gather.
constexpr int kRegisterLevels = 8;

template <int kBits, std::size_t W, bool kNan>
HWY_NOINLINE void rank_feature(const RankedFeature& ranked, const float* levels,
                               const float* column, std::size_t rows, std::uint8_t* planes,
                               std::uint8_t* nan) {
  Level<0> l0;
  Level<1> l1;
  Level<2> l2;
  Level<3> l3;
  Level<4> l4;
  Level<5> l5;
  Level<6> l6;
  Level<7> l7;
  l0.load(levels);
  if constexpr (kBits > 1) l1.load(levels);
  if constexpr (kBits > 2) l2.load(levels);
  if constexpr (kBits > 3) l3.load(levels);
  if constexpr (kBits > 4) l4.load(levels);
  if constexpr (kBits > 5) l5.load(levels);
  if constexpr (kBits > 6) l6.load(levels);
  if constexpr (kBits > 7) l7.load(levels);
  const __m512i one = _mm512_set1_epi32(1);
  for (std::size_t r = 0; r < rows; r += 16) {
    const __m512 x = _mm512_loadu_ps(column + r);
    std::uint8_t* out = planes + r / 8;
    if constexpr (kNan) {
      const __mmask16 missing = _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q);
      std::memcpy(nan + r / 8, &missing, 2);
    }
    __m512i place = _mm512_setzero_si512();
    const auto step = [&](__m512 threshold) HWY_ATTR {
      const __mmask16 left = _mm512_cmp_ps_mask(x, threshold, _CMP_LE_OQ);
      std::memcpy(out, &left, 2);
      out += W;
      const __m512i doubled = _mm512_add_epi32(place, place);
      place = _mm512_mask_add_epi32(doubled, _knot_mask16(left), doubled, one);
    };
    step(l0.at(place));
    if constexpr (kBits > 1) step(l1.at(place));
    if constexpr (kBits > 2) step(l2.at(place));
    if constexpr (kBits > 3) step(l3.at(place));
    if constexpr (kBits > 4) step(l4.at(place));
    if constexpr (kBits > 5) step(l5.at(place));
    if constexpr (kBits > 6) step(l6.at(place));
    if constexpr (kBits > 7) step(l7.at(place));
    if constexpr (kBits >= kRegisterLevels) {
      for (std::uint32_t level = kRegisterLevels; level < ranked.bits; ++level)
        step(_mm512_i32gather_ps(place, levels + (std::size_t{1} << level) - 1, 4));
    }
  }
}

template <std::size_t W, bool kNan>
HWY_INLINE void rank_column(const RankedFeature& ranked, const float* levels, const float* column,
                            std::size_t rows, std::uint8_t* planes, std::uint8_t* nan) {
  switch (ranked.bits) {
    case 1:
      return rank_feature<1, W, kNan>(ranked, levels, column, rows, planes, nan);
    case 2:
      return rank_feature<2, W, kNan>(ranked, levels, column, rows, planes, nan);
    case 3:
      return rank_feature<3, W, kNan>(ranked, levels, column, rows, planes, nan);
    case 4:
      return rank_feature<4, W, kNan>(ranked, levels, column, rows, planes, nan);
    case 5:
      return rank_feature<5, W, kNan>(ranked, levels, column, rows, planes, nan);
    case 6:
      return rank_feature<6, W, kNan>(ranked, levels, column, rows, planes, nan);
    case 7:
      return rank_feature<7, W, kNan>(ranked, levels, column, rows, planes, nan);
    default:
      return rank_feature<8, W, kNan>(ranked, levels, column, rows, planes, nan);
  }
}

#else

/// A mask's bits of eight rows in one byte, from the vectors that hold them.
template <class D, class Compare>
HWY_INLINE std::uint8_t eight_rows(D d, Compare compare) {
  constexpr std::size_t kLanes = HWY_LANES(float) < 8 ? HWY_LANES(float) : 8;
  std::uint8_t byte = 0;
  for (std::size_t i = 0; i < 8; i += kLanes) {
    std::uint8_t bits[8] = {};
    hn::StoreMaskBits(d, compare(i / kLanes), bits);
    byte = static_cast<std::uint8_t>(byte | bits[0] << i);
  }
  return byte;
}

template <std::size_t W, bool kNan>
HWY_NOINLINE void rank_column(const RankedFeature& ranked, const float* levels, const float* column,
                              std::size_t rows, std::uint8_t* planes, std::uint8_t* nan) {
  const hn::CappedTag<float, 8> d;
  const hn::RebindToSigned<decltype(d)> di;
  constexpr std::size_t kLanes = HWY_LANES(float) < 8 ? HWY_LANES(float) : 8;
  constexpr std::size_t kVectors = 8 / kLanes;
  const auto one = hn::Set(di, 1);
  for (std::size_t r = 0; r < rows; r += 8) {
    hn::Vec<decltype(d)> x[kVectors];
    hn::Vec<decltype(di)> place[kVectors];
    for (std::size_t i = 0; i < kVectors; ++i) {
      x[i] = hn::LoadU(d, column + r + i * kLanes);
      place[i] = hn::Zero(di);
    }
    std::uint8_t* out = planes + r / 8;
    if constexpr (kNan) {
      nan[r / 8] = static_cast<std::uint8_t>(
          ~eight_rows(d, [&](std::size_t i) HWY_ATTR { return hn::Eq(x[i], x[i]); }));
    }
    for (std::uint32_t level = 0; level < ranked.bits; ++level, out += W) {
      const float* base = levels + (std::size_t{1} << level) - 1;
      *out = eight_rows(d, [&](std::size_t i) HWY_ATTR {
        const auto left = hn::Le(x[i], hn::GatherIndex(d, base, place[i]));
        const auto doubled = hn::Add(place[i], place[i]);
        place[i] = hn::IfThenElse(hn::RebindMask(di, left), doubled, hn::Add(doubled, one));
        return left;
      });
    }
  }
}
#endif

// ---- Groups of equal rows -------------------------------------------------------------------

/// Rows whose ranks all equal row `leader`'s, into `members`.
template <std::size_t W>
HWY_INLINE void equal_rows(const Plan& plan, const std::uint8_t* planes, std::size_t leader,
                           std::uint8_t* members) {
  const Bits<W> d;
  auto equal = hn::Set(d, 0xff);
  for (std::size_t p = 0; p < plan.planes; ++p) {
    const std::uint8_t* plane = planes + p * W;
    const int bit = (plane[leader / 8] >> (leader % 8)) & 1;
    const auto value = hn::Set(d, static_cast<std::uint8_t>(-bit));
    equal = hn::AndNot(hn::Xor(hn::Load(d, plane), value), equal);
  }
  hn::StoreU(equal, d, members);
}

template <std::size_t W>
HWY_NOINLINE void group_rows(const Plan& plan, const std::uint8_t* planes, std::size_t rows,
                             Block& block) {
  std::uint64_t left[W / 8];  // rows without a group yet
  for (std::size_t i = 0; i < W / 8; ++i) {
    const std::size_t from = i * 64;
    left[i] = rows >= from + 64 ? ~0ULL : rows > from ? (1ULL << (rows - from)) - 1 : 0;
  }
  block.leaders = 0;
  for (std::size_t found = 0; found < kLeadersMax; ++found) {
    std::size_t word = 0;
    while (word < W / 8 && left[word] == 0) ++word;
    const std::size_t leader = word * 64 + static_cast<std::size_t>(std::countr_zero(left[word]));
    block.leader[found] = leader;
    equal_rows<W>(plan, planes, leader, block.members[found]);
    std::size_t grouped = 0;
    std::uint64_t rest = 0;
    for (std::size_t i = 0; i < W / 8; ++i) {
      std::uint64_t members = 0;
      std::memcpy(&members, block.members[found] + 8 * i, 8);
      grouped += static_cast<std::size_t>(std::popcount(members & left[i]));
      rest |= left[i] &= ~members;
    }
    if (rest == 0) {
      block.leaders = found + 1;
      return;
    }
    // A flood's rows are alike: where the first row has few companions, this is none.
    if (grouped * 8 < rows) return;
  }
}

// ---- Conditions -----------------------------------------------------------------------------

/// right[i] = rank > i of one feature, from its planes, for i below `ranked.thresholds`.
template <std::size_t W>
HWY_INLINE void make_conditions(const RankedFeature& ranked, const std::uint8_t* planes,
                                std::uint8_t* equal, std::uint8_t* right) {
  const Bits<W> d;
  using V = BitVec<W>;
  const std::uint32_t low_bits = std::min(ranked.bits, 4U);
  const std::uint32_t high_bits = ranked.bits - low_bits;
  V low[16];  // low rank bits > l
  low[0] = hn::Zero(d);
  for (std::uint32_t k = 0; k < low_bits; ++k) {
    const V bit = hn::Not(hn::Load(d, planes + (ranked.bits - 1 - k) * W));
    for (std::uint32_t l = 0; l < 1U << k; ++l) {
      low[l + (1U << k)] = hn::And(bit, low[l]);
      low[l] = hn::Or(bit, low[l]);
    }
  }
  if (high_bits == 0) {
    for (std::uint32_t i = 0; i < ranked.thresholds; ++i) hn::Store(low[i], d, right + i * W);
    return;
  }
  hn::Store(hn::Set(d, 0xff), d, equal);
  for (std::uint32_t k = 0; k < high_bits; ++k) {
    const V not_bit = hn::Load(d, planes + k * W);
    for (std::uint32_t e = 1U << k; e-- > 0;) {
      const V all = hn::Load(d, equal + e * W);
      hn::Store(hn::And(not_bit, all), d, equal + (2 * e) * W);
      hn::Store(hn::AndNot(not_bit, all), d, equal + (2 * e + 1) * W);
    }
  }
  const std::uint32_t last = (ranked.thresholds - 1) >> 4U;
  V above = hn::Zero(d);  // high rank bits > h
  for (std::uint32_t h = (1U << high_bits) - 1; h > last; --h)
    above = hn::Or(above, hn::Load(d, equal + h * W));
  for (std::uint32_t h = last + 1; h-- > 0;) {
    const V here = hn::Load(d, equal + h * W);
    std::uint8_t* out = right + h * 16 * W;
    if (h == last) {
      for (std::uint32_t l = 0; l < ranked.thresholds - 16 * h; ++l)
        hn::Store(hn::Or(above, hn::And(here, low[l])), d, out + l * W);
    } else {
      for (std::uint32_t l = 0; l < 16; ++l)
        hn::Store(hn::Or(above, hn::And(here, low[l])), d, out + l * W);
    }
    above = hn::Or(above, here);
  }
}
#endif  // HWY_SCALAR

}  // namespace weir::forest::HWY_NAMESPACE
#if HWY_TARGET == HWY_AVX3_DL
#pragma GCC pop_options
#endif
HWY_AFTER_NAMESPACE();
#endif  // per-target include guard
