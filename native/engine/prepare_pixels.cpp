#include "prepare_pixels.h"

#include <algorithm>

namespace bitwright {

bool suits_pixels_in_lanes(const OpInfo& op, const PreparedOp& p, uint32_t classes) {
  constexpr size_t kMostSteps = 4096, kMostClasses = 64;
  if (!p.threshold || p.planes != 1 || p.taps * p.depth > kMostSteps || classes > kMostClasses) return false;
  const uint32_t groups = op.geometry.groups, outputs = op.out_channels / groups, next_groups = p.steps[0].step.value.groups;
  const uint32_t of_group = op.out_channels / next_groups;
  return next_groups <= 1 || of_group % outputs == 0 || (of_group % 16 == 0 && (groups == 1 || outputs % 16 == 0));  // else a panel's bits would be several runs
}

const BinaryKernel* with_pixels_in_lanes(const BinaryKernel* kernel) {
  while (!(kernel->pixels && *kernel->pixels)) {
    if (!kernel->narrow || !*kernel->narrow) return nullptr;
    kernel = *kernel->narrow;
  }
  return kernel;
}

namespace {

// Both ways' times as fitted to 4000 layers of benchmarks/grid.py's kind that were run in both (Zen 5; 80 % of the fit lie within 10 %), in
// hundredths of a cycle. With the channels in the lanes, a pixel of a panel costs its end (more where groups share words), a tap its address, a word its counts.
struct InChannels {
  uint64_t end, joined, class_of, tap, word;
};
constexpr InChannels kOf16{378, 345, 340, 15, 74}, kOf32{620, 400, 230, 16, 149}, kOf64{840, 840, 255, 40, 309};
constexpr uint64_t kCall = 255, kSampleOfPanel = 1600;
// With the pixels in the lanes, a block of them: a panel, its words, and the outputs that are computed.
constexpr uint64_t kPanel = 1850, kPanelWord = 167, kOutputWord = 69, kOutput = 34, kOutputClass = 66;

}  // namespace

uint64_t cycles_without_pixels(const OpInfo& op, const PreparedOp& p, uint32_t classes) {
  const uint32_t groups = op.geometry.groups, outputs = op.out_channels / groups, panel = p.binary->panel;
  const uint64_t panels = uint64_t{groups} * ((outputs + panel - 1) / panel), pixels = p.table->pixels;
  const InChannels& each = panel <= 16 ? kOf16 : panel == 32 ? kOf32 : kOf64;
  const bool joined = groups > 1 && outputs % 32 != 0;
  const uint64_t pixel = each.end + (joined ? each.joined : 0) + (classes > 1 ? each.class_of : 0) + p.taps * (each.tap + p.depth * each.word);
  return (panels * (pixels * pixel + kSampleOfPanel) + (joined ? pixels * 200 : 0)) / 100;
}

std::unique_ptr<const PhasedMap> map_of_pixels(const OpInfo& op, const PreparedOp& p, const ValueInfo& in, bool dense, uint32_t classes) {
  const uint32_t groups = op.geometry.groups, outputs = op.out_channels / groups, rest = outputs % 16;
  const uint64_t steps = uint64_t{p.taps} * p.depth, panels = uint64_t{groups} * ((outputs + 15) / 16);
  const uint64_t computed = uint64_t{groups} * (outputs + (rest > 4 ? rest % 2 : 0));  // see the kernel
  const uint64_t block = (panels * (kPanel + steps * kPanelWord) + computed * (steps * kOutputWord + kOutput + (classes > 1 ? kOutputClass : 0))) / 100;
  const uint64_t output_words = p.steps[0].step.value.pixel_stride;
  // Few outputs have both ways at hand, see run_op.
  const uint32_t samples = in_both_ways(op, p) ? 8 : 1;
  PhasedMap::Problem problem{{}, {1, 1, 1}, {1, 1, 1}, p.depth, true, kPixelLanes, block, output_words == 1 ? 1 : 2 + output_words,
                             kCall, cycles_without_pixels(op, p, classes), samples, (*with_pixels_in_lanes(p.binary)->pixels)->arrange};
  if (!dense) {
    problem.geometry = op.geometry;
    problem.in = {in.dims[0], in.dims[1], in.dims[2]};
    problem.out = op.out;
    problem.words = static_cast<uint32_t>(in.pixel_stride());
  }
  return PhasedMap::make(problem);
}

bool in_both_ways(const OpInfo& op, const PreparedOp& p) { return p.binary->panel == 16 && op.out_channels / op.geometry.groups <= 16; }

void pixels_in_lanes(Preparation& all, const OpInfo& op, PreparedOp& p, std::unique_ptr<const PhasedMap> phases) {
  const bool one = p.row_classes == 1;
  auto own = std::make_unique<PreparedPixels>();
  if (in_both_ways(op, p)) own->cycles_without[0] = kCall, own->cycles_without[1] = cycles_without_pixels(op, p, p.row_classes);
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
  own->rows_at = round_up(map.arranged_words(), 16);
  own->bits_at = own->rows_at + to.pixel_stride * kPixelLanes;
  all.scratch((own->bits_at + to.pixel_stride * own->positions + 16) * 4);
  p.pixels = std::move(own);
}

}  // namespace bitwright
