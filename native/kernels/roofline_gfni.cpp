// The mix of bconv_gfni: a step is 3 VGF2P8AFFINEQB, their matrices broadcast from memory, and 5 VPTERNLOGD (bitslice.h), for 8 pixels x 64 channels
// x 6 bits.
#include "entries.h"
#include "isa.h"
#include "roofline.h"

#if BITWRIGHT_GFNI && BITWRIGHT_GNU_ASM
#include <immintrin.h>
#endif

namespace bitwright {
#if BITWRIGHT_GFNI && BITWRIGHT_GNU_ASM
namespace {

using V = __m512i;

// Without the adders' dependences, which is what the mix can reach at most. Measured (Zen 5 server, gcc 12): 1,430 MAC/cycle; 1,230 with them.
void count(uint64_t iterations, void* buffer, size_t) {
  const auto* matrix = static_cast<const uint64_t*>(buffer);
  V w[3], sums[15];
  for (int j = 0; j < 3; ++j) w[j] = _mm512_set1_epi32(j * 0x01020408);
  BITWRIGHT_UNROLL for (V& sum : sums) sum = _mm512_setzero_si512();
#define AFFINE(j, k)                                                                                                   \
  do {                                                                                                                 \
    V parity;                                                                                                          \
    __asm__ volatile("vgf2p8affineqb $0, %2%{1to8%}, %1, %0" : "=v"(parity) : "v"(w[k]), "m"(matrix[8 * (j) + (k)])); \
  } while (0)
#define TERNARY(sum) __asm__ volatile("vpternlogd $0x96, %2, %1, %0" : "+v"(sum) : "v"(w[0]), "v"(w[1]))
  for (uint64_t i = 0; i < iterations; ++i)
    BITWRIGHT_UNROLL for (int j = 0; j < 3; ++j) {
      AFFINE(j, 0);
      TERNARY(sums[5 * j]);
      AFFINE(j, 1);
      TERNARY(sums[5 * j + 1]);
      TERNARY(sums[5 * j + 2]);
      AFFINE(j, 2);
      TERNARY(sums[5 * j + 3]);
      TERNARY(sums[5 * j + 4]);
    }
#undef AFFINE
#undef TERNARY
}

}  // namespace
#endif

const RooflineLoop roofline_gfni[] = {
#if BITWRIGHT_GFNI && BITWRIGHT_GNU_ASM
    {"count_gfni", "gfni", RooflineFamily::kBinary, "3 vgf2p8affineqb, 5 vpternlogd for 3072 bits", supports_gfni, 3 * 3072.0, count},
#endif
    {},
};

}  // namespace bitwright
