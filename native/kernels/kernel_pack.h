// Packing: numbers become bits.
#pragma once

#include <cstddef>
#include <cstdint>

namespace bitwright {

// Bit c of row r = (x[r][c] >= threshold[c]), NaN on either side gives 0. Thresholds have the type of x.
struct PackRows {
  uint32_t* bits;          // row r: ceil(count/32) words at bits + r*bits_stride, tail bits 0
  size_t bits_stride;      // in words
  const void* x;           // row r: count elements at x + r*x_stride bytes
  ptrdiff_t x_stride;      // in bytes
  const void* threshold;   // [count], or one for all channels
  bool per_channel;
  size_t rows, count;
};

struct PackKernel {
  const char* name;  // "pack_avx512"
  const char* isa;
  const char* about;
  int rank;
  bool (*supported)();
  void (*f32)(const PackRows& job);
  void (*i16)(const PackRows& job);
  void (*i8)(const PackRows& job);
  void (*u8)(const PackRows& job);
};

}  // namespace bitwright
