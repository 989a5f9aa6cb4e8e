#include "prepare_pixels.h"

#include <algorithm>

namespace bitwright {

bool suits_pixels_in_lanes(const OpInfo& op, const PreparedOp& p, uint32_t classes) {
  constexpr size_t kMostSteps = 4096, kMostClasses = 64;
  if (!p.threshold || p.planes != 1 || p.taps * p.depth > kMostSteps || classes > kMostClasses) return false;
  const uint32_t groups = op.geometry.groups, outputs = op.out_channels / groups, next_groups = p.steps[0].step.value.groups;
  if (next_groups > 1 && op.out_channels / next_groups % outputs != 0) return false;  // a panel's bits would be several runs
  return outputs <= 16 || (groups > 1 && outputs % 32 != 0);
}

const BinaryKernel* with_pixels_in_lanes(const BinaryKernel* kernel) {
  while (!(kernel->pixels && *kernel->pixels)) {
    if (!kernel->narrow || !*kernel->narrow) return nullptr;
    kernel = *kernel->narrow;
  }
  return kernel;
}

// Cycles roughly as measured, of a block of 16 pixels, and of a pixel with
// channels in the lanes, where groups that share words go through memory.
std::unique_ptr<const PhasedMap> map_of_pixels(const OpInfo& op, const PreparedOp& p, const ValueInfo& in, bool dense) {
  const uint32_t groups = op.geometry.groups, outputs = op.out_channels / groups;
  const uint64_t steps = uint64_t{p.taps} * p.depth, panels = uint64_t{groups} * ((outputs + 15) / 16);
  const uint64_t block = groups * steps * (2 + outputs) + panels * 35, output_words = p.steps[0].step.value.pixel_stride;
  const uint64_t pixel = 11 + panels * (steps * 7 / 8 + p.taps * 9 / 8) + (groups > 1 && outputs % 32 != 0 ? panels * 11 : 0);
  PhasedMap::Problem problem{{}, {1, 1, 1}, {1, 1, 1}, p.depth, true, kPixelLanes, block, output_words == 1 ? 1 : 5 * output_words, pixel * p.table->pixels};
  if (!dense) {
    problem.geometry = op.geometry;
    problem.in = {in.dims[0], in.dims[1], in.dims[2]};
    problem.out = op.out;
    problem.words = static_cast<uint32_t>(in.pixel_stride());
  }
  return PhasedMap::make(problem);
}

void pixels_in_lanes(Preparation& all, const OpInfo& op, PreparedOp& p, std::unique_ptr<const PhasedMap> phases) {
  const bool one = p.row_classes == 1;
  auto own = std::make_unique<PreparedPixels>();
  own->kernel = *p.binary->pixels;
  own->phases = std::move(phases);
  const PhasedMap& map = *own->phases;
  own->classes = one ? 1 : p.row_classes <= 16 ? 16 : p.row_classes <= 32 ? 32 : 64;
  const ValueRef& to = p.steps[0].step.value;
  const uint32_t of_group = op.out_channels / to.groups, bits_of_group = static_cast<uint32_t>(round_up(of_group, 32));
  const uint32_t panels = p.cut.panels;
  all.charge(uint64_t{panels} * (own->origin_count() * 4 + 8) + map.table_bytes() + uint64_t{p.taps} * p.depth * 4 + (one ? 0 : map.bands() * (uint64_t{map.most_positions()} + kPixelLanes) * 4));
  own->origins = AlignedBuffer(panels * own->origin_count() * 4, true);
  for (uint32_t panel = 0; panel < panels; ++panel) {
    const uint32_t inside = panel % p.cut.panels_per_group * 16, first = panel / p.cut.panels_per_group * p.cut.group_outputs + inside;
    const uint32_t outputs = std::min(16u, p.cut.group_outputs - inside);
    own->place.push_back(first / of_group * bits_of_group + first % of_group);
    uint32_t flip = 0;
    for (uint32_t j = 0; j < outputs; ++j) {
      if (p.flip) flip |= (p.flip[(first + j) / 32] >> ((first + j) % 32) & 1) << j;
      for (uint32_t k = 0; k < p.row_classes; ++k)
        own->origins.as<int32_t>()[panel * own->origin_count() + size_t{j} * own->classes + k] = -1 - p.rows.as<int32_t>()[k * p.rows_stride + first + j];
    }
    own->flip.push_back(flip);
  }
  own->positions = round_up(map.most_positions(), kPixelLanes);
  for (uint32_t band = 0; !one && band < map.bands(); ++band)
    for (uint32_t i = 0; i < own->positions; ++i) {
      const uint32_t pixel = map.pixel(band, i);
      own->pixel_class.push_back(pixel == kNone ? 0 : p.table->class_of[pixel]);
    }
  for (int32_t tap : map.taps())
    for (uint32_t k = 0; k < p.depth; ++k) own->offsets.push_back(tap + static_cast<int32_t>(k * map.plane()));
  all.scratch((round_up(map.arranged_words(), 16) + to.pixel_stride * own->positions) * 4);  // the input, and the bits of the band
  p.pixels = std::move(own);
}

}  // namespace bitwright
