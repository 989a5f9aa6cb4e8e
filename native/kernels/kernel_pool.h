// Pooling: maxima and means of windows of a map.
#pragma once

#include <cstddef>
#include <cstdint>

namespace bitwright {

// Windows that lie alike, one after the other; an element of a window is a pixel of the map.
struct PoolWindows {
  const void* x;      // the first element of the first window that lies in the map
  size_t next;        // from a window to the next, in numbers of the map's type, as all here
  size_t stride[3];   // from an element of a window to the next
  uint32_t count[3];  // elements that lie in the map, at least 1
  uint32_t windows;
  uint32_t channels;
};

// What becomes of the maximum or the sum q of the integers of a window: x = float(q - zero) * scale, a mean also / divisor, each rounded.
struct PoolFinish {
  int32_t zero = 0;
  float scale = 1;
  float divisor = 1;
};

// out[i*channels + c] for the windows i. The elements of a window are taken in order, so that sums of floats are alike everywhere.
using PoolFn = void (*)(void* out, const PoolWindows& windows, const PoolFinish& finish);

struct PoolKernel {
  const char* name;  // "pool_avx512"
  const char* isa;
  const char* about;
  int rank;
  bool (*supported)();
  PoolFn max_f32;    // a NaN wins, the last one stays
  PoolFn mean_f32;   // sum / divisor
  PoolFn max_i16;    // int16 results, no finish
  PoolFn max_i16_to_f32, mean_i16, max_u8, mean_u8;  // f32 results
};

}  // namespace bitwright
