// Layers that are run whole, as the engine runs them: square kernels on square maps, padded by half of the kernel.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "model.h"

namespace bitwright::layers_bench {

struct Layer {
  uint32_t size, channels, outputs, kernel, stride;

  std::string name() const {
    return std::to_string(kernel) + "x" + std::to_string(kernel) + "_" + std::to_string(size) + "x" + std::to_string(size) + "_" +
           std::to_string(channels) + "_" + std::to_string(outputs) + (stride > 1 ? "_s" + std::to_string(stride) : "");
  }
  uint32_t out() const { return (size + 2 * (kernel / 2) - kernel) / stride + 1; }
  // Weights are the model's first constant.
  void shape(OpInfo& op) const {
    op.weight = 0;
    op.out_channels = outputs;
    op.out = {1, out(), out()};
    for (int k = 1; k < 3; ++k) {
      op.geometry.kernel[k] = kernel;
      op.geometry.stride[k] = stride;
      op.geometry.pad_begin[k] = op.geometry.pad_end[k] = kernel / 2;
    }
  }
};

inline double median(std::vector<double> v) {
  std::nth_element(v.begin(), v.begin() + static_cast<ptrdiff_t>(v.size() / 2), v.end());
  return v[v.size() / 2];
}

}  // namespace bitwright::layers_bench
