// Depthwise binary convolution: every channel is a group of its own. The input is packed as one group, so that a word holds 32 channels, and the
// products of a channel are counted over the taps alone.
#pragma once

#include <cstddef>
#include <cstdint>

namespace bitwright {

struct ArrangeJob;  // arrange.h

// Lanes of one row of weights, limits, ...: blocks of 16 words; if a pixel has fewer than 16, block lane l holds word l % words of as many whole
// pixels as fit, the rest is 0.
inline constexpr uint32_t depthwise_lanes(uint32_t words) { return words < 16 ? 16 : (words + 15) / 16 * 16; }

// Output pixels whose taps lie `words` words further on from one to the next.
struct DepthwiseRun {
  const uint32_t* base;     // input of the sample
  const int32_t* offset;    // [taps] of the first pixel, in words from base
  uint32_t pixels;
  uint32_t taps;
  uint32_t words;           // of one pixel
  const uint32_t* weights;  // [taps][lanes], 64-byte aligned
};

// Bits of a bound 0..taps + 1.
inline constexpr uint32_t kMostDepthwiseTaps = 127;  // of a threshold
inline constexpr uint32_t depthwise_planes(uint32_t taps) { return taps <= 15 ? 5 : 8; }

// bit(c) = ((count(c) < bound of c) xor flip) and real. All 64-byte aligned.
struct DepthwiseBits {
  const uint32_t* bound;     // [depthwise_planes][lanes], lowest bit first
  const uint32_t* flip;      // [lanes]
  const uint32_t* real;      // [lanes]
  const uint32_t* bound_of;  // null, or for each of the run's blocks of several pixels which bound, [.][depthwise_planes][lanes]; null: one for all
};

struct DepthwiseKernel {
  const char* name;  // "bdepthwise_avx2"
  const char* isa;
  const char* about;
  int rank;
  bool (*supported)();
  uint32_t block;  // words of a block; of a run, it holds block / words whole pixels where that is more than 1
  // counts[i*stride + c] = taps whose bit differs from the weight's, for i < pixels and c < 32 * words. Needs taps <= 65535.
  void (*count16)(uint16_t* counts, size_t stride, const DepthwiseRun& run);
  // Words of pixel i at out + i*stride. Needs taps <= kMostDepthwiseTaps.
  void (*bits)(uint32_t* out, size_t stride, const DepthwiseRun& run, const DepthwiseBits& bits);
  void (*arrange)(const ArrangeJob& job) = nullptr;  // or null: word by word
};

}  // namespace bitwright
