// Binary convolutions: counts of bits that differ.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernel_chain.h"

namespace bitwright {

struct ArrangeJob;  // arrange.h

// Weights, activations and counts of one tile of a binary convolution.
struct BinaryTile {
  const uint32_t* const* base;  // [pixels] input of the sample that the pixel belongs to (group offset already added)
  const int32_t* const* offset; // [pixels] -> [taps]: offset of the tap's input pixel, in 32-bit words, from base
  uint32_t pixels;              // 1..mr
  uint32_t taps;
  uint32_t words;               // 32-bit words of one pixel of one group
  const void* weights;          // one packed panel
  bool together = false;        // base[i] == base[0] and offset[i] == offset[0] + i*taps
};

// A threshold taken in registers, without counts in memory: bit(i, j) = (count(i, j) <= limit[i][channel + j]) xor flip bit j, for j < channels;
// the bits past them are 0. Of a tile's base and offset, and of `out`, only the first entry is read if its pixels are together.
struct BitsTile {
  const int32_t* const* limit;  // [pixels] -> [channel + panel], all readable: -1 or a count
  const uint32_t* flip;         // a bit per channel, or null
  uint32_t* const* out;         // [pixels] -> ceil(channels / 32) words
  uint32_t channels;            // 1..panel
  uint32_t channel = 0;
  size_t out_stride = 0;        // words from one pixel's output to the next, if they are together
};

// The same counts with the pixels in the lanes, kPixelLanes at a time, for a threshold whose bits lie anywhere in words.
inline constexpr uint32_t kPixelLanes = 16;

// One panel: bit shift + j of the words rows[i] (or of rows[kPixelLanes + i], past bit 31) |= (count(i, j) <= limit of j) ^ flip bit j, for j < outputs.
struct PixelBits {
  const uint32_t* x;            // word of a step and lane i: x[offset[step] + i]
  const int32_t* offset;        // [steps]
  size_t steps;                 // taps * words
  const void* weights;          // one packed panel of 16 channels, its channels past the last all 0
  uint32_t outputs;             // 1..16
  const int32_t* origin;        // [16][classes]: -1 - limit, for a limit of -1 or a count; 64-byte aligned if classes > 1
  uint32_t classes;             // 1, 16, 32 or 64
  const uint32_t* pixel_class;  // [kPixelLanes]; not read if classes == 1
  uint32_t flip;
  uint32_t* rows;               // [][kPixelLanes]
  uint32_t shift;               // 0..31
};

// Part of a BinaryKernel of panels of 16 whose packed form is [taps*words][16].
struct PixelKernel {
  void (*bits)(const PixelBits& job);
  // to[i*words + w] = rows[w*kPixelLanes + i], for i < kPixelLanes, w < words. Up to 3 words behind them are overwritten.
  void (*transpose)(uint32_t* to, const uint32_t* rows, size_t words);
  void (*arrange)(const ArrangeJob& job);
};

// counts[i*panel + j] = popcount over taps and words of (activation ^ weight of channel j), for i < pixels, j < panel. Channels past the
// end of the layer hold padding and may contain anything.
struct BinaryKernel {
  const char* name;   // "bconv_avx512vpopcnt": symbol, test and benchmark carry it too
  const char* isa;    // "avx512vpopcnt"
  const char* about;  // one line for `bitwright kernels`
  int rank;           // the supported kernel of the highest rank is the default
  bool (*supported)();
  uint32_t panel;     // output channels of a panel, 16 or a multiple of 32
  uint32_t mr;        // largest number of pixels of a tile
  // Panels of one group: ceil(outputs/panel), each panel_bytes(taps, words) long (a multiple of 64), 64-byte aligned.
  size_t (*panel_bytes)(uint32_t taps, uint32_t words);
  // weights: canonical [outputs][taps][words]
  void (*pack)(void* panels, const uint32_t* weights, uint32_t outputs, uint32_t taps, uint32_t words);
  // Needs taps*words*32 <= 65535. `counts` of both: at least 2-byte resp. 4-byte aligned, [pixels][panel].
  void (*count16)(uint16_t* counts, const BinaryTile& tile);
  void (*count32)(uint32_t* counts, const BinaryTile& tile);
  void (*bits)(const BinaryTile& tile, const BitsTile& to) = nullptr;  // needs what count16 needs; null: the epilogue compares counts
  const BinaryKernel* const* narrow = nullptr;  // the entry of the same with a narrower panel, for layers that would leave much of a panel empty
  const PixelKernel* const* pixels = nullptr;   // lanes are pixels
  // Chains in registers, or null. `floats` reads panels of pack_in_order, whose lanes are the channels in order; `shorts` needs what count16 needs.
  void (*pack_in_order)(void* panels, const uint32_t* weights, uint32_t outputs, uint32_t taps, uint32_t words) = nullptr;
  void (*floats)(const BinaryTile& tile, const FloatsTile& to) = nullptr;
  void (*shorts)(const BinaryTile& tile, const ShortsTile& to) = nullptr;
  // Register tiles that may be asked for, ended by a null pointer; or null. Each is a kernel whose name ends in "/<pixels>x<channels>".
  const BinaryKernel* const* tiles = nullptr;
  // Of them, the one for a layer of so many taps, of so many words each, that nobody has timed; null: the kernel as it is.
  const BinaryKernel* (*tile_for)(uint32_t taps, uint32_t words) = nullptr;
};

// The kernel with tiles of at most so many pixels.
constexpr BinaryKernel with_tile(BinaryKernel kernel, const char* name, uint32_t pixels) {
  kernel.name = name;
  kernel.mr = pixels;
  return kernel;
}

constexpr BinaryKernel with_tiles(BinaryKernel kernel, const BinaryKernel* const* tiles, const BinaryKernel* (*tile_for)(uint32_t, uint32_t) = nullptr) {
  kernel.tiles = tiles;
  kernel.tile_for = tile_for;
  return kernel;
}

}  // namespace bitwright
