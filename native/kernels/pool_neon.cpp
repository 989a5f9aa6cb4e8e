// Pooling for AArch64: 32 to 128 channels of a window in registers.
// Cost of 16 channels and one element, beside 1 (u8) to 4 (f32) loads of a vector: f32 maximum 16 operations, f32 mean 4, int16 maximum 2, int16 mean 4,
// u8 maximum 1, u8 mean 2 (6 for windows of more than 257 elements).
// Counted (qemu, benchmarks/arm_instructions.py), elements per instruction: 3x3 maxima 0.85 (f32), 3.9 (int16), 2.6 (u8), 7x7 means 1.7, 2.2, 3.0; the
// portable loops 0.48, 1.3, 1.8, 0.74, 1.1, 1.2.
#include "isa.h"

#include "entries.h"
#include "kernel_pool.h"

#if BITWRIGHT_NEON

#include <arm_neon.h>

namespace bitwright {
namespace {

#include "pool_scalar.h"

constexpr int kMostVectors = 8;

BITWRIGHT_INLINE float32x4_t real(int32x4_t q, const PoolFinish& f) {
  return vmulq_f32(vcvtq_f32_s32(vsubq_s32(q, vdupq_n_s32(f.zero))), vdupq_n_f32(f.scale));
}
BITWRIGHT_INLINE float32x4_t over(float32x4_t x, const PoolFinish& f) { return vdivq_f32(x, vdupq_n_f32(f.divisor)); }
BITWRIGHT_INLINE int32x4x2_t wide(int16x8_t x) { return {{vmovl_s16(vget_low_s16(x)), vmovl_high_s16(x)}}; }
BITWRIGHT_INLINE int32x4x2_t wide(uint16x8_t x) {
  return {{vreinterpretq_s32_u32(vmovl_u16(vget_low_u16(x))), vreinterpretq_s32_u32(vmovl_high_u16(x))}};
}

struct MaxF32 : MaxF32Scalar {
  using V = float32x4_t;
  static constexpr uint32_t kLanes = 4;
  using MaxF32Scalar::join;
  using MaxF32Scalar::store;
  static BITWRIGHT_INLINE V load(const float* x) { return vld1q_f32(x); }
  // Not fmax, which makes every NaN a quiet one and prefers +0 to -0.
  static BITWRIGHT_INLINE V join(V acc, V x) { return vbslq_f32(vornq_u32(vcgtq_f32(x, acc), vceqq_f32(x, x)), x, acc); }
  static BITWRIGHT_INLINE void store(float* out, V x, const PoolFinish&) { vst1q_f32(out, x); }
};
struct MeanF32 : MeanF32Scalar {
  using V = float32x4_t;
  static constexpr uint32_t kLanes = 4;
  using MeanF32Scalar::join;
  using MeanF32Scalar::store;
  static BITWRIGHT_INLINE V load(const float* x) { return vld1q_f32(x); }
  static BITWRIGHT_INLINE V join(V acc, V x) { return vaddq_f32(acc, x); }
  static BITWRIGHT_INLINE void store(float* out, V x, const PoolFinish& f) { vst1q_f32(out, over(x, f)); }
};
struct MaxI16 : MaxI16Scalar {
  using V = int16x8_t;
  static constexpr uint32_t kLanes = 8;
  using MaxI16Scalar::join;
  using MaxI16Scalar::store;
  static BITWRIGHT_INLINE V load(const int16_t* x) { return vld1q_s16(x); }
  static BITWRIGHT_INLINE V join(V acc, V x) { return vmaxq_s16(acc, x); }
  static BITWRIGHT_INLINE void store(int16_t* out, V x, const PoolFinish&) { vst1q_s16(out, x); }
};
struct MaxI16Float : MaxScaledScalar<int16_t> {
  using V = int16x8_t;
  static constexpr uint32_t kLanes = 8;
  using MaxScaledScalar<int16_t>::join;
  using MaxScaledScalar<int16_t>::store;
  static BITWRIGHT_INLINE V load(const int16_t* x) { return vld1q_s16(x); }
  static BITWRIGHT_INLINE V join(V acc, V x) { return vmaxq_s16(acc, x); }
  static BITWRIGHT_INLINE void store(float* out, V x, const PoolFinish& f) {
    const int32x4x2_t q = wide(x);
    vst1q_f32(out, real(q.val[0], f));
    vst1q_f32(out + 4, real(q.val[1], f));
  }
};
struct MaxU8 : MaxScaledScalar<uint8_t> {
  using V = uint8x16_t;
  static constexpr uint32_t kLanes = 16;
  using MaxScaledScalar<uint8_t>::join;
  using MaxScaledScalar<uint8_t>::store;
  static BITWRIGHT_INLINE V load(const uint8_t* x) { return vld1q_u8(x); }
  static BITWRIGHT_INLINE V join(V acc, V x) { return vmaxq_u8(acc, x); }
  static BITWRIGHT_INLINE void store(float* out, V x, const PoolFinish& f) {
    const int32x4x2_t low = wide(vmovl_u8(vget_low_u8(x))), high = wide(vmovl_high_u8(x));
    vst1q_f32(out, real(low.val[0], f));
    vst1q_f32(out + 4, real(low.val[1], f));
    vst1q_f32(out + 8, real(high.val[0], f));
    vst1q_f32(out + 12, real(high.val[1], f));
  }
};
struct MeanI16 : MeanScaledScalar<int16_t> {
  using V = int32x4x2_t;
  static constexpr uint32_t kLanes = 8;
  using MeanScaledScalar<int16_t>::join;
  using MeanScaledScalar<int16_t>::store;
  static BITWRIGHT_INLINE V load(const int16_t* x) { return wide(vld1q_s16(x)); }
  static BITWRIGHT_INLINE V join(V acc, V x) { return {{vaddq_s32(acc.val[0], x.val[0]), vaddq_s32(acc.val[1], x.val[1])}}; }
  static BITWRIGHT_INLINE void store(float* out, V x, const PoolFinish& f) {
    vst1q_f32(out, over(real(x.val[0], f), f));
    vst1q_f32(out + 4, over(real(x.val[1], f), f));
  }
};
struct MeanU8 : MeanScaledScalar<uint8_t> {
  using V = int32x4x2_t;
  static constexpr uint32_t kLanes = 8;
  using MeanScaledScalar<uint8_t>::join;
  using MeanScaledScalar<uint8_t>::store;
  static BITWRIGHT_INLINE V load(const uint8_t* x) { return wide(vmovl_u8(vld1_u8(x))); }
  static BITWRIGHT_INLINE V join(V acc, V x) { return MeanI16::join(acc, x); }
  static BITWRIGHT_INLINE void store(float* out, V x, const PoolFinish& f) { MeanI16::store(out, x, f); }
};
// Sums of 16 bits.
struct ShortMeanU8 : MeanScaledScalar<uint8_t> {
  using V = uint16x8_t;
  static constexpr uint32_t kLanes = 8;
  static constexpr uint64_t kMost = 65535 / 255;  // elements
  using MeanScaledScalar<uint8_t>::join;
  using MeanScaledScalar<uint8_t>::store;
  static BITWRIGHT_INLINE V load(const uint8_t* x) { return vmovl_u8(vld1_u8(x)); }
  static BITWRIGHT_INLINE V join(V acc, V x) { return vaddq_u16(acc, x); }
  static BITWRIGHT_INLINE void store(float* out, V x, const PoolFinish& f) { MeanI16::store(out, wide(x), f); }
};

#include "pool_simd.h"

void mean_u8(void* out, const PoolWindows& w, const PoolFinish& finish) {
  const uint64_t elements = uint64_t{w.count[0]} * w.count[1];  // no overflow: each is at most 2^32 - 1
  const bool brief = elements <= ShortMeanU8::kMost && elements * w.count[2] <= ShortMeanU8::kMost;
  brief ? pool<ShortMeanU8>(out, w, finish) : pool<MeanU8>(out, w, finish);
}

const PoolKernel kernel = {
    "pool_neon", "neon", "32 to 128 channels of a window in registers", kRankNeon, supports_neon,
    pool<MaxF32>, pool<MeanF32>, pool<MaxI16>, pool<MaxI16Float>, pool<MeanI16>, pool<MaxU8>, mean_u8,
};

}  // namespace

const PoolKernel* const pool_neon = &kernel;

}  // namespace bitwright

#else

namespace bitwright {
const PoolKernel* const pool_neon = nullptr;
}  // namespace bitwright

#endif
