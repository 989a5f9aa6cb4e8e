// With the dot product extension: UDOT of counts, SDOT of 16 products.
#include "entries.h"
#include "isa.h"
#include "roofline.h"

#if BITWRIGHT_NEONDOT && BITWRIGHT_GNU_ASM
#include <arm_neon.h>
#endif

namespace bitwright {
#if BITWRIGHT_NEONDOT && BITWRIGHT_GNU_ASM
namespace {

using V = uint8x16_t;

#include "roofline_loops.h"

void popcount(uint64_t iterations, void*, size_t) {
  const V one = vdupq_n_u8(1);
  V a[12];
  BITWRIGHT_UNROLL for (int j = 0; j < 12; ++j) {
    a[j] = vdupq_n_u8(static_cast<uint8_t>(j));
    BITWRIGHT_OPAQUE(a[j]);
  }
  chains<12>(iterations, vdupq_n_u32(0), vdupq_n_u8(1),
             [&](uint32x4_t& sum, V w, int j) { sum = vdotq_u32(sum, vcntq_u8(veorq_u8(a[j], w)), one); });
}

void dot(uint64_t iterations, void*, size_t) {
  chains<24>(iterations, vdupq_n_s32(0), vdupq_n_s8(1), [](int32x4_t& sum, int8x16_t x, int) { sum = vdotq_s32(sum, x, x); });
}

}  // namespace
#endif

const RooflineLoop roofline_neondot[] = {
#if BITWRIGHT_NEONDOT && BITWRIGHT_GNU_ASM
    {"popcount_neondot", "neondot", RooflineFamily::kBinary, "eor, cnt, udot of 128 bits", supports_neondot, 12 * 128.0, popcount},
    {"dot_neondot", "neondot", RooflineFamily::kInt8, "sdot of 128 bits", supports_neondot, 24 * 16.0, dot},
#endif
    {},
};

}  // namespace bitwright
