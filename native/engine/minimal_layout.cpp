#include "minimal_layout.h"

#include <algorithm>
#include <cstring>

#include "minimal_filter.h"

namespace bitwright {
namespace {

constexpr uint32_t kStripTiles = 32;

size_t round_up(size_t n, size_t unit) { return (n + unit - 1) / unit * unit; }

template <int kOutputs>
double weight_of(uint32_t taps, uint32_t point, uint32_t tap) {
  switch (taps) {
    case 1: return minimal_filter<kOutputs, 1>.weight[point][tap];
    case 2: return minimal_filter<kOutputs, 2>.weight[point][tap];
    case 3: return minimal_filter<kOutputs, 3>.weight[point][tap];
    default: return minimal_filter<kOutputs, 4>.weight[point][tap];
  }
}

}  // namespace

uint32_t MinimalAxis::products() const {
  uint32_t sum = 0;
  for (const MinimalPart& part : parts) sum += points_of(part);
  return sum;
}

MinimalAxis minimal_axis(uint32_t kernel, uint32_t stride, uint32_t outputs) {
  MinimalAxis axis;
  axis.stride = stride;
  axis.outputs = outputs;
  uint32_t most = 0;
  for (uint32_t phase = 0; phase < std::min(stride, kernel); ++phase) {
    const uint32_t taps = (kernel - phase + stride - 1) / stride, count = (taps + kMinimalTaps - 1) / kMinimalTaps;
    for (uint32_t k = 0; k < count; ++k) {
      const uint32_t begin = k * taps / count, end = (k + 1) * taps / count;
      axis.parts.push_back({phase + begin * stride, end - begin});
      most = std::max(most, end - begin);
    }
  }
  axis.points = outputs + most - 1;
  return axis;
}

uint32_t MinimalLayout::width(uint32_t index) const {
  return static_cast<uint32_t>(round_up(std::min(panel, outputs - index * panel), lanes));
}

uint64_t MinimalLayout::weight_floats() const { return uint64_t{products} * ((panels() - 1) * panel + width(panels() - 1)); }

void MinimalLayout::pack(float* to, const float* weights) const {
  uint32_t kernel[2] = {0, 0};
  for (const MinimalPart& p : rows.parts) kernel[0] += p.taps;
  for (const MinimalPart& p : columns.parts) kernel[1] += p.taps;
  const size_t line_floats = size_t{kernel[1]} * channels;
  std::vector<double> sum(line_floats);
  std::memset(to, 0, weight_floats() * sizeof *to);
  for (uint32_t o = 0; o < outputs; ++o, weights += kernel[0] * line_floats) {
    const uint32_t index = o / panel, row = width(index);
    float* const lane = to + uint64_t{products} * index * panel + o % panel;
    for (size_t rp = 0; rp < rows.parts.size(); ++rp)
      for (uint32_t j = 0; j < rows.points_of(rows.parts[rp]); ++j) {
        const MinimalPart& part = rows.parts[rp];
        std::fill(sum.begin(), sum.end(), 0.0);
        for (uint32_t t = 0; t < part.taps; ++t) {
          const double by = weight_of<kMinimalRows>(part.taps, j, t);
          const float* from = weights + (part.first + t * rows.stride) * line_floats;
          for (size_t i = 0; i < line_floats; ++i) sum[i] += by * double{from[i]};
        }
        for (size_t cp = 0; cp < columns.parts.size(); ++cp)
          for (uint32_t k = 0; k < columns.points_of(columns.parts[cp]); ++k) {
            const MinimalPart& across = columns.parts[cp];
            const uint32_t product = first_product(rp, j, cp, k);
            for (uint32_t c = 0; c < channels; ++c) {
              double x = 0;
              for (uint32_t t = 0; t < across.taps; ++t)
                x += weight_of<kMinimalColumns>(across.taps, k, t) * sum[size_t{across.first + t * columns.stride} * channels + c];
              lane[size_t{product + c} * row] = static_cast<float>(x);
            }
          }
      }
  }
}

bool suits_minimal(const OpInfo& op, const ValueInfo& in) {
  const Geometry& g = op.geometry;
  if (g.transposed || g.groups != 1 || in.dims[0] != 1 || op.out[0] != 1 || g.kernel[0] != 1 || g.pad_begin[0] != 0) return false;
  if (op.out[1] < 2 || op.out[2] < 2) return false;
  for (int k = 1; k < 3; ++k) {
    if (g.stride[k] > 2 || g.kernel[k] < 2 || g.kernel[k] > 16) return false;
    if (g.dilation[k] != 1 || g.pad_begin[k] >= g.kernel[k] || g.pad_end[k] >= g.kernel[k]) return false;  // each window has an element of the map
  }
  return true;
}

MinimalLayout make_minimal_layout(const OpInfo& op, const ValueInfo& in, const MinimalKernel& kernel) {
  const Geometry& g = op.geometry;
  MinimalLayout l;
  l.rows = minimal_axis(g.kernel[1], g.stride[1], kMinimalRows);
  l.columns = minimal_axis(g.kernel[2], g.stride[2], kMinimalColumns);
  l.channels = in.channels();
  l.outputs = op.out_channels;
  l.panel = kernel.panel;
  l.lanes = kernel.lanes;
  l.unit = l.panel % 32 == 0 ? 1 : 32 / l.panel;
  l.tile_rows = (op.out[1] + kMinimalRows - 1) / kMinimalRows;
  l.tile_columns = (op.out[2] + kMinimalColumns - 1) / kMinimalColumns;
  l.strips = (l.tile_columns + kStripTiles - 1) / kStripTiles;
  l.strip = (l.tile_columns + l.strips - 1) / l.strips;
  l.strips = (l.tile_columns + l.strip - 1) / l.strip;
  l.most_rows = std::clamp((2 * kernel.mr + l.strip / 2) / l.strip, 1u, l.tile_rows);

  // Products in the order in which the kernel reads them.
  l.first.assign(l.rows.parts.size() * l.rows.points * l.columns.parts.size() * l.columns.points, 0);
  for (uint32_t column = 0; column < l.columns.points; ++column)
    for (uint32_t row = 0; row < l.rows.points; ++row) {
      const uint32_t before = l.products;
      for (size_t rp = 0; rp < l.rows.parts.size(); ++rp)
        for (uint32_t j = 0; j < l.rows.points_of(l.rows.parts[rp]); ++j)
          for (size_t cp = 0; cp < l.columns.parts.size() && l.rows.point(l.rows.parts[rp], j) == row; ++cp)
            for (uint32_t k = 0; k < l.columns.points_of(l.columns.parts[cp]); ++k) {
              if (l.columns.point(l.columns.parts[cp], k) != column) continue;
              l.first[((rp * l.rows.points + j) * l.columns.parts.size() + cp) * l.columns.points + k] = l.products;
              l.products += l.channels;
            }
      l.depth.push_back(l.products - before);
    }

  const uint32_t pixels = l.columns.stride * kMinimalColumns;  // input columns from a tile to the next
  uint32_t reach = 0;                                          // tiles further on whose columns a tile reads
  for (const MinimalPart& part : l.columns.parts) reach = std::max(reach, (l.columns.stride * (l.columns.points_of(part) - 1) + part.first) / pixels);
  l.step = size_t{pixels} * l.channels;
  l.plane_stride = round_up(size_t{l.strip} + reach, l.lanes);
  l.line = round_up(l.plane_stride * l.step, l.lanes) + 3 * l.lanes;  // begins within a vector, is read and written past its end
  l.planes = round_up(l.step, l.lanes) * l.plane_stride + l.lanes;
  l.input_stride = round_up((l.most_rows - 1) * size_t{l.strip} + round_up(l.strip, l.lanes), l.lanes);
  const auto place = [&](size_t floats) {
    const size_t at = l.scratch;
    l.scratch += round_up(floats, 16);
    return at;
  };
  l.zeros_at = place(l.line);
  l.lines_at = place(l.rows.points * l.line);
  l.planes_at = place(l.planes);
  l.input_at = place(l.products * l.input_stride);
  l.spare_at = place(kernel.spare_floats);
  l.out_at = place(size_t{kMinimalRows} * kMinimalColumns * kernel.mr * l.panel * l.unit);
  return l;
}

// Cycles of both ways, for one thread: fitted to 30 layers (7x7 stems to 3x3 layers of 512 channels), each run both ways in turn (Zen 5, AVX-512;
// bitwright_bench --benchmark_filter=minimal runs 20 of them), within 20 %. Two products a cycle; what an output costs beside its products; what a line of inputs costs; weights from beyond L2.
bool worth_minimal(const MinimalLayout& l, const OpInfo& op, uint32_t direct_panel) {
  constexpr double kGain = 1.15, kL2Bytes = 512 << 10, kL3Bytes = 8 << 20;
  const auto vectors = [&](uint32_t unit) { return static_cast<double>(round_up(l.outputs, unit) / l.lanes); };
  const double direct = static_cast<double>(op.out_pixels()) * vectors(direct_panel) * (0.53 * op.geometry.taps() * l.channels + 7);

  const double tiles = static_cast<double>(l.tile_rows) * l.tile_columns * kMinimalRows * kMinimalColumns;
  const double sums = tiles * vectors(l.lanes) * (1.05 / (2 * kMinimalRows * kMinimalColumns) * l.products + 10);
  const double transposes = static_cast<double>(l.plane_stride / l.lanes * (round_up(l.step, l.lanes) / l.lanes));
  const double columns = static_cast<double>(l.columns.products()) * l.channels * static_cast<double>(round_up(l.strip, l.lanes) / l.lanes);
  const double inputs = static_cast<double>(l.tile_rows) * l.strips * l.rows.products() * (5.0 * l.lanes * transposes + 4 * columns + 150);
  const double bytes = static_cast<double>(l.weight_floats()) * sizeof(float), passes = static_cast<double>((l.tile_rows + l.most_rows - 1) / l.most_rows) * l.strips;
  const double loads = bytes < kL2Bytes ? 0 : bytes * passes / (bytes < kL3Bytes ? 24 : 8);
  return kGain * (std::max(sums, loads) + inputs) < direct;
}

}  // namespace bitwright
