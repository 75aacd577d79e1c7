// SPDX-License-Identifier: BSD-2-Clause
// Included once for each target by Highway's foreach_target.h; evaluate_sliced.h says what happens.
#if defined(WEIR_FOREST_SLICED_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef WEIR_FOREST_SLICED_INL
#undef WEIR_FOREST_SLICED_INL
#else
#define WEIR_FOREST_SLICED_INL
#endif

#include <hwy/cache_control.h>
#include <hwy/highway.h>

#include <algorithm>
#include <bit>
#include <cstring>

#include "forest/evaluate_rank-inl.h"
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
Kernel kernel() { return {hwy::TargetName(HWY_TARGET), 1.0, nullptr, nullptr, nullptr}; }
#else
namespace hn = hwy::HWY_NAMESPACE;

// ---- Descent --------------------------------------------------------------------------------

template <class V>
HWY_INLINE V select(V right, V if_right, V if_left) {
#if HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_AVX3_DL || HWY_TARGET == HWY_NEON
  return hn::IfVecThenElse(right, if_right, if_left);  // one bitwise instruction here
#else
  return hn::Or(hn::And(right, if_right), hn::AndNot(right, if_left));
#endif
}

/// The rows that go right at a node.
template <std::size_t W>
HWY_INLINE BitVec<W> goes_right(const std::uint8_t* fields, const Condition& node) {
  const Bits<W> d;
  std::uint64_t both = 0;  // one load: loads are what a node costs
  std::memcpy(&both, &node, sizeof both);
  static_assert(sizeof node == sizeof both && std::endian::native == std::endian::little);
  const std::uint8_t* high = fields + (both & 0xffffffffU) * (W / 16);
  return hn::OrAnd(hn::Load(d, high + W), hn::Load(d, high),
                   hn::Load(d, fields + (both >> 32U) * (W / 16)));
}

/// The leaf's number below a node, bit by bit: bits[0] is the least significant.
template <int kDepth, std::size_t W>
struct Subtree {
  static HWY_INLINE void run(const std::uint8_t* fields, const Condition*& node, BitVec<W>* bits) {
    const auto right = goes_right<W>(fields, *node++);
    BitVec<W> other[kDepth];
    Subtree<kDepth - 1, W>::run(fields, node, bits);
    Subtree<kDepth - 1, W>::run(fields, node, other);
    for (int i = 0; i < kDepth - 1; ++i) bits[i] = select(right, other[i], bits[i]);
    bits[kDepth - 1] = right;
  }
};
template <std::size_t W>
struct Subtree<1, W> {
  static HWY_INLINE void run(const std::uint8_t* fields, const Condition*& node, BitVec<W>* bits) {
    bits[0] = goes_right<W>(fields, *node++);
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
HWY_NOINLINE void descend_trees(const std::uint8_t* fields, const Condition* nodes,
                                std::size_t trees, std::uint8_t* leaves) {
  for (std::size_t t = 0; t < trees; ++t) {
    BitVec<W> bits[kDepth];
    Subtree<kDepth, W>::run(fields, nodes, bits);
    store_leaves<kDepth, W>(bits, leaves + t * 8 * W);
  }
}

template <std::size_t W>
HWY_INLINE void descend_group(const Plan& plan, const Group& group, const std::uint8_t* fields,
                              std::uint8_t* leaves) {
  constexpr decltype(&descend_trees<1, W>) kByDepth[kSlicedDepth] = {
      descend_trees<1, W>, descend_trees<2, W>, descend_trees<3, W>, descend_trees<4, W>,
      descend_trees<5, W>, descend_trees<6, W>, descend_trees<7, W>, descend_trees<8, W>};
  for (std::size_t t = 0; t < group.trees;) {
    const SlicedTree& tree = plan.sliced[group.first_tree + t];
    std::size_t run = 1;  // trees stand by depth, their nodes one behind the other
    while (t + run < group.trees && plan.sliced[group.first_tree + t + run].depth == tree.depth)
      ++run;
    kByDepth[tree.depth - 1](fields, &plan.nodes[tree.nodes], run, leaves + t * 8 * W);
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
    auto index = hn::SaturatedAdd(hn::Sub(leaf, hn::Set(d, static_cast<std::uint8_t>(from))),
                                  hn::Set(d, 0x70));
    // x86 looks at the low four bits and bit 7 alone. Elsewhere 16 or more gives zero.
    if constexpr (HWY_TARGET != HWY_SSE4 && HWY_TARGET != HWY_AVX2 && HWY_TARGET != HWY_AVX3)
      index = hn::And(index, hn::Set(d, 0x8f));
    for (std::size_t i = 0; i < kCount; ++i) {
      const auto table = hn::LoadDup128(d, tables + i * size + from);
      add[i] = hn::Add(add[i], hn::TableLookupBytesOr0(table, index));
    }
  }
}
#endif

template <std::size_t kCount, bool kHigh>
HWY_INLINE void add_digits(const std::uint16_t (&digits)[kDigits][kVector_bytes / 2],
                           std::uint32_t* low, std::uint32_t* high) {
  for (std::size_t m = 0; m < kCount; ++m)
    low[m] += digits[0][m] + (std::uint32_t{digits[1][m]} << kDigitBits);
  if constexpr (kHigh)
    for (std::size_t m = 0; m < kCount; ++m)
      high[m] += digits[2][m] + (std::uint32_t{digits[3][m]} << kDigitBits);
}

/// Adds the digits of one output's lookups of a group to its sums, 8 W rows in lane order, but of
/// each vector the even lanes first.
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
    add_digits<kLanes / 2, (kCount > 2)>(even_sums, low + at, high + at);
    add_digits<kLanes / 2, (kCount > 2)>(odd_sums, low + at + kLanes / 2, high + at + kLanes / 2);
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

/// Both halves of the sums in one, in the order of the rows; whole sixteens are written.
template <std::size_t W>
HWY_NOINLINE void write_sums(const std::uint32_t* low, const std::uint32_t* high, std::size_t rows,
                             std::uint64_t* sums) {
  constexpr std::size_t kLanes = kVector_bytes;
  for (std::size_t r = 0; r < rows; r += 16) {
    const std::size_t lane = (r % 128) / 16 * W + r / 128 * 16;
    const std::size_t even = lane / kLanes * kLanes + lane % kLanes / 2;
    for (std::size_t m = 0; m < 8; ++m) {
      for (std::size_t odd = 0; odd < 2; ++odd) {
        const std::size_t at = even + odd * (kLanes / 2) + m;
        sums[r + 2 * m + odd] = low[at] + (std::uint64_t{high[at]} << (2 * kDigitBits));
      }
    }
  }
}

// ---- A block --------------------------------------------------------------------------------

template <std::size_t W>
void rank_block(const Plan& plan, Scratch& scratch, const float* const* columns, std::size_t first,
                std::size_t rows, bool group, Block& block) {
  std::uint8_t* planes = scratch.planes.data();
  for (std::size_t f = 0; f < plan.ranked.size(); ++f) {
    const RankedFeature& ranked = plan.ranked[f];
    const float* column = columns[ranked.feature] + first;
    // Columns lie apart, so that no prefetcher of the CPU finds the next one in time.
    if (f + 1 < plan.ranked.size()) {
      const float* next = columns[plan.ranked[f + 1].feature] + first;
      for (std::size_t r = 0; r < rows; r += 16) hwy::Prefetch(next + r);
    }
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
  std::uint8_t* fields = scratch.fields.data();
  hn::Store(hn::Zero(d), d, fields);
  hn::Store(hn::Zero(d), d, fields + W);
  for (const RankedFeature& ranked : plan.ranked) make_fields<W>(ranked, planes, fields);
  const std::size_t outputs = plan.model.outputs;
  auto* low = reinterpret_cast<std::uint32_t*>(scratch.low.data());
  auto* high = reinterpret_cast<std::uint32_t*>(scratch.high.data());
  std::memset(low, 0, outputs * 8 * W * sizeof *low);
  std::memset(high, 0, outputs * 8 * W * sizeof *high);
  for (const Group& group : plan.groups) {
    descend_group<W>(plan, group, fields, scratch.leaves.data());
    for (std::size_t o = 0; o < outputs; ++o)
      add_output<W>(plan, group, o, scratch.leaves.data(), low + o * 8 * W, high + o * 8 * W);
  }
  for (std::size_t o = 0; o < outputs; ++o)
    write_sums<W>(low + o * 8 * W, high + o * 8 * W, rows, sums + o * stride);
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

Kernel kernel() {
  constexpr bool kAvx512 = HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_AVX3_DL;
  return {hwy::TargetName(HWY_TARGET), kAvx512 ? 1.0 : 1.8, block_rows, rank, descend};
}
#endif  // HWY_SCALAR

}  // namespace weir::forest::HWY_NAMESPACE
#if HWY_TARGET == HWY_AVX3_DL
#pragma GCC pop_options
#endif
HWY_AFTER_NAMESPACE();
#endif  // per-target include guard
