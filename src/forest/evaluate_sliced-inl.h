// SPDX-License-Identifier: BSD-2-Clause
// Included once for each target by Highway's foreach_target.h; evaluate_sliced.h says what happens.
#if defined(WEIR_FOREST_SLICED_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef WEIR_FOREST_SLICED_INL
#undef WEIR_FOREST_SLICED_INL
#else
#define WEIR_FOREST_SLICED_INL
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
#if HWY_TARGET == HWY_SCALAR
// Vectors of one lane hold no block of bits: everything is walked.
Kernel kernel() { return {hwy::TargetName(HWY_TARGET), nullptr, nullptr, nullptr}; }
#else
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

// ---- Descent --------------------------------------------------------------------------------

template <class V>
HWY_INLINE V select(V right, V if_right, V if_left) {
#if HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_AVX3_DL || HWY_TARGET == HWY_NEON
  return hn::IfVecThenElse(right, if_right, if_left);  // one bitwise instruction here
#else
  return hn::Or(hn::And(right, if_right), hn::AndNot(right, if_left));
#endif
}

/// The leaf's number below a node, bit by bit: bits[0] is the least significant.
template <int kDepth, std::size_t W>
struct Subtree {
  static HWY_INLINE void run(const std::uint8_t* conditions, const std::uint32_t*& node,
                             BitVec<W>* bits) {
    const Bits<W> d;
    const auto right = hn::Load(d, conditions + std::size_t{*node++} * (W / 16));
    BitVec<W> other[kDepth];
    Subtree<kDepth - 1, W>::run(conditions, node, bits);
    Subtree<kDepth - 1, W>::run(conditions, node, other);
    for (int i = 0; i < kDepth - 1; ++i) bits[i] = select(right, other[i], bits[i]);
    bits[kDepth - 1] = right;
  }
};
template <std::size_t W>
struct Subtree<1, W> {
  static HWY_INLINE void run(const std::uint8_t* conditions, const std::uint32_t*& node,
                             BitVec<W>* bits) {
    bits[0] = hn::Load(Bits<W>(), conditions + std::size_t{*node++} * (W / 16));
  }
};

/// Each 8 x 8 bits of a 64-bit lane transposed: byte k bit i becomes byte i bit k. With GFNI the
/// bytes are expected in reverse order (`kReverse`), as its matrices have their first row last.
#if HWY_TARGET == HWY_AVX3_DL
constexpr bool kReverse = true;
HWY_INLINE hn::Vec<Bits<64> > transpose(Bits<64>, hn::Vec<Bits<64> > rows) {
  return hn::Vec<Bits<64> >{_mm512_gf2p8affine_epi64_epi8(
      _mm512_set1_epi64(static_cast<long long>(0x8040201008040201ULL)), rows.raw, 0)};
}
HWY_INLINE hn::Vec<Bits<32> > transpose(Bits<32>, hn::Vec<Bits<32> > rows) {
  return hn::Vec<Bits<32> >{_mm256_gf2p8affine_epi64_epi8(
      _mm256_set1_epi64x(static_cast<long long>(0x8040201008040201ULL)), rows.raw, 0)};
}
#else
constexpr bool kReverse = false;
template <class D, class V>
HWY_INLINE V transpose(D d, V rows) {
  const hn::Repartition<std::uint64_t, D> d64;
  auto x = hn::BitCast(d64, rows);
  auto t = hn::And(hn::Xor(x, hn::ShiftRight<7>(x)), hn::Set(d64, 0x00AA00AA00AA00AAULL));
  x = hn::Xor(x, hn::Xor(t, hn::ShiftLeft<7>(t)));
  t = hn::And(hn::Xor(x, hn::ShiftRight<14>(x)), hn::Set(d64, 0x0000CCCC0000CCCCULL));
  x = hn::Xor(x, hn::Xor(t, hn::ShiftLeft<14>(t)));
  t = hn::And(hn::Xor(x, hn::ShiftRight<28>(x)), hn::Set(d64, 0x00000000F0F0F0F0ULL));
  x = hn::Xor(x, hn::Xor(t, hn::ShiftLeft<28>(t)));
  return hn::BitCast(d, x);
}
#endif

/// Leaf numbers of 8 W rows as bytes, from their bits. Lane order: byte m of 128-bit part b of
/// vector j is row 128 b + 16 j + m.
template <int kDepth, std::size_t W>
HWY_INLINE void store_leaves(const BitVec<W>* bits, std::uint8_t* leaves) {
  const Bits<W> d;
  const hn::Repartition<std::uint16_t, Bits<W> > d16;
  const hn::Repartition<std::uint32_t, Bits<W> > d32;
  using V = BitVec<W>;
  V in[8];
  for (int k = 0; k < 8; ++k) in[kReverse ? 7 - k : k] = k < kDepth ? bits[k] : hn::Zero(d);
  V pairs[8];  // [2 i]: planes 2 i and 2 i + 1 of the lower eight bytes of a part; [2 i + 1]: upper
  for (std::size_t i = 0; i < 4; ++i) {
    pairs[2 * i] = hn::InterleaveLower(d, in[2 * i], in[2 * i + 1]);
    pairs[2 * i + 1] = hn::InterleaveUpper(d, in[2 * i], in[2 * i + 1]);
  }
  for (std::size_t half = 0; half < 2; ++half) {
    const auto p01 = hn::BitCast(d16, pairs[half]), p23 = hn::BitCast(d16, pairs[2 + half]);
    const auto p45 = hn::BitCast(d16, pairs[4 + half]), p67 = hn::BitCast(d16, pairs[6 + half]);
    const decltype(hn::Zero(d32)) lower[2] = {hn::BitCast(d32, hn::InterleaveLower(d16, p01, p23)),
                                              hn::BitCast(d32, hn::InterleaveUpper(d16, p01, p23))};
    const decltype(hn::Zero(d32)) upper[2] = {hn::BitCast(d32, hn::InterleaveLower(d16, p45, p67)),
                                              hn::BitCast(d32, hn::InterleaveUpper(d16, p45, p67))};
    for (std::size_t i = 0; i < 2; ++i) {
      const auto first = hn::BitCast(d, hn::InterleaveLower(d32, lower[i], upper[i]));
      const auto second = hn::BitCast(d, hn::InterleaveUpper(d32, lower[i], upper[i]));
      std::uint8_t* out = leaves + (half * 4 + i * 2) * W;
      hn::Store(transpose(d, first), d, out);
      hn::Store(transpose(d, second), d, out + W);
    }
  }
}

template <int kDepth, std::size_t W>
HWY_NOINLINE void descend_trees(const std::uint8_t* conditions, const std::uint32_t* nodes,
                                std::size_t trees, std::uint8_t* leaves) {
  for (std::size_t t = 0; t < trees; ++t) {
    BitVec<W> bits[kDepth];
    Subtree<kDepth, W>::run(conditions, nodes, bits);
    store_leaves<kDepth, W>(bits, leaves + t * 8 * W);
  }
}

template <std::size_t W>
HWY_INLINE void descend_group(const Plan& plan, const Group& group, const std::uint8_t* conditions,
                              std::uint8_t* leaves) {
  constexpr decltype(&descend_trees<1, W>) kByDepth[kSlicedDepth] = {
      descend_trees<1, W>, descend_trees<2, W>, descend_trees<3, W>, descend_trees<4, W>,
      descend_trees<5, W>, descend_trees<6, W>, descend_trees<7, W>, descend_trees<8, W>};
  for (std::size_t t = 0; t < group.trees;) {
    const SlicedTree& tree = plan.sliced[group.first_tree + t];
    std::size_t run = 1;  // trees stand by depth, their nodes one behind the other
    while (t + run < group.trees && plan.sliced[group.first_tree + t + run].depth == tree.depth)
      ++run;
    kByDepth[tree.depth - 1](conditions, &plan.conditions16[tree.nodes], run, leaves + t * 8 * W);
    t += run;
  }
}

// ---- Leaf values ----------------------------------------------------------------------------

using Bytes = hn::ScalableTag<std::uint8_t>;
using ByteVec = hn::Vec<Bytes>;

#if HWY_TARGET == HWY_AVX3_DL
template <int kCount>
HWY_INLINE void look_up(const std::uint8_t* tables, std::uint32_t depth, ByteVec leaf,
                        ByteVec* add) {
  const Bytes d;
  if (HWY_LIKELY(depth <= 6)) {
    for (int i = 0; i < kCount; ++i)
      add[i] = hn::Add(
          add[i], ByteVec{_mm512_permutexvar_epi8(leaf.raw, hn::Load(d, tables + i * 64).raw)});
    return;
  }
  // 128 bytes of a table a step; a step that is not the row's gives zeros.
  const std::size_t size = std::size_t{1} << depth;
  for (std::size_t from = 0; from < size; from += 128) {
    const __mmask64 here = _mm512_cmpeq_epi8_mask(
        _mm512_and_si512(leaf.raw, _mm512_set1_epi8(static_cast<char>(0x80))),
        _mm512_set1_epi8(static_cast<char>(from)));
    for (std::size_t i = 0; i < kCount; ++i) {
      const std::uint8_t* table = tables + i * size + from;
      add[i] = hn::Add(
          add[i], ByteVec{_mm512_maskz_permutex2var_epi8(here, hn::Load(d, table).raw, leaf.raw,
                                                         hn::Load(d, table + 64).raw)});
    }
  }
}
#else
template <int kCount>
HWY_INLINE void look_up(const std::uint8_t* tables, std::uint32_t depth, ByteVec leaf,
                        ByteVec* add) {
  const Bytes d;
  const std::size_t size = std::max<std::size_t>(64, std::size_t{1} << depth);
  // 16 bytes of a table a step: the index below 16 stays, all others get bit 7 and give zero.
  for (std::size_t from = 0; from < std::size_t{1} << depth; from += 16) {
    const auto index = hn::SaturatedAdd(hn::Sub(leaf, hn::Set(d, static_cast<std::uint8_t>(from))),
                                        hn::Set(d, 0x70));
    for (std::size_t i = 0; i < kCount; ++i) {
      const auto table = hn::LoadDup128(d, tables + i * size + from);
      add[i] = hn::Add(add[i], hn::TableLookupBytesOr0(table, index));
    }
  }
}
#endif

/// Adds the digits of one output's lookups of a group to its sums, 8 W rows in lane order.
template <int kCount, std::size_t W>
HWY_NOINLINE void add_lookups(const std::uint8_t* tables, const std::vector<Lookup>& lookups,
                              const std::uint8_t* leaves, std::uint32_t* low, std::uint32_t* high) {
  const Bytes d;
  const hn::Repartition<std::uint16_t, Bytes> d16;
  constexpr std::size_t kLanes = kVector_bytes;
  for (std::size_t at = 0; at < 8 * W; at += kLanes) {
    // Bytes in 16-bit lanes: `all` adds both at once, modulo 2^16, `odd` the upper one alone.
    hn::Vec<decltype(d16)> all[kCount], odd[kCount];
    for (int i = 0; i < kCount; ++i) all[i] = odd[i] = hn::Zero(d16);
    for (std::size_t l = 0; l < lookups.size(); l += 2) {
      ByteVec add[kCount];
      for (int i = 0; i < kCount; ++i) add[i] = hn::Zero(d);
      for (std::size_t k = l; k < l + 2; ++k)
        look_up<kCount>(tables + lookups[k].tables, lookups[k].depth,
                        hn::Load(d, leaves + lookups[k].slot * 8 * W + at), add);
      for (int i = 0; i < kCount; ++i) {
        const auto pair = hn::BitCast(d16, add[i]);
        all[i] = hn::Add(all[i], pair);
        odd[i] = hn::Add(odd[i], hn::ShiftRight<8>(pair));
      }
    }
    HWY_ALIGN std::uint16_t even_sums[kDigits][kLanes / 2] = {};
    HWY_ALIGN std::uint16_t odd_sums[kDigits][kLanes / 2] = {};
    for (int i = 0; i < kCount; ++i) {
      hn::Store(hn::Sub(all[i], hn::ShiftLeft<8>(odd[i])), d16, even_sums[i]);
      hn::Store(odd[i], d16, odd_sums[i]);
    }
    for (std::size_t m = 0; m < kLanes / 2; ++m) {
      low[at + 2 * m] += even_sums[0][m] + (std::uint32_t{even_sums[1][m]} << kDigitBits);
      low[at + 2 * m + 1] += odd_sums[0][m] + (std::uint32_t{odd_sums[1][m]} << kDigitBits);
      if constexpr (kCount > 2) {
        high[at + 2 * m] += even_sums[2][m] + (std::uint32_t{even_sums[3][m]} << kDigitBits);
        high[at + 2 * m + 1] += odd_sums[2][m] + (std::uint32_t{odd_sums[3][m]} << kDigitBits);
      }
    }
  }
}

template <std::size_t W>
HWY_INLINE void add_output(const Plan& plan, const Group& group, std::size_t o,
                           const std::uint8_t* leaves, std::uint32_t* low, std::uint32_t* high) {
  const std::uint8_t* tables = plan.tables.data();
  switch (plan.digits[o]) {
    case 0:
      return;
    case 1:
      return add_lookups<1, W>(tables, group.lookups[o], leaves, low, high);
    case 2:
      return add_lookups<2, W>(tables, group.lookups[o], leaves, low, high);
    case 3:
      return add_lookups<3, W>(tables, group.lookups[o], leaves, low, high);
    default:
      return add_lookups<4, W>(tables, group.lookups[o], leaves, low, high);
  }
}

// ---- A block --------------------------------------------------------------------------------

template <std::size_t W>
void rank_block(const Plan& plan, Scratch& scratch, const float* const* columns, std::size_t first,
                std::size_t rows, bool group, Block& block) {
  std::uint8_t* planes = scratch.planes.data();
  for (const RankedFeature& ranked : plan.ranked) {
    const float* column = columns[ranked.feature] + first;
    const float* levels = &plan.levels[ranked.levels];
    std::uint8_t* out = planes + ranked.first_plane * W;
    if (ranked.nan_plane < 0) {
      rank_column<W, false>(ranked, levels, column, rows, out, nullptr);
    } else {
      rank_column<W, true>(ranked, levels, column, rows, out,
                           planes + static_cast<std::size_t>(ranked.nan_plane) * W);
    }
  }
  block.leaders = 0;
  if (group) group_rows<W>(plan, planes, rows, block);
}

template <std::size_t W>
void descend_block(const Plan& plan, Scratch& scratch, std::size_t rows, std::uint64_t* sums,
                   std::size_t stride) {
  const Bits<W> d;
  const std::uint8_t* planes = scratch.planes.data();
  std::uint8_t* conditions = scratch.conditions.data();
  hn::Store(hn::Zero(d), d, conditions);
  for (const RankedFeature& ranked : plan.ranked) {
    make_conditions<W>(ranked, planes + ranked.first_plane * W, scratch.equal.data(),
                       conditions + ranked.first_condition * W);
  }
  for (const MissingLeft& missing : plan.missing_left) {
    const auto right = hn::AndNot(hn::Load(d, planes + missing.nan_plane * W),
                                  hn::Load(d, conditions + missing.from * W));
    hn::Store(right, d, conditions + missing.to * W);
  }
  const std::size_t outputs = plan.model.outputs;
  auto* low = reinterpret_cast<std::uint32_t*>(scratch.low.data());
  auto* high = reinterpret_cast<std::uint32_t*>(scratch.high.data());
  std::memset(low, 0, outputs * 8 * W * sizeof *low);
  std::memset(high, 0, outputs * 8 * W * sizeof *high);
  for (const Group& group : plan.groups) {
    descend_group<W>(plan, group, conditions, scratch.leaves.data());
    for (std::size_t o = 0; o < outputs; ++o)
      add_output<W>(plan, group, o, scratch.leaves.data(), low + o * 8 * W, high + o * 8 * W);
  }
  for (std::size_t o = 0; o < outputs; ++o) {
    for (std::size_t r = 0; r < rows; r += 16) {
      const std::size_t at = o * 8 * W + (r % 128) / 16 * W + r / 128 * 16;
      for (std::size_t m = 0; m < std::min<std::size_t>(16, rows - r); ++m) {
        sums[o * stride + r + m] = low[at + m] + (std::uint64_t{high[at + m]} << (2 * kDigitBits));
      }
    }
  }
}

// A half block pays where a batch fills no more than that: weir's own batches have 256 rows.
#if HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_AVX3_DL
constexpr std::size_t kHalf_bytes = kVector_bytes / 2;
#else
constexpr std::size_t kHalf_bytes = kVector_bytes;
#endif

std::size_t block_rows(std::size_t rows) {
  return rows <= 8 * kHalf_bytes ? 8 * kHalf_bytes : 8 * kVector_bytes;
}

void rank(const Plan& plan, Scratch& scratch, const float* const* columns, std::size_t first,
          std::size_t rows, std::size_t block_size, bool group, Block& block) {
  if (block_size == 8 * kHalf_bytes) {
    rank_block<kHalf_bytes>(plan, scratch, columns, first, rows, group, block);
  } else {
    rank_block<kVector_bytes>(plan, scratch, columns, first, rows, group, block);
  }
}

void descend(const Plan& plan, Scratch& scratch, std::size_t block_size, std::size_t rows,
             std::uint64_t* sums, std::size_t stride) {
  if (block_size == 8 * kHalf_bytes) {
    descend_block<kHalf_bytes>(plan, scratch, rows, sums, stride);
  } else {
    descend_block<kVector_bytes>(plan, scratch, rows, sums, stride);
  }
}

Kernel kernel() { return {hwy::TargetName(HWY_TARGET), block_rows, rank, descend}; }
#endif  // HWY_SCALAR

}  // namespace weir::forest::HWY_NAMESPACE
#if HWY_TARGET == HWY_AVX3_DL
#pragma GCC pop_options
#endif
HWY_AFTER_NAMESPACE();
#endif  // per-target include guard
