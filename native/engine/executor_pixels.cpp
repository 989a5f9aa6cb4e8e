// The output pixels of a band are cut into blocks of kPixelLanes. A block's bits are put together in words, all groups and outputs, before they go to
// memory, so that groups may share words.
#include "executor_pixels.h"

#include <algorithm>
#include <cstring>

#include "executor_maps.h"
#include "executor_phased.h"
#include "executor_sliced.h"

namespace bitwright {

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
  const size_t rows_at = (map.arranged_words() + 15) / 16 * 16;  // [blocks][words][kPixelLanes]
  const auto compute = [&](uint32_t* arranged, uint32_t band, uint32_t samples) {
    uint32_t* const rows = arranged + rows_at;
    const uint32_t positions = map.positions(band, samples);
    std::memset(rows, 0, (positions + kPixelLanes - 1) / kPixelLanes * kPixelLanes * words * sizeof(uint32_t));
    for (uint32_t first = 0; first < positions; first += kPixelLanes) {
      uint32_t* const block = rows + first * words;
      const uint32_t* pixel_class = own.classes == 1 ? nullptr : own.pixel_class.data() + band * own.positions + first;
      for (uint32_t g = 0, panel = 0; g < info.geometry.groups; ++g)
        for (uint32_t c = 0; c < cut.group_outputs; c += 16, ++panel)
          own.kernel->bits({arranged + size_t{g} * op.depth * map.plane() + first, own.offsets.data(), own.offsets.size(),
                            op.weights.as<uint8_t>() + panel * op.panel_bytes, std::min(16u, cut.group_outputs - c),
                            own.origins.as<int32_t>() + panel * own.origin_count(), own.classes, pixel_class, own.flip[panel],
                            block + own.place[panel] / 32 * kPixelLanes, own.place[panel] % 32});
    }
  };
  const auto copy = [&](const uint32_t* arranged, size_t position, size_t pixels, uint32_t* out) {
    const uint32_t* const rows = arranged + rows_at;
    if (words == 1) {
      std::copy_n(rows + position, pixels, out);
      return;
    }
    for (size_t x = position, count; x < position + pixels; x += count) {
      count = std::min(position + pixels, x / kPixelLanes * kPixelLanes + kPixelLanes) - x;
      const uint32_t* from = rows + x / kPixelLanes * kPixelLanes * words + x % kPixelLanes;
      for (size_t n = 0; n < count; ++n, ++from, out += words)
        for (size_t w = 0; w < words; ++w) out[w] = from[w * kPixelLanes];
    }
  };
  run_bands(run, view, map, to, compute, copy);
}

}  // namespace bitwright
