// Depthwise binary convolutions: all channels of a pixel at once, pixels in runs that continue each other.
#include <algorithm>

#include "executor.h"
#include "executor_maps.h"
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

// Pixels that no long run continues (strides, dilations, borders, small maps): their words are copied side by side until there is a block of them, so
// that a kernel's block is full. By padding class, because a run has the bounds of one.
class Strays {
 public:
  static constexpr uint32_t kMostWords = 1, kMostPixels = 2, kClasses = 16, kBlock = 16;

  // Whether pixels of a run cost less one by one. With more words a block of its own is full enough; longer runs at a border share few blocks with others.
  static bool suits(const DepthwiseRun& run, size_t padding_class) { return run.words <= kMostWords && run.pixels <= kMostPixels && padding_class < kClasses; }

  Strays(const DepthwiseKernel& kernel, const uint32_t* bounds, size_t lanes, const DepthwiseBits& rest, size_t stride)
      : kernel_(kernel), bounds_(bounds), lanes_(lanes), rest_(rest), stride_(stride) {}

  void add(const DepthwiseRun& run, size_t padding_class, uint32_t* to) {
    Block& block = blocks_[padding_class];
    const int32_t* offset = run.offset;
    for (uint32_t i = 0; i < run.pixels; ++i, offset += run.taps, to += stride_) {
      uint32_t* x = block.x + block.pixels * run.words;
      for (uint32_t t = 0; t < run.taps; ++t)
        for (uint32_t w = 0; w < run.words; ++w) x[t * kBlock + w] = run.base[offset[t] + static_cast<int32_t>(w)];
      block.to[block.pixels++] = to;
      if ((block.pixels + 1) * run.words > kBlock) finish(run, padding_class);
    }
  }

  // Those that are left; `like` says how many taps and words, and where the weights lie.
  void finish_all(const DepthwiseRun& like) {
    for (size_t k = 0; k < kClasses; ++k)
      if (blocks_[k].pixels > 0) finish(like, k);
  }

 private:
  struct Block {
    uint32_t pixels = 0;
    uint32_t* to[kBlock];
    alignas(64) uint32_t x[15 * kBlock];  // [taps][kBlock]
  };

  void finish(const DepthwiseRun& like, size_t padding_class) {
    static constexpr int32_t offset[15] = {0, 16, 32, 48, 64, 80, 96, 112, 128, 144, 160, 176, 192, 208, 224};
    Block& block = blocks_[padding_class];
    uint32_t out[kBlock];
    DepthwiseBits bits = rest_;
    bits.bound = bounds_ + padding_class * 5 * lanes_;
    kernel_.bits(out, like.words, {block.x, offset, block.pixels, like.taps, like.words, like.weights}, bits);
    for (uint32_t i = 0; i < block.pixels; ++i)
      for (uint32_t w = 0; w < like.words; ++w) block.to[i][w] = out[i * like.words + w];
    block.pixels = 0;
  }

  const DepthwiseKernel& kernel_;
  const uint32_t* bounds_;
  size_t lanes_;
  DepthwiseBits rest_;
  size_t stride_;
  Block blocks_[kClasses];
};

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
  const uint32_t words = in.words(), lanes = own.lanes, channels = in.channels();
  const auto run_of = [&](size_t n, uint32_t p, uint32_t pixels, uint32_t j) {
    return DepthwiseRun{static_cast<const uint32_t*>(view.data) + n * view.sample_stride, table.row(p), pixels, op.taps, words,
                        op.weights.as<uint32_t>() + size_t{j} * op.taps * lanes};
  };
  // A block of taps costs about three cycles, an element of the epilogue about one.
  const size_t total = size_t{run.samples} * table.pixels;
  const uint64_t cycles = total * (uint64_t{own.multiplier} * op.taps * ((words + 15) / 16) * 3 + (own.bounds.size() ? 0 : info.out_channels));
  const Split split = split_work(total, 1, kDepthwisePixels, cycles, run.pool->worth_sharing(cycles) ? run.pool->threads() : 1);
  const auto item = [&](size_t i, unsigned thread) {
    const auto [first, pixels, unit, units] = split.item(i);
    (void)unit, (void)units;
    if (own.bounds.size()) {
      const ValueRef& to = steps.data()[0].value;
      DepthwiseBits bits{own.bounds.as<uint32_t>(), own.flip_and_real.as<uint32_t>(), own.flip_and_real.as<uint32_t>() + lanes};
      Strays strays(kernel, bits.bound, lanes, bits, to.pixel_stride);
      for_runs(op, first, pixels, pixels, [&](size_t n, uint32_t p, uint32_t count) {
        const size_t k = own.bounds.size() > size_t{20} * lanes ? table.class_of[p] : 0;
        uint32_t* out = static_cast<uint32_t*>(to.data) + n * to.sample_stride + p * to.pixel_stride;
        const DepthwiseRun pieces = run_of(n, p, count, 0);
        if (Strays::suits(pieces, k)) return strays.add(pieces, k, out);
        bits.bound = own.bounds.as<uint32_t>() + k * 5 * lanes;
        kernel.bits(out, to.pixel_stride, pieces, bits);
      });
      strays.finish_all(run_of(0, 0, 1, 0));
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
  run.pool->run(split.items(), item, cycles);
}

}  // namespace bitwright
