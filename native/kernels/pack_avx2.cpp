// Float to bits for AVX2: vcmpps + vmovmskps for 8 channels; the tail one channel at a time.
#include "isa.h"

#include "entries.h"

#if BITWRIGHT_AVX2

#include <immintrin.h>

namespace bitwright {
namespace {

void pack(uint32_t* bits, const float* x, const float* threshold, float scalar_threshold, uint32_t count) {
  const __m256 scalar = _mm256_set1_ps(scalar_threshold);
  uint32_t c = 0;
  for (; c + 32 <= count; c += 32) {
    uint32_t word = 0;
    BITWRIGHT_UNROLL for (uint32_t v = 0; v < 4; ++v) {
      const __m256 t = threshold != nullptr ? _mm256_loadu_ps(threshold + c + 8 * v) : scalar;
      word |= static_cast<uint32_t>(_mm256_movemask_ps(_mm256_cmp_ps(_mm256_loadu_ps(x + c + 8 * v), t, _CMP_GE_OQ))) << (8 * v);
    }
    *bits++ = word;
  }
  if (c == count) return;
  uint32_t word = 0;
  for (uint32_t j = 0; c + j < count; ++j)
    word |= static_cast<uint32_t>(x[c + j] >= (threshold != nullptr ? threshold[c + j] : scalar_threshold)) << j;
  *bits = word;
}

const PackKernel kernel = {"pack_avx2", "avx2", "8 channels a compare", kRankAvx2, supports_avx2, pack};

}  // namespace

const PackKernel* const pack_avx2 = &kernel;

}  // namespace bitwright

#else

namespace bitwright {
const PackKernel* const pack_avx2 = nullptr;
}  // namespace bitwright

#endif
