// The counting loop: steps (bitslice.h) of up to a few groups of 8 pixels x 64 channels into bit planes of 512 counts. In a vector of counts' bits
// byte = channel, bit 7 - j = pixel j: what vgf2p8affineqb gives with 64 channels' weight bytes as x and 8 pixels' activation bytes, one broadcast
// 64-bit word, as matrix. Included by bconv_gfni.cpp only.
#pragma once

#include <immintrin.h>

#include <cstdint>

#include "isa.h"
#include "kernel_sliced.h"

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
BITWRIGHT_INLINE V load(const uint8_t* from) {
#if BITWRIGHT_GNU_ASM
  V r;
  __asm__("vmovdqa64 %1, %0" : "=v"(r) : "m"(*reinterpret_cast<const V*>(from)));
  return r;
#else
  return _mm512_load_si512(from);
#endif
}
BITWRIGHT_INLINE V broadcast(const uint8_t* from) {
#if BITWRIGHT_GNU_ASM
  V r;
  __asm__("vpbroadcastq %1, %0" : "=v"(r) : "m"(*reinterpret_cast<const uint64_t*>(from)));
  return r;
#else
  int64_t word;
  std::memcpy(&word, from, sizeof word);
  return _mm512_set1_epi64(word);
#endif
}
BITWRIGHT_INLINE V parity(const V& x, const uint8_t* matrix) {
#if BITWRIGHT_GNU_ASM
  V r;
  __asm__("vgf2p8affineqb $0, %2%{1to8%}, %1, %0" : "=v"(r) : "v"(x), "m"(*reinterpret_cast<const uint64_t*>(matrix)));
  return r;
#else
  return _mm512_gf2p8affine_epi64_epi8(x, broadcast(matrix), 0);
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
  const uint8_t *base[Groups], *second[Groups];  // of the first feature byte and of the second, a plane further
  Counter* counter;

  // One step of all groups: their bits of weight 2 and 4. Weights are loaded once for all groups, by assembly lest gcc load them for each again:
  // loads are what limits this loop.
  BITWRIGHT_INLINE void step(int index, V (&e2)[Groups], V (&e4)[Groups]) const {
    const ptrdiff_t at = offset[index];
    const uint8_t* w = weights + 192 * index;
    V a[Groups];
    BITWRIGHT_UNROLL for (int c = 0; c < Groups; ++c) a[c] = broadcast(base[c] + at);
    V x = load(w);
    BITWRIGHT_UNROLL for (int c = 0; c < Groups; ++c) e4[c] = _mm512_gf2p8affine_epi64_epi8(x, a[c], 0);
    x = load(w + 64);
    BITWRIGHT_UNROLL for (int c = 0; c < Groups; ++c) a[c] = _mm512_gf2p8affine_epi64_epi8(x, a[c], 0);
    x = load(w + 128);
    BITWRIGHT_UNROLL for (int c = 0; c < Groups; ++c) e2[c] = parity(x, second[c] + at);
    BITWRIGHT_UNROLL for (int c = 0; c < Groups; ++c) ternary<truth(pair_of)>(e4[c], a[c], e2[c]);
  }
  BITWRIGHT_INLINE static void add(V (&s)[Groups], V (&a)[Groups], const V (&b)[Groups]) {  // s = the sums, a = the carries
    BITWRIGHT_UNROLL for (int c = 0; c < Groups; ++c) ternary<truth(sum_of)>(s[c], a[c], b[c]);
    BITWRIGHT_UNROLL for (int c = 0; c < Groups; ++c) ternary<truth(carry_of)>(a[c], s[c], b[c]);
  }
  // Four steps -> three bits of weight 8.
  BITWRIGHT_INLINE void four(int first, V (&out)[3][Groups]) {
    V p2[Groups], q2[Groups], e2[Groups], e4[Groups];
    step(first, p2, out[0]);
    step(first + 1, e2, e4);
    add(s2, p2, e2);
    add(s4, out[0], e4);
    step(first + 2, q2, out[1]);
    step(first + 3, e2, e4);
    add(s2, q2, e2);
    add(s4, out[1], e4);
    add(s4, p2, q2);
    BITWRIGHT_UNROLL for (int c = 0; c < Groups; ++c) out[2][c] = p2[c];
  }
  BITWRIGHT_INLINE void add(int plane, V (&a)[Groups], const V (&b)[Groups]) {
    V s[Groups];
    BITWRIGHT_UNROLL for (int c = 0; c < Groups; ++c) s[c] = counter[c].plane[plane];
    add(s, a, b);
    BITWRIGHT_UNROLL for (int c = 0; c < Groups; ++c) counter[c].plane[plane] = s[c];
  }
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
      BITWRIGHT_UNROLL for (int c = 0; c < Groups; ++c) ripple(c, Level + 3, out[0][c], out[1][c], out[2][c], planes);
    }
  }
  // Three bits of weight 2^first into a group's planes from `first` on.
  BITWRIGHT_INLINE void ripple(int c, uint32_t first, V carry, const V& b, const V& d, uint32_t planes) const {
    V* plane = counter[c].plane + first;
    V s = plane[0];
    full_add(s, carry, b);
    const V half = _mm512_and_si512(s, d);
    plane[0] = _mm512_xor_si512(s, d);
    s = plane[1];
    full_add(s, carry, half);
    plane[1] = s;
    for (V* p = plane + 2; p < counter[c].plane + planes; ++p) {
      const V t = *p;
      *p = _mm512_xor_si512(t, carry);
      carry = _mm512_and_si512(t, carry);
    }
  }
};

#if BITWRIGHT_GNU_ASM
// 3 groups by assembly in a chosen order (gfni_steps.py): blocks of 8 steps, in a loop of 2 KB, leave 3 bits of weight 16 a group. The bits of 8
// (or 4) blocks are added together: rippling into the upper planes after every fourth took 12 % of the time. The same for 2 groups gained in L1, but not in layers (7x7x512).
struct Blocks {
  static constexpr int kGroups = 3;
  using Count = Counting<kGroups>;
  using Three = V[3][kGroups];
  static constexpr uint32_t kSteps = 8, kTogether = 8;
  alignas(64) Three bit[kTogether];

  // Runs `count` blocks; weights and offset move on.
  BITWRIGHT_INLINE void run(Count& k, uint32_t count) {
    V* out = &bit[0][0][0];
    ptrdiff_t at0, at1;
    __asm__ volatile(
#include "gfni_steps.h"
        : [weights] "+r"(k.weights), [offset] "+r"(k.offset), [out] "+r"(out), [count] "+r"(count), [at0] "=&r"(at0), [at1] "=&r"(at1)
        : [counter] "r"(k.counter), [base0] "r"(k.base[0]), [base1] "r"(k.base[1]), [base2] "r"(k.base[2]), [second0] "r"(k.second[0]),
          [second1] "r"(k.second[1]), [second2] "r"(k.second[2])
        : "cc", "memory", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14",
          "xmm15", "xmm16", "xmm17", "xmm18", "xmm19", "xmm20", "xmm21", "xmm22", "xmm23", "xmm24", "xmm25", "xmm26", "xmm27", "xmm28", "xmm29", "xmm30",
          "xmm31");
  }
  // A group's bits of four blocks into planes 4 and 5; leaves three bits of weight 64. One group after the other: few registers, nothing is spilled.
  BITWRIGHT_INLINE void four(V (&out)[3], int c, uint32_t first, V& s16, V& s32) const {
    const auto carry = [&](uint32_t i) {  // bits i and i + 1 of the twelve
      V a = bit[first + i / 3][i % 3][c];
      full_add(s16, a, bit[first + (i + 1) / 3][(i + 1) % 3][c]);
      return a;
    };
    BITWRIGHT_UNROLL for (uint32_t i = 0; i < 3; ++i) {
      out[i] = carry(4 * i);
      full_add(s32, out[i], carry(4 * i + 2));
    }
  }
  BITWRIGHT_INLINE void together(Count& k, uint32_t count, uint32_t planes) const {
    BITWRIGHT_UNROLL for (int c = 0; c < kGroups; ++c) {
      V* const plane = k.counter[c].plane;
      V s16 = plane[4], s32 = plane[5], a[3], b[3];
      four(a, c, 0, s16, s32);
      if (count == kTogether) {
        four(b, c, 4, s16, s32);
        V s64 = plane[6];
        full_add(s64, a[0], a[1]);
        full_add(s64, a[2], b[0]);
        full_add(s64, b[1], b[2]);
        plane[6] = s64;
        k.ripple(c, 7, a[0], a[2], b[1], planes);
      } else {
        k.ripple(c, 6, a[0], a[1], a[2], planes);
      }
      plane[4] = s16;
      plane[5] = s32;
    }
  }
  BITWRIGHT_INLINE void all(Count& k, uint32_t count, uint32_t planes) {
    while (count >= 4) {
      const uint32_t here = count >= kTogether ? kTogether : 4;
      run(k, here);
      together(k, here, planes);
      count -= here;
    }
    if (count == 0) return;
    run(k, count);
    for (uint32_t i = 0; i < count; ++i)
      BITWRIGHT_UNROLL for (int c = 0; c < kGroups; ++c) k.ripple(c, 4, bit[i][0][c], bit[i][1][c], bit[i][2][c], planes);
  }
};
#endif

// Counts a tile: planes 1 and above of each group, plane 0 by the last xor.
template <int Groups>
BITWRIGHT_NOINLINE void count_groups(Counter* counter, const SlicedTile& tile, const BitSlice& slice) {
  const uint32_t touched = slice.planes > 9 ? slice.planes : 9;  // 64 steps ripple into planes 7 and 8
  for (uint32_t plane = 1; plane < touched; ++plane)
    BITWRIGHT_UNROLL for (int c = 0; c < Groups; ++c) counter[c].plane[plane] = _mm512_setzero_si512();
  Counting<Groups> k;
  k.weights = static_cast<const uint8_t*>(tile.weights);
  k.offset = tile.offset;
  k.counter = counter;
  BITWRIGHT_UNROLL for (int c = 0; c < Groups; ++c) {
    k.base[c] = tile.base[c];
    k.second[c] = tile.base[c] + tile.plane_stride;
  }
#if BITWRIGHT_GNU_ASM
  constexpr bool scheduled = Groups == Blocks::kGroups;
  if constexpr (scheduled) {
    Blocks blocks;
    blocks.all(k, slice.steps / Blocks::kSteps, slice.planes);
  }
#else
  constexpr bool scheduled = false;
#endif
  BITWRIGHT_UNROLL for (int c = 0; c < Groups; ++c) {
    k.s2[c] = counter[c].plane[1];
    k.s4[c] = counter[c].plane[2];
  }
  if constexpr (!scheduled) {
    k.template blocks<3>(slice.steps / 32, slice.planes);
    k.template blocks<1>(slice.steps % 32 / 8, slice.planes);
  }
  k.template blocks<0>(slice.steps % 8 / 4, slice.planes);
  const V last = load(k.weights);
  BITWRIGHT_UNROLL for (int c = 0; c < Groups; ++c) {
    counter[c].plane[0] = parity(last, tile.base[c] + tile.last);
    counter[c].plane[1] = k.s2[c];
    counter[c].plane[2] = k.s4[c];
  }
}

}  // namespace
}  // namespace bitwright
