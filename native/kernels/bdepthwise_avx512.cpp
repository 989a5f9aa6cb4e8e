// Depthwise binary convolution for AVX-512 F, BW: a block is one zmm register; a full adder is two VPTERNLOG, a bit of the comparison one.
// Measured (Zen 5 server, 3.6 GHz, gcc 12, one core, Session.profile, 3x3, pad 1): thresholds 7.9 us at 56x56x64, 4.0 at 28x28x128, 2.0 at 14x14x256,
// 0.8 at 7x7x512 (the first two laid out by phases); floats 41, 20, 9 and 4.5 us. The same layers as groups of one channel in bconv_avx512vpopcnt: 180 to 1,550 us.
#include "isa.h"

#include "entries.h"
#include "kernel_depthwise.h"

#if BITWRIGHT_AVX512

#include <immintrin.h>

#include "arrange_avx512.h"

namespace bitwright {
namespace {

struct Simd {
  static constexpr uint32_t kBlock = 16;
  using V = __m512i;
  struct Part {
    __mmask16 mask;
    BITWRIGHT_INLINE explicit Part(uint32_t n) : mask(static_cast<__mmask16>((1u << n) - 1u)) {}
  };
  static BITWRIGHT_INLINE V zero() { return _mm512_setzero_si512(); }
  static BITWRIGHT_INLINE V load(const uint32_t* p) { return _mm512_load_si512(p); }
  static BITWRIGHT_INLINE V load(const uint32_t* p, const Part& part) { return _mm512_maskz_loadu_epi32(part.mask, p); }
  static BITWRIGHT_INLINE void store(uint32_t* p, const Part& part, V v) { _mm512_mask_storeu_epi32(p, part.mask, v); }
  static BITWRIGHT_INLINE V exclusive(V a, V b) { return _mm512_xor_si512(a, b); }
  static BITWRIGHT_INLINE V both(V a, V b) { return _mm512_and_si512(a, b); }
  static BITWRIGHT_INLINE V full_add(V& sum, V a, V b) {
    const V carry = _mm512_ternarylogic_epi32(sum, a, b, 0xe8);
    sum = _mm512_ternarylogic_epi32(sum, a, b, 0x96);
    return carry;
  }
  static BITWRIGHT_INLINE V half_add(V& sum, V a) {
    const V carry = both(sum, a);
    sum = exclusive(sum, a);
    return carry;
  }
  // Index of the truth table: bound, count, lt.
  static BITWRIGHT_INLINE V less(V lt, V count, V bound) { return _mm512_ternarylogic_epi32(bound, count, lt, 0xb2); }
  static BITWRIGHT_INLINE void spread(uint16_t* to, const uint32_t (&planes)[4], bool add) {
    V sum = add ? _mm512_loadu_si512(to) : zero();
    BITWRIGHT_UNROLL for (int plane = 0; plane < 4; ++plane)
      sum = _mm512_mask_add_epi16(sum, planes[plane], sum, _mm512_set1_epi16(static_cast<int16_t>(1 << plane)));
    _mm512_storeu_si512(to, sum);
  }
};

#include "bdepthwise.h"

const DepthwiseKernel kernel = {
    "bdepthwise_avx512", "avx512", "vertical counters of 512 channels by vpternlog", kRankAvx512, supports_avx512, kBlock, count16, bits, arrange,
};

}  // namespace

const DepthwiseKernel* const bdepthwise_avx512 = &kernel;

}  // namespace bitwright

#else

namespace bitwright {
const DepthwiseKernel* const bdepthwise_avx512 = nullptr;
}  // namespace bitwright

#endif
