// Float convolution by minimal filtering for AVX2 with FMA: 6 tiles x 16 channels in 12 ymm accumulators for each pair of points, weights in two
// registers, inputs broadcast from memory.
//
// Cost per product of a tile of 2x4 outputs, 6 tiles: 12 vfmadd231ps (6 cycles on two FMA pipes), 2 weight loads, 6 broadcast loads (4 cycles on two load
// pipes). Measured (Zen 5 server, 3.6 GHz, gcc 12, one core, bitwright_bench --benchmark_filter=minimal): 3x3 layers from
// 56x56x64 to 14x14x256 112 to 141 GMAC/s, 2.2 to 2.5 times fconv_avx2; a 7x7 stem of 3 channels 127, 2.4 times.
#include "isa.h"

#include "entries.h"
#include "kernel_minimal.h"
#include "minimal_filter.h"

#if BITWRIGHT_AVX2

#include <immintrin.h>

namespace bitwright {
namespace {

using F = __m256;
constexpr int kLanes = 8, kVectors = 2, kTiles = 6;
BITWRIGHT_INLINE F load(const float* p) { return _mm256_loadu_ps(p); }
BITWRIGHT_INLINE F load_first(const float* p, uint32_t n) {
  const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  return _mm256_maskload_ps(p, _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(n)), lane));
}
BITWRIGHT_INLINE void store(float* p, F x) { _mm256_storeu_ps(p, x); }
BITWRIGHT_INLINE F set(float x) { return _mm256_set1_ps(x); }
BITWRIGHT_INLINE F zero() { return _mm256_setzero_ps(); }
BITWRIGHT_INLINE F add(F a, F b) { return _mm256_add_ps(a, b); }
BITWRIGHT_INLINE F sub(F a, F b) { return _mm256_sub_ps(a, b); }
BITWRIGHT_INLINE F mul(F a, F b) { return _mm256_mul_ps(a, b); }
BITWRIGHT_INLINE F fma(F a, F b, F c) { return _mm256_fmadd_ps(a, b, c); }
BITWRIGHT_INLINE F next(const float* p) { return load(p); }
BITWRIGHT_INLINE F broadcast(const float* p) { return _mm256_broadcast_ss(p); }
BITWRIGHT_INLINE void add_product(F& acc, F w, F x) { acc = _mm256_fmadd_ps(w, x, acc); }

BITWRIGHT_INLINE void transpose(F (&x)[8]) {
  F y[8];
  BITWRIGHT_UNROLL for (int i = 0; i < 8; i += 2) {
    y[i] = _mm256_unpacklo_ps(x[i], x[i + 1]);
    y[i + 1] = _mm256_unpackhi_ps(x[i], x[i + 1]);
  }
  BITWRIGHT_UNROLL for (int i = 0; i < 8; i += 4)
    BITWRIGHT_UNROLL for (int k = 0; k < 2; ++k) {
      const __m256d a = _mm256_castps_pd(y[i + k]), b = _mm256_castps_pd(y[i + k + 2]);
      x[i + 2 * k] = _mm256_castpd_ps(_mm256_unpacklo_pd(a, b));
      x[i + 2 * k + 1] = _mm256_castpd_ps(_mm256_unpackhi_pd(a, b));
    }
  BITWRIGHT_UNROLL for (int c = 0; c < 4; ++c) {
    const F low = x[c], high = x[c + 4];
    x[c] = _mm256_permute2f128_ps(low, high, 0x20);
    x[c + 4] = _mm256_permute2f128_ps(low, high, 0x31);
  }
}

#include "fconv_minimal_simd.h"

constexpr MinimalKernel kernel = minimal_kernel("fconv_minimal_avx2", "avx2", "minimal filtering F(2x4), 6 tiles x 16", kRankAvx2, supports_avx2);

}  // namespace

const MinimalKernel* const fconv_minimal_avx2 = &kernel;

}  // namespace bitwright

#else

namespace bitwright {
const MinimalKernel* const fconv_minimal_avx2 = nullptr;
}  // namespace bitwright

#endif
