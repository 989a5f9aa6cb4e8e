// What the int8 convolutions of AArch64 share: the tile of 6 pixels x 16 channels, the choice of a tile by its pixels, depthwise, gather. Included by
// one translation unit per instruction set, inside namespace bitwright and an unnamed namespace, after <cstring>.

constexpr uint32_t kPanel = 16;
constexpr uint32_t kPixels = 6;
constexpr int kVectors = kPanel / 4;

#include "qconv_gather.h"

constexpr uint32_t round_up_4(uint32_t n) { return (n + 3) / 4 * 4; }

// The loops are volatile assembly, so that gcc 12 keeps the order of the source: 24 sums, 6 registers of activations and 2 of weights are all 32
// registers, and a load hoisted above its place spills sums.
#if BITWRIGHT_GNU_ASM
#define BITWRIGHT_LOAD_NEXT(type, reg, bytes)                                                                                   \
  __asm__ volatile("ldr %" reg "0, [%1], #" bytes : "=w"(x), "+r"(p) : "m"(*reinterpret_cast<const char(*)[sizeof(type)]>(p)));
#endif

// The next 4 bytes, the rest of the register 0.
BITWRIGHT_INLINE uint8x16_t next4(const uint8_t*& p) {
#if BITWRIGHT_GNU_ASM
  uint8x16_t x;
  BITWRIGHT_LOAD_NEXT(uint32_t, "s", "4")
  return x;
#else
  uint32_t word;
  std::memcpy(&word, p, sizeof word);
  p += 4;
  return vreinterpretq_u8_u32(vsetq_lane_u32(word, vdupq_n_u32(0), 0));
#endif
}

// Two registers of weights.
BITWRIGHT_INLINE void next_weights(int8x16_t (&two)[2], const int8_t*& p) {
#if BITWRIGHT_GNU_ASM
  __asm__ volatile("ldp %q0, %q1, [%2], #32" : "=&w"(two[0]), "=&w"(two[1]), "+r"(p) : "m"(*reinterpret_cast<const char(*)[32]>(p)));
#else
  two[0] = vld1q_s8(p);
  two[1] = vld1q_s8(p + 16);
  p += 32;
#endif
}

template <int P>
BITWRIGHT_INLINE void store_all(int32_t* out, const int32x4_t (&acc)[P][kVectors]) {
  BITWRIGHT_UNROLL for (int i = 0; i < P; ++i)
    BITWRIGHT_UNROLL for (int v = 0; v < kVectors; ++v) vst1q_s32(out + i * static_cast<int>(kPanel) + 4 * v, acc[i][v]);
}

// Weights are widened once for P pixels.
template <int P>
void depthwise_pixels(int32_t* out, const Int8Tile& tile, uint32_t first) {
  int32x4_t acc[P][kVectors];
  BITWRIGHT_UNROLL for (int i = 0; i < P; ++i)
    BITWRIGHT_UNROLL for (int v = 0; v < kVectors; ++v) acc[i][v] = vdupq_n_s32(0);
  const int8_t* w = static_cast<const int8_t*>(tile.weights);
  for (uint32_t tap = 0; tap < tile.taps; ++tap, w += kPanel) {
    const int8x16_t bytes = vld1q_s8(w);
    const int16x8_t weights[2] = {vmovl_s8(vget_low_s8(bytes)), vmovl_high_s8(bytes)};
    BITWRIGHT_UNROLL for (int i = 0; i < P; ++i) {
      const uint8x16_t q = vld1q_u8(tile.base[first + i] + tile.offset[first + i][tap]);
      const int16x8_t x[2] = {vreinterpretq_s16_u16(vmovl_u8(vget_low_u8(q))), vreinterpretq_s16_u16(vmovl_high_u8(q))};
      BITWRIGHT_UNROLL for (int h = 0; h < 2; ++h) {
        acc[i][2 * h] = vmlal_s16(acc[i][2 * h], vget_low_s16(x[h]), vget_low_s16(weights[h]));
        acc[i][2 * h + 1] = vmlal_high_s16(acc[i][2 * h + 1], x[h], weights[h]);
      }
    }
  }
  store_all<P>(out + static_cast<size_t>(first) * kPanel, acc);
}

void depthwise(int32_t* out, const Int8Tile& tile) {
  uint32_t i = 0;
  for (; i + 3 <= tile.pixels; i += 3) depthwise_pixels<3>(out, tile, i);
  for (; i < tile.pixels; ++i) depthwise_pixels<1>(out, tile, i);
}

template <int P>
void tile(int32_t* out, const Int8Tile& t);

void run(int32_t* out, const Int8Tile& t) {
  switch (t.pixels) {
    case 1: return tile<1>(out, t);
    case 2: return tile<2>(out, t);
    case 3: return tile<3>(out, t);
    case 4: return tile<4>(out, t);
    case 5: return tile<5>(out, t);
    default: return tile<6>(out, t);
  }
}
