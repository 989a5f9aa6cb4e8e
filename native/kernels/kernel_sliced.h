// A map kernel: the same counts as a BinaryKernel, bit-sliced (bitslice.h). The features of a whole input map are made once a run and serve all
// taps and all output channels. The executor lays the map out (sliced_layout.h) so that 8 output pixels, a *group*, read 8 positions that lie one
// after the other, for every tap; a tile is up to `mr` groups x one panel of 64 output channels.
#pragma once

#include <cstddef>
#include <cstdint>

#include "bitslice.h"
#include "kernel_chain.h"

namespace bitwright {

// 64 positions of the map.
struct SlicedFeatures {
  const uint32_t* base;
  const int32_t* source;  // [64]: offset of the position's pixel from base, in words
  uint32_t runs;          // bit i: the pixels of positions 8i to 8i + 7 lie one after the other, without other words between them
  uint8_t* planes;        // plane k of these positions: planes + k*plane_stride
  size_t plane_stride;
  uint8_t* spare;         // [64]: the bits for the joint chain
};

// 64 output positions: the joint chain.
struct SlicedJoint {
  const uint8_t* spare;   // of the first position
  const int32_t* offset;  // [taps]: where the tap's spare bits lie from there
  uint8_t* planes;
  size_t plane_stride;
};

struct SlicedTile {
  const uint8_t* const* base;  // [groups]: where the features of the group's first pixel lie
  const int32_t* offset;       // [steps]: the step's first feature byte from there; the second is a plane further
  uint32_t groups;             // 1..mr
  int32_t last;                // offset of the plane of the last xor
  size_t plane_stride;
  const void* weights;         // one packed panel
};

// Which limits the pixels of a group have: pixel j that of the class whose mask has bit 7 - j.
struct SlicedClass {
  uint32_t index;
  uint32_t mask;
};
struct SlicedLimits {
  const void* limits;                  // of the panel: [classes][limit_bytes]
  const void* flip;                    // [panel] bytes, 0 or 255, in the order of pack_flip
  const SlicedClass* const* classes;   // [groups] -> [counts[group]]
  const uint32_t* counts;              // [groups]
};

// A group of 8 output pixels of a map.
struct SlicedGroup {
  static constexpr uint32_t kGap = UINT32_MAX;
  uint32_t at;                 // of its first position's features: byte offset
  uint32_t pixel[8];           // output pixels, one at least, and kGap for what is none
  uint32_t origin[8];          // of the pixel's class: elements behind the origins of class 0, for chains
  uint32_t first_class, classes;
  bool straight;               // no gaps: the pixels lie one after the other
};

struct SlicedKernel {
  const char* name;  // "bconv_gfni"
  const char* isa;
  const char* about;
  int rank;
  bool (*supported)();
  uint32_t panel;  // 64
  uint32_t mr;     // groups of a tile, at most
  uint32_t (*tile_groups)(size_t groups);  // of the next tile, of so many groups left
  // Panels of one group of channels, as BinaryKernel's.
  size_t (*panel_bytes)(const BitSlice& slice);
  void (*pack)(void* panels, const uint32_t* weights, uint32_t outputs, const BitSlice& slice);
  // One class of one panel: bit = (count <= limit) ^ flip. limit and flip: `channels` <= panel entries (limit -1: never).
  size_t (*limit_bytes)(const BitSlice& slice);
  void (*pack_limits)(void* to, const int32_t* limit, uint32_t channels, const BitSlice& slice);
  void (*pack_flip)(void* to, const uint8_t* flip, uint32_t channels);
  void (*features)(const SlicedFeatures& job, const BitSlice& slice);
  void (*joint)(const SlicedJoint& job, const BitSlice& slice);
  // Pixel i (of 8*groups) to the row counts + row[i]*panel.
  void (*count16)(uint16_t* counts, const uint32_t* row, const SlicedTile& tile, const BitSlice& slice);
  // bits[i]: the panel's 64 bits of pixel i.
  void (*threshold)(uint64_t* bits, const SlicedTile& tile, const SlicedLimits& limits, const BitSlice& slice);
  // Chains in registers, for a whole panel and the tile's groups, all of one sample. In `to`, origin[0] are the origins of class 0, and values begin
  // with the sample's first pixel.
  void (*floats)(const SlicedTile& tile, const SlicedGroup* groups, const FloatsTile& to, const BitSlice& slice);
  void (*shorts)(const SlicedTile& tile, const SlicedGroup* groups, const ShortsTile& to, const BitSlice& slice);
};

}  // namespace bitwright
