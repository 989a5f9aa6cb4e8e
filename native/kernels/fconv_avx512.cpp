// Float convolution for AVX-512: tile 8 pixels x 32 channels in 16 zmm accumulators, weights in two registers, activations broadcast from memory.
// Weights of a panel: [taps*channels][32] floats.
//
// Cost per input channel: 16 vfmadd231ps (8 cycles on two FMA pipes), 2 weight loads and 8 broadcast loads (5 cycles on two load pipes).
// Measured (Zen 5 server, 3.6 GHz, gcc 12, one core, bitwright_bench): 100 to 110 GMAC/s (85 to 95 % of the FMA peak) from 64 channels on, as much for
// a 7x7 stem of 3 channels whose lines are taps (tiles alone; 76 to 98 tap by tap), 44 to 58 for a 3x3 stem of 1 tap by tap. Depthwise, one load a
// product: 30 for 3x3 at 56x56x128, 26 at 14x14x512.
#include "isa.h"

#include "chain_avx512.h"
#include "entries.h"
#include "kernel_float.h"

#if BITWRIGHT_AVX512

#include <immintrin.h>

namespace bitwright {
namespace {

using F = __m512;
constexpr uint32_t kPanel = 32;
constexpr uint32_t kPixels = 8;
constexpr int kRegisters = 32;
constexpr int kLanes = 16;
BITWRIGHT_INLINE F load(const float* p) { return _mm512_load_ps(p); }
BITWRIGHT_INLINE F load_any(const float* p) { return _mm512_loadu_ps(p); }
BITWRIGHT_INLINE F load_first(const float* p, uint32_t n) { return _mm512_maskz_loadu_ps(static_cast<__mmask16>((1u << n) - 1), p); }
BITWRIGHT_INLINE void store(float* p, F x) { _mm512_storeu_ps(p, x); }
BITWRIGHT_INLINE F broadcast(const float* p) { return _mm512_set1_ps(*p); }
BITWRIGHT_INLINE F zero() { return _mm512_setzero_ps(); }
BITWRIGHT_INLINE F fma(F a, F b, F c) { return _mm512_fmadd_ps(a, b, c); }

#include "fconv_simd.h"

// Steps where the sums are: 2 % of a network whose shortcuts are 1x1 layers.
template <int P>
void chain_tile(const FloatTile& t, const FloatsTile& to) {
  const InOrder<FloatsTile> at{to};
  prefetch_added<P, kPanel>(to, at);
  F acc[P][kVectors];
  sum<P>(acc, t);
  floats_steps<P, 1>([&](int i, int v) { return acc[i][v]; }, to, at, AnyShape(to));
}

template <int P = 1>
void chain(const FloatTile& t, const FloatsTile& to) {
  if constexpr (P < static_cast<int>(kPixels)) {
    if (t.pixels > P) return chain<P + 1>(t, to);
  }
  chain_tile<P>(t, to);
}

const FloatKernel kernel = {
    "fconv_avx512", "avx512", "fused multiply-add, tile 8x32", kRankAvx512, supports_avx512, kPanel, kPixels, panel_floats, pack, run, depthwise, chain,
};

}  // namespace

const FloatKernel* const fconv_avx512 = &kernel;

}  // namespace bitwright

#else

namespace bitwright {
const FloatKernel* const fconv_avx512 = nullptr;
}  // namespace bitwright

#endif
