// Static, as everything that translation units of different instruction sets include: a shared copy could be the wrong one's.
//
// Canonical weights into panels whose lanes are output channels: the transposition that most binary kernels' pack() consists of.
#pragma once

#include <cstddef>
#include <cstdint>

namespace bitwright {

// weights [outputs][steps] -> to[panel][k][lane] = word k of channel panel * width + channel_of(lane), 0 past the last channel, for
// k < rows; words from `steps` on are 0. Blocks of 16 x 16 words: both sides stay in L1 whatever the strides are.
template <uint32_t width, class ChannelOf>
static inline void pack_panels(uint32_t* to, uint32_t panels, const uint32_t* weights, uint32_t outputs, size_t steps, size_t rows,
                               const ChannelOf& channel_of) {
  constexpr size_t kBlock = 16;
  for (uint32_t panel = 0; panel < panels; ++panel, to += rows * width)
    for (size_t k0 = 0; k0 < rows; k0 += kBlock) {
      const size_t end = k0 + kBlock < rows ? k0 + kBlock : rows;
      for (uint32_t lane = 0; lane < width; ++lane) {
        const uint32_t channel = panel * width + channel_of(lane);
        const uint32_t* from = weights + static_cast<size_t>(channel) * steps;
        const size_t real = channel >= outputs ? 0 : steps < end ? steps : end;
        uint32_t* column = to + lane;
        size_t k = k0;
        for (; k < real; ++k) column[k * width] = from[k];
        for (; k < end; ++k) column[k * width] = 0;
      }
    }
}

}  // namespace bitwright
