// Depthwise binary convolution for AVX2: a block is two ymm registers; a full adder is five operations.
#include "isa.h"

#include "entries.h"
#include "kernel_depthwise.h"

#if BITWRIGHT_AVX2

#include <immintrin.h>

namespace bitwright {
namespace {

struct Simd {
  static constexpr uint32_t kBlock = 16;
  using Y = __m256i;
  struct V {
    Y low, high;
  };
  struct Part {
    Y low, high;
    BITWRIGHT_INLINE explicit Part(uint32_t n) {
      const Y lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7), words = _mm256_set1_epi32(static_cast<int32_t>(n));
      low = _mm256_cmpgt_epi32(words, lane);
      high = _mm256_cmpgt_epi32(words, _mm256_add_epi32(lane, _mm256_set1_epi32(8)));
    }
  };
  static BITWRIGHT_INLINE V zero() { return {_mm256_setzero_si256(), _mm256_setzero_si256()}; }
  static BITWRIGHT_INLINE V load(const uint32_t* p) {
    return {_mm256_load_si256(reinterpret_cast<const Y*>(p)), _mm256_load_si256(reinterpret_cast<const Y*>(p + 8))};
  }
  static BITWRIGHT_INLINE V load(const uint32_t* p, const Part& part) {
    const int* from = reinterpret_cast<const int*>(p);
    return {_mm256_maskload_epi32(from, part.low), _mm256_maskload_epi32(from + 8, part.high)};
  }
  static BITWRIGHT_INLINE void store(uint32_t* p, const Part& part, const V& v) {
    int* to = reinterpret_cast<int*>(p);
    _mm256_maskstore_epi32(to, part.low, v.low);
    _mm256_maskstore_epi32(to + 8, part.high, v.high);
  }
  static BITWRIGHT_INLINE V exclusive(const V& a, const V& b) { return {_mm256_xor_si256(a.low, b.low), _mm256_xor_si256(a.high, b.high)}; }
  static BITWRIGHT_INLINE V both(const V& a, const V& b) { return {_mm256_and_si256(a.low, b.low), _mm256_and_si256(a.high, b.high)}; }
  static BITWRIGHT_INLINE Y full_add(Y& sum, Y a, Y b) {
    const Y differ = _mm256_xor_si256(a, b), carry = _mm256_or_si256(_mm256_and_si256(a, b), _mm256_and_si256(sum, differ));
    sum = _mm256_xor_si256(sum, differ);
    return carry;
  }
  static BITWRIGHT_INLINE V full_add(V& sum, const V& a, const V& b) { return {full_add(sum.low, a.low, b.low), full_add(sum.high, a.high, b.high)}; }
  static BITWRIGHT_INLINE V half_add(V& sum, const V& a) {
    const V carry = both(sum, a);
    sum = exclusive(sum, a);
    return carry;
  }
  static BITWRIGHT_INLINE Y less(Y lt, Y count, Y bound) {
    return _mm256_or_si256(_mm256_andnot_si256(count, bound), _mm256_andnot_si256(_mm256_xor_si256(bound, count), lt));
  }
  static BITWRIGHT_INLINE V less(const V& lt, const V& count, const V& bound) {
    return {less(lt.low, count.low, bound.low), less(lt.high, count.high, bound.high)};
  }
  static BITWRIGHT_INLINE void spread(uint16_t* to, const uint32_t (&planes)[4], bool add) {
    const Y bit = _mm256_setr_epi16(1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, static_cast<int16_t>(0x8000));
    BITWRIGHT_UNROLL for (int half = 0; half < 2; ++half) {
      Y* at = reinterpret_cast<Y*>(to + 16 * half);
      Y sum = add ? _mm256_loadu_si256(at) : _mm256_setzero_si256();
      BITWRIGHT_UNROLL for (int plane = 0; plane < 4; ++plane) {
        const Y word = _mm256_set1_epi16(static_cast<int16_t>(planes[plane] >> (16 * half)));
        const Y mask = _mm256_cmpeq_epi16(_mm256_and_si256(word, bit), bit);
        sum = _mm256_add_epi16(sum, _mm256_and_si256(mask, _mm256_set1_epi16(static_cast<int16_t>(1 << plane))));
      }
      _mm256_storeu_si256(at, sum);
    }
  }
};

#include "bdepthwise.h"

const DepthwiseKernel kernel = {
    "bdepthwise_avx2", "avx2", "vertical counters of 512 channels", kRankAvx2, supports_avx2, kBlock, count16, bits,
};

}  // namespace

const DepthwiseKernel* const bdepthwise_avx2 = &kernel;

}  // namespace bitwright

#else

namespace bitwright {
const DepthwiseKernel* const bdepthwise_avx2 = nullptr;
}  // namespace bitwright

#endif
