// 128 bits: nibble look-ups as bconv_sse42 does them, loads and stores.
#include "entries.h"
#include "isa.h"
#include "roofline.h"

#if BITWRIGHT_SSE42 && BITWRIGHT_GNU_ASM
#include <nmmintrin.h>
#endif

namespace bitwright {
#if BITWRIGHT_SSE42 && BITWRIGHT_GNU_ASM
namespace {

using V = __m128i;
constexpr size_t kVectorBytes = 16;
BITWRIGHT_INLINE V load(const uint8_t* p) { return _mm_loadu_si128(reinterpret_cast<const V*>(p)); }
BITWRIGHT_INLINE void store(uint8_t* p, V v) { _mm_storeu_si128(reinterpret_cast<V*>(p), v); }
BITWRIGHT_INLINE V either(V a, V b) { return _mm_or_si128(a, b); }

#include "roofline_loops.h"
#include "roofline_memory.h"

void popcount(uint64_t iterations, void* buffer, size_t) {
  const auto* rows = static_cast<const V*>(buffer);
  chains<8>(iterations, _mm_setzero_si128(), _mm_set1_epi8(3), [&](V& sum, V w, int j) {
    V bits;
    __asm__ volatile("movdqa %1, %0\n\tpshufb %2, %0" : "=&x"(bits) : "m"(rows[j]), "x"(w));
    sum = _mm_add_epi8(sum, bits);
  });
}

}  // namespace
#endif

const RooflineLoop roofline_sse42[] = {
#if BITWRIGHT_SSE42 && BITWRIGHT_GNU_ASM
    {"popcount_sse42", "sse42", RooflineFamily::kBinary, "movdqa, pshufb of nibbles, paddb of 128 bits", supports_sse42, 8 * 64.0, popcount},
    {"read_sse42", "sse42", RooflineFamily::kRead, "loads of 128 bits", supports_sse42, 1, read},
    {"write_sse42", "sse42", RooflineFamily::kWrite, "stores of 128 bits", supports_sse42, 1, write},
#endif
    {},
};

}  // namespace bitwright
