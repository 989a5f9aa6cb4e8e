// A model made ready for a choice of kernels: weights in the kernel's layout, indirection tables, thresholds as limits on counts.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "chain.h"
#include "gather.h"
#include "minimal_layout.h"
#include "model.h"
#include "phased_map.h"
#include "pool_axes.h"
#include "selection.h"
#include "sliced_layout.h"
#include "storage.h"
#include "table.h"

namespace bitwright {

struct PreparedStep {
  Step step;               // value.data is filled in when it runs
  uint32_t value = kNone;  // id
};

// How the executor cuts the output channels of a convolution. A panel is what a micro-kernel computes at a time; a unit is what the epilogue
// consumes at a time: one panel, or the panels that together make whole 32-bit words, or all channels where words straddle groups.
struct Cut {
  uint32_t group_outputs = 0;
  uint32_t panel = 0;             // channels
  uint32_t panels_per_group = 0;
  uint32_t panels_per_unit = 0;
  uint32_t units_per_group = 0;
  bool whole_rows = false;        // one unit with all groups
  uint32_t row_stride = 0;        // elements of a row of the unit's buffer
  uint32_t units = 0;
  uint32_t panels = 0;            // of all groups
  uint32_t tile_bytes = 0;        // of the buffer of one panel's tiles, multiple of 64
};

// A binary convolution that a sliced kernel runs; PreparedOp::weights are its panels.
struct PreparedSliced {
  const SlicedKernel* kernel = nullptr;
  BitSlice slice;
  std::unique_ptr<const SlicedLayout> layout;
  bool bits = false;           // THRESHOLD writes bits right from the planes: limits [panels][classes][limit_bytes], flips [panels][panel]
  AlignedBuffer limits, flips;
  size_t limit_bytes = 0;      // of a panel
  size_t memory_at = 0;        // of a thread's features in its scratch
};

// A binary convolution whose kernel has the pixels in the lanes; PreparedOp::weights are its panels too.
struct PreparedPixels {
  const PixelKernel* kernel = nullptr;
  std::unique_ptr<const PhasedMap> phases;
  std::vector<int32_t> offsets;       // [taps][words of a group]: from a position
  std::vector<uint32_t> pixel_class;  // [bands][positions, in whole blocks]; empty if there is one
  uint32_t classes = 1;
  size_t positions = 0;               // of a band, in whole blocks
  AlignedBuffer origins;              // [panels][16][classes]: -1 - limit
  std::vector<uint32_t> flip;         // [panels]
  std::vector<uint32_t> place;        // [panels]: the bit of an output pixel where a panel's begin
  uint64_t cycles_without[2] = {UINT64_MAX, 0};  // roughly, of a call and a sample with the channels in the lanes; UINT64_MAX where that is not possible
  size_t rows_at = 0, bits_at = 0;    // where in a thread's scratch, in words: of a block, of a band
  size_t origin_count() const { return size_t{16} * classes; }
};

// Bits of panels that share words of the output (joined_bits.h).
struct JoinedBits {
  struct Run {
    uint32_t from, to;  // words of the row and of the output pixel
    uint32_t down, up;  // shifts
    uint32_t mask;      // of the bits once they are down
  };
  std::vector<Run> runs;
  std::vector<uint32_t> flip;  // of an output pixel
  uint32_t panel_words = 1, row_words = 0;
};

// A binary or float convolution whose kernel takes the whole chain of steps in registers (FloatsTile, ShortsTile).
struct PreparedChain {
  bool fixed = false;
  AlignedBuffer origin;         // [row_classes][rows_stride] floats or int16; none of a float convolution
};

// A float convolution by minimal filtering; PreparedOp::weights are its transformed ones.
struct PreparedMinimal {
  const MinimalKernel* kernel = nullptr;
  MinimalLayout layout;
};

// A depthwise BCONV: rows as bdepthwise kernels read them.
struct PreparedDepthwise {
  uint32_t multiplier = 1;         // outputs of a channel
  uint32_t lanes = 0;
  std::vector<uint16_t> run;       // [output pixels]: how many pixels from here on continue each other's taps and padding class, itself included
  std::unique_ptr<const PhasedMap> phases;  // or null: the map as it lies
  std::vector<uint32_t> bound_of;  // [bands][blocks], with phases; empty: one bound
  uint32_t blocks = 0;             // of a band
  AlignedBuffer bounds;            // [classes, or rows of them][planes][lanes]; empty unless the kernel takes the threshold
  AlignedBuffer flip_and_real;     // [2][lanes]
  size_t bytes() const { return run.size() * 2 + bound_of.size() * 4 + bounds.size() + flip_and_real.size() + (phases ? phases->table_bytes() : 0); }
};

inline constexpr uint32_t kMostLines = 64;          // of a kernel that PreparedLines serves
inline constexpr uint32_t kMostLinePixels = 1024;  // of a row whose maxima are taken: they stay in L2

// An int8 convolution of few channels whose kernel computes stretches of rows of outputs (Int8Kernel::lines, maxima). A thread's scratch holds the lines
// of one, what the kernel needs, and its sums, or two rows of maxima.
struct PreparedLines {
  uint32_t lines = 0, line = 0;  // of the kernel; channels of one
  size_t step = 0;               // from a window to the next, in bytes
  uint32_t pixels = 0;           // of a stretch, at most
  size_t row_bytes = 0;          // of a line of a stretch
  size_t spare_at = 0, rows_at = 0, maxima = 0, bytes = 0;  // maxima: bytes of a row of them
  AlignedBuffer zeros;           // what the epilogue adds to sums that are complete
};

struct PreparedOp {
  Kernels kernels;                // the model's, but for those chosen for this op
  uint32_t item_pixels = 0;       // see Choice
  unsigned threads = 0;
  std::vector<PreparedStep> steps;
  size_t steps_at = 0;             // where they lie among those of all ops
  // Convolutions
  std::shared_ptr<const Table> table;
  Cut cut;
  uint32_t taps = 0, depth = 0;   // depth: words (BCONV) or channels (FCONV, QCONV) of one tap of one group
  AlignedBuffer weights;
  size_t panel_bytes = 0;
  const BinaryKernel* binary = nullptr;  // BCONV: the kernel or its variant for few channels
  bool wide = false;              // counts need 32 bits
  uint32_t planes = 1;            // BCONV: of its input; counts of the planes are summed
  size_t plane_scratch = 0;       // where a thread's scratch is free behind the tiles and rows: the counts of one plane
  bool fused_bits = false;        // the kernel itself takes the threshold
  bool tiles_apart = false;       // no tile has pixels of two samples
  JoinedBits joined;              // the same for panels whose bits share words; or without runs
  bool threshold = false;
  int32_t slope = 2;
  AlignedBuffer rows;             // int32 [classes][row_stride]: count limits (threshold) or origins, by absolute channel; QCONV: one row
  size_t rows_stride = 0;
  uint32_t row_classes = 0;
  const uint32_t* flip = nullptr;
  std::unique_ptr<const PreparedSliced> sliced;  // or null: the popcount kernel
  std::unique_ptr<const PreparedPixels> pixels;  // or null
  std::unique_ptr<const PreparedChain> chain;    // or null
  uint32_t fill = 0;              // what the padding pixel holds: 0 or all ones (cut to the real channels)
  std::unique_ptr<const PreparedMinimal> minimal;  // or null: the direct sum
  bool depthwise = false;         // groups == channels: lanes are channels, panels run over the groups
  std::shared_ptr<const Gather> gather;  // FCONV, QCONV of few channels: a tap is a line of the kernel
  size_t gather_at = 0;           // where in a thread's scratch
  std::unique_ptr<const PreparedLines> lines;  // QCONV, in place of gather: or null
  std::shared_ptr<const PreparedOp> pooled;    // QCONV: itself and the max pooling behind it, if its sums may be pooled; its steps are those of both
  std::vector<float> factors;     // of a first AFFINE, if they are not the file's
  std::vector<uint32_t> mask;     // BPOOL: the flips of one pixel, in the layout of its bits
  size_t rows_of_rhs = 0, origins_of_rhs = 0;  // BMATMUL: places in the shared memory of a run, behind the panels
  AlignedBuffer shorts;           // constants of i16 steps as int16
  std::unique_ptr<const PreparedDepthwise> bit_depthwise;
  std::shared_ptr<const ChainPlan> plan;
  // Elementwise kinds
  std::shared_ptr<const PoolAxes> windows;  // POOL
  uint32_t channel_block = 0;     // channels of a tile
  uint32_t pixel_block = 0;       // pixels of a tile
  bool flat = false;              // MAP of few channels, all treated alike: its elements are cut into pixels of channel_block channels
};

struct PreparedModel {
  std::shared_ptr<const Model> model;
  Kernels kernels;
  std::vector<PreparedOp> ops;
  size_t scratch_bytes = 0;   // of one thread, a multiple of 64
  size_t step_count = 0;      // of all ops
  size_t shared_bytes = 0;    // of all threads together: right sides of products
  uint64_t bytes = 0;         // weights, tables and rows held
  uint64_t weight_bytes = 0;  // packed weights alone
};

// The operation of the kernels that compute an op's sums, as list_kernels() names it; "" where there is only one way.
const char* operation_of(const OpInfo& op, const ValueInfo& input);

// How single ops, by index, are to run: texts of choice.h.
using Choices = std::map<size_t, std::string>;

std::shared_ptr<const PreparedModel> prepare(std::shared_ptr<const Model> model, const Kernels& kernels, const Choices& choices = {});

// One op alone, to try kernels on it: only ops[op] of the result can run.
std::shared_ptr<const PreparedModel> prepare_op(std::shared_ptr<const Model> model, const Kernels& kernels, const Choices& choices, size_t op);

}  // namespace bitwright
