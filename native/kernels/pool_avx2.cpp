// Pooling for AVX2: 32 channels of a window in registers.
// Cost of 32 channels and one element: f32 maximum 4 loads + 12 operations, f32 mean 4 + 4, int16 maximum 2 + 2, means of integers 4 widening
// loads + 4 additions.
#include "isa.h"

#include "entries.h"
#include "kernel_pool.h"

#if BITWRIGHT_AVX2

#include <immintrin.h>

namespace bitwright {
namespace {

#include "pool_scalar.h"

constexpr int kMostVectors = 4;

BITWRIGHT_INLINE __m256 real(__m256i q, const PoolFinish& f) {
  return _mm256_mul_ps(_mm256_cvtepi32_ps(_mm256_sub_epi32(q, _mm256_set1_epi32(f.zero))), _mm256_set1_ps(f.scale));
}
BITWRIGHT_INLINE __m256 over(__m256 x, const PoolFinish& f) { return _mm256_div_ps(x, _mm256_set1_ps(f.divisor)); }
BITWRIGHT_INLINE __m256i wide(const int16_t* x) { return _mm256_cvtepi16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(x))); }
BITWRIGHT_INLINE __m256i wide(const uint8_t* x) { return _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(x))); }

struct MaxF32 : MaxF32Scalar {
  using V = __m256;
  static constexpr uint32_t kLanes = 8;
  using MaxF32Scalar::join;
  using MaxF32Scalar::store;
  static BITWRIGHT_INLINE V load(const float* x) { return _mm256_loadu_ps(x); }
  // vmaxps gives the second operand for NaN and for equal zeros.
  static BITWRIGHT_INLINE V join(V acc, V x) { return _mm256_blendv_ps(_mm256_max_ps(x, acc), x, _mm256_cmp_ps(x, x, _CMP_UNORD_Q)); }
  static BITWRIGHT_INLINE void store(float* out, V x, const PoolFinish&) { _mm256_storeu_ps(out, x); }
};
struct MeanF32 : MeanF32Scalar {
  using V = __m256;
  static constexpr uint32_t kLanes = 8;
  using MeanF32Scalar::join;
  using MeanF32Scalar::store;
  static BITWRIGHT_INLINE V load(const float* x) { return _mm256_loadu_ps(x); }
  static BITWRIGHT_INLINE V join(V acc, V x) { return _mm256_add_ps(acc, x); }
  static BITWRIGHT_INLINE void store(float* out, V x, const PoolFinish& f) { _mm256_storeu_ps(out, over(x, f)); }
};
struct MaxI16 : MaxI16Scalar {
  using V = __m256i;
  static constexpr uint32_t kLanes = 16;
  using MaxI16Scalar::join;
  using MaxI16Scalar::store;
  static BITWRIGHT_INLINE V load(const int16_t* x) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(x)); }
  static BITWRIGHT_INLINE V join(V acc, V x) { return _mm256_max_epi16(acc, x); }
  static BITWRIGHT_INLINE void store(int16_t* out, V x, const PoolFinish&) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(out), x); }
};
struct MaxI16Float : MaxScaledScalar<int16_t> {
  using V = __m128i;
  static constexpr uint32_t kLanes = 8;
  using MaxScaledScalar<int16_t>::join;
  using MaxScaledScalar<int16_t>::store;
  static BITWRIGHT_INLINE V load(const int16_t* x) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(x)); }
  static BITWRIGHT_INLINE V join(V acc, V x) { return _mm_max_epi16(acc, x); }
  static BITWRIGHT_INLINE void store(float* out, V x, const PoolFinish& f) { _mm256_storeu_ps(out, real(_mm256_cvtepi16_epi32(x), f)); }
};
struct MaxU8 : MaxScaledScalar<uint8_t> {
  using V = __m128i;
  static constexpr uint32_t kLanes = 8;
  using MaxScaledScalar<uint8_t>::join;
  using MaxScaledScalar<uint8_t>::store;
  static BITWRIGHT_INLINE V load(const uint8_t* x) { return _mm_loadl_epi64(reinterpret_cast<const __m128i*>(x)); }
  static BITWRIGHT_INLINE V join(V acc, V x) { return _mm_max_epu8(acc, x); }
  static BITWRIGHT_INLINE void store(float* out, V x, const PoolFinish& f) { _mm256_storeu_ps(out, real(_mm256_cvtepu8_epi32(x), f)); }
};
template <class E>
struct Mean : MeanScaledScalar<E> {
  using V = __m256i;
  static constexpr uint32_t kLanes = 8;
  using MeanScaledScalar<E>::join;
  using MeanScaledScalar<E>::store;
  static BITWRIGHT_INLINE V load(const E* x) { return wide(x); }
  static BITWRIGHT_INLINE V join(V acc, V x) { return _mm256_add_epi32(acc, x); }
  static BITWRIGHT_INLINE void store(float* out, V x, const PoolFinish& f) { _mm256_storeu_ps(out, over(real(x, f), f)); }
};
using MeanI16 = Mean<int16_t>;
using MeanU8 = Mean<uint8_t>;

#include "pool_simd.h"

const PoolKernel kernel = {
    "pool_avx2", "avx2", "32 channels of a window in registers", kRankAvx2, supports_avx2,
    pool<MaxF32>, pool<MeanF32>, pool<MaxI16>, pool<MaxI16Float>, pool<MeanI16>, pool<MaxU8>, pool<MeanU8>,
};

}  // namespace

const PoolKernel* const pool_avx2 = &kernel;

}  // namespace bitwright

#else

namespace bitwright {
const PoolKernel* const pool_avx2 = nullptr;
}  // namespace bitwright

#endif
