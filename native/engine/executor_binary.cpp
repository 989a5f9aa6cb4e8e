// Binary convolutions by the op's count kernel: thresholds and chains in its registers, or counts through memory to the epilogue.
#include <algorithm>

#include "executor.h"
#include "executor_chain.h"
#include "executor_items.h"
#include "executor_maps.h"
#include "executor_planes.h"
#include "executor_sliced.h"
#include "joined_bits.h"

namespace bitwright {
namespace {

// Where bits go: pixel p of sample n to data + n*sample_stride + p*pixel_stride - origin, a panel to the words of its channels or, if panel_words is not 0, to
// so many words of its own.
struct BitsTarget {
  uint32_t* data;
  size_t sample_stride, pixel_stride, origin;
  const uint32_t* flip;
  uint32_t panel_words;
};

// Thresholds taken by the kernel: no counts in memory. Small layers spend most of their time here and not in the kernel, so that pixels of one sample cost
// no work of their own.
void run_fused_bits(const RunContext& run, const PreparedOp& op, const View& in, const BitsTarget& to, uint32_t group_words, size_t first_pixel,
                    uint32_t pixels, uint32_t panel_begin, uint32_t panel_end) {
  const Cut& cut = op.cut;
  const BinaryKernel& kernel = *op.binary;
  const uint32_t per_sample = op.table->pixels;
  uint32_t segment = 0, tiles = 0, least = 0, larger = 0;  // pixels that are cut into tiles, as by tile_pixels
  const uint32_t* base[kMaxTilePixels];
  const int32_t* offset[kMaxTilePixels];
  const int32_t* limit[kMaxTilePixels];
  uint32_t* out[kMaxTilePixels];
  std::fill_n(limit, kernel.mr, op.rows.as<int32_t>());
  const int32_t* const rows = op.rows.as<int32_t>();
  const uint32_t* const class_of = op.row_classes > 1 ? op.table->class_of.data() : nullptr;
  const size_t rows_stride = op.rows_stride;
  const auto first_sample = run.first + static_cast<uint32_t>(first_pixel / per_sample), first_of_sample = static_cast<uint32_t>(first_pixel % per_sample);
  for (uint32_t u = panel_begin; u < panel_end; ++u) {
    const uint32_t group = u / cut.panels_per_group, first = u % cut.panels_per_group * cut.panel;
    const uint32_t channel = group * cut.group_outputs + first;
    const uint32_t* from = static_cast<const uint32_t*>(in.data) + size_t{group} * group_words;
    uint32_t* const into = to.data + (to.panel_words == 0 ? channel / 32 : u * to.panel_words);
    const uint8_t* weights = op.weights.as<uint8_t>() + u * op.panel_bytes;
    BitsTile bits{limit, to.flip ? to.flip + channel / 32 : nullptr, out, std::min(cut.panel, cut.group_outputs - first), channel, to.pixel_stride};
    uint32_t n = first_sample, p = first_of_sample;
    for (uint32_t left = pixels; left > 0; left -= segment) {
      const uint32_t next = op.tiles_apart ? std::min(left, per_sample - p) : left;
      if (segment != next) segment = next, tiles = (segment + kernel.mr - 1) / kernel.mr, least = segment / tiles, larger = segment % tiles;
      for (uint32_t t = 0; t < tiles; ++t) {
        const uint32_t count = least + (t < larger ? 1 : 0);
        const bool together = p + count <= per_sample;
        for (uint32_t k = 0; k < (together ? 1 : count); ++k) {
          base[k] = from + n * in.sample_stride;
          offset[k] = op.table->row(p);
          if (class_of) limit[k] = rows + class_of[p] * rows_stride;
          out[k] = into + (n * to.sample_stride + p * to.pixel_stride - to.origin);
          if (!together && ++p == per_sample) p = 0, ++n;
        }
        if (together) {
          if (class_of)
            for (uint32_t k = 1; k < count; ++k) limit[k] = rows + class_of[p + k] * rows_stride;
          if ((p += count) == per_sample) p = 0, ++n;
        }
        kernel.bits({base, offset, count, op.taps, op.depth, weights, together}, bits);
      }
    }
  }
}

// The same for panels that share words.
void run_joined_bits(const RunContext& run, const PreparedOp& op, const View& in, const ValueRef& to, uint32_t group_words, size_t first_pixel, uint32_t pixels,
                     uint32_t* rows) {
  const size_t per_sample = op.table->pixels, row = op.joined.row_words, from = run.first * per_sample + first_pixel;
  run_fused_bits(run, op, in, {rows, per_sample * row, row, from * row, nullptr, op.joined.panel_words}, group_words, first_pixel, pixels, 0, op.cut.panels);
  for (size_t i = from; i < from + pixels; ++i, rows += row)
    put_joined(op.joined, rows, static_cast<uint32_t*>(to.data) + i / per_sample * to.sample_stride + i % per_sample * to.pixel_stride);
}

template <class Count>
void run_binary(const RunContext& run, const OpInfo& info, const PreparedOp& op) {
  const Kernels& kernels = op.kernels;
  const BinaryKernel& kernel = *op.binary;
  const ValueInfo& in = run.prepared->model->values[info.in];
  const View& view = run.views[info.in];
  constexpr bool narrow = sizeof(Count) == 2;
  if (op.table->has_padding) fill_padding(run, in, view, op.fill);
  const StepList steps(run, op);
  const uint8_t* weights = run.panels ? run.panels : op.weights.as<uint8_t>();
  for_items(run, op, kernel.mr, [&](size_t first, uint32_t pixels, uint32_t unit_begin, uint32_t unit_end, unsigned thread) {
    if (op.fused_bits) {
      const ValueRef& to = steps.data()[0].value;
      const BitsTarget target{static_cast<uint32_t*>(to.data), to.sample_stride, to.pixel_stride, 0, op.flip, 0};
      return run_fused_bits(run, op, view, target, in.words(), first, pixels, unit_begin, unit_end);
    }
    if (!op.joined.runs.empty())
      return run_joined_bits(run, op, view, steps.data()[0].value, in.words(), first, pixels,
                             reinterpret_cast<uint32_t*>(run.scratch + thread * run.prepared->scratch_bytes));
    if (op.chain) return run_chain(run, info, op, steps, first, pixels, unit_begin, unit_end);
    Chunk chunk;
    fill_chunk(chunk, run, op, view, first, pixels);
    const auto compute = [&](Count* out, uint32_t group, uint32_t panel, uint32_t i, uint32_t count) {
      const uint32_t* base[kMaxTilePixels];
      for (uint32_t k = 0; k < count; ++k) base[k] = reinterpret_cast<const uint32_t*>(chunk.base[i + k]) + size_t{group} * in.words();
      const BinaryTile tile{base, chunk.offsets + i, count, op.taps, op.depth, weights + panel * op.panel_bytes,
                            chunk.n[i] == chunk.n[i + count - 1] && op.planes == 1};
      if constexpr (narrow) {
        kernel.count16(out, tile);
      } else if (op.planes != 1) {
        uint8_t* scratch = run.scratch + thread * run.prepared->scratch_bytes + op.plane_scratch;
        count_planes(out, tile, base, size_t{in.groups} * in.words(), op, *kernels.product, scratch);
      } else {
        kernel.count32(out, tile);
      }
    };
    const auto emit = [&](const Count* rows, uint32_t stride, uint32_t channel0, uint32_t channels, uint32_t i, uint32_t count) {
      const EpilogueTile tile{{count, chunk.n + i, chunk.p + i}, channel0, channels, stride};
      const EpilogueKernel& epilogue = *kernels.epilogue;
      if (op.threshold) {
        if constexpr (narrow)
          epilogue.threshold16(rows, tile, chunk.rows + i, op.flip, steps.data()[0].value);
        else
          epilogue.threshold32(rows, tile, chunk.rows + i, op.flip, steps.data()[0].value);
      } else {
        if constexpr (narrow)
          epilogue.from_counts16(rows, tile, chunk.rows + i, op.slope, steps.data(), steps.size());
        else
          epilogue.from_counts32(rows, tile, chunk.rows + i, op.slope, steps.data(), steps.size());
      }
    };
    run_units<Count>(op, kernel.mr, pixels, unit_begin, unit_end, run.scratch + thread * run.prepared->scratch_bytes, compute, emit);
  });
}

}  // namespace

void fill_padding(const RunContext& run, const ValueInfo& in, const View& view, uint32_t fill) {
  const uint32_t words = in.words(), tail = in.group_channels() % 32;
  const uint32_t last = tail ? fill & ((1u << tail) - 1) : fill;
  for (uint32_t n = 0; n < run.samples; ++n) {
    uint32_t* pixel = static_cast<uint32_t*>(view.data) + n * view.sample_stride + in.pixels() * in.pixel_stride();
    for (uint32_t g = 0; g < in.groups * in.planes; ++g, pixel += words) {
      // Mostly it is there already: written again, the cache line would be lost to the other threads.
      if (pixel[words - 1] == last && std::all_of(pixel, pixel + words - 1, [&](uint32_t word) { return word == fill; })) continue;
      std::fill_n(pixel, words - 1, fill);
      pixel[words - 1] = last;
    }
  }
}

void run_counts(const RunContext& run, const OpInfo& info, const PreparedOp& op) {
  op.wide ? run_binary<uint32_t>(run, info, op) : run_binary<uint16_t>(run, info, op);
}

}  // namespace bitwright
