// Epilogue for AVX-512 F, BW, VL, DQ: blocks of 4 pixels x 64 channels in 16 zmm registers. Thresholds give 16 bits a compare (vcmpps/vpcmpd into a
// mask register), tails are masked loads and stores.
// Cost of 256 elements: AFFINE 32 operations, ADD 16, PRELU 48, STORE 16 stores, STORE_BITS 16 compares + 8 kunpckwd + 8 kmov.
// Multiply and add stay two operations, each rounded (-ffp-contract=off): all instruction sets give the same bits.
#include "isa.h"

#include "entries.h"
#include "kernel_epilogue.h"

#if BITWRIGHT_AVX512

#include <immintrin.h>

#include <type_traits>

#include "chain.h"
#include "unary.h"
#include "values.h"

namespace bitwright {
namespace {

struct Simd {
  using F = __m512;
  using I = __m512i;
  static constexpr int kLanes = 16;
  static constexpr int kVectors = 2;
  static constexpr int kPixels = 4;
  static constexpr int kWords = 2;

  struct Tail {
    __mmask16 m[kVectors];
    BITWRIGHT_INLINE explicit Tail(uint32_t valid) {
      const uint32_t all = valid >= 32 ? 0xffffffffu : (1u << valid) - 1u;
      m[0] = static_cast<__mmask16>(all);
      m[1] = static_cast<__mmask16>(all >> 16);
    }
  };

  template <bool kFull>
  static BITWRIGHT_INLINE F load(const float* p, const Tail& tail, int v) {
    return kFull ? _mm512_loadu_ps(p + 16 * v) : _mm512_maskz_loadu_ps(tail.m[v], p + 16 * v);
  }
  template <bool kFull>
  static BITWRIGHT_INLINE void store(float* p, const Tail& tail, int v, F x) {
    if (kFull)
      _mm512_storeu_ps(p + 16 * v, x);
    else if (tail.m[v] != 0)  // an empty store holds up the next pixel's loads from there, where a sum lies in its summand's place
      _mm512_mask_storeu_ps(p + 16 * v, tail.m[v], x);
  }
  template <bool kFull>
  static BITWRIGHT_INLINE I load_i32(const int32_t* p, const Tail& tail, int v) {
    return kFull ? _mm512_loadu_si512(p + 16 * v) : _mm512_maskz_loadu_epi32(tail.m[v], p + 16 * v);
  }
  template <bool kFull>
  static BITWRIGHT_INLINE I load_count(const uint32_t* p, const Tail& tail, int v) {
    return kFull ? _mm512_loadu_si512(p + 16 * v) : _mm512_maskz_loadu_epi32(tail.m[v], p + 16 * v);
  }
  template <bool kFull>
  static BITWRIGHT_INLINE I load_count(const uint16_t* p, const Tail& tail, int v) {
    return _mm512_cvtepu16_epi32(kFull ? _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p + 16 * v))
                                       : _mm256_maskz_loadu_epi16(tail.m[v], p + 16 * v));
  }

  template <bool kFull>
  static BITWRIGHT_INLINE I load_short(const int16_t* p, const Tail& tail, int v) {
    return _mm512_cvtepi16_epi32(kFull ? _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p + 16 * v))
                                       : _mm256_maskz_loadu_epi16(tail.m[v], p + 16 * v));
  }

  static BITWRIGHT_INLINE F set(float x) { return _mm512_set1_ps(x); }
  static BITWRIGHT_INLINE F add(F a, F b) { return _mm512_add_ps(a, b); }
  static BITWRIGHT_INLINE F mul(F a, F b) { return _mm512_mul_ps(a, b); }
  static BITWRIGHT_INLINE F select_ge0(F x, F y) {
    return _mm512_mask_mov_ps(y, _mm512_cmp_ps_mask(x, _mm512_setzero_ps(), _CMP_GE_OQ), x);
  }
  // vmaxps and vminps return the second operand for NaN and for equal zeros.
  static BITWRIGHT_INLINE F below(F x, F p) { return _mm512_max_ps(p, x); }
  static BITWRIGHT_INLINE F above(F x, F p) { return _mm512_min_ps(p, x); }
  static BITWRIGHT_INLINE F to_float(I x) { return _mm512_cvtepi32_ps(x); }
  static BITWRIGHT_INLINE F minus(F count, F slope, F origin) { return _mm512_fnmadd_ps(count, slope, origin); }
  static BITWRIGHT_INLINE F prelu(F x, F slope) {
    return _mm512_mask_mul_ps(x, _mm512_cmp_ps_mask(x, _mm512_setzero_ps(), _CMP_NGE_UQ), slope, x);
  }
  static BITWRIGHT_INLINE void prefetch(const void* p) { _mm_prefetch(static_cast<const char*>(p), _MM_HINT_T0); }
  static BITWRIGHT_INLINE void prefetch_write(const void* p) {
#if BITWRIGHT_GNU_ASM
    __builtin_prefetch(p, 1, 3);
#else
    prefetch(p);
#endif
  }

  using S = __m512i;  // 32 channels as int16
  static constexpr int kShortVectors = 1;
  static BITWRIGHT_INLINE __mmask32 mask32(const Tail& tail) { return static_cast<uint32_t>(tail.m[0]) | static_cast<uint32_t>(tail.m[1]) << 16; }
  template <bool kFull>
  static BITWRIGHT_INLINE S load_s(const int16_t* p, const Tail& tail, int v) {
    return kFull ? _mm512_loadu_si512(p + 32 * v) : _mm512_maskz_loadu_epi16(mask32(tail), p);
  }
  template <bool kFull>
  static BITWRIGHT_INLINE void store_s(int16_t* p, const Tail& tail, int v, S x) {
    if (kFull)
      _mm512_storeu_si512(p + 32 * v, x);
    else
      _mm512_mask_storeu_epi16(p, mask32(tail), x);
  }
  template <bool kFull>
  static BITWRIGHT_INLINE S load_origin(const int32_t* p, const Tail& tail, int v) {
    return _mm512_inserti64x4(_mm512_castsi256_si512(_mm512_cvtepi32_epi16(load_i32<kFull>(p, tail, 2 * v))),
                              _mm512_cvtepi32_epi16(load_i32<kFull>(p, tail, 2 * v + 1)), 1);
  }
  static BITWRIGHT_INLINE S set_s(int16_t x) { return _mm512_set1_epi16(x); }
  static BITWRIGHT_INLINE S adds(S a, S b) { return _mm512_adds_epi16(a, b); }
  static BITWRIGHT_INLINE S mulhrs(S a, S b) { return _mm512_mulhrs_epi16(a, b); }
  static BITWRIGHT_INLINE S max_s(S a, S b) { return _mm512_max_epi16(a, b); }
  static BITWRIGHT_INLINE S min_s(S a, S b) { return _mm512_min_epi16(a, b); }
  static BITWRIGHT_INLINE S select_ge0_s(S x, S y) { return _mm512_mask_mov_epi16(x, _mm512_movepi16_mask(x), y); }
  static BITWRIGHT_INLINE S prelu_s(S x, S slope) { return _mm512_mask_mulhrs_epi16(x, _mm512_movepi16_mask(x), x, slope); }
  static BITWRIGHT_INLINE S minus_s(S origin, S count, int32_t slope) {
    const S once = _mm512_sub_epi16(origin, count);
    return slope == 1 ? once : _mm512_sub_epi16(once, count);
  }
  using Shift16 = __m512i;
  static BITWRIGHT_INLINE Shift16 set_shift16(uint32_t n) { return _mm512_set1_epi16(static_cast<int16_t>(n)); }
  static BITWRIGHT_INLINE S shift_s(S x, Shift16 n) { return _mm512_sllv_epi16(x, n); }
  static BITWRIGHT_INLINE uint32_t ge32_s(const S* x, const S* t) { return _mm512_cmpge_epi16_mask(x[0], t[0]); }
  static BITWRIGHT_INLINE I rounded(F x, F factor) {
    // What is below an int32 converts to the least one, which vpackssdw saturates, like everything else below -32768.
    const F y = mul(x, factor), inside = _mm512_min_ps(y, set(32767.0f));
    return _mm512_maskz_cvt_roundps_epi32(_mm512_cmp_ps_mask(y, y, _CMP_ORD_Q), inside, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  }
  static BITWRIGHT_INLINE void quantize(const F* x, F factor, S* q) {
    const I order = _mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7);  // the pack interleaves 128-bit quarters
    q[0] = _mm512_permutexvar_epi64(order, _mm512_packs_epi32(rounded(x[0], factor), rounded(x[1], factor)));
  }

  using Shift = __mmask16;  // of 1: a masked addition runs on more ports than a shift
  static BITWRIGHT_INLINE Shift set_shift(int32_t s) { return static_cast<Shift>(-s); }
  static BITWRIGHT_INLINE I sub_shifted(I x, I count, Shift shift) {
    return _mm512_sub_epi32(x, _mm512_mask_add_epi32(count, shift, count, count));
  }
  static BITWRIGHT_INLINE I add_i32(I a, I b) { return _mm512_add_epi32(a, b); }
  // 32 channels of one pixel as u8: clamped (the bounds are integers), rounded half to even, NaN as 0.
  template <bool kFull>
  static BITWRIGHT_INLINE void store_u8(uint8_t* p, const Tail& tail, const F* x, F factor, F low, F high, I zero) {
    BITWRIGHT_UNROLL for (int v = 0; v < kVectors; ++v) {
      const F y = mul(x[v], factor);
      const F z = _mm512_maskz_min_ps(_mm512_cmp_ps_mask(y, y, _CMP_ORD_Q), _mm512_max_ps(y, low), high);
      const __m128i q = _mm512_cvtepi32_epi8(add_i32(_mm512_cvtps_epi32(z), zero));
      if (kFull)
        _mm_storeu_si128(reinterpret_cast<__m128i*>(p + 16 * v), q);
      else
        _mm_mask_storeu_epi8(p + 16 * v, tail.m[v], q);
    }
  }
  static BITWRIGHT_INLINE I set_i32(int32_t x) { return _mm512_set1_epi32(x); }
  static BITWRIGHT_INLINE uint32_t ge32(const F* x, const F* t) {
    return _mm512_kunpackw(_mm512_cmp_ps_mask(x[1], t[1], _CMP_GE_OQ), _mm512_cmp_ps_mask(x[0], t[0], _CMP_GE_OQ));
  }
  static BITWRIGHT_INLINE uint32_t le(I count, I limit) { return _mm512_cmple_epi32_mask(count, limit); }

  // 32 limits in 16 bits: above 65535 saturates, below 0 is never. One vpcmpuw gives a word of bits.
  struct Limits16 {
    I limit;
    uint32_t possible;
    template <bool kFull>
    BITWRIGHT_INLINE void set(const int32_t* p, const Tail& tail) {
      const I low = load_i32<kFull>(p, tail, 0), high = load_i32<kFull>(p, tail, 1);
      limit = _mm512_inserti64x4(_mm512_castsi256_si512(_mm512_cvtusepi32_epi16(low)), _mm512_cvtusepi32_epi16(high), 1);
      possible = ~(static_cast<uint32_t>(_mm512_movepi32_mask(low)) | static_cast<uint32_t>(_mm512_movepi32_mask(high)) << 16);
    }
    template <bool kFull>
    BITWRIGHT_INLINE uint32_t bits(const uint16_t* row, const Tail& tail) const {
      const __mmask32 real = static_cast<uint32_t>(tail.m[0]) | static_cast<uint32_t>(tail.m[1]) << 16;
      const I count = kFull ? _mm512_loadu_si512(row) : _mm512_maskz_loadu_epi16(real, row);
      return _mm512_cmple_epu16_mask(count, limit) & possible;
    }
  };
};

#include "epilogue_simd.h"
#include "epilogue_fused.h"
#include "epilogue_fixed.h"
#include "epilogue_loose.h"
#include "epilogue_entries.h"

const EpilogueKernel kernel = {
    "epilogue_avx512", "avx512", "blocks of 4 pixels x 64 channels in registers over all steps", kRankAvx512, supports_avx512,
    threshold<Simd::Limits16>, threshold<Limits32>, from_counts16, from_counts32, from_float, from_int32, from_i16,
};

}  // namespace

const EpilogueKernel* const epilogue_avx512 = &kernel;

}  // namespace bitwright

#else

namespace bitwright {
const EpilogueKernel* const epilogue_avx512 = nullptr;
}  // namespace bitwright

#endif
