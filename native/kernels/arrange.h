// Words of a map of bits brought into another order, 16 at a time: what a table of permutations does faster than one index a word.
#pragma once

#include <cstddef>
#include <cstdint>

namespace bitwright {

inline constexpr uint32_t kArrangeLanes = 16, kArrangeWindow = 32;

// Some lanes of a block, from a window of kArrangeWindow words, all of which are readable.
struct ArrangePiece {
  int32_t first;        // word of the window
  uint16_t lanes;
  uint8_t index[16];    // of the lane's word in the window; not read for other lanes
};

struct ArrangeBlock {
  uint16_t padding;     // lanes that get the padding
  uint16_t pieces;
};

// `lines` lines of `planes` planes each: the pieces of a line, one word further on from one plane to the next, in `from` and in the padding.
struct ArrangeJob {
  uint32_t* to;             // whole blocks are written
  size_t line, plane;       // words from one to the next
  const uint32_t* from;
  const uint32_t* padding;  // lane i gets padding[i % repeat]; readable
  uint32_t repeat;          // divides kArrangeLanes
  uint32_t lines, planes;
  const ArrangeBlock* block;  // [lines][blocks]
  const ArrangePiece* piece;
  size_t blocks;            // of a line
};

}  // namespace bitwright
