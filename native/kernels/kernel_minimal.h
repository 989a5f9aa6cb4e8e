// Float convolutions by minimal filtering (minimal_filter.h) in both directions: a tile of kMinimalRows x kMinimalColumns outputs takes one product for
// each pair of a row point and a column point, weight part and channel. The executor lays out what these read (minimal_layout.h).
#pragma once

#include <cstddef>
#include <cstdint>

namespace bitwright {

// The transform of one part: to[j][i] = sum over e of input[j][e] * from[e][i], for `points` rows of `count` floats, of each of `channels` channels.
struct MinimalInput {
  const float* const* from;  // [points]
  float* const* to;          // [points]; written up to whole vectors past count, by what zeros past it would give
  size_t from_next, to_next; // floats from a channel to the next
  uint32_t channels;
  uint32_t count;
};

// to[j*to_stride + i] = from[i*from_stride + j], i < rows, j < columns. Reads and writes up to whole vectors past both.
struct MinimalTranspose {
  float* to;
  const float* from;
  size_t to_stride, from_stride;
  uint32_t rows, columns;
};

// Up to `mr` tiles x one panel of channels.
struct MinimalBlock {
  const float* input;      // transformed: that of tile i for product k at k*input_stride + i; up to 3 floats past the last tile's are read
  size_t input_stride;
  const float* weights;    // transformed: [products][vectors of the panel]
  const uint32_t* depth;   // [column points][row points]: how many products are summed at each pair of points; they come in this order
  uint32_t row_points, column_points;
  uint32_t tiles;
  uint32_t outputs;        // channels of the panel; of each row, whole vectors are written
  float* spare;            // spare_floats
  float* out;              // [kMinimalRows][tiles * kMinimalColumns][out_stride]
  size_t out_stride;
};

struct MinimalKernel {
  const char* name;  // "fconv_minimal_avx512"
  const char* isa;
  const char* about;
  int rank;
  bool (*supported)();
  uint32_t panel;
  uint32_t mr;
  uint32_t lanes;  // floats of a vector
  size_t spare_floats;
  // By the taps of the part, 1 to kMinimalTaps.
  void (*rows[4])(const MinimalInput& job);
  void (*columns[4])(const MinimalInput& job);
  void (*transpose)(const MinimalTranspose& job);
  void (*block)(const MinimalBlock& job);
};

}  // namespace bitwright
