// int8 convolution for AArch64 with the dot product extension: sdot by element, 4 input channels of 4 output channels an operation.
//
// sdot multiplies signed bytes. The activations q are unsigned: q = s + 128 with s signed (one eor), and the sums begin with 128 times the sum of
// the channel's weights, modulo 2^32. It stands at the head of a panel: [16] of 32 bits, then the weights,
// [taps][channels / 4, up to a whole number with zeros][16][4] bytes.
//
// Cost per 16 input channels of a tile: 96 sdot, 6 eor, 1 movi, 8 ldp of weights and 6 loads of activations.
#include "isa.h"

#include "entries.h"
#include "kernel_int8.h"

#if BITWRIGHT_NEONDOT

#include <arm_neon.h>

#include <cstring>

namespace bitwright {
namespace {

#include "qconv_neon.h"

constexpr size_t kHead = kPanel * sizeof(uint32_t);

size_t panel_bytes(uint32_t taps, uint32_t channels) { return kHead + (static_cast<size_t>(taps) * round_up_4(channels) * kPanel + 63) / 64 * 64; }

void pack(void* panels, const int8_t* weights, uint32_t outputs, uint32_t taps, uint32_t channels) {
  const uint32_t count = (outputs + kPanel - 1) / kPanel;
  for (uint32_t panel = 0; panel < count; ++panel) {
    char* head = static_cast<char*>(panels) + panel * panel_bytes(taps, channels);
    auto* to = reinterpret_cast<int8_t*>(head + kHead);
    uint32_t sums[kPanel] = {};
    for (uint32_t tap = 0; tap < taps; ++tap)
      for (uint32_t k = 0; k < round_up_4(channels); k += 4)
        for (uint32_t lane = 0; lane < kPanel; ++lane)
          for (uint32_t part = k; part < k + 4; ++part) {
            const uint32_t channel = panel * kPanel + lane;
            const bool real = channel < outputs && part < channels;
            *to = real ? weights[(static_cast<size_t>(channel) * taps + tap) * channels + part] : int8_t{0};
            sums[lane] += 128u * static_cast<uint32_t>(int32_t{*to++});
          }
    std::memcpy(head, sums, sizeof sums);
  }
}

// Made anew before each use: kept, it would take a register from the tile.
BITWRIGHT_INLINE uint8x16_t sign_bits() {
#if BITWRIGHT_GNU_ASM
  uint8x16_t x;
  __asm__ volatile("movi %0.16b, #128" : "=w"(x));
  return x;
#else
  return vdupq_n_u8(128);
#endif
}
BITWRIGHT_INLINE uint8x16_t next16(const uint8_t*& p) {
#if BITWRIGHT_GNU_ASM
  uint8x16_t x;
  BITWRIGHT_LOAD_NEXT(uint8x16_t, "q", "16")
  return x;
#else
  p += 16;
  return vld1q_u8(p - 16);
#endif
}
BITWRIGHT_INLINE void flip(uint8x16_t& x, uint8x16_t bits) {
#if BITWRIGHT_GNU_ASM
  __asm__ volatile("eor %0.16b, %0.16b, %1.16b" : "+w"(x) : "w"(bits));
#else
  x = veorq_u8(x, bits);
#endif
}
template <int kLane>
BITWRIGHT_INLINE void add_products(int32x4_t& acc, int8x16_t w, uint8x16_t x) {
#if BITWRIGHT_GNU_ASM
  __asm__ volatile("sdot %0.4s, %1.16b, %2.4b[%3]" : "+w"(acc) : "w"(w), "w"(x), "i"(kLane));
#else
  acc = vdotq_laneq_s32(acc, w, vreinterpretq_s8_u8(x), kLane);
#endif
}

template <int kLane, int P>
BITWRIGHT_INLINE void accumulate_lane(int32x4_t (&acc)[P][kVectors], const uint8x16_t (&x)[P], const int8_t*& w) {
  BITWRIGHT_UNROLL for (int v = 0; v < kVectors; v += 2) {
    int8x16_t two[2];
    next_weights(two, w);
    BITWRIGHT_UNROLL for (int h = 0; h < 2; ++h)
      BITWRIGHT_UNROLL for (int i = 0; i < P; ++i) add_products<kLane>(acc[i][v + h], two[h], x[i]);
  }
}

template <int P>
BITWRIGHT_INLINE void flip_all(uint8x16_t (&x)[P]) {
  const uint8x16_t bits = sign_bits();
  BITWRIGHT_UNROLL for (int i = 0; i < P; ++i) flip(x[i], bits);
}

template <int P>
void tile(int32_t* out, const Int8Tile& t) {
  int32x4_t acc[P][kVectors];
  BITWRIGHT_UNROLL for (int v = 0; v < kVectors; ++v) {
    const int32x4_t head = vld1q_s32(static_cast<const int32_t*>(t.weights) + 4 * v);
    BITWRIGHT_UNROLL for (int i = 0; i < P; ++i) acc[i][v] = head;
  }
  const int8_t* w = static_cast<const int8_t*>(t.weights) + kHead;
  for (size_t tap = 0; tap < t.taps; ++tap) {
    const uint8_t* p[P];
    BITWRIGHT_UNROLL for (int i = 0; i < P; ++i) p[i] = t.base[i] + t.offset[i][tap];
    uint32_t steps = (t.channels + 3) / 4;
    for (; steps >= 4; steps -= 4) {
      uint8x16_t x[P];
      BITWRIGHT_UNROLL for (int i = 0; i < P; ++i) x[i] = next16(p[i]);
      flip_all<P>(x);
      accumulate_lane<0>(acc, x, w);
      accumulate_lane<1>(acc, x, w);
      accumulate_lane<2>(acc, x, w);
      accumulate_lane<3>(acc, x, w);
    }
    for (; steps != 0; --steps) {
      uint8x16_t x[P];
      BITWRIGHT_UNROLL for (int i = 0; i < P; ++i) x[i] = next4(p[i]);
      flip_all<P>(x);
      accumulate_lane<0>(acc, x, w);
    }
  }
  store_all<P>(out, acc);
}

const Int8Kernel kernel = {
    "qconv_neondot", "neondot", "sdot by element on activations less 128, tile 6x16", kRankNeondot, supports_neondot, kPanel, kPixels, panel_bytes,
    pack, run, depthwise, gather_windows<16>,
};

}  // namespace

const Int8Kernel* const qconv_neondot = &kernel;

}  // namespace bitwright

#else

namespace bitwright {
const Int8Kernel* const qconv_neondot = nullptr;
}  // namespace bitwright

#endif
