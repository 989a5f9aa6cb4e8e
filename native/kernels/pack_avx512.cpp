// Rows to bits for AVX-512: compares into mask registers, 64 channels a block; the tail by masked loads.
//
// A block of 64 channels costs 1 vpcmp (int8, uint8), 2 (int16) or 4 (float32), the kunpck that join the masks, and one kmovq to memory. Two loads,
// two compares and one store start in a cycle on Zen 5: float32 is bound by the loads, int8 by the stores of L1.
#include "isa.h"

#include "entries.h"
#include "kernel_pack.h"

#if BITWRIGHT_AVX512

#include <immintrin.h>

#include <cstring>

namespace bitwright {
namespace {

using Bits = uint64_t;

// Lanes of one compare: the bits of 64 / kCompares channels.
template <class T>
struct Lane;

template <>
struct Lane<float> {
  using V = __m512;
  static constexpr uint32_t kLanes = 16;
  static BITWRIGHT_INLINE V set(float t) { return _mm512_set1_ps(t); }
  static BITWRIGHT_INLINE V load(const float* p) { return _mm512_loadu_ps(p); }
  static BITWRIGHT_INLINE V load(const float* p, uint64_t m) { return _mm512_maskz_loadu_ps(static_cast<__mmask16>(m), p); }
  static BITWRIGHT_INLINE uint64_t ge(V x, V t) { return _mm512_cmp_ps_mask(x, t, _CMP_GE_OQ); }
};
template <>
struct Lane<int16_t> {
  using V = __m512i;
  static constexpr uint32_t kLanes = 32;
  static BITWRIGHT_INLINE V set(int16_t t) { return _mm512_set1_epi16(t); }
  static BITWRIGHT_INLINE V load(const int16_t* p) { return _mm512_loadu_si512(p); }
  static BITWRIGHT_INLINE V load(const int16_t* p, uint64_t m) { return _mm512_maskz_loadu_epi16(static_cast<__mmask32>(m), p); }
  static BITWRIGHT_INLINE uint64_t ge(V x, V t) { return _mm512_cmpge_epi16_mask(x, t); }
};
template <>
struct Lane<int8_t> {
  using V = __m512i;
  static constexpr uint32_t kLanes = 64;
  static BITWRIGHT_INLINE V set(int8_t t) { return _mm512_set1_epi8(t); }
  static BITWRIGHT_INLINE V load(const int8_t* p) { return _mm512_loadu_si512(p); }
  static BITWRIGHT_INLINE V load(const int8_t* p, uint64_t m) { return _mm512_maskz_loadu_epi8(m, p); }
  static BITWRIGHT_INLINE uint64_t ge(V x, V t) { return _mm512_cmpge_epi8_mask(x, t); }
};
template <>
struct Lane<uint8_t> {
  using V = __m512i;
  static constexpr uint32_t kLanes = 64;
  static BITWRIGHT_INLINE V set(uint8_t t) { return _mm512_set1_epi8(static_cast<char>(t)); }
  static BITWRIGHT_INLINE V load(const uint8_t* p) { return _mm512_loadu_si512(p); }
  static BITWRIGHT_INLINE V load(const uint8_t* p, uint64_t m) { return _mm512_maskz_loadu_epi8(m, p); }
  static BITWRIGHT_INLINE uint64_t ge(V x, V t) { return _mm512_cmpge_epu8_mask(x, t); }
};

template <class T>
struct Threshold {
  typename Lane<T>::V v;
  BITWRIGHT_INLINE explicit Threshold(const T* one) : v(Lane<T>::set(*one)) {}
  BITWRIGHT_INLINE typename Lane<T>::V at(uint32_t) const { return v; }
  BITWRIGHT_INLINE typename Lane<T>::V at(uint32_t, uint64_t) const { return v; }
};
template <class T>
struct PerChannel {
  const T* p;
  BITWRIGHT_INLINE typename Lane<T>::V at(uint32_t c) const { return Lane<T>::load(p + c); }
  BITWRIGHT_INLINE typename Lane<T>::V at(uint32_t c, uint64_t m) const { return Lane<T>::load(p + c, m); }
};

template <class T, class Thresholds>
BITWRIGHT_INLINE uint64_t ge64(const T* x, const Thresholds& t) {
  using L = Lane<T>;
  uint64_t bits = 0;
  BITWRIGHT_UNROLL for (uint32_t c = 0; c < 64; c += L::kLanes) bits |= L::ge(L::load(x + c), t.at(c)) << c;
  return bits;
}
// Four masks join inside the mask registers, instead of shifts and ors in general ones.
template <class Thresholds>
BITWRIGHT_INLINE uint64_t ge64(const float* x, const Thresholds& t) {
  using L = Lane<float>;
  __mmask16 m[4];
  BITWRIGHT_UNROLL for (uint32_t k = 0; k < 4; ++k) m[k] = static_cast<__mmask16>(L::ge(L::load(x + 16 * k), t.at(16 * k)));
  return _mm512_kunpackd(_mm512_kunpackw(m[3], m[2]), _mm512_kunpackw(m[1], m[0]));
}

template <class T, class Thresholds>
BITWRIGHT_INLINE uint64_t ge64_tail(const T* x, const Thresholds& t, uint32_t n) {
  using L = Lane<T>;
  const uint64_t real = (uint64_t{1} << n) - 1, lanes = L::kLanes == 64 ? ~uint64_t{0} : (uint64_t{1} << (L::kLanes % 64)) - 1;
  uint64_t bits = 0;
  BITWRIGHT_UNROLL for (uint32_t c = 0; c < 64; c += L::kLanes) {
    if (c >= n) break;
    const uint64_t m = real >> c & lanes;
    bits |= L::ge(L::load(x + c, m), t.at(c, m)) << c;
  }
  return bits & real;
}

template <class T>
BITWRIGHT_INLINE uint64_t ge(const T* x, const Threshold<T>& t) { return ge64(x, t); }
template <class T>
BITWRIGHT_INLINE uint64_t ge(const T* x, const T* t) { return ge64(x, PerChannel<T>{t}); }
template <class T>
BITWRIGHT_INLINE uint64_t ge_tail(const T* x, const Threshold<T>& t, uint32_t n) { return ge64_tail(x, t, n); }
template <class T>
BITWRIGHT_INLINE uint64_t ge_tail(const T* x, const T* t, uint32_t n) { return ge64_tail(x, PerChannel<T>{t}, n); }

#include "pack_rows.h"

const PackKernel kernel = {
    "pack_avx512", "avx512", "64 channels a block, compares into mask registers", kRankAvx512, supports_avx512,
    pack_rows<float>, pack_rows<int16_t>, pack_rows<int8_t>, pack_rows<uint8_t>,
};

}  // namespace

const PackKernel* const pack_avx512 = &kernel;

}  // namespace bitwright

#else

namespace bitwright {
const PackKernel* const pack_avx512 = nullptr;
}  // namespace bitwright

#endif
