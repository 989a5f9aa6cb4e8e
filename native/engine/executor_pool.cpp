// Pooling. Windows that lie alike (a stretch of one line of the output, mostly all of it) go to the kernel together, a tile of them to the epilogue.
#include <algorithm>
#include <cstring>

#include "executor_maps.h"

namespace bitwright {
namespace {

// The kernel's function for a map and what the epilogue then reads.
struct Choice {
  PoolFn run = nullptr;
  bool shorts = false;  // int16 elements, for a chain of i16 steps; else floats
};

Choice choose(const PoolKernel& kernel, DType dtype, bool max, bool fixed) {
  switch (dtype) {
    case DType::kU8: return {max ? kernel.max_u8 : kernel.mean_u8};
    case DType::kI16: return max && fixed ? Choice{kernel.max_i16, true} : Choice{max ? kernel.max_i16_to_f32 : kernel.mean_i16};
    default: return {max ? kernel.max_f32 : kernel.mean_f32};
  }
}

}  // namespace

void run_pool(const RunContext& run, const OpInfo& info, const PreparedOp& op) {
  const ValueInfo& in = run.prepared->model->values[info.in];
  const View& view = run.view(info.in);
  const bool max = info.pool == PoolKind::kMax;
  const StepKind first_step = op.steps[0].step.kind;
  const Choice choice = choose(*run.prepared->kernels.pool, in.dtype, max, is_fixed(first_step) && first_step != StepKind::kQuantizeI16);
  const PoolAxes& axes = *op.windows;
  const StepList steps(run, op);
  const EpilogueKernel& epilogue = *run.prepared->kernels.epilogue;
  const uint32_t channels = in.channels(), block = op.pixel_block, height = info.out[1], width = info.out[2];
  const size_t pixels = info.out_pixels(), element = in.element_bytes();
  const size_t total = run.is_band() ? run.pixels_end - run.pixels_begin : run.samples * pixels;
  const size_t line = size_t{in.dims[2]} * channels, plane = line * in.dims[1];

  // Fills `windows` windows from output pixel p of sample n on, at most `most`; gives how many.
  const auto windows = [&](uint8_t* out, uint32_t n, uint32_t p, uint32_t most, uint32_t channel0, uint32_t wanted) {
    const uint32_t d = p / width / height, h = p / width % height, w = p % width;
    const PoolWindow &wd = axes[0][d], &wh = axes[1][h], &ww = axes[2][w];
    PoolWindows job;
    job.x = static_cast<const uint8_t*>(view.data) + n * view.sample_stride * 4 +
            (wd.first * plane + wh.first * line + size_t{ww.first} * channels + channel0) * element;
    job.next = size_t{info.geometry.stride[2]} * channels;
    const auto& dilation = info.geometry.dilation;
    job.stride[0] = dilation[0] * plane, job.stride[1] = dilation[1] * line, job.stride[2] = size_t{dilation[2]} * channels;
    job.count[0] = wd.count, job.count[1] = wh.count, job.count[2] = ww.count;
    job.windows = std::min(ww.alike, most);
    job.channels = wanted;
    PoolFinish finish;
    const uint32_t inside = wd.count * wh.count * ww.count;
    finish.zero = static_cast<int32_t>(in.zero * (max ? 1 : inside));
    if (in.dtype != DType::kF32) finish.scale = in.scale;
    finish.divisor = static_cast<float>(info.pool == PoolKind::kAverage ? uint64_t{inside} : uint64_t{wd.padded} * wh.padded * ww.padded);
    choice.run(out, job, finish);
    return job.windows;
  };

  run.pool->run((total + block - 1) / block, [&](size_t item, unsigned thread) {
    uint8_t* rows = run.scratch + thread * run.prepared->scratch_bytes;
    uint32_t n[kMaxTilePixels], p[kMaxTilePixels];
    const size_t first = item * block;
    const auto count = static_cast<uint32_t>(std::min<size_t>(block, total - first));
    for (uint32_t i = 0; i < count; ++i) {
      n[i] = run.first + static_cast<uint32_t>((first + i) / pixels);
      p[i] = run.pixels_begin + static_cast<uint32_t>((first + i) % pixels);
    }
    for (uint32_t c = 0; c < channels; c += op.channel_block) {
      const uint32_t wanted = std::min(op.channel_block, channels - c);
      const size_t row_bytes = size_t{wanted} * (choice.shorts ? 2 : 4);
      for (uint32_t i = 0; i < count;) i += windows(rows + i * row_bytes, n[i], p[i], count - i, c, wanted);
      const EpilogueTile tile{{count, n, p}, c, wanted, wanted};
      if (choice.shorts)
        epilogue.from_i16(reinterpret_cast<const int16_t*>(rows), tile, steps.data(), steps.size());
      else
        epilogue.from_float(reinterpret_cast<const float*>(rows), tile, steps.data(), steps.size());
    }
  }, total * channels * op.taps / 16);
}

}  // namespace bitwright
