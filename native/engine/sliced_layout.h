// How an input map lies in memory for a sliced kernel (kernel.h), so that 8 output pixels read 8 positions one after the other for every tap.
//
// Each phase (phase_axis.h) that some tap uses is a map of its own, padding included, and all taps of an output pixel are fixed distances from it.
// Positions are numbered row by row. Rows may share their padding: what lies behind the end of one row is the beginning of the next.
//
// Either the rows of one plane follow each other (*flat*: groups of 8 run over row ends, the gaps' outputs are dropped), or each row has all its planes
// together (*rows*: sequential writes; where 8 divides the width). Layers whose taps all read the pixel itself (1x1, dense) have no gaps at all:
// there the samples of a batch follow each other too (*joined*).
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "kernel_sliced.h"
#include "model.h"
#include "table.h"

namespace bitwright {

struct SlicedLayout {
  uint32_t samples = 1;        // that fit the feature memory
  uint32_t channel_groups = 1;
  bool joined = false;
  uint32_t phases = 1;
  uint32_t blocks = 0;         // of 64 positions of one phase of one sample (joined: of all)
  uint32_t output_blocks = 0;  // the first ones, which hold output pixels
  uint32_t row_blocks = 1;     // of a row, where rows are laid out one by one
  size_t row_step = 64;        // bytes from the features of such a row (flat: of a block) to the next
  uint32_t reach = 0;          // blocks behind its own that the taps of a block's output pixels read, at most
  uint32_t reach_positions = 0;  // where positions follow each other: how far behind an output pixel its taps read
  size_t plane_stride = 0;
  size_t phase_bytes = 0;      // from a phase's planes to the next phase's; the joint planes follow the last
  size_t sample_bytes = 0;     // features of one group of channels of one sample (joined: of all samples)
  size_t spare_phase = 0;      // spare bits: from a phase to the next
  size_t spare_sample = 0;
  int32_t last = 0;            // offset of the plane of the last xor
  std::vector<int32_t> step;   // [steps]: offset of the first feature byte from the output pixel's position
  std::vector<int32_t> spare;  // [taps]: offset of the tap's spare bits
  // [phases][blocks][64]: the position's pixel in words from the sample's first; joined: [pixels], of the one tap.
  std::vector<int32_t> source;
  std::vector<uint8_t> runs;   // [phases][blocks]
  uint32_t positions = 0;      // joined: of one sample

  std::vector<SlicedGroup> groups;  // of one sample; not if joined
  std::vector<SlicedClass> classes;

  size_t block_at(uint32_t block) const { return block / row_blocks * row_step + size_t{block % row_blocks} * 64; }
  uint32_t block_of(size_t at) const { return static_cast<uint32_t>(at / row_step * row_blocks + at % row_step / 64); }  // of a position
  // The last block that output positions up to the one at `at` read.
  uint32_t last_read(size_t at) const { return std::min(reach_positions > 0 ? block_of(at + reach_positions) : block_of(at) + reach, blocks - 1); }
  // A thread's memory: features, spare bits, and a mark for each block that is there.
  size_t units() const { return joined ? channel_groups : size_t{samples} * channel_groups; }
  size_t feature_bytes() const { return (sample_bytes * units() + 128 + 63) / 64 * 64; }
  size_t spare_bytes() const { return (spare_sample * units() + 192 + 63) / 64 * 64; }
  size_t mark_bytes() const { return units() * (blocks + output_blocks); }
  size_t memory_bytes() const { return feature_bytes() + spare_bytes() + mark_bytes(); }
  size_t table_bytes() const;
};

struct SlicedProblem {
  Geometry geometry;
  std::array<uint32_t, 3> in, out;  // D, H, W
  bool one_tap;                     // the layer reads its whole map as one long tap
  const Table* table;               // of the layer, with offsets in words
  size_t pixel_stride;              // words
  int32_t padding;                  // offset of the padding pixel
  bool one_class;                   // all pixels have the same limits
  size_t origin_stride;             // from a class's origins to the next one's
};

// None for what has no layout: a transposed convolution, counts above 16 bits, features of more than 1 GiB a sample.
std::unique_ptr<SlicedLayout> make_sliced_layout(const SlicedProblem& problem, const BitSlice& slice);

}  // namespace bitwright
