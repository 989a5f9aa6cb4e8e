// Epilogue for AArch64: blocks of 2 pixels x 32 channels in 16 registers. A word of bits is 8 compares, 6 narrowings and 3 pairwise additions;
// tails by single elements.
// Cost of 64 elements: AFFINE 32 operations, ADD 16, PRELU 48, STORE 16 stores, STORE_BITS 16 compares + 12 narrowings + 4 ands + 6 addp + 2 moves.
// Multiply and add stay two operations, each rounded (-ffp-contract=off): all instruction sets give the same bits.
#include "isa.h"

#include "entries.h"
#include "kernel_epilogue.h"

#if BITWRIGHT_NEON

#include <arm_neon.h>

#include <type_traits>

#include "bits_neon.h"
#include "chain.h"
#include "unary.h"
#include "values.h"

namespace bitwright {
namespace {

struct Simd {
  using F = float32x4_t;
  using I = int32x4_t;
  static constexpr int kLanes = 4;
  static constexpr int kVectors = 8;
  static constexpr int kPixels = 2;
  static constexpr int kWords = 1;

  struct Tail {
    uint32_t valid;
    BITWRIGHT_INLINE explicit Tail(uint32_t n) : valid(n) {}
    // Real elements of vector v.
    BITWRIGHT_INLINE uint32_t of(int v) const {
      const uint32_t first = 4 * static_cast<uint32_t>(v);
      return valid <= first ? 0 : valid - first < 4 ? valid - first : 4;
    }
  };
  // There are no masked loads and stores.
  template <class T, class U>
  static BITWRIGHT_NOINLINE void copy(T* to, const U* from, uint32_t n) {
    for (uint32_t j = 0; j < n; ++j) to[j] = static_cast<T>(from[j]);
  }

  template <bool kFull>
  static BITWRIGHT_INLINE F load(const float* p, const Tail& tail, int v) {
    if (kFull || tail.of(v) == 4) return vld1q_f32(p + 4 * v);
    float part[4] = {};
    copy(part, p + 4 * v, tail.of(v));
    return vld1q_f32(part);
  }
  template <bool kFull>
  static BITWRIGHT_INLINE void store(float* p, const Tail& tail, int v, F x) {
    if (kFull || tail.of(v) == 4) return vst1q_f32(p + 4 * v, x);
    float part[4];
    vst1q_f32(part, x);
    copy(p + 4 * v, part, tail.of(v));
  }
  template <bool kFull>
  static BITWRIGHT_INLINE I load_i32(const int32_t* p, const Tail& tail, int v) {
    if (kFull || tail.of(v) == 4) return vld1q_s32(p + 4 * v);
    int32_t part[4] = {};
    copy(part, p + 4 * v, tail.of(v));
    return vld1q_s32(part);
  }
  template <bool kFull>
  static BITWRIGHT_INLINE I load_count(const uint32_t* p, const Tail& tail, int v) {
    return load_i32<kFull>(reinterpret_cast<const int32_t*>(p), tail, v);
  }
  template <bool kFull>
  static BITWRIGHT_INLINE I load_count(const uint16_t* p, const Tail& tail, int v) {
    if (kFull || tail.of(v) == 4) return vreinterpretq_s32_u32(vmovl_u16(vld1_u16(p + 4 * v)));
    int32_t part[4] = {};
    copy(part, p + 4 * v, tail.of(v));
    return vld1q_s32(part);
  }

  template <bool kFull>
  static BITWRIGHT_INLINE I load_short(const int16_t* p, const Tail& tail, int v) {
    if (kFull || tail.of(v) == 4) return vmovl_s16(vld1_s16(p + 4 * v));
    int32_t part[4] = {};
    copy(part, p + 4 * v, tail.of(v));
    return vld1q_s32(part);
  }

  static BITWRIGHT_INLINE F set(float x) { return vdupq_n_f32(x); }
  static BITWRIGHT_INLINE F add(F a, F b) { return vaddq_f32(a, b); }
  static BITWRIGHT_INLINE F mul(F a, F b) { return vmulq_f32(a, b); }
  static BITWRIGHT_INLINE F select_ge0(F x, F y) { return vbslq_f32(vcgezq_f32(x), x, y); }
  // fmax and fmin would order -0 and +0 and make a quiet NaN: compare and select instead.
  static BITWRIGHT_INLINE F below(F x, F p) { return vbslq_f32(vcltq_f32(x, p), p, x); }
  static BITWRIGHT_INLINE F above(F x, F p) { return vbslq_f32(vcgtq_f32(x, p), p, x); }
  static BITWRIGHT_INLINE F to_float(I x) { return vcvtq_f32_s32(x); }
  static BITWRIGHT_INLINE I add_i32(I a, I b) { return vaddq_s32(a, b); }
  static BITWRIGHT_INLINE I set_i32(int32_t x) { return vdupq_n_s32(x); }
  // 32 channels of one pixel as u8: fcvtns rounds half to even and makes NaN 0; everything after it saturates, so that nothing needs clamping.
  template <bool kFull>
  static BITWRIGHT_INLINE void store_u8(uint8_t* p, const Tail& tail, const F* x, F factor, F, F, I zero) {
    uint8x8_t q[4];
    BITWRIGHT_UNROLL for (int h = 0; h < 4; ++h) {
      uint16x4_t half[2];
      BITWRIGHT_UNROLL for (int k = 0; k < 2; ++k) half[k] = vqmovun_s32(vqaddq_s32(vcvtnq_s32_f32(mul(x[2 * h + k], factor)), zero));
      q[h] = vqmovn_u16(vcombine_u16(half[0], half[1]));
    }
    uint8_t part[32];
    uint8_t* to = kFull ? p : part;
    BITWRIGHT_UNROLL for (int h = 0; h < 4; ++h) vst1_u8(to + 8 * h, q[h]);
    if (!kFull) copy(p, part, tail.valid);
  }
  static BITWRIGHT_INLINE F minus(F count, F slope, F origin) { return vfmsq_f32(origin, count, slope); }
  static BITWRIGHT_INLINE F prelu(F x, F slope) { return select_ge0(x, mul(slope, x)); }
  static BITWRIGHT_INLINE void prefetch(const void* p) { __builtin_prefetch(p, 0, 3); }
  static BITWRIGHT_INLINE void prefetch_write(const void* p) { __builtin_prefetch(p, 1, 3); }

  using S = int16x8_t;
  static constexpr int kShortVectors = 4;
  static BITWRIGHT_INLINE uint32_t real_shorts(const Tail& tail, int v) {
    const uint32_t first = 8 * static_cast<uint32_t>(v);
    return tail.valid <= first ? 0 : tail.valid - first < 8 ? tail.valid - first : 8;
  }
  template <bool kFull>
  static BITWRIGHT_INLINE S load_s(const int16_t* p, const Tail& tail, int v) {
    if (kFull) return vld1q_s16(p + 8 * v);
    int16_t part[8] = {};
    copy(part, p + 8 * v, real_shorts(tail, v));
    return vld1q_s16(part);
  }
  template <bool kFull>
  static BITWRIGHT_INLINE void store_s(int16_t* p, const Tail& tail, int v, S x) {
    if (kFull) return vst1q_s16(p + 8 * v, x);
    int16_t part[8];
    vst1q_s16(part, x);
    copy(p + 8 * v, part, real_shorts(tail, v));
  }
  template <bool kFull>
  static BITWRIGHT_INLINE S load_origin(const int32_t* p, const Tail& tail, int v) {
    return vcombine_s16(vmovn_s32(load_i32<kFull>(p, tail, 2 * v)), vmovn_s32(load_i32<kFull>(p, tail, 2 * v + 1)));
  }
  static BITWRIGHT_INLINE S set_s(int16_t x) { return vdupq_n_s16(x); }
  static BITWRIGHT_INLINE S adds(S a, S b) { return vqaddq_s16(a, b); }
  static BITWRIGHT_INLINE S mulhrs(S a, S b) { return vqrdmulhq_s16(a, b); }  // b is never -32768: nothing saturates
  static BITWRIGHT_INLINE S max_s(S a, S b) { return vmaxq_s16(a, b); }
  static BITWRIGHT_INLINE S min_s(S a, S b) { return vminq_s16(a, b); }
  static BITWRIGHT_INLINE S select_ge0_s(S x, S y) { return vbslq_s16(vcgezq_s16(x), x, y); }
  static BITWRIGHT_INLINE S prelu_s(S x, S slope) { return select_ge0_s(x, mulhrs(x, slope)); }
  static BITWRIGHT_INLINE S minus_s(S origin, S count, int32_t slope) {
    const S once = vsubq_s16(origin, count);
    return slope == 1 ? once : vsubq_s16(once, count);
  }
  using Shift16 = int16x8_t;
  static BITWRIGHT_INLINE Shift16 set_shift16(uint32_t n) { return vdupq_n_s16(static_cast<int16_t>(n)); }
  static BITWRIGHT_INLINE S shift_s(S x, Shift16 n) { return vshlq_s16(x, n); }
  static BITWRIGHT_INLINE uint32_t ge32_s(const S* x, const S* t) {
    uint16x8_t ge[4];
    BITWRIGHT_UNROLL for (int h = 0; h < 4; ++h) ge[h] = vcgeq_s16(x[h], t[h]);
    return word_of_masks(ge);
  }
  // vcvtn rounds half to even and gives 0 for NaN, saturated to 32 bits; vqmovn saturates to 16.
  static BITWRIGHT_INLINE void quantize(const F* x, F factor, S* q) {
    BITWRIGHT_UNROLL for (int v = 0; v < 4; ++v)
      q[v] = vcombine_s16(vqmovn_s32(vcvtnq_s32_f32(mul(x[2 * v], factor))), vqmovn_s32(vcvtnq_s32_f32(mul(x[2 * v + 1], factor))));
  }

  using Shift = I;
  static BITWRIGHT_INLINE I set_shift(int32_t s) { return vdupq_n_s32(s); }
  static BITWRIGHT_INLINE I sub_shifted(I x, I count, I shift) { return vsubq_s32(x, vshlq_s32(count, shift)); }
  static BITWRIGHT_INLINE uint32_t ge32(const F* x, const F* t) {
    uint32x4_t ge[kVectors];
    BITWRIGHT_UNROLL for (int v = 0; v < kVectors; ++v) ge[v] = vcgeq_f32(x[v], t[v]);
    return word_of_masks(ge);
  }
  static BITWRIGHT_INLINE uint32_t le(I count, I limit) {
    const int32_t places[4] = {1, 2, 4, 8};
    return vaddvq_u32(vandq_u32(vcleq_s32(count, limit), vreinterpretq_u32_s32(vld1q_s32(places))));
  }

  // 32 limits in 16 bits: above 65535 saturates, below 0 is never.
  struct Limits16 {
    uint16x8_t limit[4];
    uint32_t possible;
    template <bool kFull>
    BITWRIGHT_INLINE void set(const int32_t* p, const Tail& tail) {
      uint32x4_t can[kVectors];
      BITWRIGHT_UNROLL for (int h = 0; h < 4; ++h) {
        const I a = load_i32<kFull>(p, tail, 2 * h), b = load_i32<kFull>(p, tail, 2 * h + 1);
        limit[h] = vcombine_u16(vqmovun_s32(a), vqmovun_s32(b));
        can[2 * h] = vcgezq_s32(a);
        can[2 * h + 1] = vcgezq_s32(b);
      }
      possible = word_of_masks(can);
    }
    template <bool kFull>
    BITWRIGHT_INLINE uint32_t bits(const uint16_t* row, const Tail& tail) const {
      uint16_t part[32] = {};
      if (!kFull) {
        copy(part, row, tail.valid);
        row = part;
      }
      uint16x8_t le[4];
      BITWRIGHT_UNROLL for (int h = 0; h < 4; ++h) le[h] = vcleq_u16(vld1q_u16(row + 8 * h), limit[h]);
      return word_of_masks(le) & possible;
    }
  };
};

#include "epilogue_simd.h"
#include "epilogue_fused.h"
#include "epilogue_fixed.h"
#include "epilogue_loose.h"
#include "epilogue_entries.h"

const EpilogueKernel kernel = {
    "epilogue_neon", "neon", "blocks of 2 pixels x 32 channels in registers over all steps", kRankNeon, supports_neon,
    threshold<Simd::Limits16>, threshold<Limits32>, from_counts16, from_counts32, from_float, from_int32, from_i16,
};

}  // namespace

const EpilogueKernel* const epilogue_neon = &kernel;

}  // namespace bitwright

#else

namespace bitwright {
const EpilogueKernel* const epilogue_neon = nullptr;
}  // namespace bitwright

#endif
