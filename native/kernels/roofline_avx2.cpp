// 256 bits: nibble look-ups as bconv_avx2 does them, fused multiply-add, VPMADDUBSW, loads and stores.
#include "entries.h"
#include "isa.h"
#include "roofline.h"

#if BITWRIGHT_AVX2 && BITWRIGHT_GNU_ASM
#include <immintrin.h>
#endif

namespace bitwright {
#if BITWRIGHT_AVX2 && BITWRIGHT_GNU_ASM
namespace {

using V = __m256i;
constexpr size_t kVectorBytes = 32;
BITWRIGHT_INLINE V load(const uint8_t* p) { return _mm256_loadu_si256(reinterpret_cast<const V*>(p)); }
BITWRIGHT_INLINE void store(uint8_t* p, V v) { _mm256_storeu_si256(reinterpret_cast<V*>(p), v); }
BITWRIGHT_INLINE V either(V a, V b) { return _mm256_or_si256(a, b); }

#include "roofline_loops.h"
#include "roofline_memory.h"

void popcount(uint64_t iterations, void*, size_t) {
  V row[4];
  BITWRIGHT_UNROLL for (int j = 0; j < 4; ++j) {
    row[j] = _mm256_set1_epi8(static_cast<char>(j));
    BITWRIGHT_OPAQUE(row[j]);
  }
  chains<8>(iterations, _mm256_setzero_si256(), _mm256_set1_epi8(3), [&](V& sum, V w, int j) {
    V bits = _mm256_shuffle_epi8(row[j / 2], w);
    BITWRIGHT_OPAQUE(bits);  // two chains share a row
    sum = _mm256_add_epi8(sum, bits);
  });
}

void fma(uint64_t iterations, void*, size_t) {
  chains<12>(iterations, _mm256_setzero_ps(), _mm256_set1_ps(1), [](__m256& sum, __m256 x, int) { sum = _mm256_fmadd_ps(x, x, sum); });
}

void dot(uint64_t iterations, void*, size_t) {
  const V one = _mm256_set1_epi16(1);
  chains<8>(iterations, _mm256_setzero_si256(), _mm256_set1_epi8(1), [&](V& sum, V x, int) {
    V products = _mm256_maddubs_epi16(x, x);
    BITWRIGHT_OPAQUE(products);
    sum = _mm256_add_epi32(sum, _mm256_madd_epi16(products, one));
  });
}

}  // namespace
#endif

const RooflineLoop roofline_avx2[] = {
#if BITWRIGHT_AVX2 && BITWRIGHT_GNU_ASM
    {"popcount_avx2", "avx2", RooflineFamily::kBinary, "vpshufb of nibbles, vpaddb of 256 bits", supports_avx2, 8 * 128.0, popcount},
    {"fma_avx2", "avx2", RooflineFamily::kFloat, "vfmadd of 256 bits", supports_avx2, 12 * 8.0, fma},
    {"dot_avx2", "avx2", RooflineFamily::kInt8, "vpmaddubsw, vpmaddwd, vpaddd of 256 bits", supports_avx2, 8 * 32.0, dot},
    {"read_avx2", "avx2", RooflineFamily::kRead, "loads of 256 bits", supports_avx2, 1, read},
    {"write_avx2", "avx2", RooflineFamily::kWrite, "stores of 256 bits", supports_avx2, 1, write},
#endif
    {},
};

}  // namespace bitwright
