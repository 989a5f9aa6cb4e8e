// Binary convolution by bit-sliced counting with GFNI and AVX-512 VBMI (Ice Lake and later, Zen 4 and later); bitslice.h explains the algebra.
//
// A step counts 6 channels of 8 pixels x 64 channels of output, 3072 MAC, with 3 vgf2p8affineqb and 5 vpternlogd; popcount needs 18 operations for
// them (xor, popcount, add per 512). Weights take 3 bytes per 6 weights and channel, 4 times the packed bits; the activations' features 2 bytes
// per 6 channels and pixel, made once for all taps and output channels.
//
// Cost (Zen 5 server, 3.65 GHz, gcc 12): of 512-bit operations, vgf2p8affineqb 2 a cycle (latency 3), vpternlogd 4 with operands of long ago, but 2 where
// two of them are still to come: 2.5 cycles a step, 1228 MAC/cycle at best. Tiles of 3 groups, scheduled by hand (gfni_steps.py), reach 940 to 990 in L1;
// by the compiler, those of 3 reach 890, of 2 910 to 1000 (but load more weights in layers), of 4 883 (spills), of 1 590. So tiles have 3, the last one 4
// rather than 1.
// The end of a group, in L1, i16 chain with ADD_I16, STORE_I16, STORE_BITS_I16: 72 cycles where its pixels lie one after the other, 83 with gaps; with PRELU_I16 77
// and 85; a count of 11 to 13 bits 3 to 8 more. Of the 77, planes to bytes are 18, the bits 9. 204 operations: 51 cycles if all four pipes were always busy.
#include "isa.h"

#include "entries.h"
#include "kernel_sliced.h"

#if BITWRIGHT_GFNI

#include "chain.h"
#include "chain_avx512.h"
#include "gfni_bytes.h"
#include "gfni_chain.h"
#include "gfni_count.h"

namespace bitwright {
namespace {

constexpr uint32_t kPanel = 64;
constexpr uint32_t kGroups = 3;  // of a tile, at most

// The channel in byte b of a weight vector: unpacking bytes (count16) then gives the channels in order.
constexpr uint32_t channel_of(uint32_t b) { return (b >> 4) * 8 + (b & 7) + ((b >> 3) & 1) * 32; }

uint32_t tile_groups(size_t groups) { return groups == 4 ? 2 : groups < 3 ? static_cast<uint32_t>(groups) : 3; }

size_t panel_bytes(const BitSlice& slice) { return (size_t{3} * slice.steps + 1) * kPanel; }

// Channels past the end repeat the first one: their counts are nobody's.
void pack(void* panels, const uint32_t* weights, uint32_t outputs, const BitSlice& slice) {
  const Chain<3> chain(kTables.weight);
  const size_t row = size_t{slice.taps} * slice.words;
  auto* to = static_cast<uint8_t*>(panels);
  // Spare bits of the taps: [taps][64], in the panel's own memory where the joint steps and the last vector do not lie is too little for 1x1.
  constexpr uint32_t kTapBlock = 64;
  for (uint32_t first = 0; first < outputs; first += kPanel, to += panel_bytes(slice)) {
    int32_t offset[kPanel], spare_offset[kTapBlock];
    uint8_t* const joint = to + size_t{slice.taps} * slice.whole * 192;
    alignas(64) uint8_t few[kTapBlock * kPanel];
    uint8_t* spare = slice.taps <= kTapBlock ? few : static_cast<uint8_t*>(_mm_malloc(size_t{slice.taps} * kPanel, 64));
    int32_t* spare_at = slice.taps <= kTapBlock ? spare_offset : static_cast<int32_t*>(_mm_malloc(slice.taps * sizeof(int32_t), 64));
    for (uint32_t b = 0; b < kPanel; ++b) {
      const uint32_t channel = first + channel_of(b);
      offset[b] = channel < outputs ? static_cast<int32_t>(channel_of(b) * row) : 0;
    }
    for (uint32_t t = 0; t < slice.taps; ++t) {
      const Source source{weights + first * row + size_t{t} * slice.words, offset, 0};
      tap_chain(chain, source, slice, to + size_t{t} * 192, size_t{slice.taps} * 192, 64, spare + size_t{t} * kPanel);
      spare_at[t] = static_cast<int32_t>(t * kPanel);
    }
    const V run = joint_chain(chain, spare, spare_at, slice, joint, 192, 64);
    uint8_t* const padding = joint + size_t{slice.joint} * 192;
    uint8_t* const last = to + size_t{slice.steps} * 192;
    for (uint8_t* p = padding; p < last; p += 64) _mm512_store_si512(p, _mm512_setzero_si512());
    // Activations (last xor, 1) times weights (1, last xor).
    _mm512_store_si512(last, _mm512_or_si512(affine(run, move_bits(1, 6, 1)), _mm512_set1_epi8(1)));
    if (spare != few) {
      _mm_free(spare);
      _mm_free(spare_at);
    }
  }
}

void features(const SlicedFeatures& job, const BitSlice& slice) {
  const Chain<2> chain(kTables.activation);
  tap_chain(chain, Source{job.base, job.source, job.runs}, slice, job.planes, 2 * job.plane_stride, job.plane_stride, job.spare);
}

void joint(const SlicedJoint& job, const BitSlice& slice) {
  const Chain<2> chain(kTables.activation);
  const V run = joint_chain(chain, job.spare, job.offset, slice, job.planes, 2 * job.plane_stride, job.plane_stride);
  _mm512_storeu_si512(job.planes + 2 * size_t{slice.joint} * job.plane_stride, _mm512_or_si512(affine(run, move_bits(0, 6, 1)), _mm512_set1_epi8(2)));
}

void count(Counter* counter, const SlicedTile& tile, const BitSlice& slice) {
  switch (tile.groups) {
    case 1: return count_groups<1>(counter, tile, slice);
    case 2: return count_groups<2>(counter, tile, slice);
    default: return count_groups<3>(counter, tile, slice);
  }
}

void count16(uint16_t* counts, const uint32_t* row, const SlicedTile& tile, const BitSlice& slice) {
  Counter counter[kGroups];
  count(counter, tile, slice);
  for (uint32_t c = 0; c < tile.groups; ++c) {
    V low[8], high[8];
    count_bytes(counter[c], slice.planes, low, high);
    BITWRIGHT_UNROLL for (int i = 0; i < 8; ++i) {
      uint16_t* to = counts + size_t{row[8 * c + 7 - i]} * kPanel;
      _mm512_storeu_si512(to, _mm512_unpacklo_epi8(low[i], high[i]));
      _mm512_storeu_si512(to + 32, _mm512_unpackhi_epi8(low[i], high[i]));
    }
  }
}

// Where the pixels of a group lie, for chain_avx512.h. Gaps read and write `nowhere`. Computed where they are used: arrays of addresses, filled before,
// take 10 cycles a group more, by vectors (which then pass through memory to be used one by one) 20.
template <class Element>
struct GroupPlaces {
  struct Nowhere {
    alignas(64) Element value[kPanel] = {};
    uint32_t bits[2];
  };
  const uint32_t* pixel;
  const Element* added;
  Element* stored;
  uint32_t* bit;
  size_t value_bytes, bit_bytes;
  Nowhere* nowhere;
  template <class Tile>
  BITWRIGHT_INLINE GroupPlaces(const SlicedGroup& group, const Tile& to, Nowhere& none)
      : pixel(group.pixel), added(to.add), stored(to.store), bit(to.bits), value_bytes(to.value_stride * sizeof(Element)),
        bit_bytes(to.bits_stride * sizeof(uint32_t)), nowhere(&none) {}
  template <class T>
  BITWRIGHT_INLINE T* at(T* first, int i, size_t bytes, T* none) const {
    // Not followed where it is a gap's: an address as a number.
    const uintptr_t there = reinterpret_cast<uintptr_t>(first) + pixel[i] * bytes;
    return pixel[i] == SlicedGroup::kGap ? none : reinterpret_cast<T*>(there);
  }
  BITWRIGHT_INLINE const Element* add(int i) const { return at<const Element>(added, i, value_bytes, nowhere->value); }
  BITWRIGHT_INLINE Element* store(int i) const { return at<Element>(stored, i, value_bytes, nowhere->value); }
  BITWRIGHT_INLINE uint32_t* bits(int i) const { return at<uint32_t>(bit, i, bit_bytes, nowhere->bits); }
};

// The same without gaps: one after the other.
template <class Element>
struct StraightPlaces {
  const Element* added;
  Element* stored;
  uint32_t* bit;
  size_t values, words;
  template <class Tile>
  BITWRIGHT_INLINE StraightPlaces(const SlicedGroup& group, const Tile& to)
      : added(from(to.add, group.pixel[0] * to.value_stride)), stored(from(to.store, group.pixel[0] * to.value_stride)),
        bit(from(to.bits, group.pixel[0] * to.bits_stride)), values(to.value_stride), words(to.bits_stride) {}
  template <class T>
  static BITWRIGHT_INLINE T* from(T* first, size_t offset) {  // null: nobody asks for it
    return first == nullptr ? nullptr : first + offset;
  }
  BITWRIGHT_INLINE const Element* add(int i) const { return added + static_cast<size_t>(i) * values; }
  BITWRIGHT_INLINE Element* store(int i) const { return stored + static_cast<size_t>(i) * values; }
  BITWRIGHT_INLINE uint32_t* bits(int i) const { return bit + static_cast<size_t>(i) * words; }
};

template <bool kAdd, Act kAct>
struct ShapeOf {
  static constexpr bool add = kAdd, before = kAct == Act::kShifted, slope = kAct != Act::kNone, after = before;
};

// Counts a tile, then end(counter, group) for each group.
template <class Element, class Tile, class End>
BITWRIGHT_INLINE void chained(const SlicedTile& tile, const SlicedGroup* groups, const Tile& to, const BitSlice& slice, const End& end) {
  typename GroupPlaces<Element>::Nowhere nowhere;
  if (to.add != nullptr)
    for (uint32_t c = 0; c < tile.groups; ++c) prefetch_added<8, kPanel>(to, GroupPlaces<Element>(groups[c], to, nowhere));
  Counter counter[kGroups];
  count(counter, tile, slice);
  for (uint32_t c = 0; c < tile.groups; ++c) end(counter[c], groups[c], nowhere);
}

// The kernel of a tile's shape: Kernel<shape>::run.
template <template <class> class Kernel, class Tile>
BITWRIGHT_INLINE void by_shape(const SlicedTile& tile, const SlicedGroup* groups, const Tile& to, const BitSlice& slice) {
  if (to.before != nullptr)
    to.add != nullptr ? Kernel<ShapeOf<true, Act::kShifted>>::run(tile, groups, to, slice) : Kernel<ShapeOf<false, Act::kShifted>>::run(tile, groups, to, slice);
  else if (to.slope != nullptr)
    to.add != nullptr ? Kernel<ShapeOf<true, Act::kPrelu>>::run(tile, groups, to, slice) : Kernel<ShapeOf<false, Act::kPrelu>>::run(tile, groups, to, slice);
  else
    to.add != nullptr ? Kernel<ShapeOf<true, Act::kNone>>::run(tile, groups, to, slice) : Kernel<ShapeOf<false, Act::kNone>>::run(tile, groups, to, slice);
}

template <class Shape>
struct Shorts {
  static BITWRIGHT_NOINLINE void run(const SlicedTile& tile, const SlicedGroup* groups, const ShortsTile& to, const BitSlice& slice) {
    using Places = GroupPlaces<int16_t>;
    chained<int16_t>(tile, groups, to, slice, [&](Counter& counter, const SlicedGroup& group, Places::Nowhere& nowhere) {
      V low[8], high[8];
      shifted_bytes(counter, slice.planes, to.shift, low, high);
      const auto counts = [&](int i, int w) { return w == 0 ? _mm512_unpacklo_epi8(low[7 - i], high[7 - i]) : _mm512_unpackhi_epi8(low[7 - i], high[7 - i]); };
      const auto origin = [&, first = to.origin[0]](int i) { return first + group.origin[i]; };
      // Four pixels at a time: all at once spill, one by one asks too often what there is to do.
      const ShortsCopied<2, Shape> operands(to, Shape());
      const auto chain = [&](const auto& at) {
        shorts_steps<0, 4, 2, false>(counts, origin, operands, at, Shape());
        shorts_steps<4, 4, 2, false>(counts, origin, operands, at, Shape());
      };
      if (group.straight)
        chain(StraightPlaces<int16_t>(group, to));
      else
        chain(Places(group, to, nowhere));
    });
  }
};

void shorts(const SlicedTile& tile, const SlicedGroup* groups, const ShortsTile& to, const BitSlice& slice) { by_shape<Shorts>(tile, groups, to, slice); }

// Words of 16 bits, between them those of 2^23.
struct FloatOrder {
  alignas(64) uint16_t at[2][32];
};
constexpr FloatOrder make_float_order() {
  FloatOrder o{};
  for (int v = 0; v < 2; ++v)
    for (int i = 0; i < 16; ++i) {
      o.at[v][2 * i] = static_cast<uint16_t>(16 * v + i);
      o.at[v][2 * i + 1] = 32;
    }
  return o;
}
constexpr FloatOrder kFloatOrder = make_float_order();

template <class Shape>
struct Floats {
  static BITWRIGHT_NOINLINE void run(const SlicedTile& tile, const SlicedGroup* groups, const FloatsTile& to, const BitSlice& slice) {
    const V base = _mm512_set1_epi16(kBitsOf2To23 >> 16);
    const __m512 step = _mm512_set1_ps(to.step);
    using Places = GroupPlaces<float>;
    chained<float>(tile, groups, to, slice, [&](Counter& counter, const SlicedGroup& group, Places::Nowhere& nowhere) {
      V low[8], high[8];
      count_bytes(counter, slice.planes, low, high);
      const auto counts = [&](int i, int v) {
        const V words = v < 2 ? _mm512_unpacklo_epi8(low[7 - i], high[7 - i]) : _mm512_unpackhi_epi8(low[7 - i], high[7 - i]);
        return _mm512_permutex2var_epi16(words, _mm512_load_si512(kFloatOrder.at[v % 2]), base);
      };
      const auto sums = [&](int i, int v) {
        return _mm512_fnmadd_ps(_mm512_castsi512_ps(counts(i, v)), step, _mm512_loadu_ps(to.origin[0] + group.origin[i] + 16 * v));
      };
      if (group.straight)
        floats_steps<8, 2>(sums, to, StraightPlaces<float>(group, to), Shape());
      else
        floats_steps<8, 2>(sums, to, Places(group, to, nowhere), Shape());
    });
  }
};

void floats(const SlicedTile& tile, const SlicedGroup* groups, const FloatsTile& to, const BitSlice& slice) { by_shape<Floats>(tile, groups, to, slice); }

size_t limit_bytes(const BitSlice& slice) { return size_t{slice.planes} * kPanel; }

// Planes of limit + 1, as bytes 0 or 255: count < limit + 1.
void pack_limits(void* to, const int32_t* limit, uint32_t channels, const BitSlice& slice) {
  auto* bytes = static_cast<uint8_t*>(to);
  const int64_t most = (int64_t{1} << slice.planes) - 1;  // more than any count
  for (uint32_t b = 0; b < kPanel; ++b) {
    const uint32_t channel = channel_of(b);
    int64_t bound = channel < channels ? int64_t{limit[channel]} + 1 : 0;
    bound = bound < 0 ? 0 : bound > most ? most : bound;
    for (uint32_t k = 0; k < slice.planes; ++k) bytes[k * kPanel + b] = (bound >> k & 1) != 0 ? 0xFF : 0;
  }
}

void pack_flip(void* to, const uint8_t* flip, uint32_t channels) {
  for (uint32_t b = 0; b < kPanel; ++b) static_cast<uint8_t*>(to)[b] = channel_of(b) < channels && flip[channel_of(b)] != 0 ? 0xFF : 0;
}

// Byte 8c + b of the comparison, c < 8, b < 8, holds the pixels of channel channel_of(8c + b). Transposing the 8x8 bits of each 64-bit lane gives
// pixel j of lane c in byte j; these bytes, gathered, are a pixel's 64 bits.
struct BitOrder {
  alignas(64) uint8_t reverse[64];  // vpshufb: the matrix operand counts its bytes backwards
  alignas(64) uint8_t gather[64];
};
constexpr BitOrder make_bit_order() {
  BitOrder o{};
  for (int i = 0; i < 64; ++i) o.reverse[i] = static_cast<uint8_t>((i & 8) | (7 - (i & 7)));
  for (int j = 0; j < 8; ++j)
    for (int byte = 0; byte < 8; ++byte) o.gather[8 * j + byte] = static_cast<uint8_t>(8 * (byte < 4 ? 2 * byte : 2 * (byte - 4) + 1) + j);
  return o;
}
constexpr BitOrder kBitOrder = make_bit_order();

void threshold(uint64_t* bits, const SlicedTile& tile, const SlicedLimits& limits, const BitSlice& slice) {
  Counter counter[kGroups];
  count(counter, tile, slice);
  const V flip = _mm512_load_si512(limits.flip), reverse = _mm512_load_si512(kBitOrder.reverse), gather = _mm512_load_si512(kBitOrder.gather);
  for (uint32_t c = 0; c < tile.groups; ++c) {
    V result = _mm512_setzero_si512();
    for (uint32_t k = 0; k < limits.counts[c]; ++k) {
      const SlicedClass& which = limits.classes[c][k];
      const auto* limit = static_cast<const uint8_t*>(limits.limits) + which.index * limit_bytes(slice);
      V less = _mm512_setzero_si512();
      for (uint32_t i = 0; i < slice.planes; ++i)
        less = _mm512_ternarylogic_epi32(counter[c].plane[i], _mm512_load_si512(limit + i * kPanel), less, truth(less_of));
      result = _mm512_ternarylogic_epi32(result, less, _mm512_set1_epi8(static_cast<char>(which.mask)), truth(or_and_of));
    }
    result = _mm512_shuffle_epi8(_mm512_xor_si512(result, flip), reverse);
    result = _mm512_gf2p8affine_epi64_epi8(_mm512_set1_epi64(0x0102040810204080), result, 0);
    _mm512_storeu_si512(bits + 8 * c, _mm512_permutexvar_epi8(gather, result));
  }
}

const SlicedKernel kernel = {
    "bconv_gfni", "gfni", "bit-sliced counting: carries as bilinear forms (vgf2p8affineqb), adders of bit planes (vpternlogd), tile 24x64",
    kRankGfni, supports_gfni, kPanel, kGroups, tile_groups, panel_bytes, pack, limit_bytes, pack_limits, pack_flip, features, joint, count16, threshold,
    floats, shorts,
};

}  // namespace

const SlicedKernel* const bconv_gfni = &kernel;

}  // namespace bitwright

#else

namespace bitwright {
const SlicedKernel* const bconv_gfni = nullptr;
}  // namespace bitwright

#endif
