// Depthwise binary convolutions: all channels of a pixel at once, pixels in runs that continue each other as the map lies, or laid out by phases.
#include <algorithm>

#include "executor.h"
#include "executor_maps.h"
#include "executor_phased.h"
#include "executor_sliced.h"
#include "split.h"

namespace bitwright {
namespace {

// The output pixels of a work item, from `first` of all samples on, in runs: piece(sample, pixel, pixels).
template <class Piece>
void for_runs(const PreparedOp& op, size_t first, size_t pixels, size_t most, const Piece& piece) {
  const size_t per_sample = op.table->pixels;
  for (size_t i = first, end = first + pixels; i < end;) {
    const size_t p = i % per_sample;
    const size_t count = std::min({size_t{op.bit_depthwise->run[p]}, most, end - i});
    piece(i / per_sample, static_cast<uint32_t>(p), static_cast<uint32_t>(count));
    i += count;
  }
}

// Thresholds on bands of the map that are laid out by phases.
void run_phases(const RunContext& run, const OpInfo& info, const PreparedOp& op, const ValueRef& to) {
  const PreparedDepthwise& own = *op.bit_depthwise;
  const PhasedMap& map = *own.phases;
  const uint32_t words = run.prepared->model->values[info.in].words();
  const uint32_t *flip = own.flip_and_real.as<uint32_t>(), *real = flip + own.lanes;
  const uint32_t block = op.kernels.depthwise->block / words;
  const auto compute = [&](uint32_t* arranged, uint32_t band, uint32_t begin, uint32_t end) {
    const size_t at = size_t{begin} * words;
    const DepthwiseRun pieces{arranged + at, map.taps().data(), end - begin, op.taps, words, op.weights.as<uint32_t>()};
    const uint32_t* bound_of = own.bound_of.empty() ? nullptr : own.bound_of.data() + size_t{band} * own.blocks + begin / block;
    op.kernels.depthwise->bits(arranged + map.arranged_words() + at, words, pieces, {own.bounds.as<uint32_t>(), flip, real, bound_of});
  };
  const auto copy = [&](const uint32_t* arranged, size_t position, size_t pixels, uint32_t* out) {
    const uint32_t* from = arranged + map.arranged_words() + position * words;
    if (to.pixel_stride == words) {
      std::copy_n(from, pixels * words, out);
      return;
    }
    for (size_t x = 0; x < pixels; ++x) std::copy_n(from + x * words, words, out + x * to.pixel_stride);
  };
  run_bands(run, run.views[info.in], map, to, block, compute, copy);
}

}  // namespace

void run_depthwise(const RunContext& run, const OpInfo& info, const PreparedOp& op) {
  const ValueInfo& in = run.prepared->model->values[info.in];
  const View& view = run.views[info.in];
  const DepthwiseKernel& kernel = *op.kernels.depthwise;
  const EpilogueKernel& epilogue = *op.kernels.epilogue;
  const PreparedDepthwise& own = *op.bit_depthwise;
  const Table& table = *op.table;
  if (table.has_padding) fill_padding(run, in, view, op.fill);
  const StepList steps(run, op);
  if (own.phases) return run_phases(run, info, op, steps.data()[0].value);
  const uint32_t words = in.words(), lanes = own.lanes, channels = in.channels();
  const auto run_of = [&](size_t n, uint32_t p, uint32_t pixels, uint32_t j) {
    return DepthwiseRun{static_cast<const uint32_t*>(view.data) + n * view.sample_stride, table.row(p), pixels, op.taps, words,
                        op.weights.as<uint32_t>() + size_t{j} * op.taps * lanes};
  };
  // A block of taps costs about three cycles, an element of the epilogue about one.
  const size_t total = size_t{run.samples} * table.pixels;
  const uint64_t cycles = total * (uint64_t{own.multiplier} * op.taps * ((words + 15) / 16) * 3 + (own.bounds.size() ? 0 : info.out_channels));
  const auto item = [&](size_t first, uint32_t pixels, unsigned thread) {
    if (own.bounds.size()) {
      const ValueRef& to = steps.data()[0].value;
      const size_t bound_words = size_t{depthwise_planes(op.taps)} * lanes;
      const bool one_class = own.bounds.size() == bound_words * 4;
      DepthwiseBits bits{own.bounds.as<uint32_t>(), own.flip_and_real.as<uint32_t>(), own.flip_and_real.as<uint32_t>() + lanes, nullptr};
      for_runs(op, first, pixels, pixels, [&](size_t n, uint32_t p, uint32_t count) {
        if (!one_class) bits.bound = own.bounds.as<uint32_t>() + table.class_of[p] * bound_words;
        kernel.bits(static_cast<uint32_t*>(to.data) + n * to.sample_stride + p * to.pixel_stride, to.pixel_stride, run_of(n, p, count, 0), bits);
      });
      return;
    }
    auto* rows = reinterpret_cast<uint16_t*>(run.scratch + thread * run.prepared->scratch_bytes);
    const size_t stride = op.cut.row_stride, part_stride = (channels + 31) / 32 * 32;
    uint16_t* part = rows + size_t{kDepthwisePixels} * stride;
    for_runs(op, first, pixels, kDepthwisePixels, [&](size_t n, uint32_t p, uint32_t count) {
      if (own.multiplier == 1) {
        kernel.count16(rows, stride, run_of(n, p, count, 0));
      } else {
        for (uint32_t j = 0; j < own.multiplier; ++j) {
          kernel.count16(part, part_stride, run_of(n, p, count, j));
          for (uint32_t i2 = 0; i2 < count; ++i2)
            for (uint32_t c = 0; c < channels; ++c) rows[i2 * stride + size_t{c} * own.multiplier + j] = part[i2 * part_stride + c];
        }
      }
      uint32_t sample[kDepthwisePixels], pixel[kDepthwisePixels];
      const int32_t* row[kDepthwisePixels];
      const bool one_class = op.rows.size() <= (op.rows_stride + kMaxPanel) * 4;
      for (uint32_t k = 0; k < count; ++k) {
        sample[k] = static_cast<uint32_t>(n);
        pixel[k] = p + k;
        row[k] = op.rows.as<int32_t>() + (one_class ? 0 : table.class_of[p + k] * op.rows_stride);
      }
      const EpilogueTile tile{{count, sample, pixel}, 0, info.out_channels, static_cast<uint32_t>(stride)};
      if (op.threshold)
        epilogue.threshold16(rows, tile, row, op.flip, steps.data()[0].value);
      else
        epilogue.from_counts16(rows, tile, row, op.slope, steps.data(), steps.size());
    });
  };
  constexpr size_t chunk = kChunk / kDepthwisePixels * kDepthwisePixels;
  static_assert(chunk > 0);
  run.pool->run_parts((total + kDepthwisePixels - 1) / kDepthwisePixels, 1, [&](const Pool::Part& part) {
    const size_t last = std::min(part.end * kDepthwisePixels, total);
    for (size_t first = part.begin * kDepthwisePixels; first < last; first += chunk) item(first, static_cast<uint32_t>(std::min(chunk, last - first)), part.thread);
  }, cycles);
}

}  // namespace bitwright
