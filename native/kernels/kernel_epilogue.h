// Epilogues consume a tile of sums while it is hot in L1.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernel_steps.h"

namespace bitwright {

// Identifies the output pixels of a tile: pixel `p[i]` of sample `n[i]`, i < pixels.
struct TilePixels {
  uint32_t pixels;
  const uint32_t* n;
  const uint32_t* p;
};

// `channel0` is a multiple of 32 whenever a step writes bits. A bits value whose groups
// are packed apart and whose group_channels is no multiple of 32 needs a tile of channel0 = 0 with all channels (words are shared otherwise).
struct EpilogueTile {
  TilePixels where;
  uint32_t channel0;  // first output channel of the tile
  uint32_t channels;  // how many are real
  uint32_t stride;    // elements between the rows of the tile
};

struct EpilogueKernel {
  const char* name;  // "epilogue_avx512"
  const char* isa;
  const char* about;
  int rank;
  bool (*supported)();
  // bit(i, j) = (counts[i*stride + j] <= limit[i][j]) ^ flip: the accumulator threshold turned into a count, one row per padding class.
  // limit rows are indexed by absolute channel. Limits: -1 = never; counts are unsigned, limits signed (int32, clamped to what can occur).
  void (*threshold16)(const uint16_t* counts, const EpilogueTile& t, const int32_t* const* limit, const uint32_t* flip, const ValueRef& out);
  void (*threshold32)(const uint32_t* counts, const EpilogueTile& t, const int32_t* const* limit, const uint32_t* flip, const ValueRef& out);
  // x(i, j) = float(origin[i][j] - slope*counts[i*stride + j]), then the steps. origin rows by absolute channel; slope 2, or 1 for
  // {0,1} (any other is right, but slow).
  void (*from_counts16)(const uint16_t* counts, const EpilogueTile& t, const int32_t* const* origin, int32_t slope, const Step* steps, size_t n_steps);
  void (*from_counts32)(const uint32_t* counts, const EpilogueTile& t, const int32_t* const* origin, int32_t slope, const Step* steps, size_t n_steps);
  void (*from_float)(const float* x, const EpilogueTile& t, const Step* steps, size_t n_steps);
  // x(i, j) = float(sums[i*stride + j] + origin[i][j]), then the steps; origin rows by absolute channel, the addition modulo 2^32.
  void (*from_int32)(const int32_t* sums, const EpilogueTile& t, const int32_t* const* origin, const Step* steps, size_t n_steps);
  // A chain of i16 steps only, without FIXED and QUANTIZE_I16.
  void (*from_i16)(const int16_t* x, const EpilogueTile& t, const Step* steps, size_t n_steps);
};

}  // namespace bitwright
