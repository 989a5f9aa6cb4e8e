#include "executor_numbers.h"

#include <algorithm>
#include <cstring>

#include "executor_chain.h"
#include "executor_items.h"
#include "executor_lines.h"
#include "executor_maps.h"

namespace bitwright {
namespace {

// What a panel of a float or int8 convolution reads: the channels of its group; a depthwise one its own.
size_t first_channel(const PreparedOp& op, uint32_t group, uint32_t panel) {
  return op.depthwise ? size_t{panel} * op.cut.panel : size_t{group} * op.depth;
}

uint32_t channels_of(const PreparedOp& op, uint32_t panel) {
  return op.depthwise ? std::min(op.cut.panel, op.cut.group_outputs - panel * op.cut.panel) : op.depth;
}

// Windows as lines: where they lie, or in rows if they reach into the padding. Fills windows, which are to be copied into the rows; gives how many.
template <class Element>
uint32_t gather_chunk(GatherWindow (&windows)[kChunk], const Gather& gather, Chunk& chunk, Element* rows) {
  constexpr auto kBytes = static_cast<ptrdiff_t>(sizeof(Element));
  uint32_t copied = 0;
  for (uint32_t i = 0, count; i < chunk.pixels; i += count) {
    const uint32_t p = chunk.p[i], pattern = gather.pattern[p], alike = gather.alike[p];
    const uint8_t* origin = chunk.base[i] + gather.origin[p] * kBytes;
    count = std::min(std::max(alike, 1u), chunk.pixels - i);
    if (alike != 0) {
      for (uint32_t k = 0; k < count; ++k) chunk.base[i + k] = origin + static_cast<ptrdiff_t>(k) * (gather.step * kBytes);
      std::fill_n(chunk.offsets + i, count, gather.offsets.data() + size_t{pattern} * gather.lines);
      continue;
    }
    const uint32_t first = gather.first[pattern];
    windows[copied] = {origin, chunk.base[i], gather.runs.data() + first, gather.first[pattern + 1] - first};
    chunk.base[i] = reinterpret_cast<const uint8_t*>(rows + copied++ * gather.row);
    chunk.offsets[i] = gather.packed.data();
  }
  return copied;
}

void copy_windows(float* rows, size_t row, const GatherWindow* windows, uint32_t count) {
  for (uint32_t i = 0; i < count; ++i, rows += row) {
    float* to = rows;
    for (uint32_t r = 0; r < windows[i].n_runs; ++r) {
      const GatherRun& part = windows[i].runs[r];
      if (part.fixed)
        std::fill_n(to, part.count, 0.0f);
      else
        std::memcpy(to, reinterpret_cast<const float*>(windows[i].origin) + part.offset, part.count * sizeof(float));
      to += part.count;
    }
  }
}

// With the chain of steps in registers. A unit is one panel; tiles end with a sample.
void run_float_chain(const OpInfo& info, const PreparedOp& op, const StepList& steps, const Chunk& chunk, uint32_t begin, uint32_t end) {
  const FloatKernel& kernel = *op.kernels.floats;
  const uint32_t per_sample = info.out_pixels();
  const float* base[kMaxTilePixels];
  for (uint32_t panel = begin; panel < end; ++panel) {
    const uint32_t group = panel / op.cut.panels_per_group, channel = group * op.cut.group_outputs + panel % op.cut.panels_per_group * op.cut.panel;
    const auto* weights = reinterpret_cast<const float*>(op.weights.as<uint8_t>() + panel * op.panel_bytes);
    auto to = chain_tile<FloatsTile>(op, steps.data(), channel);
    for (uint32_t i = 0, count; i < chunk.pixels; i += count) {
      count = tile_pixels(std::min(chunk.pixels - i, per_sample - chunk.p[i]), kernel.mr);
      for (uint32_t k = 0; k < count; ++k) base[k] = reinterpret_cast<const float*>(chunk.base[i + k]) + size_t{group} * op.depth;
      begin_values(to, *op.plan, steps.data(), chunk.n[i], chunk.p[i], channel);
      kernel.chain({base, chunk.offsets + i, count, op.taps, op.depth, weights}, to);
    }
  }
}

}  // namespace

void run_float(const RunContext& run, const OpInfo& info, const PreparedOp& op) {
  const Kernels& kernels = op.kernels;
  const FloatKernel& kernel = *kernels.floats;
  const View& view = run.view(info.in);
  const StepList steps(run, op);
  for_items(run, op, kernel.mr, [&](size_t first, uint32_t pixels, uint32_t unit_begin, uint32_t unit_end, unsigned thread) {
    uint8_t* scratch = run.scratch + thread * run.prepared->scratch_bytes;
    Chunk chunk;
    fill_chunk(chunk, run, op, view, first, pixels);
    if (op.gather) {
      GatherWindow windows[kChunk];
      auto* rows = reinterpret_cast<float*>(scratch + op.gather_at);
      copy_windows(rows, op.gather->row, windows, gather_chunk(windows, *op.gather, chunk, rows));
    }
    if (op.chain) return run_float_chain(info, op, steps, chunk, unit_begin, unit_end);
    const auto compute = [&](float* out, uint32_t group, uint32_t panel, uint32_t i, uint32_t count) {
      const float* base[kMaxTilePixels];
      const size_t at = first_channel(op, group, panel);
      for (uint32_t k = 0; k < count; ++k) base[k] = reinterpret_cast<const float*>(chunk.base[i + k]) + at;
      const FloatTile tile{base, chunk.offsets + i, count, op.taps, channels_of(op, panel),
                           reinterpret_cast<const float*>(op.weights.as<uint8_t>() + panel * op.panel_bytes)};
      op.depthwise ? kernel.depthwise(out, tile) : kernel.run(out, tile);
    };
    const auto emit = [&](const float* rows, uint32_t stride, uint32_t channel0, uint32_t channels, uint32_t i, uint32_t count) {
      const EpilogueTile tile{{count, chunk.n + i, chunk.p + i}, channel0, channels, stride};
      kernels.epilogue->from_float(rows, tile, steps.data(), steps.size());
    };
    run_units<float>(op, kernel.mr, pixels, unit_begin, unit_end, scratch, compute, emit);
  });
}

void run_int8(const RunContext& run, const OpInfo& info, const PreparedOp& op) {
  const Kernels& kernels = op.kernels;
  const Int8Kernel& kernel = *kernels.int8;
  const View& view = run.view(info.in);
  if (!run.is_band() && !op.lines) fill_int8_padding(run, info, op);
  const StepList steps(run, op);
  for_items(run, op, kernel.mr, [&](size_t first, uint32_t pixels, uint32_t unit_begin, uint32_t unit_end, unsigned thread) {
    uint8_t* scratch = run.scratch + thread * run.prepared->scratch_bytes;
    if (op.lines) return run_lines(run, info, op, steps.data(), first, pixels, unit_begin, unit_end, scratch);
    Chunk chunk;
    fill_chunk(chunk, run, op, view, first, pixels);
    if (op.gather) {
      GatherWindow windows[kChunk];
      uint8_t* rows = scratch + op.gather_at;
      kernel.gather(rows, op.gather->row, windows, gather_chunk(windows, *op.gather, chunk, rows));
    }
    const auto compute = [&](int32_t* out, uint32_t group, uint32_t panel, uint32_t i, uint32_t count) {
      const uint8_t* base[kMaxTilePixels];
      const size_t at = first_channel(op, group, panel);
      for (uint32_t k = 0; k < count; ++k) base[k] = chunk.base[i + k] + at;
      const Int8Tile tile{base, chunk.offsets + i, count, op.taps, channels_of(op, panel), op.weights.as<uint8_t>() + panel * op.panel_bytes};
      op.depthwise ? kernel.depthwise(out, tile) : kernel.run(out, tile);
    };
    const auto emit = [&](const int32_t* rows, uint32_t stride, uint32_t channel0, uint32_t channels, uint32_t i, uint32_t count) {
      const EpilogueTile tile{{count, chunk.n + i, chunk.p + i}, channel0, channels, stride};
      kernels.epilogue->from_int32(rows, tile, chunk.rows + i, steps.data(), steps.size());
    };
    run_units<int32_t>(op, kernel.mr, pixels, unit_begin, unit_end, scratch, compute, emit);
  });
}

void fill_int8_padding(const RunContext& run, const OpInfo& info, const PreparedOp& op) {
  if (!op.table->has_padding) return;
  const ValueInfo& in = run.prepared->model->values[info.in];
  const View& view = run.views[info.in];
  for (uint32_t n = 0; n < run.samples; ++n)
    std::memset(static_cast<uint8_t*>(view.data) + n * view.sample_stride * 4 + in.pixels() * in.channels(), static_cast<int>(op.fill), in.channels());
}

}  // namespace bitwright
