// Float convolution by minimal filtering for AVX-512: 14 tiles x 32 channels in 28 zmm accumulators for each pair of points, weights in two
// registers, inputs broadcast from memory.
//
// Cost per product of a tile of 2x4 outputs, 14 tiles: 28 vfmadd231ps (14 cycles on two FMA pipes), 2 weight loads, 14 broadcast loads (8 cycles on two
// load pipes). Measured (Zen 5 server, 3.65 GHz, gcc 12, one core): 14.06 cycles, the FMA peak. Beside the products, a vector of outputs costs 7 cycles: 35/8
// sums stored and loaded, 10 additions, one store.
// Layers, inputs and epilogue included (bitwright_bench --benchmark_filter=minimal): a 7x7 stem of 3 channels (224x224 to 64) 207 GMAC/s, 1.7 times the
// FMA peak; 3x3 layers of 64 to 256 channels 226 to 251, twice the peak.
#include "isa.h"

#include "entries.h"
#include "kernel_minimal.h"
#include "minimal_filter.h"

#if BITWRIGHT_AVX512

#include <immintrin.h>

namespace bitwright {
namespace {

using F = __m512;
constexpr int kLanes = 16, kVectors = 2, kTiles = 14;
BITWRIGHT_INLINE F load(const float* p) { return _mm512_loadu_ps(p); }
BITWRIGHT_INLINE F load_first(const float* p, uint32_t n) { return _mm512_maskz_loadu_ps(static_cast<__mmask16>((1u << n) - 1), p); }
BITWRIGHT_INLINE void store(float* p, F x) { _mm512_storeu_ps(p, x); }
BITWRIGHT_INLINE F set(float x) { return _mm512_set1_ps(x); }
BITWRIGHT_INLINE F zero() { return _mm512_setzero_ps(); }
BITWRIGHT_INLINE F add(F a, F b) { return _mm512_add_ps(a, b); }
BITWRIGHT_INLINE F sub(F a, F b) { return _mm512_sub_ps(a, b); }
BITWRIGHT_INLINE F mul(F a, F b) { return _mm512_mul_ps(a, b); }
BITWRIGHT_INLINE F fma(F a, F b, F c) { return _mm512_fmadd_ps(a, b, c); }

// The accumulators, the weights and one broadcast are 31 registers: volatile assembly keeps gcc from loading ahead until accumulators spill.
#if BITWRIGHT_GNU_ASM
BITWRIGHT_INLINE F next(const float* p) {
  F x;
  __asm__ volatile("vmovups %1, %0" : "=v"(x) : "m"(*reinterpret_cast<const float(*)[16]>(p)));
  return x;
}
BITWRIGHT_INLINE F broadcast(const float* p) {
  F x;
  __asm__ volatile("vbroadcastss %1, %0" : "=v"(x) : "m"(*p));
  return x;
}
BITWRIGHT_INLINE void add_product(F& acc, F w, F x) { __asm__ volatile("vfmadd231ps %2, %1, %0" : "+v"(acc) : "v"(w), "v"(x)); }
#else
BITWRIGHT_INLINE F next(const float* p) { return load(p); }
BITWRIGHT_INLINE F broadcast(const float* p) { return _mm512_set1_ps(*p); }
BITWRIGHT_INLINE void add_product(F& acc, F w, F x) { acc = _mm512_fmadd_ps(w, x, acc); }
#endif

// Pairs of rows, of pairs, of quarters, of halves.
BITWRIGHT_INLINE void transpose(F (&x)[16]) {
  F y[16];
  BITWRIGHT_UNROLL for (int i = 0; i < 16; i += 2) {
    y[i] = _mm512_unpacklo_ps(x[i], x[i + 1]);
    y[i + 1] = _mm512_unpackhi_ps(x[i], x[i + 1]);
  }
  BITWRIGHT_UNROLL for (int i = 0; i < 16; i += 4)
    BITWRIGHT_UNROLL for (int k = 0; k < 2; ++k) {
      const __m512d a = _mm512_castps_pd(y[i + k]), b = _mm512_castps_pd(y[i + k + 2]);
      x[i + 2 * k] = _mm512_castpd_ps(_mm512_unpacklo_pd(a, b));
      x[i + 2 * k + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(a, b));
    }
  // x[4q + c] holds columns c, c + 4, c + 8, c + 12 of rows 4q to 4q + 3.
  BITWRIGHT_UNROLL for (int c = 0; c < 4; ++c) {
    y[c] = _mm512_shuffle_f32x4(x[c], x[c + 4], 0x88);
    y[c + 4] = _mm512_shuffle_f32x4(x[c], x[c + 4], 0xdd);
    y[c + 8] = _mm512_shuffle_f32x4(x[c + 8], x[c + 12], 0x88);
    y[c + 12] = _mm512_shuffle_f32x4(x[c + 8], x[c + 12], 0xdd);
  }
  BITWRIGHT_UNROLL for (int c = 0; c < 4; ++c) {
    x[c] = _mm512_shuffle_f32x4(y[c], y[c + 8], 0x88);
    x[c + 8] = _mm512_shuffle_f32x4(y[c], y[c + 8], 0xdd);
    x[c + 4] = _mm512_shuffle_f32x4(y[c + 4], y[c + 12], 0x88);
    x[c + 12] = _mm512_shuffle_f32x4(y[c + 4], y[c + 12], 0xdd);
  }
}

#include "fconv_minimal_simd.h"

constexpr MinimalKernel kernel = minimal_kernel("fconv_minimal_avx512", "avx512", "minimal filtering F(2x4), 14 tiles x 32", kRankAvx512, supports_avx512);

}  // namespace

const MinimalKernel* const fconv_minimal_avx512 = &kernel;

}  // namespace bitwright

#else

namespace bitwright {
const MinimalKernel* const fconv_minimal_avx512 = nullptr;
}  // namespace bitwright

#endif
