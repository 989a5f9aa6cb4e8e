// One binary convolution without a file: what the packed torch modules run on the CPU.
#pragma once

#include <memory>

#include "model.h"

namespace bitwright {

struct BinaryConvProblem {
  std::array<uint32_t, 4> in{1, 1, 1, 1};   // D, H, W, C
  uint32_t out_channels = 1;
  std::array<uint32_t, 3> out{1, 1, 1};     // D, H, W
  Geometry geometry;
  uint32_t low = 0;                         // 0: activations are ±1, 1: {0,1}
  const uint32_t* weight = nullptr;         // canonical [O][taps][words]
  uint64_t weight_elements = 0;
  const float* threshold = nullptr;
  uint64_t threshold_elements = 0;          // C or 1
  uint32_t bits = 0;                        // not 0: 2^bits levels rint(x*threshold + offset) instead of x >= threshold
  const float* offset = nullptr;
  uint64_t offset_elements = 0;             // C or 1
};

// A model of one f32 input "x" [N,D,H,W,C], binarized by x >= threshold or cut into levels, and one f32 output "y" [N,D,H,W,O], the exact accumulators. Copies the
// arrays. Throws Error(kModel) for an impossible problem.
std::shared_ptr<const Model> binary_conv_model(const BinaryConvProblem& problem);

}  // namespace bitwright
