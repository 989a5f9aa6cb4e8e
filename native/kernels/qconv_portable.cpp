// int8 convolution in portable C++17: tile 4x16; the loop over 16 lanes is left to the compiler's vectorizer.
// Weights of a panel: [taps*channels][16] bytes.
#include <cstring>

#include "entries.h"
#include "isa.h"
#include "kernel_int8.h"

namespace bitwright {
namespace {

constexpr uint32_t kPanel = 16;
constexpr uint32_t kPixels = 4;

#include "qconv_gather.h"

size_t panel_bytes(uint32_t taps, uint32_t channels) { return (static_cast<size_t>(taps) * channels * kPanel + 63) / 64 * 64; }

void pack(void* panels, const int8_t* weights, uint32_t outputs, uint32_t taps, uint32_t channels) {
  const size_t steps = static_cast<size_t>(taps) * channels;
  const uint32_t count = (outputs + kPanel - 1) / kPanel;
  for (uint32_t panel = 0; panel < count; ++panel) {
    int8_t* to = static_cast<int8_t*>(panels) + panel * panel_bytes(taps, channels);
    for (size_t k = 0; k < steps; ++k)
      for (uint32_t lane = 0; lane < kPanel; ++lane) {
        const uint32_t channel = panel * kPanel + lane;
        *to++ = channel < outputs ? weights[channel * steps + k] : int8_t{0};
      }
  }
}

// The sums of any model fit 32 bits (at most 65535 products); unsigned, because a caller may ask for more.
void run(int32_t* out, const Int8Tile& tile) {
  for (uint32_t i = 0; i < tile.pixels; ++i, out += kPanel) {
    uint32_t sums[kPanel] = {};
    const int8_t* w = static_cast<const int8_t*>(tile.weights);
    for (uint32_t tap = 0; tap < tile.taps; ++tap) {
      const uint8_t* x = tile.base[i] + tile.offset[i][tap];
      for (uint32_t k = 0; k < tile.channels; ++k, w += kPanel)
        for (uint32_t lane = 0; lane < kPanel; ++lane) sums[lane] += static_cast<uint32_t>(int32_t{x[k]} * w[lane]);
    }
    std::memcpy(out, sums, sizeof sums);
  }
}

void depthwise(int32_t* out, const Int8Tile& tile) {
  for (uint32_t i = 0; i < tile.pixels; ++i, out += kPanel) {
    uint32_t sums[kPanel] = {};
    const int8_t* w = static_cast<const int8_t*>(tile.weights);
    for (uint32_t tap = 0; tap < tile.taps; ++tap, w += kPanel) {
      const uint8_t* x = tile.base[i] + tile.offset[i][tap];
      for (uint32_t lane = 0; lane < tile.channels; ++lane) sums[lane] += static_cast<uint32_t>(int32_t{x[lane]} * w[lane]);
    }
    std::memcpy(out, sums, sizeof sums);
  }
}

const Int8Kernel kernel = {
    "qconv_portable", "portable", "C++17, tile 4x16", kRankPortable, supports_portable, kPanel, kPixels, panel_bytes, pack, run, depthwise,
    gather_windows<16>,
};

}  // namespace

const Int8Kernel* const qconv_portable = &kernel;

}  // namespace bitwright
