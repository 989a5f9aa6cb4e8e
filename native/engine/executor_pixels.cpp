// The output pixels of a band are cut into blocks of kPixelLanes. A block's bits are put together in words, all groups and outputs, before they go to
// memory, so that groups may share words.
#include "executor_pixels.h"

#include <algorithm>
#include <cstring>

#include "executor_maps.h"
#include "executor_sliced.h"
#include "split.h"

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
  const uint32_t bands = map.bands();
  const uint64_t cycles = map.cycles() * run.samples;
  const Split split = split_work(size_t{(run.samples + map.samples() - 1) / map.samples()} * bands, 1, 1, cycles, run.pool->worth_sharing(cycles) ? run.pool->threads() : 1);
  const auto item = [&](size_t index, unsigned thread) {
    auto* arranged = reinterpret_cast<uint32_t*>(run.scratch + thread * run.prepared->scratch_bytes);
    uint32_t* const rows = arranged + (map.arranged_words() + 15) / 16 * 16;  // [blocks][words][kPixelLanes]
    const Split::Item part = split.item(index);
    for (size_t i = part.first; i < part.first + part.pixels; ++i) {
      const auto sample = static_cast<uint32_t>(i / bands * map.samples()), band = static_cast<uint32_t>(i % bands);
      const uint32_t samples = std::min(map.samples(), run.samples - sample), positions = map.positions(band, samples);
      map.arrange(static_cast<const uint32_t*>(view.data) + sample * view.sample_stride, view.sample_stride, samples, band, arranged);
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
      map.for_rows(band, samples, [&](size_t position, size_t pixels, size_t pixel, size_t s) {
        uint32_t* out = static_cast<uint32_t*>(to.data) + (sample + s) * to.sample_stride + pixel * words;
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
      });
    }
  };
  run.pool->run(split.items(), item, cycles);
}

}  // namespace bitwright
