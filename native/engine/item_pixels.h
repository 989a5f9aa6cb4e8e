// How many output pixels a work item of a convolution has, at most.
#pragma once

#include "prepare.h"

namespace bitwright {

// Where every tile is run by itself, a panel's weights wait in L1 for as many pixels as bring their inputs along: taking an item and setting it up costs
// a 1x1 layer of few channels up to 15 % with 128 pixels (Zen 5 server, bitwright_tiles_bench pixels; 3x3 layers 1 to 4 %). Elsewhere an item has arrays of
// its pixels, kChunk of them.
uint32_t item_pixels(const PreparedOp& op);

// Whether item_pixels says how the op's work is cut.
bool takes_items(const OpInfo& info, const PreparedOp& op);

}  // namespace bitwright
