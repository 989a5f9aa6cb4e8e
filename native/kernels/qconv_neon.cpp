// int8 convolution for AArch64 with nothing but Advanced SIMD: activations and weights as 16 bits, smlal by element into 32-bit sums. Exact: a
// product of u8 and s8 fits 17 bits, and nothing is added in 16.
//
// Weights of a panel are widened when they are packed: [taps][channels, up to a multiple of 4 with zeros][16] of 16 bits. (8-bit smull and smlal
// would pair products in 16 bits: 255 * -128 twice does not fit.)
//
// Cost per 8 input channels of a tile: 192 smlal, 6 uxtl, 8 ldp of weights and 6 loads of activations.
#include "isa.h"

#include "entries.h"
#include "kernel_int8.h"

#if BITWRIGHT_NEON

#include <arm_neon.h>

#include <cstring>

namespace bitwright {
namespace {

#include "qconv_neon.h"

size_t panel_bytes(uint32_t taps, uint32_t channels) {
  return (static_cast<size_t>(taps) * round_up_4(channels) * kPanel * sizeof(int16_t) + 63) / 64 * 64;
}

void pack(void* panels, const int8_t* weights, uint32_t outputs, uint32_t taps, uint32_t channels) {
  const uint32_t count = (outputs + kPanel - 1) / kPanel;
  for (uint32_t panel = 0; panel < count; ++panel) {
    auto* to = reinterpret_cast<int16_t*>(static_cast<char*>(panels) + panel * panel_bytes(taps, channels));
    for (uint32_t tap = 0; tap < taps; ++tap)
      for (uint32_t k = 0; k < round_up_4(channels); ++k)
        for (uint32_t lane = 0; lane < kPanel; ++lane) {
          const uint32_t channel = panel * kPanel + lane;
          *to++ = channel < outputs && k < channels ? weights[(static_cast<size_t>(channel) * taps + tap) * channels + k] : int16_t{0};
        }
  }
}

// The next 8 bytes as 16 bits, and the next 4.
BITWRIGHT_INLINE int16x8_t widened8(const uint8_t*& p) {
#if BITWRIGHT_GNU_ASM
  uint8x16_t x;
  int16x8_t wide;
  BITWRIGHT_LOAD_NEXT(uint64_t, "d", "8")
  __asm__ volatile("uxtl %0.8h, %1.8b" : "=x"(wide) : "w"(x));
  return wide;
#else
  p += 8;
  return vreinterpretq_s16_u16(vmovl_u8(vld1_u8(p - 8)));
#endif
}
BITWRIGHT_INLINE int16x8_t widened4(const uint8_t*& p) { return vreinterpretq_s16_u16(vmovl_u8(vget_low_u8(next4(p)))); }

// Two vectors of sums: 8 channels. The element's register is one of the first 16: constraint x.
template <int kLane>
BITWRIGHT_INLINE void add_products(int32x4_t& low, int32x4_t& high, int8x16_t w, int16x8_t x) {
#if BITWRIGHT_GNU_ASM
  __asm__ volatile("smlal %0.4s, %1.4h, %2.h[%3]" : "+w"(low) : "w"(w), "x"(x), "i"(kLane));
  __asm__ volatile("smlal2 %0.4s, %1.8h, %2.h[%3]" : "+w"(high) : "w"(w), "x"(x), "i"(kLane));
#else
  const int16x8_t wide = vreinterpretq_s16_s8(w);
  low = vmlal_laneq_s16(low, vget_low_s16(wide), x, kLane);
  high = vmlal_high_laneq_s16(high, wide, x, kLane);
#endif
}

template <int kLane, int P>
BITWRIGHT_INLINE void accumulate_lane(int32x4_t (&acc)[P][kVectors], const int16x8_t (&x)[P], const int8_t*& w) {
  int8x16_t two[2];
  next_weights(two, w);
  BITWRIGHT_UNROLL for (int h = 0; h < 2; ++h)
    BITWRIGHT_UNROLL for (int i = 0; i < P; ++i) add_products<kLane>(acc[i][2 * h], acc[i][2 * h + 1], two[h], x[i]);
}

template <int P>
void tile(int32_t* out, const Int8Tile& t) {
  int32x4_t acc[P][kVectors];
  BITWRIGHT_UNROLL for (int i = 0; i < P; ++i)
    BITWRIGHT_UNROLL for (int v = 0; v < kVectors; ++v) acc[i][v] = vdupq_n_s32(0);
  const int8_t* w = static_cast<const int8_t*>(t.weights);
  for (size_t tap = 0; tap < t.taps; ++tap) {
    const uint8_t* p[P];
    BITWRIGHT_UNROLL for (int i = 0; i < P; ++i) p[i] = t.base[i] + t.offset[i][tap];
    uint32_t k = t.channels;
    for (; k > 4; k = k > 8 ? k - 8 : 0) {
      int16x8_t x[P];
      BITWRIGHT_UNROLL for (int i = 0; i < P; ++i) x[i] = widened8(p[i]);
      accumulate_lane<0>(acc, x, w);
      accumulate_lane<1>(acc, x, w);
      accumulate_lane<2>(acc, x, w);
      accumulate_lane<3>(acc, x, w);
      accumulate_lane<4>(acc, x, w);
      accumulate_lane<5>(acc, x, w);
      accumulate_lane<6>(acc, x, w);
      accumulate_lane<7>(acc, x, w);
    }
    if (k != 0) {
      int16x8_t x[P];
      BITWRIGHT_UNROLL for (int i = 0; i < P; ++i) x[i] = widened4(p[i]);
      accumulate_lane<0>(acc, x, w);
      accumulate_lane<1>(acc, x, w);
      accumulate_lane<2>(acc, x, w);
      accumulate_lane<3>(acc, x, w);
    }
  }
  store_all<P>(out, acc);
}

const Int8Kernel kernel = {
    "qconv_neon", "neon", "smlal by element on 16 bits, tile 6x16", kRankNeon, supports_neon, kPanel, kPixels, panel_bytes, pack, run, depthwise,
    gather_windows<16>,
};

}  // namespace

const Int8Kernel* const qconv_neon = &kernel;

}  // namespace bitwright

#else

namespace bitwright {
const Int8Kernel* const qconv_neon = nullptr;
}  // namespace bitwright

#endif
