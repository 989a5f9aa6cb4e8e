// Binary convolution for AVX2: nibble tables (nibble_table.h).
//
// The row of an activation's nibble is broadcast from memory, the nibbles of 32 channels' weights index it by vpshufb. Lane = output channel in 8
// bits, tile 4 pixels x 64 channels: 8 ymm accumulators of byte sums, which hold 7 words (56 nibbles of at most 4) and are then widened into 16-bit
// sums in L1.
//
// Cost per 128 MAC (one nibble of 32 channels): vpshufb + vpaddb, and half of (vbroadcasti128 load + half of a byte load and shift).
//   Intel before Ice Lake (analysis): one shuffle port, 128 MAC/cycle. Ice Lake and later, Zen: two shuffle ports, front-end bound at about 200.
// Measured (Zen 5 server, 3.6 GHz, gcc 12, one core, bitwright_bench counts, ResNet-18's 3x3 layers): 620 to 710 GMAC/s, 175 to 195 MAC/cycle.
#include "isa.h"

#include "entries.h"
#include "kernel_binary.h"

#if BITWRIGHT_AVX2

#include <immintrin.h>

namespace bitwright {
namespace {

using V = __m256i;
constexpr uint32_t kBytes = 32, kPanel = 64;
constexpr int kVectors = kPanel / kBytes;
BITWRIGHT_INLINE V zero() { return _mm256_setzero_si256(); }
BITWRIGHT_INLINE V load(const uint8_t* p) { return _mm256_load_si256(reinterpret_cast<const __m256i*>(p)); }
BITWRIGHT_INLINE void store(uint16_t* p, V x) { _mm256_store_si256(reinterpret_cast<__m256i*>(p), x); }
BITWRIGHT_INLINE void store_unaligned(uint16_t* p, V x) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), x); }

// acc += table row looked up by the weights' nibbles. Inline assembly keeps the accumulators in their registers.
BITWRIGHT_INLINE void add_lookup(__m256i& acc, __m256i row, __m256i w) {
#if BITWRIGHT_GNU_ASM
  __m256i t;
  __asm__("vpshufb %2, %3, %1\n\tvpaddb %1, %0, %0" : "+x"(acc), "=&x"(t) : "x"(w), "x"(row));
#else
  acc = _mm256_add_epi8(acc, _mm256_shuffle_epi8(row, w));
#endif
}

BITWRIGHT_INLINE __m256i broadcast_row(const uint8_t* row) {
  return _mm256_broadcastsi128_si256(_mm_load_si128(reinterpret_cast<const __m128i*>(row)));
}

BITWRIGHT_INLINE void add_lookups(V (&acc)[kVectors], const uint8_t* row, const V (&nibbles)[kVectors]) {
  const V both = broadcast_row(row);
  BITWRIGHT_UNROLL for (int v = 0; v < kVectors; ++v) add_lookup(acc[v], both, nibbles[v]);
}

BITWRIGHT_INLINE void add_bytes(V (&sums)[2], V acc) {
  sums[0] = _mm256_add_epi16(sums[0], _mm256_cvtepu8_epi16(_mm256_castsi256_si128(acc)));
  sums[1] = _mm256_add_epi16(sums[1], _mm256_cvtepu8_epi16(_mm256_extracti128_si256(acc, 1)));
}

#include "bconv_nibbles.h"

const BinaryKernel kernel = {
    "bconv_avx2", "avx2", "nibble tables by vpshufb, channels in 8-bit lanes, tile 4x64",
    kRankAvx2, supports_avx2, kPanel, kPixels, panel_bytes, pack_nibbles<kPanel>, count16, count32,
};

}  // namespace

const BinaryKernel* const bconv_avx2 = &kernel;

}  // namespace bitwright

#else

namespace bitwright {
const BinaryKernel* const bconv_avx2 = nullptr;
}  // namespace bitwright

#endif
