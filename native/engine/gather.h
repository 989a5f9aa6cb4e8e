// Convolutions of few channels (a stem reads 3): the taps of one line of the kernel lie one after the other in memory, so that they become one tap: the
// 49 taps of 3 channels of a 7x7 stem are 7 of 21. Windows that reach into the padding have no such lines; they are copied into rows that do.
// All lengths and places count elements: bytes of int8 convolutions, floats.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "kernel_int8.h"
#include "table.h"

namespace bitwright {

// Windows that lie alike differ only in their origin: they share a pattern.
struct Gather {
  uint32_t lines = 0;             // of the kernel: the taps that the micro-kernel sees
  uint32_t line = 0;              // their channels
  size_t row = 0;                 // lines * line, rounded up to 4
  std::vector<int32_t> origin;    // [pixels]: from the sample's first element
  std::vector<uint32_t> pattern;  // [pixels]
  std::vector<uint32_t> first;    // [patterns + 1]: its runs are [first[i], first[i + 1])
  std::vector<GatherRun> runs;
  std::vector<uint8_t> whole;     // [patterns]: every line lies in the map
  int32_t step = 0;               // between the origins of neighbours, mostly
  std::vector<uint16_t> alike;    // [pixels]: how many from here on, itself included, are whole with one pattern, their origins `step` apart; 0: not whole
  std::vector<int32_t> offsets;   // [patterns][lines] of whole patterns, from the origin
  std::vector<int32_t> packed;    // [lines] of a copied window

  size_t bytes() const;
  size_t whole_pixels() const;
};

// `table` has the offsets, with `padding` for a tap in the padding; `channels`: of a tap; `width`: taps of a line.
std::shared_ptr<const Gather> make_gather(const Table& table, uint32_t channels, uint32_t width, int32_t padding);

}  // namespace bitwright
