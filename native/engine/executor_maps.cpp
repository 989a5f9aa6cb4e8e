#include "executor_maps.h"

#include <algorithm>
#include <cstring>
#include <type_traits>

#include "error.h"

namespace bitwright {
namespace {

void emit(const EpilogueKernel& epilogue, const float* rows, const EpilogueTile& tile, const StepList& steps) {
  epilogue.from_float(rows, tile, steps.data(), steps.size());
}

void emit(const EpilogueKernel& epilogue, const int16_t* rows, const EpilogueTile& tile, const StepList& steps) {
  epilogue.from_i16(rows, tile, steps.data(), steps.size());
}

// Cuts the op's output into tiles of pixel_block pixels x channel_block channels; make(row, n, p, channel, channels) writes the elements of
// one pixel, float or int16_t, then the epilogue takes the tile.
template <class Element = float, class Make>
void for_tiles(const RunContext& run, const PreparedOp& op, size_t pixels, uint32_t channels, const Make& make) {
  const StepList steps(run, op);
  const EpilogueKernel& epilogue = *run.prepared->kernels.epilogue;
  const size_t total = run.samples * pixels;
  const uint32_t block = op.pixel_block;
  const auto body = [&](size_t item, unsigned thread) {
    auto* rows = reinterpret_cast<Element*>(run.scratch + thread * run.prepared->scratch_bytes);
    uint32_t n[kMaxTilePixels], p[kMaxTilePixels];
    const size_t first = item * block;
    const auto count = static_cast<uint32_t>(std::min<size_t>(block, total - first));
    for (uint32_t i = 0; i < count; ++i) {
      n[i] = static_cast<uint32_t>((first + i) / pixels);
      p[i] = static_cast<uint32_t>((first + i) % pixels);
    }
    for (uint32_t c = 0; c < channels; c += op.channel_block) {
      const uint32_t width = std::min(op.channel_block, channels - c);
      for (uint32_t i = 0; i < count; ++i) make(rows + size_t{i} * width, n[i], p[i], c, width);
      emit(epilogue, rows, {{count, n, p}, c, width, width}, steps);
    }
  };
  run.pool->run((total + block - 1) / block, body, total * channels);  // a cycle an element, at least
}

// A chain of i16 steps from its beginning: the elements stay integers.
bool stays_fixed(const PreparedOp& op) { return is_fixed(op.steps[0].step.kind) && op.steps[0].step.kind != StepKind::kQuantizeI16; }

// Samples of a value, as elements of its type.
template <class Element>
const Element* sample(const View& view, size_t n) {
  return reinterpret_cast<const Element*>(static_cast<const uint32_t*>(view.data) + n * view.sample_stride);
}

template <class Integer>
void scale_row(float* row, const Integer* q, const ValueInfo& v, uint32_t width) {
  const auto zero = static_cast<int32_t>(v.zero);
  for (uint32_t c = 0; c < width; ++c) row[c] = static_cast<float>(q[c] - zero) * v.scale;
}

// Bits of one pixel as -1/+1, channels [c, c + width).
void unpack_row(float* row, const uint32_t* pixel, const ValueInfo& v, uint32_t c, uint32_t width) {
  const uint32_t group_channels = v.group_channels(), words = v.words();
  uint32_t in_group = c % group_channels;
  const uint32_t* group = pixel + size_t{c / group_channels} * words;
  for (uint32_t i = 0; i < width; ++i) {
    row[i] = (group[in_group / 32] >> (in_group % 32)) & 1 ? 1.0f : -1.0f;
    if (++in_group == group_channels) in_group = 0, group += words;
  }
}

// Elements of a float map in rows of channel_block, the last one shorter.
void run_flat_map(const RunContext& run, const PreparedOp& op, const View& view, size_t elements) {
  const uint32_t width = op.channel_block, block = op.pixel_block;
  const StepList steps(run, op, width);
  const EpilogueKernel& epilogue = *run.prepared->kernels.epilogue;
  const size_t rows = elements / width, blocks = (rows + block - 1) / block, items = blocks + (elements % width != 0 ? 1 : 0);
  const auto body = [&](size_t item, unsigned) {
    uint32_t n[kMaxTilePixels], p[kMaxTilePixels];
    const auto sample = static_cast<uint32_t>(item / items);
    const bool last = item % items == blocks;
    const size_t first = last ? rows : item % items * block;
    const uint32_t count = last ? 1 : static_cast<uint32_t>(std::min<size_t>(block, rows - first));
    for (uint32_t i = 0; i < count; ++i) n[i] = sample, p[i] = static_cast<uint32_t>(first + i);
    const float* x = static_cast<const float*>(view.data) + sample * view.sample_stride + first * width;
    epilogue.from_float(x, {{count, n, p}, 0, last ? static_cast<uint32_t>(elements % width) : width, width}, steps.data(), steps.size());
  };
  run.pool->run(run.samples * items, body, run.samples * elements / 4);
}

}  // namespace

// Max pooling of bits: OR, then the flips. The usual window of 2 x 2 has a loop that the compiler unrolls.
void run_bit_pool(const RunContext& run, const OpInfo& info, const PreparedOp& op) {
  constexpr size_t kBlock = 64;  // pixels of a work item
  const View &from = run.views[info.in], &to = run.views[info.target];
  const Table& table = *op.table;
  const size_t words = op.mask.size(), total = size_t{run.samples} * table.pixels;
  const uint32_t* mask = op.mask.data();
  const auto body = [&](size_t item, unsigned) {
    const size_t first = item * kBlock, end = std::min(first + kBlock, total);
    for (size_t i = first; i < end; ++i) {
      const size_t n = i / table.pixels, p = i % table.pixels;
      const uint32_t* x = static_cast<const uint32_t*>(from.data) + n * from.sample_stride;
      uint32_t* y = static_cast<uint32_t*>(to.data) + n * to.sample_stride + p * words;
      const int32_t* offsets = table.row(static_cast<uint32_t>(p));
      if (table.taps == 4) {
        const uint32_t *a = x + offsets[0], *b = x + offsets[1], *c = x + offsets[2], *d = x + offsets[3];
        for (size_t w = 0; w < words; ++w) y[w] = (a[w] | b[w] | c[w] | d[w]) ^ mask[w];
        continue;
      }
      std::memcpy(y, x + offsets[0], words * sizeof *y);
      for (uint32_t t = 1; t < table.taps; ++t) {
        const uint32_t* a = x + offsets[t];
        for (size_t w = 0; w < words; ++w) y[w] |= a[w];
      }
      for (size_t w = 0; w < words; ++w) y[w] ^= mask[w];
    }
  };
  run.pool->run((total + kBlock - 1) / kBlock, body, total * table.taps * (words / 4 + 4));
}

void run_map(const RunContext& run, const OpInfo& info, const PreparedOp& op) {
  const ValueInfo& in = run.prepared->model->values[info.in];
  const View& view = run.views[info.in];
  const size_t pixels = in.pixels();
  const uint32_t channels = in.channels();
  if (in.dtype == DType::kBits) {
    const auto make = [&](float* row, uint32_t n, uint32_t p, uint32_t c, uint32_t width) {
      unpack_row(row, static_cast<const uint32_t*>(view.data) + n * view.sample_stride + p * in.pixel_stride(), in, c, width);
    };
    for_tiles(run, op, pixels, channels, make);
    return;
  }
  if (in.dtype == DType::kI16) {
    const auto row_of = [&](uint32_t n, uint32_t p, uint32_t c) { return sample<int16_t>(view, n) + size_t{p} * channels + c; };
    if (stays_fixed(op))
      for_tiles<int16_t>(run, op, pixels, channels, [&](int16_t* row, uint32_t n, uint32_t p, uint32_t c, uint32_t width) {
        std::copy_n(row_of(n, p, c), width, row);
      });
    else
      for_tiles(run, op, pixels, channels, [&](float* row, uint32_t n, uint32_t p, uint32_t c, uint32_t width) {
        scale_row(row, row_of(n, p, c), in, width);
      });
    return;
  }
  if (in.dtype == DType::kU8) {
    for_tiles(run, op, pixels, channels, [&](float* row, uint32_t n, uint32_t p, uint32_t c, uint32_t width) {
      scale_row(row, sample<uint8_t>(view, n) + size_t{p} * channels + c, in, width);
    });
    return;
  }
  if (op.flat) return run_flat_map(run, op, view, pixels * channels);
  // Float maps are read where they lie. A vector's rows are the samples.
  const StepList steps(run, op);
  const EpilogueKernel& epilogue = *run.prepared->kernels.epilogue;
  const bool vector = pixels == 1;
  const size_t rows = vector ? run.samples : pixels;
  const size_t stride = vector ? view.sample_stride : channels;
  const uint32_t block = op.pixel_block;
  const size_t blocks = (rows + block - 1) / block;
  const auto body = [&](size_t item, unsigned) {
    uint32_t n[kMaxTilePixels], p[kMaxTilePixels];
    const size_t sample = vector ? 0 : item / blocks, first = (vector ? item : item % blocks) * block;
    const auto count = static_cast<uint32_t>(std::min<size_t>(block, rows - first));
    for (uint32_t i = 0; i < count; ++i) {
      n[i] = static_cast<uint32_t>(vector ? first + i : sample);
      p[i] = static_cast<uint32_t>(vector ? 0 : first + i);
    }
    const float* x = static_cast<const float*>(view.data) + sample * view.sample_stride + first * stride;
    for (uint32_t c = 0; c < channels; c += op.channel_block)
      epilogue.from_float(x + c, {{count, n, p}, c, std::min(op.channel_block, channels - c), static_cast<uint32_t>(stride)}, steps.data(),
                          steps.size());
  };
  run.pool->run(vector ? blocks : blocks * run.samples, body, size_t{run.samples} * pixels * channels / 4);
}

namespace {

template <class Element>
void run_copy_as(const RunContext& run, const OpInfo& info) {
  const ValueInfo& in = run.prepared->model->values[info.in];
  const ValueInfo& out = run.prepared->model->values[info.target];
  const View &from = run.views[info.in], &to = run.views[info.target];
  const uint32_t width = info.count[3], step = info.step[3];
  const auto zero = static_cast<Element>(in.zero);
  // A work item is one row of pixels.
  const size_t rows = size_t{info.count[0]} * info.count[1];
  const auto body = [&](size_t item, unsigned) {
    const size_t n = item / rows, d = item % rows / info.count[1], h = item % rows % info.count[1];
    const Element* x = sample<Element>(from, n);
    Element* y = const_cast<Element*>(sample<Element>(to, n)) + item % rows * info.count[2] * out.channels();
    const size_t line = ((info.start[0] + d * info.step[0]) * in.dims[1] + info.start[1] + h * info.step[1]) * in.dims[2];
    for (uint32_t w = 0; w < info.count[2]; ++w, y += out.channels()) {
      const Element* source = x + (line + info.start[2] + size_t{w} * info.step[2]) * in.channels() + info.start[3];
      if (info.zero_rest) {
        std::fill_n(y, info.dst_channel, zero);
        std::fill(y + info.dst_channel + width, y + out.channels(), zero);
      }
      Element* target = y + info.dst_channel;
      if (step == 1)
        std::memcpy(target, source, width * sizeof(Element));
      else
        for (uint32_t c = 0; c < width; ++c) target[c] = source[size_t{c} * step];
    }
  };
  run.pool->run(run.samples * rows, body, run.samples * rows * info.count[2] * (out.channels() / 4 + 8));
}

}  // namespace

void run_copy(const RunContext& run, const OpInfo& info) {
  switch (run.prepared->model->values[info.in].dtype) {
    case DType::kU8: return run_copy_as<uint8_t>(run, info);
    case DType::kI16: return run_copy_as<int16_t>(run, info);
    default: return run_copy_as<float>(run, info);
  }
}

void run_embed(const RunContext& run, const OpInfo& info, const PreparedOp& op) {
  const Model& model = *run.prepared->model;
  const ValueInfo& in = model.values[info.in];
  const View& view = run.views[info.in];
  const size_t pixels = in.pixels();
  for (uint32_t n = 0; n < run.samples; ++n) {
    const int32_t* ids = static_cast<const int32_t*>(view.data) + n * view.sample_stride;
    for (size_t p = 0; p < pixels; ++p)
      if (static_cast<uint32_t>(ids[p]) >= info.rows)
        fail(Status::kInput, "id ", ids[p], " is out of range: the embedding '", info.name, "' has ", info.rows, " rows");
  }
  ValueInfo row_layout;
  row_layout.dtype = DType::kBits;
  row_layout.dims[3] = info.out_channels;
  const auto* weights = static_cast<const uint32_t*>(model.constants[info.weight].data);
  const float* scale = info.scale == kNone ? nullptr : static_cast<const float*>(model.constants[info.scale].data);
  const auto make = [&](float* row, uint32_t n, uint32_t p, uint32_t c, uint32_t width) {
    const int32_t id = (static_cast<const int32_t*>(view.data) + n * view.sample_stride)[p];
    unpack_row(row, weights + size_t(id) * row_layout.words(), row_layout, c, width);
    if (!scale) return;
    for (uint32_t i = 0; i < width; ++i) row[i] *= scale[id];
  };
  for_tiles(run, op, pixels, info.out_channels, make);
}

}  // namespace bitwright
