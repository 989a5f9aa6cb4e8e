// Bit planes of 512 counts as numbers, 8 pixels x 64 channels: first as bytes, low ones and high ones. Included by bconv_gfni.cpp only.
#pragma once

#include <immintrin.h>

#include <cstdint>

#include "gfni_chain.h"
#include "gfni_count.h"
#include "isa.h"

namespace bitwright {
namespace {

constexpr int up_of(int up, int mask, int a) { return mask ? a : up; }
constexpr int down_of(int down, int mask, int b) { return mask ? down : b; }

// Swaps bits of a and b so that after the stages 4, 2, 1 vector i holds bit i of all.
template <int Shift>
BITWRIGHT_INLINE void butterfly(V& a, V& b) {
  const V mask = _mm512_set1_epi8(Shift == 4 ? 0x0F : Shift == 2 ? 0x33 : 0x55);
  V up = _mm512_slli_epi16(b, Shift), down = _mm512_srli_epi16(a, Shift);
  ternary<truth(up_of)>(up, mask, a);  // in place: no moves
  ternary<truth(down_of)>(down, mask, b);
  a = up;
  b = down;
}

// 8 planes -> 8 vectors of bytes: byte c of v[j] has bit k = bit j of byte c of plane k.
BITWRIGHT_INLINE void planes_to_bytes(V (&v)[8]) {
  BITWRIGHT_UNROLL for (int i = 0; i < 4; ++i) butterfly<4>(v[i], v[i + 4]);
  BITWRIGHT_UNROLL for (int i = 0; i < 8; i += 4) {
    butterfly<2>(v[i], v[i + 2]);
    butterfly<2>(v[i + 1], v[i + 3]);
  }
  BITWRIGHT_UNROLL for (int i = 0; i < 8; i += 2) butterfly<1>(v[i], v[i + 1]);
}

// Fewer planes, as bits from `To` on: the same by a smaller butterfly, and one operation more for each vector.
template <int N, int To>
BITWRIGHT_INLINE void few_planes_to_bytes(V (&v)[N], V (&out)[8]) {
  if constexpr (N == 4) {
    butterfly<2>(v[0], v[2]);
    butterfly<2>(v[1], v[3]);
  }
  BITWRIGHT_UNROLL for (int i = 0; i < N; i += 2) butterfly<1>(v[i], v[i + 1]);
  BITWRIGHT_UNROLL for (int i = 0; i < 8; ++i) out[i] = affine(v[i % N], kMoves.at[To][i / N * N][N]);
}

// Plane k, or 0.
BITWRIGHT_INLINE V plane_if(bool there, const Counter& counter, uint32_t k) { return _mm512_maskz_loadu_epi64(there ? 0xFF : 0, counter.plane + (there ? k : 0)); }

// Low and high bytes of counts; pixel j of the group is vector 7 - j.
BITWRIGHT_INLINE void count_bytes(const Counter& counter, uint32_t planes, V (&low)[8], V (&high)[8]) {
  const V* const upper = counter.plane + 8;
  if (planes <= 8) {
    BITWRIGHT_UNROLL for (int i = 0; i < 8; ++i) high[i] = _mm512_setzero_si512();
  } else if (planes <= 10) {
    V v[2] = {upper[0], plane_if(planes == 10, counter, 9)};
    few_planes_to_bytes<2, 0>(v, high);
  } else if (planes <= 12) {
    V v[4] = {upper[0], upper[1], upper[2], plane_if(planes == 12, counter, 11)};
    few_planes_to_bytes<4, 0>(v, high);
  } else {
    BITWRIGHT_UNROLL for (uint32_t i = 0; i < 8; ++i) high[i] = plane_if(8 + i < planes, counter, 8 + i);
    planes_to_bytes(high);
  }
  BITWRIGHT_UNROLL for (int i = 0; i < 8; ++i) low[i] = counter.plane[i];
  planes_to_bytes(low);
}

// The same of counts << shift, the lower 16 bits: plane k becomes bit k + shift. Shifts of FIXED fill the 16 bits, or nearly: mostly 8 planes go to the high bytes,
// and few are left.
BITWRIGHT_INLINE void shifted_bytes(Counter& counter, uint32_t planes, uint32_t shift, V (&low)[8], V (&high)[8]) {
  if (shift > 7) {  // counts of less than 8 bits
    count_bytes(counter, planes, low, high);
    const __m128i more = _mm_cvtsi32_si128(static_cast<int>(shift - 8));
    const V keep = _mm512_set1_epi8(static_cast<char>(0xFF << (shift - 8)));
    BITWRIGHT_UNROLL for (int i = 0; i < 8; ++i) {
      high[i] = _mm512_and_si512(_mm512_sll_epi16(low[i], more), keep);
      low[i] = _mm512_setzero_si512();
    }
    return;
  }
  for (uint32_t k = planes; k < 16 - shift; ++k) counter.plane[k] = _mm512_setzero_si512();
  const uint32_t left = 8 - shift;
  const V* const upper = counter.plane + left;
  BITWRIGHT_UNROLL for (int i = 0; i < 8; ++i) high[i] = upper[i];
  planes_to_bytes(high);
  if (left <= 2) {
    V v[2] = {plane_if(left == 2, counter, 0), upper[-1]};
    few_planes_to_bytes<2, 6>(v, low);
  } else if (left <= 4) {
    V v[4] = {plane_if(left == 4, counter, 0), upper[-3], upper[-2], upper[-1]};
    few_planes_to_bytes<4, 4>(v, low);
  } else {
    BITWRIGHT_UNROLL for (uint32_t i = 0; i < 8; ++i) low[i] = i < 3 ? plane_if(left + i >= 8, counter, left + i - 8) : counter.plane[left + i - 8];
    planes_to_bytes(low);
  }
}

}  // namespace
}  // namespace bitwright
