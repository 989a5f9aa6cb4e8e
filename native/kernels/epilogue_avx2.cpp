// Epilogue for AVX2: blocks of 2 pixels x 32 channels in 8 ymm registers. Thresholds give 32 bits by 4 compares,
// 3 packs and one vpmovmskb; tails by vmaskmovps.
// Cost of 64 elements: AFFINE 16 operations, ADD 8, PRELU 24, STORE 8 stores, STORE_BITS 8 compares + 6 packs + 2 permutes + 2 vpmovmskb.
// Multiply and add stay two operations, each rounded (-ffp-contract=off): all instruction sets give the same bits.
#include "isa.h"

#include "entries.h"
#include "kernel_epilogue.h"

#if BITWRIGHT_AVX2

#include <immintrin.h>

#include <type_traits>

#include "chain.h"
#include "unary.h"
#include "values.h"

namespace bitwright {
namespace {

struct Simd {
  using F = __m256;
  using I = __m256i;
  static constexpr int kLanes = 8;
  static constexpr int kVectors = 4;
  static constexpr int kPixels = 2;
  static constexpr int kWords = 1;

  struct Tail {
    I m[kVectors];
    uint32_t valid;
    BITWRIGHT_INLINE explicit Tail(uint32_t n) : valid(n) {
      const I lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
      for (int v = 0; v < kVectors; ++v) m[v] = _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int32_t>(n) - 8 * v), lane);
    }
  };

  template <bool kFull>
  static BITWRIGHT_INLINE F load(const float* p, const Tail& tail, int v) {
    return kFull ? _mm256_loadu_ps(p + 8 * v) : _mm256_maskload_ps(p + 8 * v, tail.m[v]);
  }
  template <bool kFull>
  static BITWRIGHT_INLINE void store(float* p, const Tail& tail, int v, F x) {
    if (kFull)
      _mm256_storeu_ps(p + 8 * v, x);
    else
      _mm256_maskstore_ps(p + 8 * v, tail.m[v], x);
  }
  template <bool kFull>
  static BITWRIGHT_INLINE I load_i32(const int32_t* p, const Tail& tail, int v) {
    return kFull ? _mm256_loadu_si256(reinterpret_cast<const I*>(p + 8 * v)) : _mm256_maskload_epi32(p + 8 * v, tail.m[v]);
  }
  template <bool kFull>
  static BITWRIGHT_INLINE I load_count(const uint32_t* p, const Tail& tail, int v) {
    return load_i32<kFull>(reinterpret_cast<const int32_t*>(p), tail, v);
  }
  template <bool kFull>
  static BITWRIGHT_INLINE I load_count(const uint16_t* p, const Tail& tail, int v) {
    if (kFull) return _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p + 8 * v)));
    alignas(16) uint16_t part[8] = {};  // there is no 16-bit masked load
    for (uint32_t j = 0; j < 8 && 8 * v + j < tail.valid; ++j) part[j] = p[8 * v + j];
    return _mm256_cvtepu16_epi32(_mm_load_si128(reinterpret_cast<const __m128i*>(part)));
  }

  template <bool kFull>
  static BITWRIGHT_INLINE I load_short(const int16_t* p, const Tail& tail, int v) {
    if (kFull) return _mm256_cvtepi16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p + 8 * v)));
    alignas(16) int16_t part[8] = {};
    for (uint32_t j = 0; j < 8 && 8 * v + j < tail.valid; ++j) part[j] = p[8 * v + j];
    return _mm256_cvtepi16_epi32(_mm_load_si128(reinterpret_cast<const __m128i*>(part)));
  }

  static BITWRIGHT_INLINE F set(float x) { return _mm256_set1_ps(x); }
  static BITWRIGHT_INLINE F add(F a, F b) { return _mm256_add_ps(a, b); }
  static BITWRIGHT_INLINE F mul(F a, F b) { return _mm256_mul_ps(a, b); }
  static BITWRIGHT_INLINE F select_ge0(F x, F y) { return _mm256_blendv_ps(y, x, _mm256_cmp_ps(x, _mm256_setzero_ps(), _CMP_GE_OQ)); }
  // vmaxps and vminps return the second operand for NaN and for equal zeros.
  static BITWRIGHT_INLINE F below(F x, F p) { return _mm256_max_ps(p, x); }
  static BITWRIGHT_INLINE F above(F x, F p) { return _mm256_min_ps(p, x); }
  static BITWRIGHT_INLINE F to_float(I x) { return _mm256_cvtepi32_ps(x); }
  static BITWRIGHT_INLINE F minus(F count, F slope, F origin) { return _mm256_fnmadd_ps(count, slope, origin); }
  static BITWRIGHT_INLINE F prelu(F x, F slope) { return select_ge0(x, mul(slope, x)); }
  static BITWRIGHT_INLINE void prefetch(const void* p) { _mm_prefetch(static_cast<const char*>(p), _MM_HINT_T0); }
  static BITWRIGHT_INLINE void prefetch_write(const void* p) {
#if BITWRIGHT_GNU_ASM
    __builtin_prefetch(p, 1, 3);
#else
    prefetch(p);
#endif
  }

  using S = __m256i;  // 16 channels as int16
  static constexpr int kShortVectors = 2;
  template <bool kFull>
  static BITWRIGHT_INLINE S load_s(const int16_t* p, const Tail& tail, int v) {
    if (kFull) return _mm256_loadu_si256(reinterpret_cast<const I*>(p + 16 * v));
    alignas(32) int16_t part[16] = {};  // there is no 16-bit masked load
    for (uint32_t j = 0; j < 16 && 16 * v + j < tail.valid; ++j) part[j] = p[16 * v + j];
    return _mm256_load_si256(reinterpret_cast<const I*>(part));
  }
  template <bool kFull>
  static BITWRIGHT_INLINE void store_s(int16_t* p, const Tail& tail, int v, S x) {
    if (kFull) return _mm256_storeu_si256(reinterpret_cast<I*>(p + 16 * v), x);
    alignas(32) int16_t part[16];
    _mm256_store_si256(reinterpret_cast<I*>(part), x);
    for (uint32_t j = 0; j < 16 && 16 * v + j < tail.valid; ++j) p[16 * v + j] = part[j];
  }
  static BITWRIGHT_INLINE S narrow(I low, I high) { return _mm256_permute4x64_epi64(_mm256_packs_epi32(low, high), 0xd8); }
  template <bool kFull>
  static BITWRIGHT_INLINE S load_origin(const int32_t* p, const Tail& tail, int v) {
    const auto cut = [](I x) { return _mm256_srai_epi32(_mm256_slli_epi32(x, 16), 16); };  // packs saturates
    return narrow(cut(load_i32<kFull>(p, tail, 2 * v)), cut(load_i32<kFull>(p, tail, 2 * v + 1)));
  }
  static BITWRIGHT_INLINE S set_s(int16_t x) { return _mm256_set1_epi16(x); }
  static BITWRIGHT_INLINE S adds(S a, S b) { return _mm256_adds_epi16(a, b); }
  static BITWRIGHT_INLINE S mulhrs(S a, S b) { return _mm256_mulhrs_epi16(a, b); }
  static BITWRIGHT_INLINE S max_s(S a, S b) { return _mm256_max_epi16(a, b); }
  static BITWRIGHT_INLINE S min_s(S a, S b) { return _mm256_min_epi16(a, b); }
  static BITWRIGHT_INLINE S select_ge0_s(S x, S y) { return _mm256_blendv_epi8(x, y, _mm256_srai_epi16(x, 15)); }
  static BITWRIGHT_INLINE S prelu_s(S x, S slope) { return select_ge0_s(x, mulhrs(x, slope)); }
  static BITWRIGHT_INLINE S minus_s(S origin, S count, int32_t slope) {
    const S once = _mm256_sub_epi16(origin, count);
    return slope == 1 ? once : _mm256_sub_epi16(once, count);
  }
  using Shift16 = __m128i;
  static BITWRIGHT_INLINE Shift16 set_shift16(uint32_t n) { return _mm_cvtsi32_si128(static_cast<int32_t>(n)); }
  static BITWRIGHT_INLINE S shift_s(S x, Shift16 n) { return _mm256_sll_epi16(x, n); }
  static BITWRIGHT_INLINE uint32_t ge32_s(const S* x, const S* t) {
    const S less = _mm256_packs_epi16(_mm256_cmpgt_epi16(t[0], x[0]), _mm256_cmpgt_epi16(t[1], x[1]));
    return ~static_cast<uint32_t>(_mm256_movemask_epi8(_mm256_permute4x64_epi64(less, 0xd8)));
  }
  static BITWRIGHT_INLINE I rounded(F x, F factor) {
    const F y = mul(x, factor), inside = above(below(y, set(-32768.0f)), set(32767.0f));
    const F whole = _mm256_round_ps(_mm256_and_ps(inside, _mm256_cmp_ps(y, y, _CMP_ORD_Q)), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    return _mm256_cvtps_epi32(whole);
  }
  static BITWRIGHT_INLINE void quantize(const F* x, F factor, S* q) {
    BITWRIGHT_UNROLL for (int v = 0; v < 2; ++v) q[v] = narrow(rounded(x[2 * v], factor), rounded(x[2 * v + 1], factor));
  }

  using Shift = I;
  static BITWRIGHT_INLINE I set_shift(int32_t s) { return _mm256_set1_epi32(s); }
  static BITWRIGHT_INLINE I sub_shifted(I x, I count, I shift) { return _mm256_sub_epi32(x, _mm256_sllv_epi32(count, shift)); }
  static BITWRIGHT_INLINE I add_i32(I a, I b) { return _mm256_add_epi32(a, b); }
  static BITWRIGHT_INLINE I set_i32(int32_t x) { return _mm256_set1_epi32(x); }
  // 32 channels of one pixel as u8: clamped (the bounds are integers), rounded half to even, NaN as 0.
  template <bool kFull>
  static BITWRIGHT_INLINE void store_u8(uint8_t* p, const Tail& tail, const F* x, F factor, F low, F high, I zero) {
    I q[kVectors];
    BITWRIGHT_UNROLL for (int v = 0; v < kVectors; ++v) {
      const F y = mul(x[v], factor);
      const F z = _mm256_and_ps(_mm256_cmp_ps(y, y, _CMP_ORD_Q), _mm256_min_ps(_mm256_max_ps(y, low), high));
      q[v] = add_i32(_mm256_cvtps_epi32(z), zero);
    }
    const I bytes = _mm256_packus_epi16(_mm256_packus_epi32(q[0], q[1]), _mm256_packus_epi32(q[2], q[3]));
    const I order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);  // the packs interleave 128-bit halves
    const I sorted = _mm256_permutevar8x32_epi32(bytes, order);
    if (kFull) {
      _mm256_storeu_si256(reinterpret_cast<I*>(p), sorted);
      return;
    }
    alignas(32) uint8_t part[32];
    _mm256_store_si256(reinterpret_cast<I*>(part), sorted);
    for (uint32_t j = 0; j < tail.valid; ++j) p[j] = part[j];
  }
  static BITWRIGHT_INLINE I ge(F x, F t) { return _mm256_castps_si256(_mm256_cmp_ps(x, t, _CMP_GE_OQ)); }
  static BITWRIGHT_INLINE uint32_t ge32(const F* x, const F* t) {
    const I low = _mm256_packs_epi32(ge(x[0], t[0]), ge(x[1], t[1])), high = _mm256_packs_epi32(ge(x[2], t[2]), ge(x[3], t[3]));
    const I order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);  // the packs interleave 128-bit halves
    return static_cast<uint32_t>(_mm256_movemask_epi8(_mm256_permutevar8x32_epi32(_mm256_packs_epi16(low, high), order)));
  }
  static BITWRIGHT_INLINE uint32_t le(I count, I limit) {
    return static_cast<uint32_t>(_mm256_movemask_ps(_mm256_castsi256_ps(_mm256_cmpgt_epi32(count, limit)))) ^ 0xffu;
  }

  // 32 limits in 16 bits: above 65535 saturates, below 0 is never. count <= limit is max(count, limit) == limit.
  struct Limits16 {
    I limit[2];
    uint32_t possible;
    template <bool kFull>
    BITWRIGHT_INLINE void set(const int32_t* p, const Tail& tail) {
      possible = 0;
      BITWRIGHT_UNROLL for (int h = 0; h < 2; ++h) {
        const I a = load_i32<kFull>(p, tail, 2 * h), b = load_i32<kFull>(p, tail, 2 * h + 1);
        limit[h] = _mm256_permute4x64_epi64(_mm256_packus_epi32(a, b), 0xd8);  // packus interleaves 128-bit halves
        possible |= (static_cast<uint32_t>(_mm256_movemask_ps(_mm256_castsi256_ps(a))) |
                     static_cast<uint32_t>(_mm256_movemask_ps(_mm256_castsi256_ps(b))) << 8) << (16 * h);
      }
      possible = ~possible;
    }
    template <bool kFull>
    BITWRIGHT_INLINE uint32_t bits(const uint16_t* row, const Tail& tail) const {
      alignas(32) uint16_t part[32] = {};
      if (!kFull) {  // there is no 16-bit masked load
        for (uint32_t j = 0; j < tail.valid; ++j) part[j] = row[j];
        row = part;
      }
      I le[2];
      BITWRIGHT_UNROLL for (int h = 0; h < 2; ++h) {
        const I count = _mm256_loadu_si256(reinterpret_cast<const I*>(row + 16 * h));
        le[h] = _mm256_cmpeq_epi16(_mm256_max_epu16(count, limit[h]), limit[h]);
      }
      const I bytes = _mm256_permute4x64_epi64(_mm256_packs_epi16(le[0], le[1]), 0xd8);
      return static_cast<uint32_t>(_mm256_movemask_epi8(bytes)) & possible;
    }
  };
};

#include "epilogue_simd.h"
#include "epilogue_fused.h"
#include "epilogue_fixed.h"
#include "epilogue_loose.h"
#include "epilogue_entries.h"

const EpilogueKernel kernel = {
    "epilogue_avx2", "avx2", "blocks of 2 pixels x 32 channels in registers over all steps", kRankAvx2, supports_avx2,
    threshold<Simd::Limits16>, threshold<Limits32>, from_counts16, from_counts32, from_float, from_int32, from_i16,
};

}  // namespace

const EpilogueKernel* const epilogue_avx2 = &kernel;

}  // namespace bitwright

#else

namespace bitwright {
const EpilogueKernel* const epilogue_avx2 = nullptr;
}  // namespace bitwright

#endif
