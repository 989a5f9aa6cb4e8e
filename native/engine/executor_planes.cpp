#include "executor_planes.h"

namespace bitwright {

void count_planes(uint32_t* counts, const BinaryTile& tile, const uint32_t** base, size_t plane_words, const PreparedOp& op,
                  const ProductKernel& product, void* scratch) {
  const BinaryKernel& kernel = *op.binary;
  const bool narrow = uint64_t{tile.taps} * tile.words * 32 <= 65535;
  const size_t n = size_t{tile.pixels} * kernel.panel;
  for (uint32_t plane = 0; plane < op.planes; ++plane) {
    if (narrow) {
      kernel.count16(static_cast<uint16_t*>(scratch), tile);
      product.add_plane16(counts, static_cast<const uint16_t*>(scratch), plane, n);
    } else {
      kernel.count32(static_cast<uint32_t*>(scratch), tile);
      product.add_plane32(counts, static_cast<const uint32_t*>(scratch), plane, n);
    }
    for (uint32_t i = 0; i < tile.pixels; ++i) base[i] += plane_words;
  }
}

}  // namespace bitwright
