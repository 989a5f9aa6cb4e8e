#include "prepare_sliced.h"

#include <algorithm>

#include "sliced_rule.h"

namespace bitwright {

std::unique_ptr<PreparedSliced> make_sliced(const Preparation& all, const OpInfo& op, const PreparedOp& p, const ValueInfo& in, bool dense, bool one_class) {
  const SlicedKernel* kernel = p.kernels.sliced;
  const Geometry& g = op.geometry;
  if (!kernel || p.planes != 1 || straddles(p) || (g.groups > 1 && op.out_channels / g.groups % 32 != 0)) return nullptr;
  auto s = std::make_unique<PreparedSliced>();
  s->kernel = kernel;
  const bool whole_map = dense && in.pixels() > 1;
  s->slice = BitSlice(p.taps, whole_map ? p.depth * 32 : in.group_channels(), p.depth);
  const bool by_rule = !p.kernels.sliced_forced;
  if (by_rule && !may_slice(op, p, s->slice)) return nullptr;
  const SlicedProblem problem{g, {in.dims[0], in.dims[1], in.dims[2]}, op.out, dense, p.table.get(), in.pixel_stride(),
                              static_cast<int32_t>(in.pixels() * in.pixel_stride()), one_class, p.rows_stride};
  s->layout = make_sliced_layout(problem, s->slice);
  if (!s->layout || (by_rule && !worth_slicing(all.network_bytes(), op, p, s->slice, *s->layout))) return nullptr;
  s->bits = p.threshold;
  return s;
}

void pack_sliced(Preparation& all, const OpInfo& op, PreparedOp& p, PreparedSliced& s, const uint32_t* canonical) {
  p.panel_bytes = s.kernel->panel_bytes(s.slice);
  const uint64_t total = checked_product({uint64_t{op.geometry.groups} * p.cut.panels_per_group, p.panel_bytes}, all.model().limits.prepared_bytes,
                                         all.where() + ": packed weights");
  all.charge_weights(total);
  all.charge(s.layout->table_bytes());
  s.memory_at = p.plane_scratch;
  all.scratch(s.memory_at + s.layout->memory_bytes());
  p.weights = AlignedBuffer(total);
  const size_t row = size_t{p.cut.group_outputs} * p.taps * p.depth;
  for (uint32_t g = 0; g < op.geometry.groups; ++g)
    s.kernel->pack(p.weights.as<uint8_t>() + uint64_t{g} * p.cut.panels_per_group * p.panel_bytes, canonical + g * row, p.cut.group_outputs, s.slice);
}

void slice_limits(Preparation& all, const OpInfo& op, const PreparedOp& p, PreparedSliced& s) {
  const size_t one = s.kernel->limit_bytes(s.slice), classes = p.row_classes;
  const size_t panels = size_t{op.geometry.groups} * p.cut.panels_per_group;
  s.limit_bytes = one * classes;
  all.charge(panels * (s.limit_bytes + s.kernel->panel));
  s.limits = AlignedBuffer(panels * s.limit_bytes);
  s.flips = AlignedBuffer(panels * s.kernel->panel);
  std::vector<uint8_t> flip(s.kernel->panel);
  for (size_t panel = 0; panel < panels; ++panel) {
    const auto group = static_cast<uint32_t>(panel / p.cut.panels_per_group);
    const auto place = static_cast<uint32_t>(panel % p.cut.panels_per_group * p.cut.panel);
    const uint32_t first = group * p.cut.group_outputs + place, channels = std::min(p.cut.panel, p.cut.group_outputs - place);
    for (size_t k = 0; k < classes; ++k)
      s.kernel->pack_limits(s.limits.as<uint8_t>() + panel * s.limit_bytes + k * one, p.rows.as<int32_t>() + k * p.rows_stride + first, channels, s.slice);
    for (uint32_t c = 0; c < channels; ++c) flip[c] = p.flip && ((p.flip[(first + c) / 32] >> ((first + c) % 32)) & 1) != 0;
    s.kernel->pack_flip(s.flips.as<uint8_t>() + panel * s.kernel->panel, flip.data(), channels);
  }
}

}  // namespace bitwright
