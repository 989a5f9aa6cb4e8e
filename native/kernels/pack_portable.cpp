// Float to bits in portable C++17.
#include "entries.h"

namespace bitwright {
namespace {

void pack(uint32_t* bits, const float* x, const float* threshold, float scalar_threshold, uint32_t count) {
  for (uint32_t c = 0; c < count; c += 32) {
    const uint32_t n = count - c < 32 ? count - c : 32;
    uint32_t word = 0;
    for (uint32_t j = 0; j < n; ++j) {
      const float t = threshold != nullptr ? threshold[c + j] : scalar_threshold;
      word |= static_cast<uint32_t>(x[c + j] >= t) << j;
    }
    *bits++ = word;
  }
}

const PackKernel kernel = {"pack_portable", "portable", "C++17, one compare a channel", kRankPortable, supports_portable, pack};

}  // namespace

const PackKernel* const pack_portable = &kernel;

}  // namespace bitwright
