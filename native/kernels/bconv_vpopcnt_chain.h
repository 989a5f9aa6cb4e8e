// Chains (chain.h) on the accumulators of a tile where they lie, in registers: through memory a tile's counts would cost a store and a load each, and
// the chain could not start before. Included by bconv_vpopcnt.h.
//
// Floats: the accumulators start at the bits of 2^23, so that as a float one is 2^23 + count, and origin - 2*count is twice an exact difference: no
// conversion, and the 2 is in the scale.
// Cost of 16 channels: subtraction, AFFINE 2, ADD 1 (with the load), PRELU 2, STORE, STORE_BITS 1 and 1.5 to join 4 masks: 7 operations and a store, beside
// 54 to count 576 inputs. i16, 32 channels: vpackusdw, shift, subtraction, FIXED 2, ADD_I16 1, PRELU_I16 2, a store, STORE_BITS_I16 1 and 1.
// The lines of the map to be added are asked for before counting: their misses pass meanwhile.
#pragma once

#include "isa.h"

#if BITWRIGHT_AVX512VPOPCNT

#include <immintrin.h>

#include "kernel.h"

namespace bitwright {
namespace {

constexpr int32_t kBitsOf2To23 = 0x4B000000;

// Lines to be stored to are not: asking for them as well cost more than it saved.
template <int P, int V, class Tile>
BITWRIGHT_INLINE void prefetch_added(const Tile& t) {
  constexpr int kElements = 64 / sizeof(*t.add), kLines = 16 * V / kElements;
  if (t.add != nullptr)
    BITWRIGHT_UNROLL for (int i = 0; i < P; ++i)
      BITWRIGHT_UNROLL for (int k = 0; k < kLines; ++k)
        _mm_prefetch(reinterpret_cast<const char*>(t.add + static_cast<size_t>(i) * t.value_stride + kElements * k), _MM_HINT_T0);
}

// Two vectors of channels at a time through the whole chain: all tile steps in turn would wait for one kind of pipe after the other.
template <int P, int V>
BITWRIGHT_INLINE void floats_end(const __m512i (&acc)[P][V], const FloatsTile& t) {
  const __m512 one = _mm512_set1_ps(1.0f);
  const auto operand = [](const float* p, int v) { return _mm512_loadu_ps(p + 16 * v); };
#define BITWRIGHT_EACH BITWRIGHT_UNROLL for (int v = 0; v < 2; ++v) BITWRIGHT_UNROLL for (int i = 0; i < P; ++i)
  BITWRIGHT_UNROLL for (int w = 0; w < V / 2; ++w) {
    __m512 x[P][2];
    // Exact, so that it may be a multiply-add: the two adders have enough to do.
    BITWRIGHT_EACH x[i][v] = _mm512_fnmadd_ps(_mm512_castsi512_ps(acc[i][2 * w + v]), one, operand(t.origin[i], 2 * w + v));
    if (t.scale != nullptr) BITWRIGHT_EACH x[i][v] = _mm512_mul_ps(x[i][v], operand(t.scale, 2 * w + v));
    BITWRIGHT_EACH x[i][v] = _mm512_add_ps(_mm512_mul_ps(x[i][v], operand(t.a, 2 * w + v)), operand(t.b, 2 * w + v));
    if (t.add != nullptr) BITWRIGHT_EACH x[i][v] = _mm512_add_ps(x[i][v], operand(t.add + static_cast<size_t>(i) * t.value_stride, 2 * w + v));
    if (t.before != nullptr) BITWRIGHT_EACH x[i][v] = _mm512_add_ps(x[i][v], operand(t.before, 2 * w + v));
    if (t.slope != nullptr)
      BITWRIGHT_EACH x[i][v] =
          _mm512_mask_mul_ps(x[i][v], _mm512_cmp_ps_mask(x[i][v], _mm512_setzero_ps(), _CMP_NGE_UQ), operand(t.slope, 2 * w + v), x[i][v]);
    if (t.after != nullptr) BITWRIGHT_EACH x[i][v] = _mm512_add_ps(x[i][v], operand(t.after, 2 * w + v));
    if (t.store != nullptr) BITWRIGHT_EACH _mm512_storeu_ps(t.store + static_cast<size_t>(i) * t.value_stride + 32 * w + 16 * v, x[i][v]);
    if (t.bits != nullptr) {
      const uint32_t flip = t.flip != nullptr ? t.flip[w] : 0;
      BITWRIGHT_UNROLL for (int i = 0; i < P; ++i) {
        const __mmask16 low = _mm512_cmp_ps_mask(x[i][0], operand(t.threshold, 2 * w), _CMP_GE_OQ);
        const __mmask16 high = _mm512_cmp_ps_mask(x[i][1], operand(t.threshold, 2 * w + 1), _CMP_GE_OQ);
        t.bits[static_cast<size_t>(i) * t.bits_stride + static_cast<uint32_t>(w)] = _mm512_kunpackw(high, low) ^ flip;
      }
    }
  }
#undef BITWRIGHT_EACH
}

// narrow(even, odd): 32 counts in order, 16 bits each.
template <int P, int V, class Narrow>
BITWRIGHT_INLINE void shorts_end(const __m512i (&acc)[P][V], const ShortsTile& t, const Narrow& narrow) {
  constexpr int W = V / 2;
  __m512i x[P][W];
  const __m128i shift = _mm_cvtsi32_si128(static_cast<int>(t.shift));
  const auto operand = [](const int16_t* p, int w) { return _mm512_loadu_si512(p + 32 * w); };
#define BITWRIGHT_EACH BITWRIGHT_UNROLL for (int w = 0; w < W; ++w) BITWRIGHT_UNROLL for (int i = 0; i < P; ++i)
  BITWRIGHT_EACH x[i][w] = _mm512_sll_epi16(narrow(acc[i][2 * w], acc[i][2 * w + 1]), shift);
  BITWRIGHT_EACH x[i][w] = _mm512_mulhrs_epi16(_mm512_sub_epi16(operand(t.origin[i], w), x[i][w]), operand(t.factor, w));
  for (uint32_t n = t.doublings; n > 0; --n) BITWRIGHT_EACH x[i][w] = _mm512_adds_epi16(x[i][w], x[i][w]);
  BITWRIGHT_EACH x[i][w] = _mm512_adds_epi16(x[i][w], operand(t.offset, w));
  if (t.add != nullptr) BITWRIGHT_EACH x[i][w] = _mm512_adds_epi16(x[i][w], operand(t.add + static_cast<size_t>(i) * t.value_stride, w));
  if (t.before != nullptr) BITWRIGHT_EACH x[i][w] = _mm512_adds_epi16(x[i][w], operand(t.before, w));
  if (t.slope != nullptr) BITWRIGHT_EACH x[i][w] = _mm512_mask_mulhrs_epi16(x[i][w], _mm512_movepi16_mask(x[i][w]), x[i][w], operand(t.slope, w));
  if (t.after != nullptr) BITWRIGHT_EACH x[i][w] = _mm512_adds_epi16(x[i][w], operand(t.after, w));
  if (t.store != nullptr) BITWRIGHT_EACH _mm512_storeu_si512(t.store + static_cast<size_t>(i) * t.value_stride + 32 * w, x[i][w]);
  if (t.bits != nullptr)
    BITWRIGHT_UNROLL for (int w = 0; w < W; ++w) {
      const uint32_t flip = t.flip != nullptr ? t.flip[w] : 0;
      BITWRIGHT_UNROLL for (int i = 0; i < P; ++i)
        t.bits[static_cast<size_t>(i) * t.bits_stride + static_cast<uint32_t>(w)] = _mm512_cmpge_epi16_mask(x[i][w], operand(t.threshold, w)) ^ flip;
    }
#undef BITWRIGHT_EACH
}

}  // namespace
}  // namespace bitwright

#endif
