// Float to bits for AArch64: 32 compares of a word, narrowed to bytes, each byte to its bit, and three pairwise additions gather the bits.
// Cost of 32 channels: 8 compares + 6 narrowings + 2 and + 3 addp + 1 move to a general register.
#include "isa.h"

#include "entries.h"

#if BITWRIGHT_NEON

#include <arm_neon.h>

#include "bits_neon.h"

namespace bitwright {
namespace {

void pack(uint32_t* bits, const float* x, const float* threshold, float scalar_threshold, uint32_t count) {
  const float32x4_t scalar = vdupq_n_f32(scalar_threshold);
  uint32_t c = 0;
  for (; c + 32 <= count; c += 32) {
    uint32x4_t ge[8];
    BITWRIGHT_UNROLL for (uint32_t v = 0; v < 8; ++v)
      ge[v] = vcgeq_f32(vld1q_f32(x + c + 4 * v), threshold != nullptr ? vld1q_f32(threshold + c + 4 * v) : scalar);
    *bits++ = word_of_masks(ge);
  }
  if (c == count) return;
  uint32_t word = 0;
  for (uint32_t j = 0; c + j < count; ++j)
    word |= static_cast<uint32_t>(x[c + j] >= (threshold != nullptr ? threshold[c + j] : scalar_threshold)) << j;
  *bits = word;
}

const PackKernel kernel = {"pack_neon", "neon", "32 channels at a time", kRankNeon, supports_neon, pack};

}  // namespace

const PackKernel* const pack_neon = &kernel;

}  // namespace bitwright

#else

namespace bitwright {
const PackKernel* const pack_neon = nullptr;
}  // namespace bitwright

#endif
