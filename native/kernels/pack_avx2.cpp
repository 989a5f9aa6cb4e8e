// Rows to bits for AVX2: compares into byte masks, one vpmovmskb for 32 channels.
//
// AVX2 compares only "greater": x >= t is not (t > x) for signed integers, max(x, t) == x for unsigned ones. The tail goes through a block on the
// stack.
#include "isa.h"

#include "entries.h"
#include "kernel_pack.h"

#if BITWRIGHT_AVX2

#include <immintrin.h>

#include <cstring>

namespace bitwright {
namespace {

using Bits = uint32_t;

template <class T>
struct Threshold {
  __m256i v;
  BITWRIGHT_INLINE explicit Threshold(const T* one) { set(*one); }
  BITWRIGHT_INLINE __m256i at(int) const { return v; }

 private:
  BITWRIGHT_INLINE void set(float t) { v = _mm256_castps_si256(_mm256_set1_ps(t)); }
  BITWRIGHT_INLINE void set(int16_t t) { v = _mm256_set1_epi16(t); }
  BITWRIGHT_INLINE void set(int8_t t) { v = _mm256_set1_epi8(t); }
  BITWRIGHT_INLINE void set(uint8_t t) { v = _mm256_set1_epi8(static_cast<char>(t)); }
};
template <class T>
BITWRIGHT_INLINE __m256i load(const T* p, int v) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p) + v);
}
template <class T>
struct PerChannel {
  const T* p;
  BITWRIGHT_INLINE __m256i at(int v) const { return load(p, v); }
};

template <class Thresholds>
BITWRIGHT_INLINE uint32_t ge32(const float* x, const Thresholds& t) {
  __m256i m[4];
  BITWRIGHT_UNROLL for (int v = 0; v < 4; ++v)
    m[v] = _mm256_castps_si256(_mm256_cmp_ps(_mm256_castsi256_ps(load(x, v)), _mm256_castsi256_ps(t.at(v)), _CMP_GE_OQ));
  // The packs interleave 128-bit halves: dword k of the result has channels of vector k/2 (k even), so one permutation sorts them.
  const __m256i bytes = _mm256_packs_epi16(_mm256_packs_epi32(m[0], m[1]), _mm256_packs_epi32(m[2], m[3]));
  return static_cast<uint32_t>(_mm256_movemask_epi8(_mm256_permutevar8x32_epi32(bytes, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7))));
}
template <class Thresholds>
BITWRIGHT_INLINE uint32_t ge32(const int16_t* x, const Thresholds& t) {
  const __m256i less = _mm256_packs_epi16(_mm256_cmpgt_epi16(t.at(0), load(x, 0)), _mm256_cmpgt_epi16(t.at(1), load(x, 1)));
  return ~static_cast<uint32_t>(_mm256_movemask_epi8(_mm256_permute4x64_epi64(less, 0xd8)));
}
template <class Thresholds>
BITWRIGHT_INLINE uint32_t ge32(const int8_t* x, const Thresholds& t) {
  return ~static_cast<uint32_t>(_mm256_movemask_epi8(_mm256_cmpgt_epi8(t.at(0), load(x, 0))));
}
template <class Thresholds>
BITWRIGHT_INLINE uint32_t ge32(const uint8_t* x, const Thresholds& t) {
  const __m256i v = load(x, 0);
  return static_cast<uint32_t>(_mm256_movemask_epi8(_mm256_cmpeq_epi8(_mm256_max_epu8(v, t.at(0)), v)));
}

template <class T>
BITWRIGHT_INLINE uint32_t ge(const T* x, const Threshold<T>& t) { return ge32(x, t); }
template <class T>
BITWRIGHT_INLINE uint32_t ge(const T* x, const T* t) { return ge32(x, PerChannel<T>{t}); }

#include "pack_tails.h"
#include "pack_rows.h"

const PackKernel kernel = {
    "pack_avx2", "avx2", "32 channels a block, compares into byte masks", kRankAvx2, supports_avx2,
    pack_rows<float>, pack_rows<int16_t>, pack_rows<int8_t>, pack_rows<uint8_t>,
};

}  // namespace

const PackKernel* const pack_avx2 = &kernel;

}  // namespace bitwright

#else

namespace bitwright {
const PackKernel* const pack_avx2 = nullptr;
}  // namespace bitwright

#endif
