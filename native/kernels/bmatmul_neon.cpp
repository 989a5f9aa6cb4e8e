// Ends of matrix products, bit planes and transposed bits for AArch64. The products themselves are counted by bconv_neon and bconv_neondot, whose panels
// have 32 columns.
//
// Transposed bits: 32 words a tile of 4 lanes, in five rounds of exchanging halves. Halves of words and of half words move by trn1 and trn2, nibbles by
// sli and sri, pairs and bits by a shift and a bsl each: 15 operations for a pair of vectors, where shifts and masks take 30. The lanes are
// filled whatever the shape: with 4 words of a row, or with 2 words or 1 of 2 or 4 blocks of 32 rows.
// Counted (qemu, benchmarks/arm_instructions.py): 32 columns of 256 rows take 1784 instructions, 548 of them SIMD; bmatmul_portable takes 133149.
#include "isa.h"

#include "entries.h"
#include "kernel_product.h"

#if BITWRIGHT_NEON

#include <arm_neon.h>

#include <cstring>

namespace bitwright {
namespace {

constexpr uint32_t kWhole = 32;

#include "bmatmul_loops.h"

using V = uint32x4_t;
BITWRIGHT_INLINE uint8x16_t bytes(V x) { return vreinterpretq_u8_u32(x); }
BITWRIGHT_INLINE V words_of(uint8x16_t x) { return vreinterpretq_u32_u8(x); }

// The high halves of the low vector's elements for the low halves of the high one's.
BITWRIGHT_INLINE void exchange16(V& low, V& high) {
  const uint16x8_t a = vreinterpretq_u16_u32(low), b = vreinterpretq_u16_u32(high);
  low = vreinterpretq_u32_u16(vtrn1q_u16(a, b));
  high = vreinterpretq_u32_u16(vtrn2q_u16(a, b));
}
BITWRIGHT_INLINE void exchange8(V& low, V& high) {
  const uint8x16_t a = bytes(low), b = bytes(high);
  low = words_of(vtrn1q_u8(a, b));
  high = words_of(vtrn2q_u8(a, b));
}
BITWRIGHT_INLINE void exchange4(V& low, V& high) {
  const uint8x16_t a = bytes(low), b = bytes(high);
  low = words_of(vsliq_n_u8(a, b, 4));
  high = words_of(vsriq_n_u8(b, a, 4));
}
template <int J>
BITWRIGHT_INLINE void exchange_bits(V& low, V& high) {
  const uint8x16_t mask = vdupq_n_u8(J == 2 ? 0x33 : 0x55), a = bytes(low), b = bytes(high);
  low = words_of(vbslq_u8(mask, a, vshlq_n_u8(b, J)));
  high = words_of(vbslq_u8(mask, vshrq_n_u8(a, J), b));
}

// W words of the rows r + 32 b, b < 4 / W: lane (4 / W) w + b is word w of row r + 32 b. `row` gives a row's words.
template <int W, class Row>
BITWRIGHT_INLINE V gather(size_t r, const Row& row) {
  if constexpr (W == 4) {
    return vld1q_u32(row(r));
  } else if constexpr (W == 2) {
    return vcombine_u32(vzip1_u32(vld1_u32(row(r)), vld1_u32(row(r + 32))), vzip2_u32(vld1_u32(row(r)), vld1_u32(row(r + 32))));
  } else {
    V x = vld1q_lane_u32(row(r), vdupq_n_u32(0), 0);
    x = vld1q_lane_u32(row(r + 32), x, 1);
    x = vld1q_lane_u32(row(r + 64), x, 2);
    return vld1q_lane_u32(row(r + 96), x, 3);
  }
}

template <int W, class Row>
BITWRIGHT_INLINE void exchange_rows(V (&x)[32], size_t r, const Row& row) {
  for (size_t k = 0; k < 8; ++k) {
    V y[4];
    BITWRIGHT_UNROLL for (size_t q = 0; q < 4; ++q) y[q] = gather<W>(r + k + 8 * q, row);
    exchange16(y[0], y[2]);
    exchange16(y[1], y[3]);
    exchange8(y[0], y[1]);
    exchange8(y[2], y[3]);
    BITWRIGHT_UNROLL for (size_t q = 0; q < 4; ++q) x[k + 8 * q] = y[q];
  }
}

BITWRIGHT_INLINE void exchange_columns(V* x) {
  V y[8];
  BITWRIGHT_UNROLL for (int i = 0; i < 8; ++i) y[i] = x[i];
  BITWRIGHT_UNROLL for (int i = 0; i < 4; ++i) exchange4(y[i], y[i + 4]);
  BITWRIGHT_UNROLL for (int i = 0; i < 8; ++i)
    if (i % 4 < 2) exchange_bits<2>(y[i], y[i + 2]);
  BITWRIGHT_UNROLL for (int i = 0; i < 8; i += 2) exchange_bits<1>(y[i], y[i + 1]);
  BITWRIGHT_UNROLL for (int i = 0; i < 8; ++i) x[i] = y[i];
}

// The columns of W words of all rows.
template <int W>
void transpose_words(uint32_t* to, size_t to_stride, const uint32_t* from, size_t from_stride, size_t rows, size_t columns) {
  constexpr size_t kBlocks = 4 / W;
  const uint32_t nothing[4] = {};
  for (size_t r = 0; r < rows; r += 32 * kBlocks, to += kBlocks) {
    V x[32];
    const size_t blocks = (rows - r + 31) / 32;
    if (r + 32 * kBlocks <= rows)
      exchange_rows<W>(x, r, [=](size_t i) { return from + i * from_stride; });
    else
      exchange_rows<W>(x, r, [=, &nothing](size_t i) { return i < rows ? from + i * from_stride : nothing; });
    for (size_t q = 0; q < 32; q += 8) exchange_columns(x + q);
    for (size_t w = 0; w < W; ++w) {
      const size_t count = w * 32 >= columns ? 0 : columns - w * 32 < 32 ? columns - w * 32 : 32;
      uint32_t* out = to + w * 32 * to_stride;
      const auto* lanes = reinterpret_cast<const uint32_t*>(x) + w * kBlocks;
      if (blocks >= kBlocks)
        for (size_t b = 0; b < count; ++b, out += to_stride, lanes += 4) std::memcpy(out, lanes, kBlocks * sizeof *out);
      else
        for (size_t b = 0; b < count; ++b, out += to_stride, lanes += 4) std::memcpy(out, lanes, blocks * sizeof *out);
    }
  }
}

void transpose(uint32_t* to, size_t to_stride, const uint32_t* from, size_t from_stride, size_t rows, size_t columns) {
  for (; columns > 96; columns -= columns < 128 ? columns : 128, from += 4, to += 128 * to_stride) transpose_words<4>(to, to_stride, from, from_stride, rows, columns);
  if (columns > 32) {
    transpose_words<2>(to, to_stride, from, from_stride, rows, columns);
    if (columns <= 64) return;
    columns -= 64, from += 2, to += 64 * to_stride;
  }
  if (columns > 0) transpose_words<1>(to, to_stride, from, from_stride, rows, columns);
}

const ProductKernel kernel = {
    "bmatmul_neon", "neon", "loops for panels of 32 columns; bits transposed by trn, sli and bsl", kRankNeon, supports_neon,
    finish<uint16_t, uint16_t>, finish<uint16_t, int32_t>, finish<uint32_t, uint16_t>, finish<uint32_t, int32_t>,
    add_plane<uint16_t>, add_plane<uint32_t>, transpose,
};

}  // namespace

const ProductKernel* const bmatmul_neon = &kernel;

}  // namespace bitwright

#else

namespace bitwright {
const ProductKernel* const bmatmul_neon = nullptr;
}  // namespace bitwright

#endif
