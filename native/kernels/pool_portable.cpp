// Pooling in portable C++17: element by element of the window, rows of channels in memory, which compilers turn into vectors.
#include <algorithm>

#include "isa.h"

#include "entries.h"
#include "kernel_pool.h"

namespace bitwright {
namespace {

#include "pool_scalar.h"

constexpr uint32_t kBlock = 256;  // channels that are gathered at a time

template <class Op>
void pool(void* to, const PoolWindows& w, const PoolFinish& finish) {
  using Element = typename Op::Element;
  auto* out = static_cast<typename Op::Out*>(to);
  const auto* window = static_cast<const Element*>(w.x);
  for (uint32_t i = 0; i < w.windows; ++i, window += w.next, out += w.channels)
    for (uint32_t c = 0; c < w.channels; c += kBlock) {
      const uint32_t n = std::min(kBlock, w.channels - c);
      const Element* x = window + c;
      typename Op::Scalar acc[kBlock];
      for (uint32_t j = 0; j < n; ++j) acc[j] = Op::one(x + j);
      for (uint32_t d = 0; d < w.count[0]; ++d)
        for (uint32_t h = 0; h < w.count[1]; ++h)
          for (uint32_t k = d + h == 0 ? 1 : 0; k < w.count[2]; ++k) {
            const Element* at = x + d * w.stride[0] + h * w.stride[1] + k * w.stride[2];
            for (uint32_t j = 0; j < n; ++j) acc[j] = Op::join(acc[j], Op::one(at + j));
          }
      for (uint32_t j = 0; j < n; ++j) Op::store(out + c + j, acc[j], finish);
    }
}

const PoolKernel kernel = {
    "pool_portable", "portable", "C++17, 256 channels at a time", kRankPortable, supports_portable,
    pool<MaxF32Scalar>, pool<MeanF32Scalar>, pool<MaxI16Scalar>, pool<MaxScaledScalar<int16_t>>, pool<MeanScaledScalar<int16_t>>,
    pool<MaxScaledScalar<uint8_t>>, pool<MeanScaledScalar<uint8_t>>,
};

}  // namespace

const PoolKernel* const pool_portable = &kernel;

}  // namespace bitwright
