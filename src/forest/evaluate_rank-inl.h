// SPDX-License-Identifier: BSD-2-Clause
// Included once for each target by evaluate_sliced-inl.h: from columns of floats to planes of rank
// bits, groups of equal rows, and the fields that conditions are made of.
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
/// A level's thresholds, 2^kLevel, and how a row finds its own by the bits found before: in
/// registers up to 128, behind that a vector register file is full.
template <int kLevel>
struct Level {
  static constexpr int kVectors = kLevel <= 4 ? 1 : 1 << (kLevel - 4);
  static constexpr bool kInRegisters = kLevel <= 7;
  __m512 table[kInRegisters ? kVectors : 1];
  const float* memory;

  HWY_INLINE void load(const float* levels) {
    memory = levels + (1 << kLevel) - 1;
    if constexpr (kInRegisters)
      for (int i = 0; i < kVectors; ++i) table[i] = _mm512_loadu_ps(memory + 16 * i);
  }
  HWY_INLINE __m512 vector(int i) const {
    if constexpr (kInRegisters) return table[i];
    return _mm512_loadu_ps(memory + 16 * i);
  }
  /// `bits[k]`: the rows whose bit k is set; `place` has them all.
  HWY_INLINE __m512 at(__m512i place, const __mmask16* bits) const {
    if constexpr (kLevel == 0) return _mm512_broadcastss_ps(_mm512_castps512_ps128(table[0]));
    if constexpr (kLevel > 0 && kLevel <= 4) return _mm512_permutexvar_ps(place, table[0]);
    if constexpr (kLevel >= 5) {
      __m512 found[kVectors / 2];
      for (int i = 0; i < kVectors / 2; ++i)
        found[i] = _mm512_permutex2var_ps(vector(2 * i), place, vector(2 * i + 1));
      for (int k = 5; k < kLevel; ++k)
        for (int i = 0; i < 1 << (kLevel - 1 - k); ++i)
          found[i] = _mm512_mask_blend_ps(bits[k], found[2 * i], found[2 * i + 1]);
      return found[0];
    }
  }
};

/// Behind these levels a gather is no slower than the permutes.
constexpr int kPermutedLevels = 9;

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
  Level<8> l8;
  l0.load(levels);
  if constexpr (kBits > 1) l1.load(levels);
  if constexpr (kBits > 2) l2.load(levels);
  if constexpr (kBits > 3) l3.load(levels);
  if constexpr (kBits > 4) l4.load(levels);
  if constexpr (kBits > 5) l5.load(levels);
  if constexpr (kBits > 6) l6.load(levels);
  if constexpr (kBits > 7) l7.load(levels);
  if constexpr (kBits > 8) l8.load(levels);
  for (std::size_t r = 0; r < rows; r += 16) {
    const __m512 x = _mm512_loadu_ps(column + r);
    std::uint8_t* out = planes + r / 8;
    if constexpr (kNan) {
      const __mmask16 missing = _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q);
      std::memcpy(nan + r / 8, &missing, 2);
    }
    __m512i place = _mm512_setzero_si512();
    __mmask16 bits[kPermutedLevels];
    const auto step = [&](int level, __m512 threshold) HWY_ATTR {
      const __mmask16 right = _mm512_cmp_ps_mask(x, threshold, _CMP_NLE_UQ);  // NaN too
      std::memcpy(out, &right, 2);
      out += W;
      place = _mm512_mask_or_epi32(place, right, place, _mm512_set1_epi32(1 << level));
      return right;
    };
    bits[0] = step(0, l0.at(place, bits));
    if constexpr (kBits > 1) bits[1] = step(1, l1.at(place, bits));
    if constexpr (kBits > 2) bits[2] = step(2, l2.at(place, bits));
    if constexpr (kBits > 3) bits[3] = step(3, l3.at(place, bits));
    if constexpr (kBits > 4) bits[4] = step(4, l4.at(place, bits));
    if constexpr (kBits > 5) bits[5] = step(5, l5.at(place, bits));
    if constexpr (kBits > 6) bits[6] = step(6, l6.at(place, bits));
    if constexpr (kBits > 7) bits[7] = step(7, l7.at(place, bits));
    if constexpr (kBits > 8) {
      bits[8] = step(8, l8.at(place, bits));
      for (std::uint32_t level = kPermutedLevels; level < ranked.bits; ++level)
        step(static_cast<int>(level),
             _mm512_i32gather_ps(place, levels + (std::size_t{1} << level) - 1, 4));
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
    case 8:
      return rank_feature<8, W, kNan>(ranked, levels, column, rows, planes, nan);
    default:
      return rank_feature<9, W, kNan>(ranked, levels, column, rows, planes, nan);
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
      const auto bit = hn::Set(di, static_cast<std::int32_t>(1U << level));
      *out = static_cast<std::uint8_t>(~eight_rows(d, [&](std::size_t i) HWY_ATTR {
        const auto left = hn::Le(x[i], hn::GatherIndex(d, base, place[i]));  // not where it is NaN
        place[i] = hn::Or(place[i], hn::IfThenZeroElse(hn::RebindMask(di, left), bit));
        return left;
      }));
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

// ---- Fields of ranks ------------------------------------------------------------------------

/// first[j] = field > j, for a field of kBits bits, of which the lowest is the last plane.
template <int kBits, std::size_t W>
HWY_INLINE void greater_in_registers(const std::uint8_t* planes_end, BitVec<W>* first) {
  first[0] = hn::Zero(Bits<W>());
  for (int k = 0; k < kBits; ++k) {
    const auto bit = hn::Load(Bits<W>(), planes_end - static_cast<std::size_t>(k + 1) * W);
    for (int j = 0; j < 1 << k; ++j) {
      first[j + (1 << k)] = hn::And(bit, first[j]);
      first[j] = hn::Or(bit, first[j]);
    }
  }
}

template <int kBits, std::size_t W>
HWY_NOINLINE void greater_small(const std::uint8_t* planes_end, std::uint8_t* out) {
  BitVec<W> all[1 << kBits];
  greater_in_registers<kBits, W>(planes_end, all);
  for (std::size_t j = 0; j < std::size_t{1} << kBits; ++j)
    hn::Store(all[j], Bits<W>(), out + j * W);
}

/// out[j] = field > j, for j below 2^bits.
template <std::size_t W>
HWY_INLINE void greater_than(const std::uint8_t* planes_end, std::uint32_t bits,
                             std::uint8_t* out) {
  const Bits<W> d;
  switch (bits) {
    case 0:
      return greater_small<0, W>(planes_end, out);
    case 1:
      return greater_small<1, W>(planes_end, out);
    case 2:
      return greater_small<2, W>(planes_end, out);
    case 3:
      return greater_small<3, W>(planes_end, out);
    default:
      greater_small<4, W>(planes_end, out);
  }
  for (std::uint32_t k = 4; k < bits; ++k) {
    const auto bit = hn::Load(d, planes_end - (k + 1) * W);
    std::uint8_t* upper = out + (std::size_t{1} << k) * W;
    for (std::size_t j = 0; j < std::size_t{1} << k; ++j) {
      const auto x = hn::Load(d, out + j * W);
      hn::Store(hn::And(bit, x), d, upper + j * W);
      hn::Store(hn::Or(bit, x), d, out + j * W);
    }
  }
}

template <std::size_t W>
HWY_INLINE void make_fields(const RankedFeature& ranked, const std::uint8_t* planes,
                            std::uint8_t* fields) {
  const Bits<W> d;
  const std::uint32_t high_bits = ranked.bits - ranked.low_bits;
  const std::uint8_t* own = planes + ranked.first_plane * W;
  greater_than<W>(own + ranked.bits * W, ranked.low_bits, fields + ranked.low * W);
  std::uint8_t* high = fields + ranked.high * W;
  hn::Store(hn::Set(d, 0xff), d, high);
  greater_than<W>(own + high_bits * W, high_bits, high + W);
  if (ranked.nan_plane < 0) return;
  const auto nan = hn::Load(d, planes + static_cast<std::size_t>(ranked.nan_plane) * W);
  std::uint8_t* out = fields + ranked.high_not_nan * W;
  for (std::size_t j = 0; j <= std::size_t{1} << high_bits; ++j)
    hn::Store(hn::AndNot(nan, hn::Load(d, high + j * W)), d, out + j * W);
}
#endif  // HWY_SCALAR

}  // namespace weir::forest::HWY_NAMESPACE
#if HWY_TARGET == HWY_AVX3_DL
#pragma GCC pop_options
#endif
HWY_AFTER_NAMESPACE();
#endif  // per-target include guard
