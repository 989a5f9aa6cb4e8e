// The mix of bconv_avx512vpopcnt: xor, VPOPCNTD and add, on 512 bits.
#include "entries.h"
#include "isa.h"
#include "roofline.h"

#if BITWRIGHT_AVX512VPOPCNT && BITWRIGHT_GNU_ASM
#include <immintrin.h>
#endif

namespace bitwright {
#if BITWRIGHT_AVX512VPOPCNT && BITWRIGHT_GNU_ASM
namespace {

using V = __m512i;

#include "roofline_loops.h"

void popcount(uint64_t iterations, void*, size_t) {
  V a[10];
  BITWRIGHT_UNROLL for (int j = 0; j < 10; ++j) {
    a[j] = _mm512_set1_epi32(j);
    BITWRIGHT_OPAQUE(a[j]);
  }
  chains<10>(iterations, _mm512_setzero_si512(), _mm512_set1_epi32(1),
             [&](V& sum, V w, int j) { sum = _mm512_add_epi32(sum, _mm512_popcnt_epi32(_mm512_xor_si512(a[j], w))); });
}

}  // namespace
#endif

const RooflineLoop roofline_avx512vpopcnt[] = {
#if BITWRIGHT_AVX512VPOPCNT && BITWRIGHT_GNU_ASM
    {"popcount_avx512vpopcnt", "avx512vpopcnt", RooflineFamily::kBinary, "xor, vpopcntd, vpaddd of 512 bits", supports_avx512vpopcnt, 10 * 512.0, popcount},
#endif
    {},
};

}  // namespace bitwright
