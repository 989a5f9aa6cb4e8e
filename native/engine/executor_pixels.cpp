// The output pixels of all samples form one row, cut into blocks of kPixelLanes. A block's bits are put together in words, all groups and outputs, before
// they go to memory, so that groups may share words.
#include "executor_pixels.h"

#include <algorithm>
#include <cstring>

#include "executor_maps.h"
#include "executor_sliced.h"
#include "split.h"

namespace bitwright {
namespace {

// The pixels of a block: those of the lanes past the row's end are its first sample's.
struct Block {
  uint32_t n, p, count;
  bool one_sample;
  uint32_t sample[kPixelLanes], pixel[kPixelLanes];
  int32_t at[kPixelLanes];  // words to the lane's sample from the first one's

  Block(size_t first, uint32_t pixels, uint32_t per_sample, size_t sample_stride)
      : n(static_cast<uint32_t>(first / per_sample)), p(static_cast<uint32_t>(first % per_sample)), count(pixels), one_sample(p + pixels <= per_sample) {
    if (one_sample) return;
    uint32_t s = n, q = p;
    for (uint32_t i = 0; i < kPixelLanes; ++i) {
      sample[i] = s;
      pixel[i] = q;
      at[i] = i < count ? static_cast<int32_t>((s - n) * sample_stride) : 0;
      if (++q == per_sample) q = 0, ++s;
    }
  }
};

void write(const Block& block, const uint32_t* rows, const ValueRef& to) {
  const size_t words = to.pixel_stride;
  auto* data = static_cast<uint32_t*>(to.data);
  if (block.one_sample) {
    data += block.n * to.sample_stride + block.p * words;
    if (words == 1) {
      std::memcpy(data, rows, block.count * sizeof(uint32_t));
      return;
    }
    for (uint32_t i = 0; i < block.count; ++i)
      for (size_t w = 0; w < words; ++w) data[i * words + w] = rows[w * kPixelLanes + i];
    return;
  }
  for (uint32_t i = 0; i < block.count; ++i)
    for (size_t w = 0; w < words; ++w) data[block.sample[i] * to.sample_stride + block.pixel[i] * words + w] = rows[w * kPixelLanes + i];
}

}  // namespace

bool pixels_fit_lanes(const RunContext& run, const OpInfo& info, const PreparedOp& op) {
  if (!op.pixels) return false;
  if (kPixelLanes * run.views[info.in].sample_stride >= size_t{1} << 31) return false;
  // Cycles, roughly as measured: here of a block of pixels, there, with channels in the lanes and panels of 16, of a pixel.
  const uint64_t total = uint64_t{run.samples} * op.table->pixels, blocks = (total + kPixelLanes - 1) / kPixelLanes;
  const uint64_t taps = op.taps, panels = (op.cut.group_outputs + 15) / 16;
  const uint64_t here = taps * (20 + op.cut.group_outputs) + panels * 40;
  const uint64_t there = panels * (taps * 3 + (op.cut.whole_rows ? 40 : 5));
  return blocks * here <= total * there;
}

void run_pixels(const RunContext& run, const OpInfo& info, const PreparedOp& op) {
  const ValueInfo& in = run.prepared->model->values[info.in];
  const View& view = run.views[info.in];
  const PreparedPixels& own = *op.pixels;
  const Cut& cut = op.cut;
  if (op.table->has_padding) fill_padding(run, in, view, op.fill);
  const StepList steps(run, op);
  const ValueRef& to = steps.data()[0].value;
  const size_t taps_words = size_t{op.taps} * op.depth, total = size_t{run.samples} * op.table->pixels;
  const uint64_t cycles = (total + kPixelLanes - 1) / kPixelLanes * info.geometry.groups * taps_words * (12 + cut.group_outputs);
  const Split split = split_work(total, 1, kPixelLanes, cycles, run.pool->worth_sharing(cycles) ? run.pool->threads() : 1);
  const auto item = [&](size_t index, unsigned thread) {
    auto* x = reinterpret_cast<uint32_t*>(run.scratch + thread * run.prepared->scratch_bytes);
    uint32_t* rows = x + taps_words * kPixelLanes;
    const Split::Item part = split.item(index);
    const size_t end = part.first + part.pixels;
    for (size_t first = part.first; first < end; first += kPixelLanes) {
      const Block block(first, static_cast<uint32_t>(std::min<size_t>(kPixelLanes, end - first)), op.table->pixels, view.sample_stride);
      const uint32_t* base = static_cast<const uint32_t*>(view.data) + block.n * view.sample_stride;
      std::memset(rows, 0, to.pixel_stride * kPixelLanes * sizeof(uint32_t));
      for (uint32_t g = 0, panel = 0; g < info.geometry.groups; ++g) {
        own.kernel->gather(x, {base + size_t{g} * in.words(), own.offsets.data() + block.p, own.stride, block.one_sample ? nullptr : block.at, op.taps, op.depth});
        for (uint32_t c = 0; c < cut.group_outputs; c += 16, ++panel)
          own.kernel->bits({x, taps_words, op.weights.as<uint8_t>() + panel * op.panel_bytes, std::min(16u, cut.group_outputs - c),
                            own.limits.as<int32_t>() + panel * own.limit_count(), own.classes,
                            own.pixel_class.data() + (own.classes == 1 ? 0 : block.p), own.flip[panel],
                            rows + own.place[panel] / 32 * kPixelLanes, own.place[panel] % 32});
      }
      write(block, rows, to);
    }
  };
  run.pool->run(split.items(), item, cycles);
}

}  // namespace bitwright
