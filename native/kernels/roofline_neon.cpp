// EOR, CNT and ADD; FMLA; loads and stores of 128 bits.
#include "entries.h"
#include "isa.h"
#include "roofline.h"

#if BITWRIGHT_NEON && BITWRIGHT_GNU_ASM
#include <arm_neon.h>
#endif

namespace bitwright {
#if BITWRIGHT_NEON && BITWRIGHT_GNU_ASM
namespace {

using V = uint8x16_t;
constexpr size_t kVectorBytes = 16;
BITWRIGHT_INLINE V load(const uint8_t* p) { return vld1q_u8(p); }
BITWRIGHT_INLINE void store(uint8_t* p, V v) { vst1q_u8(p, v); }
BITWRIGHT_INLINE V either(V a, V b) { return vorrq_u8(a, b); }

#include "roofline_loops.h"
#include "roofline_memory.h"

void popcount(uint64_t iterations, void*, size_t) {
  V a[12];
  BITWRIGHT_UNROLL for (int j = 0; j < 12; ++j) {
    a[j] = vdupq_n_u8(static_cast<uint8_t>(j));
    BITWRIGHT_OPAQUE(a[j]);
  }
  chains<12>(iterations, vdupq_n_u8(0), vdupq_n_u8(1), [&](V& sum, V w, int j) { sum = vaddq_u8(sum, vcntq_u8(veorq_u8(a[j], w))); });
}

void fma(uint64_t iterations, void*, size_t) {
  chains<24>(iterations, vdupq_n_f32(0), vdupq_n_f32(1), [](float32x4_t& sum, float32x4_t x, int) { sum = vfmaq_f32(sum, x, x); });
}

}  // namespace
#endif

const RooflineLoop roofline_neon[] = {
#if BITWRIGHT_NEON && BITWRIGHT_GNU_ASM
    {"popcount_neon", "neon", RooflineFamily::kBinary, "eor, cnt, add of 128 bits", supports_neon, 12 * 128.0, popcount},
    {"fma_neon", "neon", RooflineFamily::kFloat, "fmla of 128 bits", supports_neon, 24 * 4.0, fma},
    {"read_neon", "neon", RooflineFamily::kRead, "loads of 128 bits", supports_neon, 1, read},
    {"write_neon", "neon", RooflineFamily::kWrite, "stores of 128 bits", supports_neon, 1, write},
#endif
    {},
};

}  // namespace bitwright
