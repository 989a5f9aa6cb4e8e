// Binary convolution in portable C++17, for CPUs without a kernel of their own, and the oracle's nearest relative.
//
// Lane = output channel (32 lanes of 32 bits), one activation word against all of them, so that any compiler can vectorize the loop over lanes.
// Popcount by the classic shifts and adds, stopped at byte sums (8 a word, flushed every 31 words): 12 operations per 32 MAC and lane. No
// builtin is used: baseline x86-64 has no popcount instruction, and its builtin is a library call.
//
// Weights of a panel: [taps*words][32] words of 32 bits.
#include <cstring>

#include "entries.h"
#include "kernel_binary.h"
#include "pack_panels.h"

namespace bitwright {
namespace {

constexpr uint32_t kPanel = 32;
constexpr uint32_t kPixels = 4;
constexpr uint32_t kFlush = 31;  // words until a byte sum could exceed 255

size_t panel_bytes(uint32_t taps, uint32_t words) { return static_cast<size_t>(taps) * words * kPanel * sizeof(uint32_t); }

void pack(void* panels, const uint32_t* weights, uint32_t outputs, uint32_t taps, uint32_t words) {
  const size_t steps = static_cast<size_t>(taps) * words;
  pack_panels<kPanel>(static_cast<uint32_t*>(panels), (outputs + kPanel - 1) / kPanel, weights, outputs, steps, steps, [](uint32_t lane) { return lane; });
}

inline void flush(uint32_t* sums, uint32_t* bytes) {
  for (uint32_t lane = 0; lane < kPanel; ++lane) {
    const uint32_t pairs = (bytes[lane] & 0x00ff00ffu) + ((bytes[lane] >> 8) & 0x00ff00ffu);
    sums[lane] += (pairs + (pairs >> 16)) & 0xffffu;
    bytes[lane] = 0;
  }
}

void count_pixel(uint32_t* sums, const uint32_t* base, const int32_t* offset, const BinaryTile& tile) {
  uint32_t bytes[kPanel] = {};
  std::memset(sums, 0, kPanel * sizeof(uint32_t));
  const uint32_t* w = static_cast<const uint32_t*>(tile.weights);
  uint32_t room = kFlush;
  for (uint32_t tap = 0; tap < tile.taps; ++tap) {
    const uint32_t* a = base + offset[tap];
    for (uint32_t k = 0; k < tile.words; ++k, w += kPanel) {
      const uint32_t word = a[k];
      for (uint32_t lane = 0; lane < kPanel; ++lane) {
        uint32_t v = word ^ w[lane];
        v -= (v >> 1) & 0x55555555u;
        v = (v & 0x33333333u) + ((v >> 2) & 0x33333333u);
        bytes[lane] += (v + (v >> 4)) & 0x0f0f0f0fu;
      }
      if (--room == 0) {
        flush(sums, bytes);
        room = kFlush;
      }
    }
  }
  flush(sums, bytes);
}

void count16(uint16_t* counts, const BinaryTile& tile) {
  for (uint32_t i = 0; i < tile.pixels; ++i, counts += kPanel) {
    uint32_t sums[kPanel];
    count_pixel(sums, tile.base[i], tile.offset[i], tile);
    for (uint32_t lane = 0; lane < kPanel; ++lane) counts[lane] = static_cast<uint16_t>(sums[lane]);
  }
}

void count32(uint32_t* counts, const BinaryTile& tile) {
  for (uint32_t i = 0; i < tile.pixels; ++i, counts += kPanel) count_pixel(counts, tile.base[i], tile.offset[i], tile);
}

const BinaryKernel kernel = {
    "bconv_portable", "portable", "C++17, shift-and-add popcount, 32 channels in 32-bit lanes, tile 4x32",
    kRankPortable, supports_portable, kPanel, kPixels, panel_bytes, pack, count16, count32,
};

}  // namespace

const BinaryKernel* const bconv_portable = &kernel;

}  // namespace bitwright
