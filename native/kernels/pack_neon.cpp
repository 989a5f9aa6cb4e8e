// Rows to bits for AArch64: compares into byte masks, each byte to its bit, and three pairwise additions gather the bits (bits_neon.h). The tail
// goes through a block on the stack.
// Cost of 32 channels: float 8 compares + 6 narrowings, int16 4 + 2, int8 and uint8 2 + 0; 2 and + 3 addp + 1 move to a general register.
#include "isa.h"

#include "entries.h"
#include "kernel_pack.h"

#if BITWRIGHT_NEON

#include <arm_neon.h>

#include <cstring>

#include "bits_neon.h"

namespace bitwright {
namespace {

using Bits = uint32_t;

BITWRIGHT_INLINE float32x4_t load(const float* p, int v) { return vld1q_f32(p + 4 * v); }
BITWRIGHT_INLINE int16x8_t load(const int16_t* p, int v) { return vld1q_s16(p + 8 * v); }
BITWRIGHT_INLINE int8x16_t load(const int8_t* p, int v) { return vld1q_s8(p + 16 * v); }
BITWRIGHT_INLINE uint8x16_t load(const uint8_t* p, int v) { return vld1q_u8(p + 16 * v); }
BITWRIGHT_INLINE float32x4_t all(float t) { return vdupq_n_f32(t); }
BITWRIGHT_INLINE int16x8_t all(int16_t t) { return vdupq_n_s16(t); }
BITWRIGHT_INLINE int8x16_t all(int8_t t) { return vdupq_n_s8(t); }
BITWRIGHT_INLINE uint8x16_t all(uint8_t t) { return vdupq_n_u8(t); }

template <class T>
struct Threshold {
  decltype(all(T{})) v;
  BITWRIGHT_INLINE explicit Threshold(const T* one) : v(all(*one)) {}
  BITWRIGHT_INLINE auto at(int) const { return v; }
};
template <class T>
struct PerChannel {
  const T* p;
  BITWRIGHT_INLINE auto at(int v) const { return load(p, v); }
};

template <class Thresholds>
BITWRIGHT_INLINE uint32_t ge32(const float* x, const Thresholds& t) {
  uint32x4_t m[8];
  BITWRIGHT_UNROLL for (int v = 0; v < 8; ++v) m[v] = vcgeq_f32(load(x, v), t.at(v));
  return word_of_masks(m);
}
template <class Thresholds>
BITWRIGHT_INLINE uint32_t ge32(const int16_t* x, const Thresholds& t) {
  uint16x8_t m[4];
  BITWRIGHT_UNROLL for (int v = 0; v < 4; ++v) m[v] = vcgeq_s16(load(x, v), t.at(v));
  return word_of_masks(m);
}
template <class Thresholds>
BITWRIGHT_INLINE uint32_t ge32(const int8_t* x, const Thresholds& t) {
  return word_of_bytes(vcgeq_s8(load(x, 0), t.at(0)), vcgeq_s8(load(x, 1), t.at(1)));
}
template <class Thresholds>
BITWRIGHT_INLINE uint32_t ge32(const uint8_t* x, const Thresholds& t) {
  return word_of_bytes(vcgeq_u8(load(x, 0), t.at(0)), vcgeq_u8(load(x, 1), t.at(1)));
}

template <class T>
BITWRIGHT_INLINE uint32_t ge(const T* x, const Threshold<T>& t) { return ge32(x, t); }
template <class T>
BITWRIGHT_INLINE uint32_t ge(const T* x, const T* t) { return ge32(x, PerChannel<T>{t}); }

#include "pack_tails.h"
#include "pack_rows.h"

const PackKernel kernel = {
    "pack_neon", "neon", "32 channels a block, compares into byte masks", kRankNeon, supports_neon,
    pack_rows<float>, pack_rows<int16_t>, pack_rows<int8_t>, pack_rows<uint8_t>,
};

}  // namespace

const PackKernel* const pack_neon = &kernel;

}  // namespace bitwright

#else

namespace bitwright {
const PackKernel* const pack_neon = nullptr;
}  // namespace bitwright

#endif
