// Chains (chain.h) on the counts or sums of a tile where they lie, in registers: through memory a tile's counts would cost a store and a load each, and
// the chain could not start before. Included by the kernels of AVX-512.
//
// Floats: a count c comes as the bits of the float 2^23 + c, so that one exact multiply-add makes it the accumulator: no conversion.
// Cost of 16 channels: subtraction, AFFINE 2, ADD 1 (with the load), PRELU 2, STORE, STORE_BITS 1 and 1 to join masks: 7 operations and a store, beside
// 54 to count 576 inputs. i16, 32 channels: shift (not where planes are counted, gfni_bytes.h), subtraction, FIXED 2, ADD_I16 1, PRELU_I16 2, a store,
// STORE_BITS_I16 1 and 1.
// The lines of the map to be added are asked for before counting: their misses pass meanwhile.
//
// `Places` says where pixel i of the tile lies: add(i), store(i), bits(i). `Shape` says which steps there are: AnyShape asks the tile, which costs
// register moves where the ways meet again.
#pragma once

#include "isa.h"

#if BITWRIGHT_AVX512

#include <immintrin.h>

#include <cstring>

#include "kernel_chain.h"

namespace bitwright {
namespace {

constexpr int32_t kBitsOf2To23 = 0x4B000000;

// Pixels one after the other.
template <class Tile>
struct InOrder {
  const Tile& t;
  BITWRIGHT_INLINE auto add(int i) const { return t.add + static_cast<size_t>(i) * t.value_stride; }
  BITWRIGHT_INLINE auto store(int i) const { return t.store + static_cast<size_t>(i) * t.value_stride; }
  BITWRIGHT_INLINE uint32_t* bits(int i) const { return t.bits + static_cast<size_t>(i) * t.bits_stride; }
};

struct AnyShape {
  bool add, before, slope, after;
  template <class Tile>
  explicit AnyShape(const Tile& t) : add(t.add != nullptr), before(t.before != nullptr), slope(t.slope != nullptr), after(t.after != nullptr) {}
};

// The lines of P pixels x C channels that `ADD` reads. Lines to be stored to are not asked for: that cost more than it saved.
template <int P, int C, class Tile, class Places>
BITWRIGHT_INLINE void prefetch_added(const Tile& t, const Places& at) {
  constexpr int kElements = 64 / sizeof(*t.add), kLines = C / kElements;
  if (t.add != nullptr)
    BITWRIGHT_UNROLL for (int i = 0; i < P; ++i)
      BITWRIGHT_UNROLL for (int k = 0; k < kLines; ++k) _mm_prefetch(reinterpret_cast<const char*>(at.add(i) + kElements * k), _MM_HINT_T0);
}

// sums(i, v): x of 16 channels, from channel 16 * v of the tile's on, in order. Two vectors of channels at a time through the whole chain, W times:
// all tile steps in turn would wait for one kind of pipe after the other.
template <int P, int W, class Sums, class Places, class Shape>
BITWRIGHT_INLINE void floats_steps(const Sums& sums, const FloatsTile& t, const Places& at, const Shape& shape) {
  const auto operand = [](const float* p, int v) { return _mm512_loadu_ps(p + 16 * v); };
#define BITWRIGHT_EACH BITWRIGHT_UNROLL for (int v = 0; v < 2; ++v) BITWRIGHT_UNROLL for (int i = 0; i < P; ++i)
  BITWRIGHT_UNROLL for (int w = 0; w < W; ++w) {
    __m512 x[P][2];
    BITWRIGHT_EACH x[i][v] = sums(i, 2 * w + v);
    if (t.scale != nullptr) BITWRIGHT_EACH x[i][v] = _mm512_mul_ps(x[i][v], operand(t.scale, 2 * w + v));
    if (t.a != nullptr) BITWRIGHT_EACH x[i][v] = _mm512_add_ps(_mm512_mul_ps(x[i][v], operand(t.a, 2 * w + v)), operand(t.b, 2 * w + v));
    if (shape.add) BITWRIGHT_EACH x[i][v] = _mm512_add_ps(x[i][v], operand(at.add(i), 2 * w + v));
    if (shape.before) BITWRIGHT_EACH x[i][v] = _mm512_add_ps(x[i][v], operand(t.before, 2 * w + v));
    if (shape.slope)
      BITWRIGHT_EACH x[i][v] =
          _mm512_mask_mul_ps(x[i][v], _mm512_cmp_ps_mask(x[i][v], _mm512_setzero_ps(), _CMP_NGE_UQ), operand(t.slope, 2 * w + v), x[i][v]);
    if (shape.after) BITWRIGHT_EACH x[i][v] = _mm512_add_ps(x[i][v], operand(t.after, 2 * w + v));
    if (t.store != nullptr)
      BITWRIGHT_UNROLL for (int i = 0; i < P; ++i)
        BITWRIGHT_UNROLL for (int v = 0; v < 2; ++v) _mm512_storeu_ps(at.store(i) + 32 * w + 16 * v, x[i][v]);
    if (t.bits != nullptr) {
      const uint32_t flip = t.flip != nullptr ? t.flip[w] : 0;
      BITWRIGHT_UNROLL for (int i = 0; i < P; ++i) {
        const __mmask16 low = _mm512_cmp_ps_mask(x[i][0], operand(t.threshold, 2 * w), _CMP_GE_OQ);
        const __mmask16 high = _mm512_cmp_ps_mask(x[i][1], operand(t.threshold, 2 * w + 1), _CMP_GE_OQ);
        at.bits(i)[w] = _mm512_kunpackw(high, low) ^ flip;
      }
    }
  }
#undef BITWRIGHT_EACH
}

// counts(i, v): 2^23 + count of 16 channels.
template <int P, int W, class Counts, class Places, class Shape>
BITWRIGHT_INLINE void floats_end(const Counts& counts, const FloatsTile& t, const Places& at, const Shape& shape) {
  const __m512 step = _mm512_set1_ps(t.step);
  // Exact, so that it may be a multiply-add: the two adders have enough to do.
  const auto sums = [&](int i, int v) { return _mm512_fnmadd_ps(_mm512_castsi512_ps(counts(i, v)), step, _mm512_loadu_ps(t.origin[i] + 16 * v)); };
  floats_steps<P, W>(sums, t, at, shape);
}

// The operands of i16 steps where they lie, for a chain that runs once, ...
struct ShortsInMemory {
  const ShortsTile& t;
  static BITWRIGHT_INLINE __m512i at(const int16_t* p, int w) { return _mm512_loadu_si512(p + 32 * w); }
  BITWRIGHT_INLINE bool stores() const { return t.store != nullptr; }
  BITWRIGHT_INLINE bool packs() const { return t.bits != nullptr; }
  BITWRIGHT_INLINE uint32_t shift() const { return t.shift; }
  BITWRIGHT_INLINE uint32_t doublings() const { return t.doublings; }
  BITWRIGHT_INLINE __m512i factor(int w) const { return at(t.factor, w); }
  BITWRIGHT_INLINE __m512i offset(int w) const { return at(t.offset, w); }
  BITWRIGHT_INLINE __m512i before(int w) const { return at(t.before, w); }
  BITWRIGHT_INLINE __m512i slope(int w) const { return at(t.slope, w); }
  BITWRIGHT_INLINE __m512i after(int w) const { return at(t.after, w); }
  BITWRIGHT_INLINE __m512i threshold(int w) const { return at(t.threshold, w); }
  BITWRIGHT_INLINE uint64_t flip(int words) const {
    uint64_t bits = 0;
    if (t.flip != nullptr) std::memcpy(&bits, t.flip, 4 * static_cast<size_t>(words));
    return bits;
  }
};

// ... and copies, for one that runs several times: behind each store the compiler would have to read even the tile again.
template <int W, class Shape>
class ShortsCopied {
 public:
  explicit BITWRIGHT_INLINE ShortsCopied(const ShortsTile& t, const Shape& shape)
      : factor_(t.factor, true), offset_(t.offset, true), before_(t.before, shape.before), slope_(t.slope, shape.slope), after_(t.after, shape.after),
        threshold_(t.threshold, t.bits != nullptr), flip_(ShortsInMemory{t}.flip(W)), doublings_(t.doublings), stores_(t.store != nullptr),
        packs_(t.bits != nullptr) {}
  BITWRIGHT_INLINE bool stores() const { return stores_; }
  BITWRIGHT_INLINE bool packs() const { return packs_; }
  BITWRIGHT_INLINE uint32_t doublings() const { return doublings_; }
  BITWRIGHT_INLINE __m512i factor(int w) const { return factor_.v[w]; }
  BITWRIGHT_INLINE __m512i offset(int w) const { return offset_.v[w]; }
  BITWRIGHT_INLINE __m512i before(int w) const { return before_.v[w]; }
  BITWRIGHT_INLINE __m512i slope(int w) const { return slope_.v[w]; }
  BITWRIGHT_INLINE __m512i after(int w) const { return after_.v[w]; }
  BITWRIGHT_INLINE __m512i threshold(int w) const { return threshold_.v[w]; }
  BITWRIGHT_INLINE uint64_t flip(int) const { return flip_; }

 private:
  struct Operand {
    __m512i v[W];
    BITWRIGHT_INLINE Operand(const int16_t* p, bool there) {
      if (there) BITWRIGHT_UNROLL for (int w = 0; w < W; ++w) v[w] = ShortsInMemory::at(p, w);
    }
  };
  Operand factor_, offset_, before_, slope_, after_, threshold_;
  uint64_t flip_;
  uint32_t doublings_;
  bool stores_, packs_;
};

// counts(i, w): 32 counts in order, 16 bits each, W of them a pixel, shifted already unless kShift; origin(i): where the pixel's origins lie. Pixels
// [First, First + P) of the tile. (counts itself is called here: behind one more function gcc 12 keeps a kernel's accumulators in memory.)
template <int First, int P, int W, bool kShift, class Counts, class Origin, class Operands, class Places, class Shape>
BITWRIGHT_INLINE void shorts_steps(const Counts& counts, const Origin& origin, const Operands& t, const Places& at, const Shape& shape) {
  __m512i x[P][W];
#define BITWRIGHT_EACH BITWRIGHT_UNROLL for (int w = 0; w < W; ++w) BITWRIGHT_UNROLL for (int i = 0; i < P; ++i)
  BITWRIGHT_EACH x[i][w] = counts(First + i, w);
  if constexpr (kShift) {
    const __m128i shift = _mm_cvtsi32_si128(static_cast<int>(t.shift()));
    BITWRIGHT_EACH x[i][w] = _mm512_sll_epi16(x[i][w], shift);
  }
  BITWRIGHT_EACH x[i][w] = _mm512_mulhrs_epi16(_mm512_sub_epi16(ShortsInMemory::at(origin(First + i), w), x[i][w]), t.factor(w));
  for (uint32_t n = t.doublings(); n > 0; --n) BITWRIGHT_EACH x[i][w] = _mm512_adds_epi16(x[i][w], x[i][w]);
  BITWRIGHT_EACH x[i][w] = _mm512_adds_epi16(x[i][w], t.offset(w));
  if (shape.add) BITWRIGHT_EACH x[i][w] = _mm512_adds_epi16(x[i][w], ShortsInMemory::at(at.add(First + i), w));
  if (shape.before) BITWRIGHT_EACH x[i][w] = _mm512_adds_epi16(x[i][w], t.before(w));
  // A slope is below 1: its product is above x exactly where x is below 0.
  if (shape.slope) BITWRIGHT_EACH x[i][w] = _mm512_max_epi16(x[i][w], _mm512_mulhrs_epi16(x[i][w], t.slope(w)));
  if (shape.after) BITWRIGHT_EACH x[i][w] = _mm512_adds_epi16(x[i][w], t.after(w));
  if (t.stores())
    BITWRIGHT_UNROLL for (int i = 0; i < P; ++i)
      BITWRIGHT_UNROLL for (int w = 0; w < W; ++w) _mm512_storeu_si512(at.store(First + i) + 32 * w, x[i][w]);
  if (t.packs()) {
    const auto mask = [&](int i, int w) { return _mm512_cmpge_epi16_mask(x[i][w], t.threshold(w)); };
    if constexpr (W == 2) {  // both words at once
      const uint64_t flip = t.flip(W);
      BITWRIGHT_UNROLL for (int i = 0; i < P; ++i) {
        const uint64_t bits = _cvtmask64_u64(_mm512_kunpackd(mask(i, 1), mask(i, 0))) ^ flip;
        std::memcpy(at.bits(First + i), &bits, 8);
      }
    } else {
      const auto flip = static_cast<uint32_t>(t.flip(W));
      static_assert(W == 1);
      BITWRIGHT_UNROLL for (int i = 0; i < P; ++i) at.bits(First + i)[0] = mask(i, 0) ^ flip;
    }
  }
#undef BITWRIGHT_EACH
}

template <int P, int W, class Counts, class Places, class Shape>
BITWRIGHT_INLINE void shorts_end(const Counts& counts, const ShortsTile& t, const Places& at, const Shape& shape) {
  shorts_steps<0, P, W, true>(counts, [&](int i) { return t.origin[i]; }, ShortsInMemory{t}, at, shape);
}

}  // namespace
}  // namespace bitwright

#endif
