// The output pixels of a band are cut into blocks of kPixelLanes. A block's bits are put together in words, all groups and outputs, before they go to
// memory, so that groups may share words.
#include "executor_pixels.h"

#include <algorithm>
#include <cstring>

#include "executor_maps.h"
#include "executor_phased.h"
#include "executor_sliced.h"

namespace bitwright {

bool pixels_pay(const RunContext& run, const PreparedOp& op) {
  const PreparedPixels& own = *op.pixels;
  const auto [call, sample] = own.cycles_without;
  return call == UINT64_MAX || own.phases->cycles(run.samples) < call + sample * run.samples;
}

void run_pixels(const RunContext& run, const OpInfo& info, const PreparedOp& op) {
  const ValueInfo& in = run.prepared->model->values[info.in];
  const View& view = run.views[info.in];
  const PreparedPixels& own = *op.pixels;
  const PhasedMap& map = *own.phases;
  const Cut& cut = op.cut;
  if (op.table->has_padding) fill_padding(run, in, view, op.fill);
  const StepList steps(run, op);
  const ValueRef& to = steps.data()[0].value;
  const size_t words = to.pixel_stride;
  const auto compute = [&](uint32_t* arranged, uint32_t band, uint32_t begin, uint32_t end) {
    uint32_t* const rows = arranged + own.rows_at;  // of a block: [words][kPixelLanes]
    uint32_t* const bits = arranged + own.bits_at;  // of the band: [positions][words]
    for (uint32_t first = begin; first < end; first += kPixelLanes) {
      uint32_t* const block = words == 1 ? bits + first : rows;
      std::memset(block, 0, kPixelLanes * words * sizeof(uint32_t));
      const uint32_t* pixel_class = own.classes == 1 ? nullptr : own.pixel_class.data() + band * own.positions + first;
      for (uint32_t g = 0, panel = 0; g < info.geometry.groups; ++g)
        for (uint32_t c = 0; c < cut.group_outputs; c += 16, ++panel)
          own.kernel->bits({arranged + size_t{g} * op.depth * map.plane() + first, own.offsets.data(), own.offsets.size(),
                            op.weights.as<uint8_t>() + panel * op.panel_bytes, std::min(16u, cut.group_outputs - c),
                            own.origins.as<int32_t>() + panel * own.origin_count(), own.classes, pixel_class, own.flip[panel],
                            block + own.place[panel] / 32 * kPixelLanes, own.place[panel] % 32});
      if (words != 1) own.kernel->transpose(bits + first * words, rows, words);
    }
  };
  const auto copy = [&](const uint32_t* arranged, size_t position, size_t pixels, uint32_t* out) {
    std::copy_n(arranged + own.bits_at + position * words, pixels * words, out);
  };
  run_bands(run, view, map, to, kPixelLanes, compute, copy);
}

}  // namespace bitwright
