// Float convolution for AArch64: tile 6 pixels x 16 channels in 24 accumulators. Four input channels of a pixel are loaded at once and multiplied
// by element (fmla by lane), so that no broadcast takes a SIMD operation. Weights of a panel: [taps*channels][16] floats.
//
// Cost per 4 input channels of a tile: 96 fmla, 8 ldp of weights and 6 loads of activations.
// Counted (qemu, benchmarks/arm_instructions.py): 3.98 MAC per SIMD operation of 4 at most, 3.3 per instruction at 256 channels, 2.2 for a 7x7 stem of 3.
#include "isa.h"

#include "entries.h"
#include "kernel_float.h"

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
BITWRIGHT_INLINE F load_any(const float* p) { return vld1q_f32(p); }
BITWRIGHT_INLINE F load_first(const float* p, uint32_t n) {
  F x = vld1q_lane_f32(p, vdupq_n_f32(0.0f), 0);
  if (n > 1) x = vld1q_lane_f32(p + 1, x, 1);
  if (n > 2) x = vld1q_lane_f32(p + 2, x, 2);
  return x;
}
BITWRIGHT_INLINE void store(float* p, F x) { vst1q_f32(p, x); }
BITWRIGHT_INLINE F broadcast(const float* p) { return vld1q_dup_f32(p); }
BITWRIGHT_INLINE F zero() { return vdupq_n_f32(0.0f); }
BITWRIGHT_INLINE F fma(F a, F b, F c) { return vfmaq_f32(c, a, b); }

// The inner loop, instruction by instruction: with intrinsics gcc 12 hoists loads until accumulators spill; volatile assembly keeps the order of the
// source. The tile, four channels of its pixels and two vectors of weights are exactly the 32 registers.
#if BITWRIGHT_GNU_ASM
BITWRIGHT_INLINE F next_four(const float*& x) {
  F a;
  __asm__ volatile("ldr %q0, [%1], #16" : "=w"(a), "+r"(x) : "m"(*reinterpret_cast<const float(*)[4]>(x)));
  return a;
}
BITWRIGHT_INLINE F next_one(const float*& x) {
  F a;
  __asm__ volatile("ldr %s0, [%1], #4" : "=w"(a), "+r"(x) : "m"(*x));
  return a;
}
BITWRIGHT_INLINE void next_weights(F (&b)[2], const float*& w) {
  __asm__ volatile("ldp %q0, %q1, [%2], #32" : "=&w"(b[0]), "=&w"(b[1]), "+r"(w) : "m"(*reinterpret_cast<const float(*)[8]>(w)));
}
template <int kLane>
BITWRIGHT_INLINE void add_product(F& acc, F b, F a) {
  __asm__ volatile("fmla %0.4s, %1.4s, %2.s[%3]" : "+w"(acc) : "w"(b), "w"(a), "i"(kLane));
}
#else
BITWRIGHT_INLINE F next_four(const float*& x) {
  x += 4;
  return vld1q_f32(x - 4);
}
BITWRIGHT_INLINE F next_one(const float*& x) { return vld1q_dup_f32(x++); }
BITWRIGHT_INLINE void next_weights(F (&b)[2], const float*& w) {
  b[0] = vld1q_f32(w);
  b[1] = vld1q_f32(w + 4);
  w += 8;
}
template <int kLane>
BITWRIGHT_INLINE void add_product(F& acc, F b, F a) {
  acc = vfmaq_laneq_f32(acc, b, a, kLane);
}
#endif

template <int kLane, int P, int V>
BITWRIGHT_INLINE void accumulate_lane(F (&acc)[P][V], const F (&a)[P], const float*& w) {
  BITWRIGHT_UNROLL for (int v = 0; v < V; v += 2) {
    F b[2];
    next_weights(b, w);
    BITWRIGHT_UNROLL for (int h = 0; h < 2; ++h)
      BITWRIGHT_UNROLL for (int i = 0; i < P; ++i) add_product<kLane>(acc[i][v + h], b[h], a[i]);
  }
}

#define BITWRIGHT_OWN_ACCUMULATE 1
template <int P, int V>
BITWRIGHT_INLINE void accumulate(F (&acc)[P][V], const float* (&x)[P], const float* w, size_t channels) {
  for (; channels >= 4; channels -= 4) {
    F a[P];
    BITWRIGHT_UNROLL for (int i = 0; i < P; ++i) a[i] = next_four(x[i]);
    accumulate_lane<0>(acc, a, w);
    accumulate_lane<1>(acc, a, w);
    accumulate_lane<2>(acc, a, w);
    accumulate_lane<3>(acc, a, w);
  }
  for (; channels != 0; --channels) {
    F a[P];
    BITWRIGHT_UNROLL for (int i = 0; i < P; ++i) a[i] = next_one(x[i]);
    accumulate_lane<0>(acc, a, w);
  }
}

#include "fconv_simd.h"

const FloatKernel kernel = {
    "fconv_neon", "neon", "fused multiply-add by element, tile 6x16", kRankNeon, supports_neon, kPanel, kPixels, panel_floats, pack, run, depthwise,
};

}  // namespace

const FloatKernel* const fconv_neon = &kernel;

}  // namespace bitwright

#else

namespace bitwright {
const FloatKernel* const fconv_neon = nullptr;
}  // namespace bitwright

#endif
