// The arithmetic of the i16 steps, one element at a time (docs/bwm.md). Every vector version equals it bit for bit. Everything is static, as in values.h.
#pragma once

#include "isa.h"
#include "kernel_steps.h"

namespace bitwright {

static BITWRIGHT_INLINE int16_t sat16(int32_t x) { return static_cast<int16_t>(x < -32768 ? -32768 : x > 32767 ? 32767 : x); }

// Product of two numbers of 15 fractional bits, rounded half up. |q| <= 32767, so it fits 16 bits.
static BITWRIGHT_INLINE int16_t mulhrs(int16_t p, int16_t q) { return static_cast<int16_t>((int32_t{p} * q + (1 << 14)) >> 15); }

// x * 2^n, saturated; n <= 15.
static BITWRIGHT_INLINE int16_t shl16(int16_t x, uint32_t n) { return sat16(int32_t{x} * (int32_t{1} << n)); }

// sat16(rint(x * factor)): half to even, NaN gives 0. Adding and taking away 1.5 * 2^23 rounds what is below 2^22 to an integer, half to even, without
// asking the CPU's instruction set for a rounding (-ffp-contract=off and no -ffast-math keep both operations).
static BITWRIGHT_INLINE int16_t quantize16(float x, float factor) {
  const float y = x * factor;
  if (!(y > -32768.0f)) return y != y ? int16_t{0} : int16_t{-32768};
  if (y >= 32767.0f) return 32767;
  const float magic = 12582912.0f;
  const float shifted = y + magic;
  return static_cast<int16_t>(shifted - magic);
}

}  // namespace bitwright
