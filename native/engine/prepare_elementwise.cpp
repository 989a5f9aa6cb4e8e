#include <algorithm>

#include "prepare_layers.h"

namespace bitwright {

// A tap in the padding reads an element of its window once more, which changes no OR.
void prepare_bit_pooling(Preparation& all, const OpInfo& op, PreparedOp& p) {
  const ValueInfo& in = all.model().values[op.in];
  const Geometry& g = op.geometry;
  all.charge(uint64_t{op.out_pixels()} * (g.taps() + 1) * 4);
  const auto own = std::make_shared<Table>(*make_table(g, {in.dims[0], in.dims[1], in.dims[2]}, op.out, in.pixel_stride(), -1));
  for (size_t row = 0; row < own->offsets.size(); row += own->taps) {
    int32_t* offsets = own->offsets.data() + row;
    const int32_t inside = *std::find_if(offsets, offsets + own->taps, [](int32_t o) { return o >= 0; });
    std::replace(offsets, offsets + own->taps, -1, inside);
  }
  p.taps = own->taps;
  p.table = own;
  p.mask.assign(in.pixel_stride(), 0);
  const auto* flip = all.constant<uint32_t>(op.flip);
  for (uint32_t c = 0; flip && c < in.channels(); ++c) {
    const uint32_t place = c % in.group_channels();
    p.mask[size_t{c / in.group_channels()} * in.words() + place / 32] |= ((flip[c / 32] >> (c % 32)) & 1) << (place % 32);
  }
}

void prepare_elementwise(Preparation& all, const OpInfo& op, PreparedOp& p) {
  const uint32_t channels = op.opcode == Opcode::kEmbed ? op.out_channels : all.model().values[op.in].channels();
  p.channel_block = straddles(p) ? channels : p.flat ? kFlatChannels : std::min(channels, kFlatChannels);
  p.pixel_block = std::clamp(4096u / p.channel_block, 1u, kMaxTilePixels);
  all.scratch(uint64_t{p.pixel_block} * p.channel_block * 4);
  if (op.opcode != Opcode::kPool) return;
  const ValueInfo& in = all.model().values[op.in];
  p.taps = op.geometry.taps();
  all.charge((uint64_t{op.out[0]} + op.out[1] + op.out[2]) * sizeof(PoolWindow));
  p.windows = std::make_shared<const PoolAxes>(pool_axes(op.geometry, {in.dims[0], in.dims[1], in.dims[2]}, op.out));
}

}  // namespace bitwright
