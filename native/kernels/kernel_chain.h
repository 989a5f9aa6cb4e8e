// Chains of steps that convolutions take in registers.
#pragma once

#include <cstddef>
#include <cstdint>

namespace bitwright {

// A chain (chain.h) on the counts of a whole panel, in registers, for pixels that lie one after the other in one sample (BinaryTile::together). All
// pointers but `flip`, `bits` and those of `origin` begin at the panel's first channel; null: that step is not in the chain.
//
// Floats: x = origin[i][j] - step * (2^23 + count), the accumulator, exactly; * scale, * a + b, + add, + before, PRELU by slope, + after; store; bit =
// x >= threshold, ^ flip. Origins are multiples of the step, 1 or 2; counts and |origin / step - 2^23| below 2^22.
struct FloatsTile {
  const float* const* origin;  // [pixels] -> [panel]
  float step;
  const float* scale;          // [panel], as the others; may be null
  const float *a, *b;          // both null: no AFFINE
  const float *before, *slope, *after, *threshold;
  const float* add;            // [pixels] of value_stride
  float* store;
  uint32_t* bits;              // [pixels] of bits_stride
  const uint32_t* flip;
  size_t value_stride, bits_stride;
};

// i16 steps: x = origin[i][j] - (count << shift) modulo 2^16, mulhrs by factor, doubled, + offset, + add, ... as above, saturated.
struct ShortsTile {
  const int16_t* const* origin;
  const int16_t *factor, *offset;
  const int16_t *before, *slope, *after, *threshold;
  const int16_t* add;
  int16_t* store;
  uint32_t* bits;
  const uint32_t* flip;
  size_t value_stride, bits_stride;
  uint32_t shift, doublings;
};

}  // namespace bitwright
