// 512 bits: carry-save counting as bconv_avx512 does it, fused multiply-add, loads and stores.
#include "entries.h"
#include "isa.h"
#include "roofline.h"

#if BITWRIGHT_AVX512 && BITWRIGHT_GNU_ASM
#include <immintrin.h>
#endif

namespace bitwright {
#if BITWRIGHT_AVX512 && BITWRIGHT_GNU_ASM
namespace {

using V = __m512i;
constexpr size_t kVectorBytes = 64;
BITWRIGHT_INLINE V load(const uint8_t* p) { return _mm512_loadu_si512(p); }
BITWRIGHT_INLINE void store(uint8_t* p, V v) { _mm512_storeu_si512(p, v); }
BITWRIGHT_INLINE V either(V a, V b) { return _mm512_or_si512(a, b); }

#include "roofline_loops.h"
#include "roofline_memory.h"

struct Planes {
  V ones, twos, fours, eights;
};

BITWRIGHT_INLINE V full_add(V& sum, V a, V b) {
  const V carry = _mm512_ternarylogic_epi32(sum, a, b, 0xe8);
  sum = _mm512_ternarylogic_epi32(sum, a, b, 0x96);
  return carry;
}

BITWRIGHT_INLINE V popcount8(V x) {
  const V table = _mm512_broadcast_i32x4(_mm_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4)), low = _mm512_set1_epi8(15);
  return _mm512_add_epi8(_mm512_shuffle_epi8(table, _mm512_and_si512(x, low)),
                         _mm512_shuffle_epi8(table, _mm512_and_si512(_mm512_srli_epi16(x, 4), low)));
}

void popcount(uint64_t iterations, void*, size_t) {
  Planes p[2];
  V a[4];
  BITWRIGHT_UNROLL for (int j = 0; j < 4; ++j) {
    a[j] = _mm512_set1_epi32(j * 0x12345);
    BITWRIGHT_OPAQUE(a[j]);
  }
  BITWRIGHT_UNROLL for (Planes& q : p) q.ones = q.twos = q.fours = q.eights = _mm512_setzero_si512();
  V w = _mm512_set1_epi32(0x5a5a);
  for (uint64_t i = 0; i < iterations; ++i) {
    BITWRIGHT_UNROLL for (Planes& q : p) {
      V fours[2];
      BITWRIGHT_UNROLL for (V& four : fours) {
        BITWRIGHT_OPAQUE(w);
        const V twos_a = full_add(q.ones, _mm512_xor_si512(a[0], w), _mm512_xor_si512(a[1], w));
        const V twos_b = full_add(q.ones, _mm512_xor_si512(a[2], w), _mm512_xor_si512(a[3], w));
        four = full_add(q.twos, twos_a, twos_b);
      }
      q.eights = _mm512_add_epi8(q.eights, popcount8(full_add(q.fours, fours[0], fours[1])));
    }
  }
  BITWRIGHT_UNROLL for (Planes& q : p) {
    V all = either(either(q.ones, q.twos), either(q.fours, q.eights));
    BITWRIGHT_OPAQUE(all);
  }
}

void fma(uint64_t iterations, void*, size_t) {
  chains<16>(iterations, _mm512_setzero_ps(), _mm512_set1_ps(1), [](__m512& sum, __m512 x, int) { sum = _mm512_fmadd_ps(x, x, sum); });
}

}  // namespace
#endif

const RooflineLoop roofline_avx512[] = {
#if BITWRIGHT_AVX512 && BITWRIGHT_GNU_ASM
    {"popcount_avx512", "avx512", RooflineFamily::kBinary, "carry-save: 8 xor, 14 vpternlogd, 8 to count the eights", supports_avx512, 2 * 8 * 512.0, popcount},
    {"fma_avx512", "avx512", RooflineFamily::kFloat, "vfmadd of 512 bits", supports_avx512, 16 * 16.0, fma},
    {"read_avx512", "avx512", RooflineFamily::kRead, "loads of 512 bits", supports_avx512, 1, read},
    {"write_avx512", "avx512", RooflineFamily::kWrite, "stores of 512 bits", supports_avx512, 1, write},
#endif
    {},
};

}  // namespace bitwright
