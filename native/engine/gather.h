// Convolutions of few channels (a stem reads 3): their windows are copied into rows, so that the 49 taps of 3 bytes of a 7x7 stem fill 37 words of
// 4 bytes instead of 49.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "kernel.h"
#include "table.h"

namespace bitwright {

// Windows that lie alike differ only in their origin: they share a pattern.
struct Gather {
  size_t row_bytes = 0;           // taps * channels, rounded up to 4
  std::vector<int32_t> origin;    // [pixels]: from the sample's first byte
  std::vector<uint32_t> pattern;  // [pixels]
  std::vector<uint32_t> first;    // [patterns + 1]: its runs are [first[i], first[i + 1])
  std::vector<GatherRun> runs;

  size_t bytes() const;
};

// `table` has the offsets in bytes, the padding pixel's included; `channels`: bytes of a tap.
std::shared_ptr<const Gather> make_gather(const Table& table, uint32_t channels, int32_t padding);

}  // namespace bitwright
