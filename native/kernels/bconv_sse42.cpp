// Binary convolution for x86-64 without AVX2 (Nehalem to Ivy Bridge, Atoms): nibble tables (nibble_table.h).
//
// As bconv_avx2 with half the width: lane = output channel in 8 bits, tile 4 pixels x 32 channels, 8 xmm accumulators of byte sums.
//
// Cost per 64 MAC: movdqa (the row, from L1), pshufb, paddb. Intel before Haswell: two shuffle ports and a front end of four, about 75 MAC/cycle.
// The alternative, popcnt of 64 bits in general registers (tile 2x4: load, xor, popcnt, add), is bound by one popcnt a cycle on Intel, 64 MAC/cycle,
// and was slower on Zen 5 too: 140 to 235 GMAC/s where this kernel makes 235 to 300 (both measured in turn, ResNet-18's 3x3 layers).
// Measured (Zen 5 server, 3.6 GHz, gcc 12, one core, bitwright_bench counts): 235 to 300 GMAC/s, 64 to 82 MAC/cycle.
#include "isa.h"

#include "entries.h"
#include "kernel_binary.h"

#if BITWRIGHT_SSE42

#include <nmmintrin.h>

#include <utility>

namespace bitwright {
namespace {

using V = __m128i;
constexpr uint32_t kBytes = 16;
BITWRIGHT_INLINE V zero() { return _mm_setzero_si128(); }
BITWRIGHT_INLINE V load(const uint8_t* p) { return _mm_load_si128(reinterpret_cast<const __m128i*>(p)); }
BITWRIGHT_INLINE void store(uint16_t* p, V x) { _mm_store_si128(reinterpret_cast<__m128i*>(p), x); }
BITWRIGHT_INLINE void store_unaligned(uint16_t* p, V x) { _mm_storeu_si128(reinterpret_cast<__m128i*>(p), x); }

// acc += table row looked up by the weights' nibbles. Inline assembly so that loading the row is the copy that pshufb overwrites.
BITWRIGHT_INLINE void add_lookup(__m128i& acc, const uint8_t* row, __m128i w) {
  const __m128i* table_row = reinterpret_cast<const __m128i*>(row);
#if BITWRIGHT_GNU_ASM
  __m128i t;
  __asm__("movdqa %2, %1\n\tpshufb %3, %1\n\tpaddb %1, %0" : "+x"(acc), "=&x"(t) : "m"(*table_row), "x"(w));
#else
  acc = _mm_add_epi8(acc, _mm_shuffle_epi8(_mm_load_si128(table_row), w));
#endif
}

template <int kVectors>
BITWRIGHT_INLINE void add_lookups(V (&acc)[kVectors], const uint8_t* row, const V (&nibbles)[kVectors]) {
  BITWRIGHT_UNROLL for (int v = 0; v < kVectors; ++v) add_lookup(acc[v], row, nibbles[v]);
}

BITWRIGHT_INLINE void add_bytes(V (&sums)[2], V acc) {
  sums[0] = _mm_add_epi16(sums[0], _mm_cvtepu8_epi16(acc));
  sums[1] = _mm_add_epi16(sums[1], _mm_unpackhi_epi8(acc, _mm_setzero_si128()));
}

#include "bconv_nibbles.h"

using Family = Nibbles<2, 4>;

const BinaryKernel kernel = {
    "bconv_sse42", "sse42", "nibble tables by pshufb, channels in 8-bit lanes, tile 4x32",
    kRankSse42, supports_sse42, Family::kPanel, 4, Family::panel_bytes, pack_nibbles<Family::kPanel>, Family::count16, Family::count32,
};

}  // namespace

const BinaryKernel* const bconv_sse42 = &kernel;

}  // namespace bitwright

#else

namespace bitwright {
const BinaryKernel* const bconv_sse42 = nullptr;
}  // namespace bitwright

#endif
