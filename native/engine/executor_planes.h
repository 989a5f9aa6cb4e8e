// Binary convolutions of activations with several bit planes.
#pragma once

#include "prepare.h"

namespace bitwright {

// counts[i*panel + j] = sum over the planes of 2^plane * (bits in which the plane differs from channel j's weights): the count kernel once a
// plane, the panel of weights stays in L1. `base` is tile.base, and is left changed; plane_words lie between a pixel's planes; `scratch` has room
// for one tile of counts.
void count_planes(uint32_t* counts, const BinaryTile& tile, const uint32_t** base, size_t plane_words, const PreparedOp& op,
                  const ProductKernel& product, void* scratch);

}  // namespace bitwright
