// Binary convolution for AArch64 with the dot product extension (FEAT_DotProd): eor, cnt, and udot with ones, which adds the four bytes of a word
// to its 32-bit lane. The lanes are the counts: nothing overflows, nothing is reduced at the end.
//
// Cost per 128 MAC: eor, cnt, udot, and 1/24 of (ld1r) and 1/6 of (ldp of weights): at most 42.7 MAC per SIMD operation.
// Counted (qemu, benchmarks/arm_instructions.py, 3x3 convolutions of 64 to 512 channels): 41.4 to 42.5 MAC per SIMD operation, 39.8 to 40.8 with
// broadcasts, 33.6 to 37.3 per instruction.
#include "isa.h"

#include "entries.h"
#include "kernel_binary.h"

#if BITWRIGHT_NEONDOT

#include <arm_neon.h>

namespace bitwright {
namespace {

using Acc = uint32x4_t;
constexpr uint32_t kRoom = UINT32_MAX;  // no count of the engine exceeds 32 bits
template <class Count>
using Sums = Acc;  // never needed
BITWRIGHT_INLINE Acc zero() { return vdupq_n_u32(0); }
BITWRIGHT_INLINE void add_ones(Acc& acc, uint8x16_t ones) {
#if BITWRIGHT_GNU_ASM
  __asm__ volatile("udot %0.4s, %1.16b, %2.16b" : "+w"(acc) : "w"(ones), "w"(vdupq_n_u8(1)));
#else
  acc = vdotq_u32(acc, ones, vdupq_n_u8(1));
#endif
}

BITWRIGHT_INLINE void store8(uint16_t* to, Acc low, Acc high) {
  vst1q_u16(to, vuzp1q_u16(vreinterpretq_u16_u32(low), vreinterpretq_u16_u32(high)));
}
BITWRIGHT_INLINE void store8(uint32_t* to, Acc low, Acc high) {
  vst1q_u32(to, low);
  vst1q_u32(to + 4, high);
}

#include "bconv_neon.h"

const BinaryKernel kernel = {
    "bconv_neondot", "neondot", "eor, cnt, udot with ones; channels in 32-bit lanes, tile 12x32 in pieces of 3x32",
    kRankNeondot, supports_neondot, kPanel, kPixels, panel_bytes, pack, count<uint16_t>, count<uint32_t>,
};

}  // namespace

const BinaryKernel* const bconv_neondot = &kernel;

}  // namespace bitwright

#else

namespace bitwright {
const BinaryKernel* const bconv_neondot = nullptr;
}  // namespace bitwright

#endif
