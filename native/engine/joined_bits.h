// Thresholds of groups whose outputs do not fill words: a kernel writes the bits of each panel to words of its own, a *row* for each pixel, and the runs
// of bits are put where they belong.
#pragma once

#include <cstdint>
#include <vector>

#include "prepare.h"

namespace bitwright {

// After the op's cut.
JoinedBits join_bits(const PreparedOp& p, uint32_t out_channels);

// out: words of the pixel. A word's runs follow each other and meet in a register: in memory each would wait for the one before.
inline void put_joined(const JoinedBits& joined, const uint32_t* row, uint32_t* out) {
  uint32_t at = 0, bits = joined.flip[0];
  for (const JoinedBits::Run& run : joined.runs) {
    if (run.to != at) {
      out[at] = bits;
      at = run.to;
      bits = joined.flip[at];
    }
    bits ^= (row[run.from] >> run.down & run.mask) << run.up;
  }
  out[at] = bits;
}

}  // namespace bitwright
