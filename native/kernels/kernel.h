// The interface between the executor and the micro-kernels. One translation unit per instruction set implements it; the registry
// (registry.cpp) lists them, picks the best that the CPU supports, or the one that the user forces by name.
//
// Shapes. The executor cuts a layer's output into tiles: up to `mr` output pixels x one panel of `panel` output channels (of one group).
// Everything a kernel does not know (padding, stride, dilation, dimensions, batch) is in the indirection table: for each output pixel and
// tap, the offset of the input pixel from the sample's base. A micro-kernel is therefore the same for 1-D, 2-D, 3-D and transposed
// convolutions, dense layers and every kind of padding.
#pragma once

#include <cstddef>
#include <cstdint>

#include "bitslice.h"

namespace bitwright {

// Identifies the output pixels of a tile: pixel `p[i]` of sample `n[i]`, i < pixels.
struct TilePixels {
  uint32_t pixels;
  const uint32_t* n;
  const uint32_t* p;
};

// Where a step reads or writes a value: element (n, p, c) lies at data + n*sample_stride + p*pixel_stride + c (in elements: floats for
// f32, bytes for u8, int16 for i16, 32-bit words for bits, where c counts bits and group layout is handled by the epilogue).
struct ValueRef {
  void* data = nullptr;
  size_t sample_stride = 0;
  size_t pixel_stride = 0;
  uint32_t groups = 1;          // bits only
  uint32_t group_channels = 0;  // bits only: channels per group
  int32_t zero = 0;             // u8 only: the zero point
};

enum class StepKind : uint32_t {
  kThreshold = 1, kAffine = 2, kAdd = 3, kPrelu = 4, kClamp = 5, kStore = 6, kStoreBits = 7, kUnary = 8, kMul = 9, kStoreU8 = 10, kStoreLevels = 11,
  kFixed = 12, kAddI16 = 13, kPreluI16 = 14, kBiasI16 = 15, kClampI16 = 16, kStoreI16 = 17, kStoreBitsI16 = 18, kQuantizeI16 = 19,
};

// Whether a step computes on 16-bit fixed-point numbers: true from FIXED or QUANTIZE_I16 to the end of a chain.
constexpr bool is_fixed(StepKind kind) { return kind >= StepKind::kFixed && kind <= StepKind::kQuantizeI16; }

struct ChainPlan;

// One epilogue step with everything resolved; docs/bwm.md gives the meaning of each kind.
struct Step {
  StepKind kind;
  uint32_t n = 0;
  const float* a = nullptr;        // per channel, or null: p0
  const float* b = nullptr;        // per channel (AFFINE), or null: p1
  const uint32_t* flip = nullptr;  // bit per channel, or null
  float p0 = 0, p1 = 0;
  const int16_t* a16 = nullptr;    // the constants of an i16 step, per channel; readable for 32 elements past the last
  const int16_t* b16 = nullptr;
  float value_scale = 0;           // ADD: if not 0, the value is i16 and stands for q * value_scale
  ValueRef value;
  const ChainPlan* plan = nullptr;  // of a chain's first step: its shape, if it has one that needs no interpreter (chain.h); else null
};

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

// A chain (chain.h) on the counts of a whole panel, in registers, for pixels that lie one after the other in one sample (BinaryTile::together). All
// pointers but `flip`, `bits` and those of `origin` begin at the panel's first channel; null: that step is not in the chain.
//
// Floats: x = (origin[i][j] - (2^23 + count)) * scale * a + b, + add, + before, PRELU by slope, + after; store; bit = x >= threshold, ^ flip. The
// difference is half of the accumulator where the slope is 2, and has to be an integer; the first factor makes up for it. Counts and |origin - 2^23|
// below 2^22.
struct FloatsTile {
  const float* const* origin;  // [pixels] -> [panel]
  const float* scale;          // [panel], as the others; may be null
  const float *a, *b;
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
  uint32_t* rows;               // [][kPixelLanes], 64-byte aligned
  uint32_t shift;               // 0..31
};

// Part of a BinaryKernel of panels of 16 whose packed form is [taps*words][16].
struct PixelKernel {
  void (*bits)(const PixelBits& job);
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
};

// A map kernel: the same counts as a BinaryKernel, bit-sliced (bitslice.h). The features of a whole input map are made once a run and serve all
// taps and all output channels. The executor lays the map out (sliced_layout.h) so that 8 output pixels, a *group*, read 8 positions that lie one
// after the other, for every tap; a tile is up to `mr` groups x one panel of 64 output channels.

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

// The pixels of a tile that ends with a chain, all of one sample.
struct SlicedPixels {
  static constexpr uint32_t kGap = UINT32_MAX;
  const uint32_t* const* pixel;        // [groups] -> [8]: output pixels, kGap for what is none; each group has one at least
  const SlicedClass* const* classes;   // [groups] -> [counts[group]]
  const uint32_t* counts;              // [groups]
  size_t origin_stride;                // from a class's origins to the next one's
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
  // Chains in registers, for a whole panel. In `to`, origin[0] are the origins of class 0, and values begin with the
  // sample's first pixel.
  void (*floats)(const SlicedTile& tile, const SlicedPixels& pixels, const FloatsTile& to, const BitSlice& slice);
  void (*shorts)(const SlicedTile& tile, const SlicedPixels& pixels, const ShortsTile& to, const BitSlice& slice);
};

// Depthwise binary convolution: every channel is a group of its own. The input is packed as one group, so that a word holds 32 channels, and the
// products of a channel are counted over the taps alone.

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
};

// Float convolution tile: out[i*panel + j] = sum over taps and channels of x * w. A negative offset means a tap in the zero padding.
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

// Float convolutions by minimal filtering (minimal_filter.h) in both directions: a tile of kMinimalRows x kMinimalColumns outputs takes one product for
// each pair of a row point and a column point, weight part and channel. The executor lays out what these read (minimal_layout.h).

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
  const float* input;      // transformed: that of tile i for product k at k*input_stride + i
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

// int8 convolution tile: out[i*panel + j] = sum over taps and channels of q * w, modulo 2^32, with q the stored bytes: the caller takes the zero
// point's share off. The channels of a tap may be read up to the next multiple of 64 bytes past their end; what is there does not count.
struct Int8Tile {
  const uint8_t* const* base;    // [pixels]
  const int32_t* const* offset;  // [pixels] -> [taps], in bytes; a tap in the padding points to a pixel that holds the zero point
  uint32_t pixels;               // 1..mr
  uint32_t taps;
  uint32_t channels;             // input channels of one group (run), real channels of the panel (depthwise)
  const void* weights;           // one packed panel
};

// One output pixel's window, for `gather`: its taps in order, as runs of contiguous elements (bytes).
struct GatherRun {
  int32_t offset;  // from the window's origin, or, with `fixed`, from the sample's first element (the padding pixel)
  uint32_t count;
  bool fixed;
};
struct GatherWindow {
  const uint8_t* origin;
  const uint8_t* sample;
  const GatherRun* runs;
  uint32_t n_runs;
};

// A stretch of one row of outputs whose windows lie side by side: the channels of tap t of pixel i are at line[t] + i*step. kLinePixels more windows
// and 128 bytes may be read past the last one.
struct Int8Lines {
  const uint8_t* const* line;    // [taps]
  size_t step;                   // bytes
  uint32_t pixels, taps, channels;
  const void* weights;           // one packed panel
  const int32_t* const* origin;  // [pixels, rounded up to a multiple of kLinePixels] -> [panel]: what the sums begin with
  uint8_t* spare;                // lines_spare(taps, channels, pixels) bytes
  bool again = false;            // the lines are those of the call before, which left in `spare` what it made of them
};

// The maxima of windows of 3 pixels every 2, the first of which begins one pixel before the stretch: (pixels + 1)/2 rows of `panel`, rounded up to a
// multiple of kLinePixels/2.
struct Int8Maxima {
  int32_t* into;   // or null: maxima of these and what is there
  int32_t* fresh;  // or null: these
};

inline constexpr uint32_t kLinePixels = 8;

struct Int8Kernel {
  const char* name;  // "qconv_avx512vnni"
  const char* isa;
  const char* about;
  int rank;
  bool (*supported)();
  uint32_t panel;
  uint32_t mr;
  size_t (*panel_bytes)(uint32_t taps, uint32_t channels);  // a multiple of 64; panels are 64-byte aligned
  void (*pack)(void* panels, const int8_t* weights, uint32_t outputs, uint32_t taps, uint32_t channels);  // canonical [O][taps][channels]
  void (*run)(int32_t* out, const Int8Tile& tile);
  // Depthwise: out[i*panel + j] = sum over taps of q[channel j] * w[tap][j] for j < channels. Weights: int8 [taps][panel], 0 past the last channel.
  void (*depthwise)(int32_t* out, const Int8Tile& tile);
  // Copies windows one after the other into rows of row_bytes: those of a convolution of few channels that reach into the padding. May write up to 64
  // bytes past the last row and read as many past a run.
  void (*gather)(uint8_t* rows, size_t row_bytes, const GatherWindow* windows, uint32_t pixels);
  // Rows of outputs, for convolutions of few channels whose taps are lines; null where `run` and `gather` serve them. Sums modulo 2^32; rows of `out`
  // as of `run`, their number rounded up to a multiple of kLinePixels.
  void (*lines)(int32_t* out, const Int8Lines& job) = nullptr;
  void (*maxima)(const Int8Maxima& to, const Int8Lines& job) = nullptr;
  size_t (*lines_spare)(uint32_t taps, uint32_t channels, uint32_t pixels) = nullptr;
};

// Epilogues: they consume a tile while it is hot in L1. `channel0` is a multiple of 32 whenever a step writes bits. A bits value whose groups
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

// Pooling. Windows that lie alike, one after the other; an element of a window is a pixel of the map.
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

// Packing: bit c of row r = (x[r][c] >= threshold[c]), NaN on either side gives 0. Thresholds have the type of x.
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

// What products of bits need around the count kernels: ends of a matrix product's tiles, bit planes, transposed bits.
struct ProductTile {
  const void* counts;       // [rows][counts_stride] of 16 or 32 bits
  size_t counts_stride;     // elements
  uint32_t rows, columns;
  const int32_t* row;       // [rows], or null for zeros
  const int32_t* column;    // [columns], or null for zeros
  int32_t constant;
  int32_t slope;            // -1, 1 or 2
  bool half;                // (…) / 2, which is exact
  void* out;                // [rows][out_stride]: row + column + constant - slope*count, of 16 bits (cut to them) or 32
  size_t out_stride;        // elements
};

struct ProductKernel {
  const char* name;  // "bmatmul_avx512"
  const char* isa;
  const char* about;
  int rank;
  bool (*supported)();
  // By the bits of counts and of out.
  void (*finish16_16)(const ProductTile& t);
  void (*finish16_32)(const ProductTile& t);
  void (*finish32_16)(const ProductTile& t);
  void (*finish32_32)(const ProductTile& t);
  // sum[i] = counts[i] << plane, for plane 0, or else sum[i] += counts[i] << plane; i < n. The planes of a tile come in order.
  void (*add_plane16)(uint32_t* sum, const uint16_t* counts, uint32_t plane, size_t n);
  void (*add_plane32)(uint32_t* sum, const uint32_t* counts, uint32_t plane, size_t n);
  // bit r of row c of `to` = bit c of row r of `from`, r < rows, c < columns. Rows of `from` have from_stride words, rows of `to` to_stride, of
  // which ceil(rows/32) are written, tail bits 0.
  void (*transpose)(uint32_t* to, size_t to_stride, const uint32_t* from, size_t from_stride, size_t rows, size_t columns);
};

// The lists, in no particular order, ended by a null pointer. Kernels of instruction sets this binary was not built for are absent.
const BinaryKernel* const* binary_kernels();
const SlicedKernel* const* sliced_kernels();
const DepthwiseKernel* const* depthwise_kernels();
const FloatKernel* const* float_kernels();
const MinimalKernel* const* minimal_kernels();
const Int8Kernel* const* int8_kernels();
const EpilogueKernel* const* epilogue_kernels();
const PackKernel* const* pack_kernels();
const ProductKernel* const* product_kernels();
const PoolKernel* const* pool_kernels();

// The instruction sets, ended by a null pointer: "portable", "sse42", "avx2", "avx512", ... of x86-64 and "neon", "neondot" of AArch64, of each
// architecture lowest rank first. All of them, whether this binary or CPU has them or not.
const char* const* isa_names();
// Whether this CPU (and its operating system) can run that instruction set; false for an unknown name.
bool isa_supported(const char* isa);

// Finding a kernel. A null pointer asks for the best supported one. A kernel's name asks for that kernel. An instruction set's name asks for the
// best supported kernel that needs no more than it, so that forcing "avx512vpopcnt" also finds a float kernel (fconv_avx512).
// Null if there is no such kernel or instruction set, or if this CPU cannot run it.
const BinaryKernel* find_binary_kernel(const char* name_or_isa);
const SlicedKernel* find_sliced_kernel(const char* name_or_isa);
const DepthwiseKernel* find_depthwise_kernel(const char* name_or_isa);
const FloatKernel* find_float_kernel(const char* name_or_isa);
const MinimalKernel* find_minimal_kernel(const char* name_or_isa);
const Int8Kernel* find_int8_kernel(const char* name_or_isa);
const EpilogueKernel* find_epilogue_kernel(const char* name_or_isa);
const PackKernel* find_pack_kernel(const char* name_or_isa);
const ProductKernel* find_product_kernel(const char* name_or_isa);
const PoolKernel* find_pool_kernel(const char* name_or_isa);

}  // namespace bitwright
