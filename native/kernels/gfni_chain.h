// Chains of adders (bitslice.h) as byte look-ups: what a step's feature bytes are, of activations and of weights, is a function of 7 bits (6 new
// inputs and the running xor), a table of 128 bytes: one vpermi2b for 64 positions. Included by bconv_gfni.cpp only.
#pragma once

#include <immintrin.h>

#include <cstdint>
#include <cstring>

#include "bitslice.h"
#include "isa.h"

namespace bitwright {
namespace {

using V = __m512i;

// Index bits: y0 z0 y1 z1 y2 z2 (the inputs of the three adders), then the running xor. With P = run ^ y, R = y ^ z, M = maj(run, y, z) of each:
//   activations A: M0 M1 1 P0 R0 P1 - R1        B: M0^M1^M2 1 P0 R0 P1 R1 P2 R2
//   weights x0:    1 0 M0 R0 P0 0 0 0  (A·x0 = c1)   x1: 0 1 M1 0 0 R1 0 P1  (A·x1 = c2)   x2: 1 M0^M1^M2 R0 P0 R1 P1 R2 P2  (B·x2 = c1^c2^c3)
struct StepTables {
  alignas(64) uint8_t activation[2][128];
  alignas(64) uint8_t weight[3][128];
};

constexpr StepTables make_tables() {
  StepTables t{};
  for (int v = 0; v < 128; ++v) {
    int run = v >> 6, m[3] = {}, p[3] = {}, r[3] = {};
    for (int j = 0; j < 3; ++j) {
      const int y = v >> (2 * j) & 1, z = v >> (2 * j + 1) & 1;
      m[j] = (run & y) | (run & z) | (y & z);
      p[j] = run ^ y;
      r[j] = y ^ z;
      run ^= y ^ z;
    }
    const int all = m[0] ^ m[1] ^ m[2];
    t.activation[0][v] = static_cast<uint8_t>(m[0] | m[1] << 1 | 4 | p[0] << 3 | r[0] << 4 | p[1] << 5 | r[1] << 7);
    t.activation[1][v] = static_cast<uint8_t>(all | 2 | p[0] << 2 | r[0] << 3 | p[1] << 4 | r[1] << 5 | p[2] << 6 | r[2] << 7);
    t.weight[0][v] = static_cast<uint8_t>(1 | m[0] << 2 | r[0] << 3 | p[0] << 4);
    t.weight[1][v] = static_cast<uint8_t>(2 | m[1] << 2 | r[1] << 5 | p[1] << 7);
    t.weight[2][v] = static_cast<uint8_t>(1 | all << 1 | r[0] << 2 | p[0] << 3 | r[1] << 4 | p[1] << 5 | r[2] << 6 | p[2] << 7);
  }
  return t;
}

constexpr StepTables kTables = make_tables();

// The matrix of vgf2p8affineqb that moves bits [from, from + n) of each byte to [to, to + n) and clears the others: output bit i is the parity of
// (byte 7 - i of the matrix) & x.
constexpr uint64_t move_bits(int to, int from, int n) {
  uint64_t m = 0;
  for (int i = 0; i < n; ++i) m |= (uint64_t{1} << (from + i)) << (8 * (7 - to - i));
  return m;
}

struct MoveTable {
  uint64_t at[8][8][9];  // [to][from][n]
};
constexpr MoveTable make_moves() {
  MoveTable t{};
  for (int to = 0; to < 8; ++to)
    for (int from = 0; from < 8; ++from)
      for (int n = 0; n <= 8; ++n)
        if (to + n <= 8 && from + n <= 8) t.at[to][from][n] = move_bits(to, from, n);
  return t;
}
constexpr MoveTable kMoves = make_moves();

BITWRIGHT_INLINE V affine(V x, uint64_t matrix) { return _mm512_gf2p8affine_epi64_epi8(x, _mm512_set1_epi64(static_cast<int64_t>(matrix)), 0); }

// The 6 bits behind bit S of byte x (and the next byte's) to bits 0..5; bits 6 and 7 are 0.
template <int S>
BITWRIGHT_INLINE V six(const V* x) {
  const V low = affine(x[0], move_bits(0, S, S <= 2 ? 6 : 8 - S));
  if constexpr (S <= 2) return low;
  return _mm512_or_si512(low, affine(x[1], move_bits(8 - S, 0, S - 2)));
}

// One step of 64 positions. `run`: the running xor in bit 6, all else 0.
template <int Tables>
struct Chain {
  V low[Tables], high[Tables];
  explicit Chain(const uint8_t (&tables)[Tables][128]) {
    BITWRIGHT_UNROLL for (int k = 0; k < Tables; ++k) {
      low[k] = _mm512_load_si512(tables[k]);
      high[k] = _mm512_load_si512(tables[k] + 64);
    }
  }
  BITWRIGHT_INLINE void step(V& run, V inputs, uint8_t* to, size_t plane_stride) const {
    const V index = _mm512_or_si512(run, inputs);
    BITWRIGHT_UNROLL for (int k = 0; k < Tables; ++k)
      _mm512_storeu_si512(to + k * plane_stride, _mm512_permutex2var_epi8(low[k], index, high[k]));
    run = affine(index, uint64_t{0x7F} << 8);  // bit 6 = parity of the seven
  }
  // Steps [first, last) of one chain. x: the chain's bytes from byte (6*first + 1) / 8 on; step g goes to `to` + g*step_stride.
  BITWRIGHT_INLINE void steps(V& run, const V* x, uint32_t first, uint32_t last, uint8_t* to, size_t step_stride, size_t plane_stride) const {
    uint32_t byte = 0;
    const uint32_t origin = (6 * first + 1) / 8;
    for (uint32_t g = first; g < last; ++g) {
      byte = (6 * g + 1) / 8 - origin;
      V in;
      switch (g & 3) {
        case 0: in = six<1>(x + byte); break;
        case 1: in = six<7>(x + byte); break;
        case 2: in = six<5>(x + byte); break;
        default: in = six<3>(x + byte); break;
      }
      step(run, in, to + g * step_stride, plane_stride);
    }
  }
};

// vpermb index that transposes the 8x8 bytes of a vector.
alignas(64) constexpr uint8_t kTransposeBytes[64] = {
    0, 8,  16, 24, 32, 40, 48, 56, 1, 9,  17, 25, 33, 41, 49, 57, 2, 10, 18, 26, 34, 42, 50, 58, 3, 11, 19, 27, 35, 43, 51, 59,
    4, 12, 20, 28, 36, 44, 52, 60, 5, 13, 21, 29, 37, 45, 53, 61, 6, 14, 22, 30, 38, 46, 54, 62, 7, 15, 23, 31, 39, 47, 55, 63};

// Transposes 8x8 64-bit elements.
BITWRIGHT_INLINE void transpose_words(const V (&r)[8], V* out) {
  V t[8];
  BITWRIGHT_UNROLL for (int i = 0; i < 4; ++i) {
    t[2 * i] = _mm512_unpacklo_epi64(r[2 * i], r[2 * i + 1]);
    t[2 * i + 1] = _mm512_unpackhi_epi64(r[2 * i], r[2 * i + 1]);
  }
  BITWRIGHT_UNROLL for (int h = 0; h < 2; ++h) {
    const V a = t[h], b = t[2 + h], c = t[4 + h], d = t[6 + h];
    const V ab0 = _mm512_shuffle_i64x2(a, b, 0x88), ab1 = _mm512_shuffle_i64x2(a, b, 0xDD);
    const V cd0 = _mm512_shuffle_i64x2(c, d, 0x88), cd1 = _mm512_shuffle_i64x2(c, d, 0xDD);
    out[0 + h] = _mm512_shuffle_i64x2(ab0, cd0, 0x88);
    out[2 + h] = _mm512_shuffle_i64x2(ab1, cd1, 0x88);
    out[4 + h] = _mm512_shuffle_i64x2(ab0, cd0, 0xDD);
    out[6 + h] = _mm512_shuffle_i64x2(ab1, cd1, 0xDD);
  }
}

// Where 64 positions' bits lie.
struct Source {
  const uint32_t* base;
  const int32_t* offset;
  uint32_t runs;
};

template <class T>
BITWRIGHT_INLINE T load_as(const uint32_t* from) {
  T v;
  std::memcpy(&v, from, sizeof v);
  return v;
}

// 64-bit words k of positions 8i..8i+7, for each k < quads: r[k][i]. `words`: 32-bit words from `first` on, 1 to 16.
BITWRIGHT_INLINE void load_rows(V (*r)[8], const Source& s, uint32_t first, uint32_t words) {
  const uint32_t* base = s.base + first;
  BITWRIGHT_UNROLL for (int i = 0; i < 8; ++i) {
    const int32_t* o = s.offset + 8 * i;
    if (words == 2) {
      r[0][i] = (s.runs >> i & 1) != 0
                    ? _mm512_loadu_si512(base + o[0])
                    : _mm512_set_epi64(load_as<int64_t>(base + o[7]), load_as<int64_t>(base + o[6]), load_as<int64_t>(base + o[5]),
                                       load_as<int64_t>(base + o[4]), load_as<int64_t>(base + o[3]), load_as<int64_t>(base + o[2]),
                                       load_as<int64_t>(base + o[1]), load_as<int64_t>(base + o[0]));
    } else if (words == 1) {
      r[0][i] = _mm512_set_epi64(base[o[7]], base[o[6]], base[o[5]], base[o[4]], base[o[3]], base[o[2]], base[o[1]], base[o[0]]);
    } else if (words == 4) {
      V h[2];
      BITWRIGHT_UNROLL for (int k = 0; k < 2; ++k) {
        h[k] = _mm512_castsi128_si512(_mm_loadu_si128(reinterpret_cast<const __m128i*>(base + o[4 * k])));
        h[k] = _mm512_inserti64x2(h[k], _mm_loadu_si128(reinterpret_cast<const __m128i*>(base + o[4 * k + 1])), 1);
        h[k] = _mm512_inserti64x2(h[k], _mm_loadu_si128(reinterpret_cast<const __m128i*>(base + o[4 * k + 2])), 2);
        h[k] = _mm512_inserti64x2(h[k], _mm_loadu_si128(reinterpret_cast<const __m128i*>(base + o[4 * k + 3])), 3);
      }
      r[0][i] = _mm512_permutex2var_epi64(h[0], _mm512_setr_epi64(0, 2, 4, 6, 8, 10, 12, 14), h[1]);
      r[1][i] = _mm512_permutex2var_epi64(h[0], _mm512_setr_epi64(1, 3, 5, 7, 9, 11, 13, 15), h[1]);
    } else if (words == 8) {
      V h[4];
      BITWRIGHT_UNROLL for (int k = 0; k < 4; ++k) {
        h[k] = _mm512_castsi256_si512(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(base + o[2 * k])));
        h[k] = _mm512_inserti64x4(h[k], _mm256_loadu_si256(reinterpret_cast<const __m256i*>(base + o[2 * k + 1])), 1);
      }
      const V even = _mm512_setr_epi64(0, 4, 8, 12, 1, 5, 9, 13), odd = _mm512_setr_epi64(2, 6, 10, 14, 3, 7, 11, 15);
      const V a = _mm512_permutex2var_epi64(h[0], even, h[1]), b = _mm512_permutex2var_epi64(h[2], even, h[3]);
      const V c = _mm512_permutex2var_epi64(h[0], odd, h[1]), d = _mm512_permutex2var_epi64(h[2], odd, h[3]);
      r[0][i] = _mm512_shuffle_i64x2(a, b, 0x44);
      r[1][i] = _mm512_shuffle_i64x2(a, b, 0xEE);
      r[2][i] = _mm512_shuffle_i64x2(c, d, 0x44);
      r[3][i] = _mm512_shuffle_i64x2(c, d, 0xEE);
    } else {
      const auto mask = static_cast<__mmask16>((1u << words) - 1);
      V rows[8], columns[8];
      BITWRIGHT_UNROLL for (int k = 0; k < 8; ++k) rows[k] = _mm512_maskz_loadu_epi32(mask, base + o[k]);
      transpose_words(rows, columns);
      for (uint32_t k = 0; k < (words + 1) / 2; ++k) r[k][i] = columns[k];
    }
  }
}

// Bytes of 64 positions: x[b], byte = position, for b < 8*ceil(words/2).
BITWRIGHT_INLINE void load_bytes(V* x, const Source& s, uint32_t first, uint32_t words) {
  V r[8][8];
  load_rows(r, s, first, words);
  const V transpose = _mm512_load_si512(kTransposeBytes);
  for (uint32_t k = 0; k < (words + 1) / 2; ++k) {
    V t[8];
    BITWRIGHT_UNROLL for (int i = 0; i < 8; ++i) t[i] = _mm512_permutexvar_epi8(transpose, r[k][i]);
    transpose_words(t, x + 8 * k);
  }
}

// Bits [from, from + n) of the bytes x to bits [to, to + n), n <= 6.
BITWRIGHT_INLINE V field(const V* x, uint32_t from, uint32_t n, uint32_t to) {
  const uint32_t byte = from / 8, s = from % 8, here = n < 8 - s ? n : 8 - s;
  V out = affine(x[byte], kMoves.at[to][s][here]);
  if (here < n) out = _mm512_or_si512(out, affine(x[byte + 1], kMoves.at[to + here][0][n - here]));
  return out;
}

// The chain of one tap (of 64 positions, activations or weights): its steps, and the spare bits: the last xor, then the channels left.
template <int Tables>
BITWRIGHT_INLINE void tap_chain(const Chain<Tables>& chain, const Source& s, const BitSlice& slice, uint8_t* to, size_t step_stride,
                                size_t plane_stride, uint8_t* spare) {
  V x[65], run = _mm512_setzero_si512(), rest = run;  // x[0]: the last byte of the part before
  uint32_t g = 0;
  for (uint32_t first = 0; first < slice.words; first += 16) {
    const uint32_t words = slice.words - first < 16 ? slice.words - first : 16;
    load_bytes(x + 1, s, first, words);
    if (first == 0) run = affine(x[1], move_bits(6, 0, 1));
    const uint32_t bytes = 4 * (first + words);
    uint32_t last = (8 * bytes - 1) / 6;  // steps whose inputs are here
    if (last > slice.whole) last = slice.whole;
    chain.steps(run, x + (6 * g + 1) / 8 + 1 - 4 * first, g, last, to, step_stride, plane_stride);
    g = last;
    // Channels left lie in the last part, or begin in the last byte of the part before.
    if (first + words == slice.words && slice.left != 0) rest = field(x, 6 * slice.whole + 1 + 8 - 32 * first, slice.left, 1);
    x[0] = x[4 * words];
  }
  _mm512_storeu_si512(spare, _mm512_or_si512(affine(run, move_bits(0, 6, 1)), rest));
}

// The joint chain of 64 positions: the taps' spare bits one after the other. Returns the last xor, in bit 6.
template <int Tables>
BITWRIGHT_INLINE V joint_chain(const Chain<Tables>& chain, const uint8_t* spare, const int32_t* offset, const BitSlice& slice, uint8_t* to,
                               size_t step_stride, size_t plane_stride) {
  // The bytes are made as they are needed: a window of 8, of which steps take 6 at a time (8 steps).
  V run = _mm512_setzero_si512(), x[16];
  uint32_t tap = 0;
  const auto fill = [&](V* bytes, uint32_t first, uint32_t count) {  // bytes [first, first + count) of the chain
    BITWRIGHT_UNROLL for (int k = 0; k < 8; ++k) bytes[k] = _mm512_setzero_si512();
    const uint32_t begin = 8 * first, end = 8 * (first + count);
    tap = begin / slice.spare;
    for (; tap < slice.taps && tap * slice.spare < end; ++tap) {
      const V v = _mm512_loadu_si512(spare + offset[tap]);
      const uint32_t at = tap * slice.spare;
      uint32_t from = 0, n = slice.spare;
      if (at < begin) from = begin - at, n -= from;
      const uint32_t position = at + from - begin, byte = position / 8, s = position % 8, here = n < 8 - s ? n : 8 - s;
      bytes[byte] = _mm512_or_si512(bytes[byte], affine(v, kMoves.at[s][from][here]));
      if (here < n && byte + 1 < count) bytes[byte + 1] = _mm512_or_si512(bytes[byte + 1], affine(v, kMoves.at[0][from + here][n - here]));
    }
  };
  const uint32_t bytes = (6 * slice.joint + 1 + 7) / 8;
  fill(x, 0, bytes < 8 ? bytes : 8);
  run = affine(x[0], move_bits(6, 0, 1));
  for (uint32_t g = 0; g < slice.joint; g += 8) {
    const uint32_t first = 6 * (g / 8);
    if (g != 0) fill(x, first, bytes - first < 8 ? bytes - first : 8);
    chain.steps(run, x, g, g + 8 < slice.joint ? g + 8 : slice.joint, to, step_stride, plane_stride);
  }
  return run;
}

}  // namespace
}  // namespace bitwright
