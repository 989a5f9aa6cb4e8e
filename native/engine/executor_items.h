// Work items of convolutions.
//
// A convolution's output pixels, of all samples of the micro-batch, form one row of M = samples * pixels; so a dense layer's tiles run over
// the batch. Work items are chunks of that row, times units of output channels. Within an item units are the outer and tiles the inner loop: a panel of
// weights stays in L1 while the chunk's pixels pass.
#pragma once

#include <algorithm>
#include <cstring>

#include "executor.h"
#include "item_pixels.h"
#include "split.h"

namespace bitwright {

// The output pixels of a work item: everything that tiles need, once per chunk instead of once per tile.
struct Chunk {
  uint32_t pixels = 0;
  uint32_t n[kChunk];
  uint32_t p[kChunk];
  const uint8_t* base[kChunk];    // of the sample
  const int32_t* offsets[kChunk];
  const int32_t* rows[kChunk];    // limits or origins
};

inline void fill_chunk(Chunk& chunk, const RunContext& run, const PreparedOp& op, const View& in, size_t first, uint32_t pixels) {
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
inline uint32_t tile_pixels(uint32_t left, uint32_t mr) {
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
  const size_t tiles = (total + mr - 1) / mr, chunk = std::max(item_pixels(op) / mr, 1u) * mr;
  const Split split(tiles, op.cut.units, Split::by_units(tiles, op.cut.units, op.cut.panels * op.panel_bytes, run.pool->threads()));
  const auto body = [&](const Pool::Part& part) {
    split.rectangles(part.begin, part.end, [&](size_t first_tile, size_t end_tile, uint32_t unit_begin, uint32_t unit_end) {
      const size_t last = std::min(end_tile * mr, total);
      for (size_t first = first_tile * mr; first < last; first += chunk)
        item(run.pixels_begin + first, static_cast<uint32_t>(std::min(chunk, last - first)), unit_begin, unit_end, part.thread);
    });
  };
  if (run.is_band()) return body({0, split.cells(), 0, true});
  run.pool->run_parts(split.cells(), split.step(), body, cycles);
}

}  // namespace bitwright
