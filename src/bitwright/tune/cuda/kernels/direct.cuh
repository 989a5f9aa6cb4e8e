// Convolutions tap by tap on the CUDA cores: any groups (depthwise too), one to three axes, transposed ones, any padding.
//
// A lane is an output channel, a warp 32 of them at BW_TM output pixels; every tap that lies inside of the map adds
// K - 2 p(a ^ w) (signs) or 2 p(a & w) - p(a) (planes) of its group's channels, so zero padding needs no correction. Pixels
// are the rows of bits that the other kernels read; a group's channels start at any bit of them. Weights are the canonical
// words: n x taps x words of a group.
//
// Costs, counted, not measured: about 8 integer operations and one popcount (1/8 to 1/4 of their rate) a word of 32
// channels and output. A depthwise 3 x 3 has 9 words an output, whose f32 result takes about as long to write. With many
// channels a group the tensor cores are far ahead.
//
// Left alone the compiler spills loop bounds to hold more warps; BW_RESIDENT allows 64 registers a thread, without spills.
//
// Compiled for BW_TM, BW_THREADS, BW_RESIDENT, BW_SIGN (formats +-1), BW_DEEP, BW_TRANSPOSED, BW_PLANES, BW_SIGNED, BW_OUT. Grid:
// (blocks of rows, words of columns).
#include "epilogue.cuh"

namespace bw {

// 32 bits of a row from bit `first` on, of which `length` count.
BW_DEVICE u32 bits_at(const u32* row, int first, int length) {
  int word = first / 32, shift = first % 32;
  u32 bits = load(row + word) >> shift;
  if (shift + length > 32) bits |= load(row + word + 1) << (32 - shift);
  return length < 32 ? bits & ((1u << length) - 1) : bits;
}

// Where a tap reads along one axis; negative or past the end: outside.
BW_DEVICE int source(int out, int tap, int stride, int pad, int dilation) {
#if BW_TRANSPOSED
  int at = out + pad - tap * dilation;
  return at >= 0 && at % stride == 0 ? at / stride : -1;
#else
  return out * stride - pad + tap * dilation;
#endif
}

BW_DEVICE int tap_of(const Product& p, const u32* row, const u32* w, int first) {
  int sum = 0;
  BW_ROLLED for (int word = 0; 32 * word < p.group_channels; ++word) {
    int rest = p.group_channels - 32 * word, length = rest < 32 ? rest : 32;
    u32 weights = load(w + word);
#if BW_SIGN
    u32 a = row != nullptr ? bits_at(row, first + 32 * word, length) : p.fill > 0 ? 0xffffffffu >> (32 - length) : 0u;
    sum += length - 2 * popc(a ^ weights);
#else
    BW_UNROLL for (int plane = 0; plane < BW_PLANES; ++plane) {
      u32 a = bits_at(row + plane * p.a_plane * 4, first + 32 * word, length);
      int value = (2 * popc(a & weights) - popc(a)) << plane;
      sum += BW_SIGNED && plane == BW_PLANES - 1 ? -value : value;
    }
#endif
  }
  return sum;
}

}  // namespace bw

BW_KERNEL(direct, Product) {
  using namespace bw;
  int lane = thread_id() % 32, word = block_y(), column = 32 * word + lane;
  int row0 = (block_x() * (BW_THREADS / 32) + thread_id() / 32) * BW_TM, pixels = p.out_d * p.out_h * p.out_w;
  bool exists = column < p.n;
  int first = exists ? column / (p.n / p.groups) * p.group_channels : 0;
  const u32* w = static_cast<const u32*>(p.w) + i64(exists ? column : 0) * p.ldw;
  const u32* map = static_cast<const u32*>(p.a);

  int image[BW_TM], z[BW_TM], y[BW_TM], x[BW_TM], acc[BW_TM];  // image: -1 where there is no such row
  BW_UNROLL for (int i = 0; i < BW_TM; ++i) {
    int row = row0 + i, inside = row % pixels;
    image[i] = row < p.m ? row / pixels : -1;
    z[i] = BW_DEEP ? inside / (p.out_h * p.out_w) : 0;
    inside -= z[i] * (p.out_h * p.out_w);
    y[i] = inside / p.out_w, x[i] = inside - y[i] * p.out_w;
    acc[i] = 0;
  }
  int words = (p.group_channels + 31) / 32;
  BW_ROLLED for (int tz = 0; tz < (BW_DEEP ? p.kernel_d : 1); ++tz)
    BW_ROLLED for (int ty = 0; ty < p.kernel_h; ++ty)
      BW_ROLLED for (int tx = 0; tx < p.kernel_w; ++tx, w += words)
        BW_UNROLL for (int i = 0; i < BW_TM; ++i) {
          if (image[i] < 0) continue;  // whole warps, as all below
          int iz = BW_DEEP ? source(z[i], tz, p.stride_d, p.pad_d, p.dilation_d) : 0, iy = source(y[i], ty, p.stride_h, p.pad_h, p.dilation_h);
          int ix = source(x[i], tx, p.stride_w, p.pad_w, p.dilation_w);
          bool in = (!BW_DEEP || (iz >= 0 && iz < p.d)) && iy >= 0 && iy < p.h && ix >= 0 && ix < p.w_in;
          if (!in && (!BW_SIGN || p.fill == 0)) continue;
          i64 pixel = (i64(BW_DEEP ? image[i] * p.d + iz : image[i]) * p.h + iy) * p.w_in + ix;
          acc[i] += tap_of(p, in ? map + pixel * p.lda * 4 : nullptr, w, first);
        }

  BW_UNROLL for (int i = 0; i < BW_TM; ++i) {
    int row = row0 + i;
    if (row >= p.m) continue;
#if BW_OUT == BW_OUT_BITS
    u32 bits = vote(exists && bit_of(p, acc[i], column));
    if (lane == 0) write_word(p, bits, row, 32 * word);
    if (word == grid_y() - 1)  // the row's last words are zeros
      for (int rest = word + 1 + lane; rest < p.ldo; rest += 32) store(static_cast<u32*>(p.out) + (i64(row) * p.ldo + rest), 0u);
#else
    if (exists) write_one(p, acc[i], row, column);
#endif
  }
}
