// Float convolution by minimal filtering for AArch64: 12 tiles x 8 channels in 24 accumulators for each pair of points, weights in two registers. Four
// tiles' inputs are loaded at once and multiplied by element (fmla by lane), so that no broadcast takes a SIMD operation.
//
// Cost per product of a tile of 2x4 outputs, 12 tiles: 24 fmla, 1 ldp of weights, 3 loads of inputs.
// Counted (qemu, benchmarks/arm_instructions.py), in multiply-accumulates of the plain sum: sums of 3x3 and 64 channels 11.4 per SIMD operation and 8.1 per
// instruction, where fconv_neon does 3.99 and 3.25. With the transform of the inputs a layer of 64 to 64 channels does 10.4 and 6.8.
#include "isa.h"

#include "entries.h"
#include "kernel_minimal.h"
#include "minimal_filter.h"

#if BITWRIGHT_NEON

#include <arm_neon.h>

namespace bitwright {
namespace {

using F = float32x4_t;
constexpr int kLanes = 4, kVectors = 2, kTiles = 12;
BITWRIGHT_INLINE F load(const float* p) { return vld1q_f32(p); }
BITWRIGHT_INLINE F load_first(const float* p, uint32_t n) {
  F x = vld1q_lane_f32(p, vdupq_n_f32(0.0f), 0);
  if (n > 1) x = vld1q_lane_f32(p + 1, x, 1);
  if (n > 2) x = vld1q_lane_f32(p + 2, x, 2);
  return x;
}
BITWRIGHT_INLINE void store(float* p, F x) { vst1q_f32(p, x); }
BITWRIGHT_INLINE F set(float x) { return vdupq_n_f32(x); }
BITWRIGHT_INLINE F zero() { return vdupq_n_f32(0.0f); }
BITWRIGHT_INLINE F add(F a, F b) { return vaddq_f32(a, b); }
BITWRIGHT_INLINE F sub(F a, F b) { return vsubq_f32(a, b); }
BITWRIGHT_INLINE F mul(F a, F b) { return vmulq_f32(a, b); }
BITWRIGHT_INLINE F fma(F a, F b, F c) { return vfmaq_f32(c, a, b); }
BITWRIGHT_INLINE void transpose(F (&x)[4]) {
  const float64x2_t a = vreinterpretq_f64_f32(vtrn1q_f32(x[0], x[1])), b = vreinterpretq_f64_f32(vtrn2q_f32(x[0], x[1]));
  const float64x2_t c = vreinterpretq_f64_f32(vtrn1q_f32(x[2], x[3])), d = vreinterpretq_f64_f32(vtrn2q_f32(x[2], x[3]));
  x[0] = vreinterpretq_f32_f64(vtrn1q_f64(a, c));
  x[1] = vreinterpretq_f32_f64(vtrn1q_f64(b, d));
  x[2] = vreinterpretq_f32_f64(vtrn2q_f64(a, c));
  x[3] = vreinterpretq_f32_f64(vtrn2q_f64(b, d));
}

// Volatile assembly keeps the order of the source, as in fconv_neon.cpp: the accumulators, the weights and the inputs are 29 registers.
#if BITWRIGHT_GNU_ASM
BITWRIGHT_INLINE F next(const float* p) {
  F x;
  __asm__ volatile("ldr %q0, %1" : "=w"(x) : "m"(*reinterpret_cast<const float(*)[4]>(p)));
  return x;
}
BITWRIGHT_INLINE void next(F (&x)[2], const float* p) {
  __asm__ volatile("ldp %q0, %q1, [%2]" : "=w"(x[0]), "=w"(x[1]) : "r"(p), "m"(*reinterpret_cast<const float(*)[8]>(p)));
}
template <int kLane>
BITWRIGHT_INLINE void add_product(F& acc, F w, F x) {
  __asm__ volatile("fmla %0.4s, %1.4s, %2.s[%3]" : "+w"(acc) : "w"(w), "w"(x), "i"(kLane));
}
#else
BITWRIGHT_INLINE F next(const float* p) { return vld1q_f32(p); }
BITWRIGHT_INLINE void next(F (&x)[2], const float* p) {
  x[0] = vld1q_f32(p);
  x[1] = vld1q_f32(p + 4);
}
template <int kLane>
BITWRIGHT_INLINE void add_product(F& acc, F w, F x) {
  acc = vfmaq_laneq_f32(acc, w, x, kLane);
}
#endif

template <int kTile, int P, int V>
BITWRIGHT_INLINE void add_tiles(F (&acc)[P][V], const F (&b)[V], const F* a) {
  if constexpr (kTile < P) {
    BITWRIGHT_UNROLL for (int v = 0; v < V; ++v) add_product<kTile % 4>(acc[kTile][v], b[v], a[kTile / 4]);
    add_tiles<kTile + 1>(acc, b, a);
  }
}

#define BITWRIGHT_OWN_PRODUCT 1
template <int P, int V>
BITWRIGHT_INLINE void product(F (&acc)[P][V], const float* x, const float* w) {
  F a[(P + 3) / 4], b[V];
  if constexpr (V == 2) next(b, w);
  else b[0] = next(w);
  BITWRIGHT_UNROLL for (int i = 0; i < (P + 3) / 4; ++i) a[i] = next(x + 4 * i);
  add_tiles<0>(acc, b, a);
}

#include "fconv_minimal_simd.h"

constexpr MinimalKernel kernel = minimal_kernel("fconv_minimal_neon", "neon", "minimal filtering F(2x4), 12 tiles x 8", kRankNeon, supports_neon);

}  // namespace

const MinimalKernel* const fconv_minimal_neon = &kernel;

}  // namespace bitwright

#else

namespace bitwright {
const MinimalKernel* const fconv_minimal_neon = nullptr;
}  // namespace bitwright

#endif
