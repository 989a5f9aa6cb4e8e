// Binary convolution for AArch64 with nothing but Advanced SIMD: eor, cnt, add.
//
// Bytes of an accumulator hold up to 31 words (8 bits each), then they are added to 16-bit (count16) or 32-bit (count32) sums in L1.
// Cost per 128 MAC: eor, cnt, add, and 1/24 of (ld1r) and 1/6 of (ldp of weights): at most 42.7 MAC per SIMD operation. Two SIMD pipes (Cortex-A72,
// A76, Neoverse N1): 82 MAC/cycle; four (Cortex-X, Neoverse V, Apple): 164 (analysis, no such machine at hand).
// Counted (qemu, benchmarks/arm_instructions.py, 3x3 convolutions of 64 to 512 channels): 40.8 to 41.6 MAC per SIMD operation, 39.2 to 40.0 with
// broadcasts, 32 to 35 per instruction.
#include "isa.h"

#include "entries.h"
#include "kernel_binary.h"

#if BITWRIGHT_NEON

#include <arm_neon.h>

#include <type_traits>

namespace bitwright {
namespace {

using Acc = uint8x16_t;
constexpr uint32_t kRoom = 31;  // words until a byte could exceed 255
BITWRIGHT_INLINE Acc zero() { return vdupq_n_u8(0); }
BITWRIGHT_INLINE void add_ones(Acc& acc, uint8x16_t ones) {
#if BITWRIGHT_GNU_ASM
  __asm__ volatile("add %0.16b, %0.16b, %1.16b" : "+w"(acc) : "w"(ones));
#else
  acc = vaddq_u8(acc, ones);
#endif
}

// Sums of 16 bits: two a channel. A channel's count fits 16 bits, so each of them does.
template <class Count>
using Sums = std::conditional_t<sizeof(Count) == 2, uint16x8_t, uint32x4_t>;
BITWRIGHT_INLINE uint16x8_t add(uint16x8_t sums, Acc acc) { return vpadalq_u8(sums, acc); }
BITWRIGHT_INLINE uint32x4_t add(uint32x4_t sums, Acc acc) { return vpadalq_u16(sums, vpaddlq_u8(acc)); }

BITWRIGHT_INLINE void store8(uint16_t* to, uint16x8_t low, uint16x8_t high) { vst1q_u16(to, vpaddq_u16(low, high)); }
BITWRIGHT_INLINE void store8(uint16_t* to, Acc low, Acc high) { store8(to, vpaddlq_u8(low), vpaddlq_u8(high)); }
BITWRIGHT_INLINE void store8(uint32_t* to, uint32x4_t low, uint32x4_t high) {
  vst1q_u32(to, low);
  vst1q_u32(to + 4, high);
}
BITWRIGHT_INLINE void store8(uint32_t* to, Acc low, Acc high) { store8(to, vpaddlq_u16(vpaddlq_u8(low)), vpaddlq_u16(vpaddlq_u8(high))); }

#include "bconv_neon.h"

const BinaryKernel kernel = {
    "bconv_neon", "neon", "eor, cnt, add; channels in 32-bit lanes, tile 12x32 in pieces of 3x32",
    kRankNeon, supports_neon, kPanel, kPixels, panel_bytes, pack, count<uint16_t>, count<uint32_t>,
};

}  // namespace

const BinaryKernel* const bconv_neon = &kernel;

}  // namespace bitwright

#else

namespace bitwright {
const BinaryKernel* const bconv_neon = nullptr;
}  // namespace bitwright

#endif
