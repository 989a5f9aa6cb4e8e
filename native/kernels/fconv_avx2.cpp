// Float convolution for AVX2 with FMA: tile 6 pixels x 16 channels in 12 ymm accumulators, weights in two registers, activations broadcast from
// memory. Weights of a panel: [taps*channels][16] floats.
//
// Cost per input channel: 12 vfmadd231ps (6 cycles on two FMA pipes), 2 weight loads and 6 broadcast loads (4 cycles on two load pipes).
// Measured (Zen 5 server, 3.6 GHz, gcc 12, one core, bitwright_bench): 54 to 56 GMAC/s (96 % of the FMA peak) from 64 channels on, 44 for a 7x7
// stem of 3 channels, 26 for a 3x3 stem of 1. Depthwise, one load a product: 18 for 3x3 at 56x56x128, 15 at 14x14x512.
#include "isa.h"

#include "entries.h"
#include "kernel_float.h"

#if BITWRIGHT_AVX2

#include <immintrin.h>

namespace bitwright {
namespace {

using F = __m256;
constexpr uint32_t kPanel = 16;
constexpr uint32_t kPixels = 6;
constexpr int kRegisters = 16;
constexpr int kLanes = 8;
BITWRIGHT_INLINE F load(const float* p) { return _mm256_load_ps(p); }
BITWRIGHT_INLINE F load_any(const float* p) { return _mm256_loadu_ps(p); }
BITWRIGHT_INLINE F load_first(const float* p, uint32_t n) {
  const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  return _mm256_maskload_ps(p, _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(n)), lane));
}
BITWRIGHT_INLINE void store(float* p, F x) { _mm256_storeu_ps(p, x); }
BITWRIGHT_INLINE F broadcast(const float* p) { return _mm256_broadcast_ss(p); }
BITWRIGHT_INLINE F zero() { return _mm256_setzero_ps(); }
BITWRIGHT_INLINE F fma(F a, F b, F c) { return _mm256_fmadd_ps(a, b, c); }

#include "fconv_simd.h"

const FloatKernel kernel = {
    "fconv_avx2", "avx2", "fused multiply-add, tile 6x16", kRankAvx2, supports_avx2, kPanel, kPixels, panel_floats, pack, run, depthwise,
};

}  // namespace

const FloatKernel* const fconv_avx2 = &kernel;

}  // namespace bitwright

#else

namespace bitwright {
const FloatKernel* const fconv_avx2 = nullptr;
}  // namespace bitwright

#endif
