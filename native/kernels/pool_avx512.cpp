// Pooling for AVX-512 F, BW: 64 channels of a window in registers.
// Cost of 64 channels and one element: f32 maximum 4 loads + 8 operations, f32 mean 4 + 4, int16 maximum 2 + 2, means of integers 4 widening
// loads + 4 additions. Two loads a cycle bound all of them but the f32 maximum.
#include "isa.h"

#include "entries.h"
#include "kernel_pool.h"

#if BITWRIGHT_AVX512

#include <immintrin.h>

namespace bitwright {
namespace {

#include "pool_scalar.h"

constexpr int kMostVectors = 4;

BITWRIGHT_INLINE __m512 real(__m512i q, const PoolFinish& f) {
  return _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_sub_epi32(q, _mm512_set1_epi32(f.zero))), _mm512_set1_ps(f.scale));
}
BITWRIGHT_INLINE __m512 over(__m512 x, const PoolFinish& f) { return _mm512_div_ps(x, _mm512_set1_ps(f.divisor)); }
BITWRIGHT_INLINE __m512i wide(const int16_t* x) { return _mm512_cvtepi16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(x))); }
BITWRIGHT_INLINE __m512i wide(const uint8_t* x) { return _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(x))); }

struct MaxF32 : MaxF32Scalar {
  using V = __m512;
  static constexpr uint32_t kLanes = 16;
  using MaxF32Scalar::join;
  using MaxF32Scalar::store;
  static BITWRIGHT_INLINE V load(const float* x) { return _mm512_loadu_ps(x); }
  // vmaxps gives the second operand for NaN and for equal zeros; where x is NaN it stays.
  static BITWRIGHT_INLINE V join(V acc, V x) { return _mm512_mask_max_ps(x, _mm512_cmp_ps_mask(x, x, _CMP_ORD_Q), x, acc); }
  static BITWRIGHT_INLINE void store(float* out, V x, const PoolFinish&) { _mm512_storeu_ps(out, x); }
};
struct MeanF32 : MeanF32Scalar {
  using V = __m512;
  static constexpr uint32_t kLanes = 16;
  using MeanF32Scalar::join;
  using MeanF32Scalar::store;
  static BITWRIGHT_INLINE V load(const float* x) { return _mm512_loadu_ps(x); }
  static BITWRIGHT_INLINE V join(V acc, V x) { return _mm512_add_ps(acc, x); }
  static BITWRIGHT_INLINE void store(float* out, V x, const PoolFinish& f) { _mm512_storeu_ps(out, over(x, f)); }
};
struct MaxI16 : MaxI16Scalar {
  using V = __m512i;
  static constexpr uint32_t kLanes = 32;
  using MaxI16Scalar::join;
  using MaxI16Scalar::store;
  static BITWRIGHT_INLINE V load(const int16_t* x) { return _mm512_loadu_si512(x); }
  static BITWRIGHT_INLINE V join(V acc, V x) { return _mm512_max_epi16(acc, x); }
  static BITWRIGHT_INLINE void store(int16_t* out, V x, const PoolFinish&) { _mm512_storeu_si512(out, x); }
};
struct MaxI16Float : MaxScaledScalar<int16_t> {
  using V = __m256i;
  static constexpr uint32_t kLanes = 16;
  using MaxScaledScalar<int16_t>::join;
  using MaxScaledScalar<int16_t>::store;
  static BITWRIGHT_INLINE V load(const int16_t* x) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(x)); }
  static BITWRIGHT_INLINE V join(V acc, V x) { return _mm256_max_epi16(acc, x); }
  static BITWRIGHT_INLINE void store(float* out, V x, const PoolFinish& f) { _mm512_storeu_ps(out, real(_mm512_cvtepi16_epi32(x), f)); }
};
struct MaxU8 : MaxScaledScalar<uint8_t> {
  using V = __m128i;
  static constexpr uint32_t kLanes = 16;
  using MaxScaledScalar<uint8_t>::join;
  using MaxScaledScalar<uint8_t>::store;
  static BITWRIGHT_INLINE V load(const uint8_t* x) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(x)); }
  static BITWRIGHT_INLINE V join(V acc, V x) { return _mm_max_epu8(acc, x); }
  static BITWRIGHT_INLINE void store(float* out, V x, const PoolFinish& f) { _mm512_storeu_ps(out, real(_mm512_cvtepu8_epi32(x), f)); }
};
template <class E>
struct Mean : MeanScaledScalar<E> {
  using V = __m512i;
  static constexpr uint32_t kLanes = 16;
  using MeanScaledScalar<E>::join;
  using MeanScaledScalar<E>::store;
  static BITWRIGHT_INLINE V load(const E* x) { return wide(x); }
  static BITWRIGHT_INLINE V join(V acc, V x) { return _mm512_add_epi32(acc, x); }
  static BITWRIGHT_INLINE void store(float* out, V x, const PoolFinish& f) { _mm512_storeu_ps(out, over(real(x, f), f)); }
};
using MeanI16 = Mean<int16_t>;
using MeanU8 = Mean<uint8_t>;

#include "pool_simd.h"

const PoolKernel kernel = {
    "pool_avx512", "avx512", "64 channels of a window in registers", kRankAvx512, supports_avx512,
    pool<MaxF32>, pool<MeanF32>, pool<MaxI16>, pool<MaxI16Float>, pool<MeanI16>, pool<MaxU8>, pool<MeanU8>,
};

}  // namespace

const PoolKernel* const pool_avx512 = &kernel;

}  // namespace bitwright

#else

namespace bitwright {
const PoolKernel* const pool_avx512 = nullptr;
}  // namespace bitwright

#endif
