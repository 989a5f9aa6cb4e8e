// Activations to rows of bits with the sums of their bits, in one pass: what a binary layer reads.
//
// A value's bit is x >= threshold (NaN: 0); with BW_PLANES > 1 its level is rint(x * gain + offset) cut to the planes'
// range (NaN: 0). Rows are pixels: image, then place in the image; elements of a row are `channel_stride` apart, rows
// `row_stride`, images `image_stride`, so maps with channels last, channels first and matrices are all read as they are.
// BW_LANES 0: the lanes of a warp run over a row's channels (channels lie side by side). 1: over rows (pixels do).
#pragma once
#include "platform.cuh"

struct Pack {
  const void* x;
  const float* threshold;  // or gain: one for each channel, or one
  const float* offset;     // levels only
  bw::u32* bits;           // planes x rows x ld words
  int* sums;               // rows
  bw::i64 image_stride, row_stride, channel_stride, plane_words;
  int rows, rows_in_image, channels, ld, per_channel;
};

namespace bw {

BW_DEVICE float element(const Pack& p, i64 at) {
#if BW_IN == 0
  return load(static_cast<const float*>(p.x) + at);
#elif BW_IN == 1
  return half_to_float(load(static_cast<const u16*>(p.x) + at));
#else
  return of_bits(u32(load(static_cast<const u16*>(p.x) + at)) << 16);
#endif
}

BW_DEVICE u32 level(const Pack& p, i64 at, int channel) {
  int which = p.per_channel ? channel : 0;
  float x = element(p, at);
#if BW_PLANES == 1
  return x >= load(p.threshold + which) ? 1 : 0;
#else
  float y = add(mul(x, load(p.threshold + which)), load(p.offset + which));
  constexpr float most = float((1 << BW_PLANES) - 1);
  if (!(y > 0.f)) return 0;  // NaN as well
  return u32(round_even(y < most ? y : most));
#endif
}

BW_DEVICE i64 row_start(const Pack& p, int row) {
  int image = row / p.rows_in_image;
  return image * p.image_stride + i64(row - image * p.rows_in_image) * p.row_stride;
}

}  // namespace bw

BW_KERNEL(pack, Pack) {
  using namespace bw;
#if BW_LANES == 0
  int lane = thread_id() % 32, row = block_x() * (BW_THREADS / 32) + thread_id() / 32;
  if (row >= p.rows) return;  // whole warps
  i64 start = row_start(p, row);
  int sum = 0;
  for (int word = 0; word < p.ld; ++word) {
    int channel = 32 * word + lane;
    u32 value = channel < p.channels ? level(p, start + channel * p.channel_stride, channel) : 0;
    BW_UNROLL for (int plane = 0; plane < BW_PLANES; ++plane) {
      u32 bits = vote((value >> plane) & 1);
      sum += popc(bits) << plane;
      if (lane == 0) store(p.bits + (plane * p.plane_words + i64(row) * p.ld + word), bits);
    }
  }
  if (lane == 0) store(p.sums + row, sum);
#else
  int row = block_x() * BW_THREADS + thread_id();
  if (row >= p.rows) return;
  i64 start = row_start(p, row);
  int sum = 0;
  for (int word = 0; word < p.ld; ++word) {
    u32 bits[BW_PLANES];
    BW_UNROLL for (int plane = 0; plane < BW_PLANES; ++plane) bits[plane] = 0;
    for (int i = 0; i < 32 && 32 * word + i < p.channels; ++i) {
      int channel = 32 * word + i;
      u32 value = level(p, start + channel * p.channel_stride, channel);
      BW_UNROLL for (int plane = 0; plane < BW_PLANES; ++plane) bits[plane] |= ((value >> plane) & 1) << i;
      sum += int(value);
    }
    BW_UNROLL for (int plane = 0; plane < BW_PLANES; ++plane) store(p.bits + (plane * p.plane_words + i64(row) * p.ld + word), bits[plane]);
  }
  store(p.sums + row, sum);
#endif
}
