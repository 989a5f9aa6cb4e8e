// Float convolutions, direct.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernel_chain.h"

namespace bitwright {

// A tile: out[i*panel + j] = sum over taps and channels of x * w. A negative offset means a tap in the zero padding.
struct FloatTile {
  const float* const* base;      // [pixels]
  const int32_t* const* offset;  // [pixels] -> [taps], in floats; < 0: tap is padding
  uint32_t pixels;
  uint32_t taps;
  uint32_t channels;             // input channels of one group
  const float* weights;          // one packed panel
};

struct FloatKernel {
  const char* name;  // "fconv_avx512"
  const char* isa;
  const char* about;
  int rank;
  bool (*supported)();
  uint32_t panel;
  uint32_t mr;
  size_t (*panel_floats)(uint32_t taps, uint32_t channels);  // a multiple of 16; panels are 64-byte aligned
  void (*pack)(float* panels, const float* weights, uint32_t outputs, uint32_t taps, uint32_t channels);  // canonical [O][taps][channels]
  void (*run)(float* out, const FloatTile& tile);
  // Depthwise: out[i*panel + j] = sum over taps of x[channel j] * w[tap][j] for j < tile.channels (the real channels of the panel; nothing past
  // them is read). Weights: [taps][panel], 0 past the last channel.
  void (*depthwise)(float* out, const FloatTile& tile);
  // The chain of steps in registers, of a whole panel and pixels that lie one after the other in one sample: x is the sum, without origin. Or null.
  void (*chain)(const FloatTile& tile, const FloatsTile& to) = nullptr;
};

}  // namespace bitwright
