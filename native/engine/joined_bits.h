// Thresholds of groups whose outputs do not fill words: a kernel writes the bits of each panel to words of its own, a *row* for each pixel, and the runs
// of bits are put where they belong.
#pragma once

#include <cstdint>
#include <vector>

#include "prepare.h"

namespace bitwright {

// After the op's cut; `panel_words`: of a panel in a row.
JoinedBits join_bits(const PreparedOp& p, uint32_t out_channels);

// out: words of the pixel.
inline void put_joined(const JoinedBits& joined, const uint32_t* row, uint32_t* out) {
  for (size_t w = 0; w < joined.flip.size(); ++w) out[w] = joined.flip[w];
  for (const JoinedBits::Run& r : joined.runs) out[r.to] ^= ((row[r.from] >> r.down) & r.mask) << r.up;
}

}  // namespace bitwright
