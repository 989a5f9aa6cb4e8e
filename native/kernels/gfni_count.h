// The counting loop: steps (bitslice.h) of up to a few groups of 8 pixels x 64 channels into bit planes of 512 counts. In a vector of counts' bits
// byte = channel, bit 7 - j = pixel j: what vgf2p8affineqb gives with 64 channels' weight bytes as x and 8 pixels' activation bytes, one broadcast
// 64-bit word, as matrix. Included by bconv_gfni.cpp only.
#pragma once

#include <immintrin.h>

#include <cstdint>

#include "isa.h"
#include "kernel.h"

namespace bitwright {
namespace {

// Truth tables of vpternlogd, index bits (first operand, second, third).
constexpr int truth(int (*f)(int, int, int)) {
  int table = 0;
  for (int i = 0; i < 8; ++i) table |= f(i >> 2 & 1, i >> 1 & 1, i & 1) << i;
  return table;
}
constexpr int sum_of(int a, int b, int c) { return a ^ b ^ c; }
constexpr int carry_of(int a, int sum, int b) { return (a ^ sum ^ b) + a + b >= 2; }      // sum = s ^ a ^ b: the old s is a ^ sum ^ b
constexpr int pair_of(int c1, int c2, int all) { return c1 + c2 + (c1 ^ c2 ^ all) >= 2; }  // all = c1 ^ c2 ^ c3
constexpr int less_of(int d, int t, int below) { return t > d || (t == d && below); }
constexpr int or_and_of(int a, int b, int c) { return a | (b & c); }
constexpr int choose_of(int mask, int a, int b) { return mask ? a : b; }

// In-place operations, as assembly: gcc 12 adds register moves around the intrinsics.
template <int Table>
BITWRIGHT_INLINE void ternary(V& a, const V& b, const V& c) {
#if BITWRIGHT_GNU_ASM
  __asm__("vpternlogd %3, %2, %1, %0" : "+v"(a) : "v"(b), "v"(c), "i"(Table));
#else
  a = _mm512_ternarylogic_epi32(a, b, c, Table);
#endif
}
BITWRIGHT_INLINE void full_add(V& s, V& a, const V& b) {  // s = the sum, a = the carry
  ternary<truth(sum_of)>(s, a, b);
  ternary<truth(carry_of)>(a, s, b);
}
BITWRIGHT_INLINE V load_matrix(const uint8_t* from) {
  int64_t word;
  std::memcpy(&word, from, sizeof word);
  return _mm512_set1_epi64(word);
}
BITWRIGHT_INLINE V parity(const V& x, const uint8_t* matrix) {
#if BITWRIGHT_GNU_ASM
  V r;
  __asm__("vgf2p8affineqb $0, %2%{1to8%}, %1, %0" : "=v"(r) : "v"(x), "m"(*reinterpret_cast<const uint64_t*>(matrix)));
  return r;
#else
  return _mm512_gf2p8affine_epi64_epi8(x, load_matrix(matrix), 0);
#endif
}

constexpr int kMaxPlanes = 17;  // bits of a count up to 65535, and a bound above it
struct Counter {
  V plane[kMaxPlanes];
};

template <int Groups>
struct Counting {
  V s2[Groups], s4[Groups];  // planes of weight 2 and 4; the others are in memory
  const uint8_t* weights;
  const int32_t* offset;
  const uint8_t* base[Groups];
  size_t plane_stride;
  Counter* counter;
  const char* ahead;
  size_t ahead_step;

  struct Weights {
    V x0, x1, x2;
    const uint8_t* at[Groups];
  };
  BITWRIGHT_INLINE Weights load(int step) const {
    Weights w;
    w.x0 = _mm512_load_si512(weights + 192 * step);
    w.x1 = _mm512_load_si512(weights + 192 * step + 64);
    w.x2 = _mm512_load_si512(weights + 192 * step + 128);
    BITWRIGHT_UNROLL for (int c = 0; c < Groups; ++c) w.at[c] = base[c] + offset[step];
    return w;
  }
  // One step of one group: its bits of weight 2 and 4.
  BITWRIGHT_INLINE void step(const Weights& w, int c, V& e2, V& e4) const {
    const V a = load_matrix(w.at[c]);
    V c1 = _mm512_gf2p8affine_epi64_epi8(w.x0, a, 0);
    const V c2 = _mm512_gf2p8affine_epi64_epi8(w.x1, a, 0);
    e2 = parity(w.x2, w.at[c] + plane_stride);
    ternary<truth(pair_of)>(c1, c2, e2);
    e4 = c1;
  }
  // Four steps -> three bits of weight 8.
  BITWRIGHT_INLINE void four(int first, V (&out)[3][Groups]) {
    V p2[Groups], p4[Groups], q2[Groups], q4[Groups];
    BITWRIGHT_UNROLL for (int k = 0; k < 4; ++k) {
      _mm_prefetch(ahead, _MM_HINT_T1);
      _mm_prefetch(ahead + 64, _MM_HINT_T1);
      ahead += ahead_step;
    }
    Weights w = load(first);
    BITWRIGHT_UNROLL for (int c = 0; c < Groups; ++c) step(w, c, p2[c], p4[c]);
    w = load(first + 1);
    BITWRIGHT_UNROLL for (int c = 0; c < Groups; ++c) {
      V e2, e4;
      step(w, c, e2, e4);
      full_add(s2[c], p2[c], e2);
      full_add(s4[c], p4[c], e4);
      out[0][c] = p4[c];
    }
    w = load(first + 2);
    BITWRIGHT_UNROLL for (int c = 0; c < Groups; ++c) step(w, c, q2[c], q4[c]);
    w = load(first + 3);
    BITWRIGHT_UNROLL for (int c = 0; c < Groups; ++c) {
      V e2, e4;
      step(w, c, e2, e4);
      full_add(s2[c], q2[c], e2);
      full_add(s4[c], q4[c], e4);
      full_add(s4[c], p2[c], q2[c]);
      out[1][c] = q4[c];
      out[2][c] = p2[c];
    }
  }
  BITWRIGHT_INLINE void add(int plane, V (&a)[Groups], const V (&b)[Groups]) {
    BITWRIGHT_UNROLL for (int c = 0; c < Groups; ++c) {
      V s = counter[c].plane[plane];
      full_add(s, a[c], b[c]);
      counter[c].plane[plane] = s;
    }
  }
  // 4 << Level steps -> three bits of weight 8 << Level: six bits of half of that weight and three full adders.
  template <int Level>
  BITWRIGHT_INLINE void block(int first, V (&out)[3][Groups]) {
    if constexpr (Level == 0) {
      four(first, out);
    } else {
      V a[3][Groups], b[3][Groups];
      block<Level - 1>(first, a);
      add(Level + 2, a[0], a[1]);
      block<Level - 1>(first + (2 << Level), b);
      add(Level + 2, a[2], b[0]);
      add(Level + 2, b[1], b[2]);
      BITWRIGHT_UNROLL for (int c = 0; c < Groups; ++c) {
        out[0][c] = a[0][c];
        out[1][c] = a[2][c];
        out[2][c] = b[1][c];
      }
    }
  }
  template <int Level>
  BITWRIGHT_INLINE void blocks(uint32_t count, uint32_t planes) {
    for (uint32_t k = 0; k < count; ++k) {
      V out[3][Groups];
      block<Level>(0, out);
      weights += size_t{4 << Level} * 192;
      offset += 4 << Level;
      BITWRIGHT_UNROLL for (int c = 0; c < Groups; ++c) {
        V* plane = counter[c].plane + Level + 3;
        V s = plane[0], carry = out[0][c];
        full_add(s, carry, out[1][c]);
        const V half = _mm512_and_si512(s, out[2][c]);
        plane[0] = _mm512_xor_si512(s, out[2][c]);
        s = plane[1];
        full_add(s, carry, half);
        plane[1] = s;
        for (V* p = plane + 2; p < counter[c].plane + planes; ++p) {
          const V t = *p;
          *p = _mm512_xor_si512(t, carry);
          carry = _mm512_and_si512(t, carry);
        }
      }
    }
  }
};

// Counts a tile: planes 1 and above of each group, plane 0 by the last xor.
template <int Groups>
BITWRIGHT_NOINLINE void count_groups(Counter* counter, const SlicedTile& tile, const BitSlice& slice) {
  const uint32_t touched = slice.planes > 8 ? slice.planes : 8;  // a block of 32 steps ripples into planes 6 and 7
  for (uint32_t plane = 3; plane < touched; ++plane)
    BITWRIGHT_UNROLL for (int c = 0; c < Groups; ++c) counter[c].plane[plane] = _mm512_setzero_si512();
  Counting<Groups> k;
  k.weights = static_cast<const uint8_t*>(tile.weights);
  k.offset = tile.offset;
  k.plane_stride = tile.plane_stride;
  k.counter = counter;
  k.ahead = static_cast<const char*>(tile.ahead);
  k.ahead_step = tile.ahead_step;
  BITWRIGHT_UNROLL for (int c = 0; c < Groups; ++c) {
    k.base[c] = tile.base[c];
    k.s2[c] = k.s4[c] = _mm512_setzero_si512();
  }
  k.template blocks<3>(slice.steps / 32, slice.planes);
  const uint32_t rest = slice.steps % 32;
  k.template blocks<1>(rest / 8, slice.planes);
  k.template blocks<0>(rest % 8 / 4, slice.planes);
  const V last = _mm512_load_si512(k.weights);
  BITWRIGHT_UNROLL for (int c = 0; c < Groups; ++c) {
    counter[c].plane[0] = parity(last, tile.base[c] + tile.last);
    counter[c].plane[1] = k.s2[c];
    counter[c].plane[2] = k.s4[c];
  }
}

}  // namespace
}  // namespace bitwright
