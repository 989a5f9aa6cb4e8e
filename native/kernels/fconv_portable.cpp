// Float convolution in portable C++17: tile 4x16, plain multiply and add; the loop over 16 lanes is left to the compiler's vectorizer.
// Weights of a panel: [taps*channels][16] floats.
#include <cstring>

#include "entries.h"
#include "kernel_float.h"

namespace bitwright {
namespace {

constexpr uint32_t kPanel = 16;
constexpr uint32_t kPixels = 4;

size_t panel_floats(uint32_t taps, uint32_t channels) { return static_cast<size_t>(taps) * channels * kPanel; }

void pack(float* panels, const float* weights, uint32_t outputs, uint32_t taps, uint32_t channels) {
  const size_t steps = static_cast<size_t>(taps) * channels;
  const uint32_t count = (outputs + kPanel - 1) / kPanel;
  for (uint32_t panel = 0; panel < count; ++panel)
    for (size_t k = 0; k < steps; ++k)
      for (uint32_t lane = 0; lane < kPanel; ++lane) {
        const uint32_t channel = panel * kPanel + lane;
        *panels++ = channel < outputs ? weights[channel * steps + k] : 0.0f;
      }
}

void run(float* out, const FloatTile& tile) {
  for (uint32_t i = 0; i < tile.pixels; ++i, out += kPanel) {
    float sums[kPanel] = {};
    const float* w = tile.weights;
    for (uint32_t tap = 0; tap < tile.taps; ++tap) {
      const int32_t offset = tile.offset[i][tap];
      if (offset < 0) {  // zero padding
        w += static_cast<size_t>(tile.channels) * kPanel;
        continue;
      }
      const float* x = tile.base[i] + offset;
      for (uint32_t k = 0; k < tile.channels; ++k, w += kPanel)
        for (uint32_t lane = 0; lane < kPanel; ++lane) sums[lane] += x[k] * w[lane];
    }
    std::memcpy(out, sums, sizeof sums);
  }
}

void depthwise(float* out, const FloatTile& tile) {
  for (uint32_t i = 0; i < tile.pixels; ++i, out += kPanel) {
    float sums[kPanel] = {};
    const float* w = tile.weights;
    for (uint32_t tap = 0; tap < tile.taps; ++tap, w += kPanel) {
      const int32_t offset = tile.offset[i][tap];
      if (offset < 0) continue;
      const float* x = tile.base[i] + offset;
      for (uint32_t lane = 0; lane < tile.channels; ++lane) sums[lane] += x[lane] * w[lane];
    }
    std::memcpy(out, sums, sizeof sums);
  }
}

const FloatKernel kernel = {
    "fconv_portable", "portable", "C++17, tile 4x16", kRankPortable, supports_portable, kPanel, kPixels, panel_floats, pack, run, depthwise,
};

}  // namespace

const FloatKernel* const fconv_portable = &kernel;

}  // namespace bitwright
