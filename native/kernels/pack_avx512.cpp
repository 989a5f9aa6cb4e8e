// Float to bits for AVX-512: one vcmpps into a mask register for 16 channels; the tail by masked loads.
#include "isa.h"

#include "entries.h"

#if BITWRIGHT_AVX512

#include <immintrin.h>

namespace bitwright {
namespace {

BITWRIGHT_INLINE uint32_t ge16(const float* x, const float* threshold, __m512 scalar) {
  return _mm512_cmp_ps_mask(_mm512_loadu_ps(x), threshold != nullptr ? _mm512_loadu_ps(threshold) : scalar, _CMP_GE_OQ);
}

BITWRIGHT_INLINE uint32_t ge_tail(const float* x, const float* threshold, __m512 scalar, uint32_t n) {
  const __mmask16 m = static_cast<__mmask16>((1u << n) - 1u);  // n <= 16
  const __m512 t = threshold != nullptr ? _mm512_maskz_loadu_ps(m, threshold) : scalar;
  return _mm512_mask_cmp_ps_mask(m, _mm512_maskz_loadu_ps(m, x), t, _CMP_GE_OQ);
}

void pack(uint32_t* bits, const float* x, const float* threshold, float scalar_threshold, uint32_t count) {
  const __m512 scalar = _mm512_set1_ps(scalar_threshold);
  uint32_t c = 0;
  for (; c + 32 <= count; c += 32) {
    const uint32_t low = ge16(x + c, threshold != nullptr ? threshold + c : nullptr, scalar);
    const uint32_t high = ge16(x + c + 16, threshold != nullptr ? threshold + c + 16 : nullptr, scalar);
    *bits++ = low | high << 16;
  }
  const uint32_t rest = count - c;
  if (rest == 0) return;
  const float* t = threshold != nullptr ? threshold + c : nullptr;
  uint32_t word = ge_tail(x + c, t, scalar, rest < 16 ? rest : 16);
  if (rest > 16) word |= ge_tail(x + c + 16, t != nullptr ? t + 16 : nullptr, scalar, rest - 16) << 16;
  *bits = word;
}

const PackKernel kernel = {"pack_avx512", "avx512", "16 channels a compare", kRankAvx512, supports_avx512, pack};

}  // namespace

const PackKernel* const pack_avx512 = &kernel;

}  // namespace bitwright

#else

namespace bitwright {
const PackKernel* const pack_avx512 = nullptr;
}  // namespace bitwright

#endif
