// Nibble tables in 32-byte vectors (bconv_nibbles.h), for the AVX2 kernels of one width of panels each.
#pragma once

#include "isa.h"

#if BITWRIGHT_AVX2

#include <immintrin.h>

#include <utility>

#include "kernel_binary.h"

namespace bitwright {
namespace {

using V = __m256i;
constexpr uint32_t kBytes = 32;
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

template <int kVectors>
BITWRIGHT_INLINE void add_lookups(V (&acc)[kVectors], const uint8_t* row, const V (&nibbles)[kVectors]) {
  const V both = broadcast_row(row);
  BITWRIGHT_UNROLL for (int v = 0; v < kVectors; ++v) add_lookup(acc[v], both, nibbles[v]);
}

BITWRIGHT_INLINE void add_bytes(V (&sums)[2], V acc) {
  sums[0] = _mm256_add_epi16(sums[0], _mm256_cvtepu8_epi16(_mm256_castsi256_si128(acc)));
  sums[1] = _mm256_add_epi16(sums[1], _mm256_cvtepu8_epi16(_mm256_extracti128_si256(acc, 1)));
}

#include "bconv_nibbles.h"

}  // namespace
}  // namespace bitwright

#endif
