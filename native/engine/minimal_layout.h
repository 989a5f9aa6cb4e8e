// How minimal filtering (minimal_filter.h) cuts a float convolution: its kernel into parts, its output into tiles and strips of tiles, and where all that
// lies in a thread's memory.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "kernel_minimal.h"
#include "model.h"

namespace bitwright {

// Taps first, first + stride, ... of the kernel in one direction.
struct MinimalPart {
  uint32_t first, taps;
};

struct MinimalAxis {
  uint32_t stride = 1, outputs = 1, points = 1;  // of a tile
  std::vector<MinimalPart> parts;

  uint32_t points_of(const MinimalPart& part) const { return outputs + part.taps - 1; }
  // Point j of a part, as the axis counts them: infinity is the last one of both.
  uint32_t point(const MinimalPart& part, uint32_t j) const { return j + 1 == points_of(part) ? points - 1 : j; }
  uint32_t products() const;  // of a tile with one part's share each
};

MinimalAxis minimal_axis(uint32_t kernel, uint32_t stride, uint32_t outputs);

struct MinimalLayout {
  MinimalAxis rows, columns;
  uint32_t channels = 0, outputs = 0;
  uint32_t tile_rows = 0, tile_columns = 0;
  uint32_t strip = 0, strips = 0;       // tiles of a strip, the last one fewer
  uint32_t most_rows = 0;               // tile rows that are computed together, at most
  std::vector<uint32_t> depth;          // [column points][row points]: products
  std::vector<uint32_t> first;          // see first_product
  uint32_t products = 0;
  uint32_t panel = 0, lanes = 0;
  uint32_t unit = 0;                    // panels whose channels an epilogue gets together: whole words of bits
  // Floats. A line is a row of the map, transformed, with its padding; planes are a line's columns by their place in a tile, [step][plane_stride].
  size_t step = 0;                      // of a line, from a tile to the next
  size_t line = 0, plane_stride = 0, planes = 0, input_stride = 0;
  size_t zeros_at = 0, lines_at = 0, planes_at = 0, input_at = 0, spare_at = 0, out_at = 0, scratch = 0;

  // The first channel's product of a point of a row part and a point of a column part, each as the part counts them.
  uint32_t first_product(size_t row_part, uint32_t row_point, size_t column_part, uint32_t column_point) const {
    return first[((row_part * rows.points + row_point) * columns.parts.size() + column_part) * columns.points + column_point];
  }
  uint32_t panels() const { return (outputs + panel - 1) / panel; }
  // Channels of a panel, whole vectors.
  uint32_t width(uint32_t index) const;
  uint64_t weight_floats() const;
  uint64_t table_bytes() const { return (depth.size() + first.size()) * 4; }
  // Transforms the canonical weights [O][taps][C], in double precision. `to`: weight_floats().
  void pack(float* to, const float* weights) const;
};

// Whether minimal filtering can run a float convolution at all.
bool suits_minimal(const OpInfo& op, const ValueInfo& in);

MinimalLayout make_minimal_layout(const OpInfo& op, const ValueInfo& in, const MinimalKernel& kernel);

// Whether it is expected to be clearly faster than the direct sum by a kernel of that panel.
bool worth_minimal(const MinimalLayout& layout, const OpInfo& op, uint32_t direct_panel);

}  // namespace bitwright
