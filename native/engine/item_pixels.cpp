#include "item_pixels.h"

#include <algorithm>

#include "split.h"

namespace bitwright {

uint32_t item_pixels(const PreparedOp& op) {
  constexpr uint32_t kInputBytes = 16 << 10, kMostPixels = 2048;
  const bool by_tiles = op.fused_bits || (op.chain && op.binary);
  if (!by_tiles) return op.item_pixels ? std::min(op.item_pixels, kChunk) : kChunk;
  return op.item_pixels ? op.item_pixels : std::clamp(kInputBytes / (std::max(op.depth, 1u) * 4), kChunk, kMostPixels);
}

bool takes_items(const OpInfo& info, const PreparedOp& op) {
  switch (info.opcode) {
    case Opcode::kBconv: return !op.bit_depthwise && !op.sliced && !op.pixels;
    case Opcode::kFconv: return !op.minimal;
    case Opcode::kQconv: return true;
    default: return false;
  }
}

}  // namespace bitwright
