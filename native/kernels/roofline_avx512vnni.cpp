// VPDPBUSD of 512 bits: 64 products an instruction.
#include "entries.h"
#include "isa.h"
#include "roofline.h"

#if BITWRIGHT_AVX512VNNI && BITWRIGHT_GNU_ASM
#include <immintrin.h>
#endif

namespace bitwright {
#if BITWRIGHT_AVX512VNNI && BITWRIGHT_GNU_ASM
namespace {

using V = __m512i;

#include "roofline_loops.h"

void dot(uint64_t iterations, void*, size_t) {
  chains<16>(iterations, _mm512_setzero_si512(), _mm512_set1_epi8(1), [](V& sum, V x, int) { sum = _mm512_dpbusd_epi32(sum, x, x); });
}

}  // namespace
#endif

const RooflineLoop roofline_avx512vnni[] = {
#if BITWRIGHT_AVX512VNNI && BITWRIGHT_GNU_ASM
    {"dot_avx512vnni", "avx512vnni", RooflineFamily::kInt8, "vpdpbusd of 512 bits", supports_avx512vnni, 16 * 64.0, dot},
#endif
    {},
};

}  // namespace bitwright
