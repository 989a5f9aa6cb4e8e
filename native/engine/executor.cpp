// Convolutions. The elementwise ops are in executor_maps.cpp.
//
// A convolution's output pixels, of all samples of the micro-batch, form one row of M = samples * pixels; so a dense layer's tiles run over
// the batch. Work items are chunks of that row (times slices of the units of output channels, where there are few chunks). Within an item units
// are the outer and tiles the inner loop: a panel of weights stays in L1 while the chunk's pixels pass.
#include "executor.h"

#include <algorithm>
#include <cstring>

#include "error.h"
#include "executor_chain.h"
#include "executor_lines.h"
#include "executor_maps.h"
#include "executor_matmul.h"
#include "executor_minimal.h"
#include "executor_pixels.h"
#include "executor_planes.h"
#include "executor_sliced.h"
#include "split.h"

namespace bitwright {
namespace {

// The output pixels of a work item: everything that tiles need, once per chunk instead of once per tile.
struct Chunk {
  uint32_t pixels = 0;
  uint32_t n[kChunk];
  uint32_t p[kChunk];
  const uint8_t* base[kChunk];    // of the sample
  const int32_t* offsets[kChunk];
  const int32_t* rows[kChunk];    // limits or origins
};

void fill_chunk(Chunk& chunk, const RunContext& run, const PreparedOp& op, const View& in, size_t first, uint32_t pixels) {
  const uint32_t per_sample = op.table->pixels;
  const int32_t* rows = run.origins ? run.origins : op.rows.as<int32_t>();
  const bool one_class = run.origins || op.rows.size() <= (op.rows_stride + kMaxPanel) * 4;
  auto n = run.first + static_cast<uint32_t>(first / per_sample), p = static_cast<uint32_t>(first % per_sample);
  chunk.pixels = pixels;
  // Sample by sample, and field by field, as loops that become vector stores.
  for (uint32_t i = 0, end; i < pixels; i = end, p = 0, ++n) {
    end = std::min(pixels, i + (per_sample - p));
    const int32_t* offsets = op.table->row(p);
    std::fill(chunk.n + i, chunk.n + end, n);
    std::fill(chunk.base + i, chunk.base + end, static_cast<const uint8_t*>(in.data) + n * in.sample_stride * 4);
    for (uint32_t k = i; k < end; ++k) chunk.p[k] = p + (k - i);
    for (uint32_t k = i; k < end; ++k) chunk.offsets[k] = offsets + size_t{k - i} * op.table->taps;
    if (!rows) continue;
    if (one_class) {
      std::fill(chunk.rows + i, chunk.rows + end, rows);
    } else {
      const auto* classes = op.table->class_of.data() + p;
      for (uint32_t k = i; k < end; ++k) chunk.rows[k] = rows + classes[k - i] * op.rows_stride;
    }
  }
}

// Pixels of the next tile: as few tiles as possible, of about the same size, because a tile of few pixels does not fill the pipes.
uint32_t tile_pixels(uint32_t left, uint32_t mr) {
  const uint32_t tiles = (left + mr - 1) / mr;
  return (left + tiles - 1) / tiles;
}

// Groups of few channels make these copies short and many: a call of memcpy would take longer than the counts.
template <class Element>
void copy_row(Element* to, const Element* from, uint32_t n) {
  constexpr uint32_t kBlock = 16 / sizeof(Element);
  if (n < kBlock) {
    for (uint32_t j = 0; j < n; ++j) to[j] = from[j];
    return;
  }
  for (uint32_t j = 0; j + kBlock < n; j += kBlock) std::memcpy(to + j, from + j, 16);
  std::memcpy(to + n - kBlock, from + n - kBlock, 16);
}

// Loops of one work item. compute(out, group, panel, first pixel, pixels) fills [pixels][panel]; emit(rows, stride, first channel, channels,
// first pixel, pixels) runs the epilogue.
template <class Element, class Compute, class Emit>
void run_units(const PreparedOp& op, uint32_t mr, uint32_t pixels, uint32_t unit_begin, uint32_t unit_end, uint8_t* scratch,
               const Compute& compute, const Emit& emit) {
  const Cut& cut = op.cut;
  auto* tile = reinterpret_cast<Element*>(scratch);
  auto* unit_rows = reinterpret_cast<Element*>(scratch + cut.tile_bytes);
  // An epilogue that gets many tiles at once loads its operands once for all of them; they still lie in L1.
  const uint32_t batch = cut.tile_bytes / (cut.panel * static_cast<uint32_t>(sizeof(Element)));
  for (uint32_t u = unit_begin; u < unit_end; ++u) {
    // Panels are numbered group by group.
    uint32_t begin = 0, end = cut.panels;
    if (!cut.whole_rows) {
      const uint32_t group = u / cut.units_per_group, q = u % cut.units_per_group * cut.panels_per_unit;
      begin = group * cut.panels_per_group + q;
      end = group * cut.panels_per_group + std::min(q + cut.panels_per_unit, cut.panels_per_group);
    }
    const auto channel_of = [&](uint32_t panel) {
      return panel / cut.panels_per_group * cut.group_outputs + panel % cut.panels_per_group * cut.panel;
    };
    const auto channels_in = [&](uint32_t panel) {
      return std::min(cut.panel, cut.group_outputs - panel % cut.panels_per_group * cut.panel);
    };
    const uint32_t channel0 = channel_of(begin);
    if (end - begin == 1) {
      for (uint32_t i = 0, rows; i < pixels; i += rows) {
        for (rows = 0; i + rows < pixels;) {
          const uint32_t count = tile_pixels(pixels - i - rows, mr);
          if (rows + count > batch) break;
          compute(tile + size_t{rows} * cut.panel, begin / cut.panels_per_group, begin, i + rows, count);
          rows += count;
        }
        emit(tile, cut.panel, channel0, channels_in(begin), i, rows);
      }
      continue;
    }
    for (uint32_t i = 0, count; i < pixels; i += count) {
      count = tile_pixels(pixels - i, mr);
      for (uint32_t panel = begin; panel < end; ++panel) {
        compute(tile, panel / cut.panels_per_group, panel, i, count);
        const uint32_t at = channel_of(panel) - channel0, channels = channels_in(panel);
        for (uint32_t k = 0; k < count; ++k) copy_row(unit_rows + size_t{k} * cut.row_stride + at, tile + size_t{k} * cut.panel, channels);
      }
      emit(unit_rows, cut.row_stride, channel0, channel_of(end - 1) + channels_in(end - 1) - channel0, i, count);
    }
  }
}

// Cuts M pixels and the units into items and hands them to the pool: item(first pixel, pixels, first unit, last unit, thread).
template <class Item>
void for_items(const RunContext& run, const PreparedOp& op, uint32_t mr, const Item& item) {
  const size_t total = run.is_band() ? run.pixels_end - run.pixels_begin : size_t{run.samples} * op.table->pixels;
  // A pixel meets all packed weights, at 64 bytes a cycle or somewhat more.
  const uint64_t cycles = total * (op.cut.panels * op.panel_bytes / 64 + 1);
  const unsigned threads = !run.is_band() && run.pool->worth_sharing(cycles) ? run.pool->threads() : 1;
  const Split split = split_work(total, op.cut.units, mr, cycles, threads);
  const auto body = [&](size_t i, unsigned thread) {
    const Split::Item part = split.item(i);
    item(run.pixels_begin + part.first, part.pixels, part.unit_begin, part.unit_end, thread);
  };
  run.pool->run(split.items(), body, cycles);
}

// Thresholds taken by the kernel: no counts in memory. A unit is one panel. Small layers spend most of their time here and not in the kernel, so
// that pixels of one sample cost no work of their own.
void run_fused_bits(const RunContext& run, const PreparedOp& op, const View& in, const ValueRef& to, uint32_t group_words, size_t first_pixel,
                    uint32_t pixels, uint32_t unit_begin, uint32_t unit_end) {
  const Cut& cut = op.cut;
  const BinaryKernel& kernel = *op.binary;
  const uint32_t per_sample = op.table->pixels;
  const uint32_t tiles = (pixels + kernel.mr - 1) / kernel.mr, least = pixels / tiles, larger = pixels % tiles;  // as tile_pixels
  const uint32_t* base[kMaxTilePixels];
  const int32_t* offset[kMaxTilePixels];
  const int32_t* limit[kMaxTilePixels];
  uint32_t* out[kMaxTilePixels];
  std::fill_n(limit, kernel.mr, op.rows.as<int32_t>());
  const auto row_of = [&](uint32_t p) { return op.rows.as<int32_t>() + op.table->class_of[p] * op.rows_stride; };
  for (uint32_t u = unit_begin; u < unit_end; ++u) {
    const uint32_t group = u / cut.panels_per_group, first = u % cut.panels_per_group * cut.panel;
    const uint32_t channel = group * cut.group_outputs + first;
    const uint32_t* from = static_cast<const uint32_t*>(in.data) + size_t{group} * group_words;
    uint32_t* const into = static_cast<uint32_t*>(to.data) + channel / 32;
    const uint8_t* weights = op.weights.as<uint8_t>() + u * op.panel_bytes;
    BitsTile bits{limit, op.flip ? op.flip + channel / 32 : nullptr, out, std::min(cut.panel, cut.group_outputs - first), channel, to.pixel_stride};
    auto n = run.first + static_cast<uint32_t>(first_pixel / per_sample), p = static_cast<uint32_t>(first_pixel % per_sample);
    for (uint32_t t = 0; t < tiles; ++t) {
      const uint32_t count = least + (t < larger ? 1 : 0);
      const bool together = p + count <= per_sample;
      for (uint32_t k = 0; k < (together ? 1 : count); ++k) {
        base[k] = from + n * in.sample_stride;
        offset[k] = op.table->row(p);
        if (op.row_classes > 1) limit[k] = row_of(p);
        out[k] = into + n * to.sample_stride + p * to.pixel_stride;
        if (!together && ++p == per_sample) p = 0, ++n;
      }
      if (together) {
        if (op.row_classes > 1)
          for (uint32_t k = 1; k < count; ++k) limit[k] = row_of(p + k);
        if ((p += count) == per_sample) p = 0, ++n;
      }
      kernel.bits({base, offset, count, op.taps, op.depth, weights, together}, bits);
    }
  }
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
    if (op.fused_bits) return run_fused_bits(run, op, view, steps.data()[0].value, in.words(), first, pixels, unit_begin, unit_end);
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

}  // namespace

// Writes the padding pixel of every sample.
void fill_padding(const RunContext& run, const ValueInfo& in, const View& view, uint32_t fill) {
  const uint32_t words = in.words(), tail = in.group_channels() % 32;
  const uint32_t last = tail ? fill & ((1u << tail) - 1) : fill;
  for (uint32_t n = 0; n < run.samples; ++n) {
    uint32_t* pixel = static_cast<uint32_t*>(view.data) + n * view.sample_stride + in.pixels() * in.pixel_stride();
    for (uint32_t g = 0; g < in.groups * in.planes; ++g, pixel += words) {
      std::fill_n(pixel, words - 1, fill);
      pixel[words - 1] = last;
    }
  }
}

void fill_int8_padding(const RunContext& run, const OpInfo& info, const PreparedOp& op) {
  if (!op.table->has_padding) return;
  const ValueInfo& in = run.prepared->model->values[info.in];
  const View& view = run.views[info.in];
  for (uint32_t n = 0; n < run.samples; ++n)
    std::memset(static_cast<uint8_t*>(view.data) + n * view.sample_stride * 4 + in.pixels() * in.channels(), static_cast<int>(op.fill), in.channels());
}

StepList::StepList(const RunContext& run, const PreparedOp& op) : steps_(run.steps), size_(op.steps.size()) {
  Step* to = run.steps;
  for (const PreparedStep& p : op.steps) {
    *to = p.step;
    if (p.value != kNone) {
      const View& view = run.view(p.value);
      to->value.data = view.data;
      const size_t per_word = 4 / run.prepared->model->values[p.value].element_bytes();
      to->value.sample_stride = view.sample_stride * per_word;
    }
    ++to;
  }
}

void run_counts(const RunContext& run, const OpInfo& info, const PreparedOp& op) {
  op.wide ? run_binary<uint32_t>(run, info, op) : run_binary<uint16_t>(run, info, op);
}

void run_op(const RunContext& run, size_t index) {
  const OpInfo& info = run.prepared->model->ops[index];
  const PreparedOp& op = run.prepared->ops[index];
  switch (info.opcode) {
    case Opcode::kBconv:
      if (op.bit_depthwise) return run_depthwise(run, info, op);
      if (op.sliced) return run_sliced(run, info, op);
      op.pixels ? run_pixels(run, info, op) : run_counts(run, info, op);
      break;
    case Opcode::kFconv: op.minimal ? run_minimal(run, info, op) : run_float(run, info, op); break;
    case Opcode::kQconv: run_int8(run, info, op); break;
    case Opcode::kPool: run_pool(run, info, op); break;
    case Opcode::kBpool: run_bit_pool(run, info, op); break;
    case Opcode::kMap: run_map(run, info, op); break;
    case Opcode::kCopy: run_copy(run, info); break;
    case Opcode::kBmatmul: run_matmul(run, info, op); break;
    case Opcode::kEmbed: run_embed(run, info, op); break;
  }
}

}  // namespace bitwright
