#include "sliced_rule.h"

namespace bitwright {

// From bitwright_bench --benchmark_filter=layer on a Zen 5 server (L2 1 MB): popcount time / sliced time of ResNet-18's 3x3 layers, threshold | floats
// stored. Stride 1: 56x56x64 1.22 | 1.08, 28x28x128 1.16 | 1.03, 14x14x256 1.10 | 1.02, 7x7x512 (weights 1.2 MB) 0.82 | 0.83. Stride 2: 64 -> 128
// 1.10 | 0.94, 128 -> 256 1.05 | 1.02, 256 -> 512 (0.6 MB) 0.9 | 0.89.
bool worth_slicing(const OpInfo& op, const PreparedOp& p, const BitSlice& slice) {
  const uint32_t outputs = op.out_channels / op.geometry.groups, panels = (outputs + 63) / 64;
  const uint64_t bits = uint64_t{slice.taps} * slice.channels;
  if (outputs * 4 < panels * 64 * 3) return false;      // more than a quarter of the lanes would be empty
  if (slice.channels < 64 || bits < 512) return false;  // features and the last chain weigh too much
  if (op.out_pixels() < 64) return false;               // 8 pixels at a time, gaps, weights 4 times as large
  if (uint64_t{op.geometry.groups} * panels * slice.steps * 192 > (uint64_t{512} << 10)) return false;  // weights would not stay in L2
  const uint64_t stride = uint64_t{op.geometry.stride[0]} * op.geometry.stride[1] * op.geometry.stride[2];
  if (!p.threshold && stride > 1) return false;
  return outputs >= 16 * stride;  // features of all input pixels serve that many outputs
}

}  // namespace bitwright
