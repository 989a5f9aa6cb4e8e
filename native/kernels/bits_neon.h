// From lane masks to bits: AArch64 has no movemask. Everything is static, see values.h.
#pragma once

#include <arm_neon.h>

#include <cstdint>

#include "isa.h"

namespace bitwright {

// Bit j of the result is lane j of 32 lanes of 8 bits, each all ones or all zeros.
static BITWRIGHT_INLINE uint32_t word_of_bytes(uint8x16_t low, uint8x16_t high) {
  const uint8x16_t place = vreinterpretq_u8_u64(vdupq_n_u64(0x8040201008040201u));
  const uint8x16_t pairs = vpaddq_u8(vandq_u8(low, place), vandq_u8(high, place));
  const uint8x16_t quads = vpaddq_u8(pairs, pairs);
  return vgetq_lane_u32(vreinterpretq_u32_u8(vpaddq_u8(quads, quads)), 0);
}

// The same for lanes of 16 bits.
static BITWRIGHT_INLINE uint32_t word_of_masks(const uint16x8_t (&m)[4]) {
  const auto bytes = [](uint16x8_t a, uint16x8_t b) { return vuzp1q_u8(vreinterpretq_u8_u16(a), vreinterpretq_u8_u16(b)); };
  return word_of_bytes(bytes(m[0], m[1]), bytes(m[2], m[3]));
}

// The same for lanes of 32 bits.
static BITWRIGHT_INLINE uint32_t word_of_masks(const uint32x4_t (&m)[8]) {
  uint16x8_t half[4];
  BITWRIGHT_UNROLL for (int i = 0; i < 4; ++i) half[i] = vuzp1q_u16(vreinterpretq_u16_u32(m[2 * i]), vreinterpretq_u16_u32(m[2 * i + 1]));
  return word_of_masks(half);
}

}  // namespace bitwright
