// int8 convolution for AVX2: tile 4 pixels x 16 channels. vpmaddubsw adds two products of bytes in 16 bits and saturates where two weights of one
// sign together exceed 128 (255 * 129 > 32767). Whether a panel has such a pair is known when it is packed:
//   kind 0, no pair: vpmaddubsw, vpmaddwd by ones, vpaddd: 3 operations for 32 products.
//   kind 1: even and odd bytes of the activations as 16 bits, weights packed as 16 bits: 2 vpmaddwd, 2 vpaddd.
// Both are exact.
#include "isa.h"

#include <cstring>

#include "entries.h"
#include "kernel_int8.h"

#if BITWRIGHT_AVX2

#include <immintrin.h>

namespace bitwright {
namespace {

constexpr uint32_t kPanel = 16;
constexpr uint32_t kPixels = 4;

struct Simd {
  using I = __m256i;
  struct A {
    I both, even, odd;  // what is not used is not computed
  };
  static constexpr int kLanes = 8;
  static constexpr size_t kStep = 64;  // of kind 0 the first half
  static constexpr uint32_t kKinds = 2;

  static BITWRIGHT_INLINE I zero() { return _mm256_setzero_si256(); }
  static BITWRIGHT_INLINE I add(I a, I b) { return _mm256_add_epi32(a, b); }
  static BITWRIGHT_INLINE void store(int32_t* p, I x) { _mm256_storeu_si256(reinterpret_cast<I*>(p), x); }
  static BITWRIGHT_INLINE A activations(const uint8_t* p) {
    uint32_t four;
    std::memcpy(&four, p, sizeof four);
    return all(four);
  }
  static BITWRIGHT_INLINE A all(uint32_t four) {
    const I x = _mm256_set1_epi32(static_cast<int32_t>(four));
    return {x, _mm256_and_si256(x, _mm256_set1_epi16(0xff)), _mm256_srli_epi16(x, 8)};
  }
  // Pairs as vpmaddubsw sees them. The weights of one sign of a pair, together, are at most 128.
  static uint32_t kind_of(const int8_t* w, int n) {
    for (int i = 0; i < 4 * n; i += 2) {
      const int a = w[i], b = w[i + 1];
      const int up = (a > 0 ? a : 0) + (b > 0 ? b : 0), down = (a < 0 ? a : 0) + (b < 0 ? b : 0);
      if (up > 128 || down < -128) return 1;
    }
    return 0;
  }
  static void pack4(uint8_t* to, const int8_t* w, uint32_t kind) {
    std::memset(to, 0, kStep);
    if (kind == 0) {
      std::memcpy(to, w, 32);
      return;
    }
    int16_t halves[2][16];
    for (int i = 0; i < 32; ++i) halves[i % 2][i / 2] = w[i];
    std::memcpy(to, halves, sizeof halves);
  }
  template <uint32_t kKind>
  static BITWRIGHT_INLINE void dot(I& acc, const A& a, const uint8_t* w) {
    const I* from = reinterpret_cast<const I*>(w);
    if (kKind == 0) {
      const I pairs = _mm256_maddubs_epi16(a.both, _mm256_load_si256(from));
      acc = add(acc, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
    } else {
      acc = add(acc, add(_mm256_madd_epi16(a.even, _mm256_load_si256(from)), _mm256_madd_epi16(a.odd, _mm256_load_si256(from + 1))));
    }
  }
  static BITWRIGHT_INLINE I bytes(const uint8_t* p) { return _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))); }
  static BITWRIGHT_INLINE I weights(const int8_t* p) { return _mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))); }
  // The high halves of x are 0.
  static BITWRIGHT_INLINE I multiply_add(I acc, I x, I w) { return add(acc, _mm256_madd_epi16(x, w)); }
};

#include "qconv_gather.h"
#include "qconv_simd.h"

const Int8Kernel kernel = {
    "qconv_avx2", "avx2", "vpmaddubsw where weights allow, else vpmaddwd, tile 4x16", kRankAvx2, supports_avx2,
    kPanel, kPixels, panel_bytes, pack, run, depthwise, gather_windows<32>,
};

}  // namespace

const Int8Kernel* const qconv_avx2 = &kernel;

}  // namespace bitwright

#else

namespace bitwright {
const Int8Kernel* const qconv_avx2 = nullptr;
}  // namespace bitwright

#endif
