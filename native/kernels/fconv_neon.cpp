// Float convolution for AArch64: tile 6 pixels x 16 channels in 24 accumulators. Four input channels of a pixel are loaded at once and multiplied
// by element (fmla by lane), so that no broadcast takes a SIMD operation. Weights of a panel: [taps*channels][16] floats.
//
// Cost per 4 input channels: 96 fmla, 16 weight loads (8 ldp) and 6 activation loads.
#include "isa.h"

#include "entries.h"

#if BITWRIGHT_NEON

#include <arm_neon.h>

namespace bitwright {
namespace {

using F = float32x4_t;
constexpr uint32_t kPanel = 16;
constexpr uint32_t kPixels = 6;
constexpr int kRegisters = 32;
constexpr int kLanes = 4;
BITWRIGHT_INLINE F load(const float* p) { return vld1q_f32(p); }
BITWRIGHT_INLINE void store(float* p, F x) { vst1q_f32(p, x); }
BITWRIGHT_INLINE F broadcast(const float* p) { return vld1q_dup_f32(p); }
BITWRIGHT_INLINE F zero() { return vdupq_n_f32(0.0f); }
BITWRIGHT_INLINE F fma(F a, F b, F c) { return vfmaq_f32(c, a, b); }

template <int kLane, int P, int V>
BITWRIGHT_INLINE void accumulate_lane(F (&acc)[P][V], const F (&a)[P], const float* w) {
  BITWRIGHT_UNROLL for (int v = 0; v < V; ++v) {
    const F b = load(w + v * kLanes);
    BITWRIGHT_UNROLL for (int i = 0; i < P; ++i) acc[i][v] = vfmaq_laneq_f32(acc[i][v], b, a[i], kLane);
  }
}

#define BITWRIGHT_OWN_ACCUMULATE 1
template <int P, int V>
BITWRIGHT_INLINE void accumulate(F (&acc)[P][V], const float* const (&x)[P], const float* w, size_t channels) {
  size_t k = 0;
  for (; k + 4 <= channels; k += 4, w += 4 * kPanel) {
    F a[P];
    BITWRIGHT_UNROLL for (int i = 0; i < P; ++i) a[i] = load(x[i] + k);
    accumulate_lane<0>(acc, a, w);
    accumulate_lane<1>(acc, a, w + kPanel);
    accumulate_lane<2>(acc, a, w + 2 * kPanel);
    accumulate_lane<3>(acc, a, w + 3 * kPanel);
  }
  for (; k < channels; ++k, w += kPanel) {
    F a[P];
    BITWRIGHT_UNROLL for (int i = 0; i < P; ++i) a[i] = broadcast(x[i] + k);
    accumulate_lane<0>(acc, a, w);
  }
}

#include "fconv_simd.h"

const FloatKernel kernel = {
    "fconv_neon", "neon", "fused multiply-add by element, tile 6x16", kRankNeon, supports_neon, kPanel, kPixels, panel_floats, pack, run,
};

}  // namespace

const FloatKernel* const fconv_neon = &kernel;

}  // namespace bitwright

#else

namespace bitwright {
const FloatKernel* const fconv_neon = nullptr;
}  // namespace bitwright

#endif
