#include "sliced_rule.h"

namespace bitwright {

// Popcount time / sliced time of ResNet-18's 3x3 layers on a Zen 5 server (L2 1 MB), medians of 4 runs of bitwright_bench --benchmark_filter=layer, with
// a threshold: 56x56x64 1.40, 64 -> 128 with stride 2 1.27, 28x28x128 1.36, 128 -> 256 with stride 2 1.26, 14x14x256 1.31, 256 -> 512 with stride 2
// (weights 0.6 MB) 1.18 (1.0 beside a busy neighbour), 7x7x512 (1.2 MB) 1.12. With a chain of i16 steps in registers, in their network: 1.13, 1.06, 1.16,
// 1.04, 1.10, 0.99, 0.98; of floats: 0.88, 0.93, 1.04, 0.91, 0.97, 0.82, 0.81 (docs/develop/gfni.md).
bool worth_slicing(const OpInfo& op, const PreparedOp& p, const BitSlice& slice) {
  const uint32_t outputs = op.out_channels / op.geometry.groups, panels = (outputs + 63) / 64;
  const uint64_t bits = uint64_t{slice.taps} * slice.channels;
  if (outputs * 4 < panels * 64 * 3) return false;      // more than a quarter of the lanes would be empty
  if (slice.channels < 64 || bits < 512) return false;  // features and the last chain weigh too much
  if (op.out_pixels() < 64) return false;               // 8 pixels at a time, gaps, weights 4 times as large
  // Weights should stay in L2. With a threshold 0.6 MB still pay: VGG-small's 8x8, 256 -> 512, 1.33 on one thread, 1.22 on two (benchmarks/tune_cpu.py).
  if (uint64_t{op.geometry.groups} * panels * slice.steps * 192 > (uint64_t{p.threshold ? 640u : 512u} << 10)) return false;
  const uint64_t stride = uint64_t{op.geometry.stride[0]} * op.geometry.stride[1] * op.geometry.stride[2];
  if (p.threshold) return outputs >= 16 * stride;  // features of all input pixels serve that many outputs
  const bool in_registers = p.plan && p.plan->fixed && p.plan->factor != nullptr && outputs % 64 == 0;  // see make_chain
  return in_registers && outputs >= 32 * stride;
}

}  // namespace bitwright
