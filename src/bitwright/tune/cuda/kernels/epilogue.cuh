// From sums of popcounts to what the caller wants: s32, scaled floats, or thresholded and packed bits.
#pragma once
#include "tile.cuh"

#define BW_OUT_S32 0
#define BW_OUT_F32 1
#define BW_OUT_F16 2
#define BW_OUT_BF16 3
#define BW_OUT_BITS 4

namespace bw {

struct RowTerm {
  int term, kind;  // a_mul * row_sum, class
};

// The terms of the block's rows, in shared memory behind the tiles; a barrier must follow.
BW_DEVICE void row_terms(const Product& p, RowTerm* terms, int row0, int rows) {
  for (int i = thread_id(); i < rows; i += BW_THREADS) {
    int row = row0 + i;
    bool valid = row < p.m;
    store_shared(&terms[i].term, valid ? p.a_mul * row_sum(p, row) : 0);
    store_shared(&terms[i].kind, valid ? class_of(p, row) : 0);
  }
}

BW_DEVICE int finished(const Product& p, int acc, int term, int kind, int column) {
  return p.acc_mul * acc + term + load(p.w_terms + i64(kind) * p.n + column);
}

BW_DEVICE float finished(const Product&, float acc, int, int, int) { return acc; }  // float sums are the product

// scale * D + bias, two rounded operations: what the operators' reference computes.
template <class D>
BW_DEVICE float scaled(const Product& p, D d, int column) {
  float y = as_float(d);
  if (p.scale != nullptr) y = mul(y, load(p.scale + column));
  if (p.bias != nullptr) y = add(y, load(p.bias + column));
  return y;
}

template <class D>
BW_DEVICE bool bit_of(const Product& p, D d, int column) {
  bool bit = d >= load(p.thresholds + column);
  if (p.flips != nullptr) bit ^= (load(p.flips + column / 32) >> (column % 32)) & 1;
  return bit;
}

BW_DEVICE void write_float(const Product& p, float y, int row, int column) {
  i64 at = i64(row) * p.ldo + column;
#if BW_OUT == BW_OUT_F32
  store(static_cast<float*>(p.out) + at, y);
#elif BW_OUT == BW_OUT_F16
  store(static_cast<u16*>(p.out) + at, float_to_half(y));
#elif BW_OUT == BW_OUT_BF16
  store(static_cast<u16*>(p.out) + at, float_to_bfloat(y));
#else
  (void)at;
#endif
}

// One number; not for bits.
template <class D>
BW_DEVICE void write_one(const Product& p, D d, int row, int column) {
#if BW_OUT == BW_OUT_S32
  store(static_cast<int*>(p.out) + (i64(row) * p.ldo + column), int(d));
#else
  write_float(p, scaled(p, d, column), row, column);
#endif
}

// Two neighbours (column is even), in one store where rows are even too.
template <class D>
BW_DEVICE void write_two(const Product& p, D d0, D d1, int row, int column) {
  if (column + 1 >= p.n || p.ldo % 2 != 0) {
    write_one(p, d0, row, column);
    if (column + 1 < p.n) write_one(p, d1, row, column + 1);
    return;
  }
  i64 at = i64(row) * p.ldo + column;
#if BW_OUT == BW_OUT_S32
  store(reinterpret_cast<u64*>(static_cast<int*>(p.out) + at), u64(u32(d0)) | u64(u32(d1)) << 32);
#elif BW_OUT == BW_OUT_F32
  store(reinterpret_cast<u64*>(static_cast<float*>(p.out) + at), u64(bits_of(scaled(p, d0, column))) | u64(bits_of(scaled(p, d1, column + 1))) << 32);
#elif BW_OUT == BW_OUT_F16
  store(reinterpret_cast<u32*>(static_cast<u16*>(p.out) + at), u32(float_to_half(scaled(p, d0, column))) | u32(float_to_half(scaled(p, d1, column + 1))) << 16);
#elif BW_OUT == BW_OUT_BF16
  store(reinterpret_cast<u32*>(static_cast<u16*>(p.out) + at), u32(float_to_bfloat(scaled(p, d0, column))) | u32(float_to_bfloat(scaled(p, d1, column + 1))) << 16);
#else
  (void)at;
#endif
}

// One word of 32 columns of bits, by one thread.
BW_DEVICE void write_word(const Product& p, u32 word, int row, int column) {
  store(static_cast<u32*>(p.out) + (i64(row) * p.ldo + column / 32), word);
  if (p.out_sums != nullptr && word != 0) atomic_add(p.out_sums + row, popc(word));
}

// The words of bits past the last block's columns, up to the end of the row: zeros.
BW_DEVICE void clear_rest(const Product& p, int row0, int rows, int end_column) {
  int first = end_column / 32, extra = p.ldo - first;
  if (extra <= 0) return;
  for (int i = thread_id(); i < rows * extra; i += BW_THREADS) {
    int row = row0 + i / extra;
    if (row < p.m) store(static_cast<u32*>(p.out) + (i64(row) * p.ldo + first + i % extra), 0u);
  }
}

// With K split (grid_z() > 1) blocks only add up sums of popcounts; the kernel `finish` does the rest.
BW_DEVICE void start_epilogue(const Product& p, RowTerm* terms, int row0, int rows) {
  if (grid_z() > 1) return;
  row_terms(p, terms, row0, rows);
  sync_block();
}

BW_DEVICE void end_epilogue(const Product& p, int block_column, int row0, int rows, int end_column) {
#if BW_OUT == BW_OUT_BITS
  if (grid_z() == 1 && block_column == grid_x() - 1) clear_rest(p, row0, rows, end_column);
#endif
  (void)p, (void)block_column, (void)row0, (void)rows, (void)end_column;
}

// This block's part of `tiles` tiles of K, and the first of them.
BW_DEVICE void share_of_k(int& tiles, int& first) {
  int each = (tiles + grid_z() - 1) / grid_z();
  first = block_z() * each;
  if (tiles - first < each) each = tiles - first;
  tiles = each;
}

// The accumulators of a warp's tile of mma: MT x NT fragments of 16 x 8. Lane l holds rows l / 4 and l / 4 + 8,
// columns 2 (l % 4) and the next.
template <int MT, int NT, class Sum>
BW_DEVICE void write_fragments(const Product& p, const Sum (&acc)[MT][NT][4], const RowTerm* terms, int block_row0, int warp_row, int column0) {
  int lane = thread_id() % 32, group = lane / 4, pair = 2 * (lane % 4);
  BW_UNROLL for (int i = 0; i < MT; ++i)
    BW_UNROLL for (int half = 0; half < 2; ++half) {
      int local = warp_row + 16 * i + 8 * half + group, row = block_row0 + local;
      bool valid = row < p.m;
      if (grid_z() > 1) {
        BW_UNROLL for (int j = 0; j < NT; ++j)
          BW_UNROLL for (int e = 0; e < 2; ++e) {
            int column = column0 + 8 * j + pair + e;
            if (valid && column < p.n) atomic_add(p.partial + (i64(row) * p.n + column), int(acc[i][j][2 * half + e]));
          }
        continue;
      }
      int term = load_shared(&terms[local].term), kind = load_shared(&terms[local].kind);
#if BW_OUT == BW_OUT_BITS
      BW_UNROLL for (int j = 0; j < NT; j += 4) {
        u32 word = 0;
        BW_UNROLL for (int q = 0; q < 4; ++q)
          BW_UNROLL for (int e = 0; e < 2; ++e) {
            int column = column0 + 8 * (j + q) + pair + e;
            bool bit = valid && column < p.n && bit_of(p, finished(p, acc[i][j + q][2 * half + e], term, kind, column), column);
            word |= u32(bit) << (8 * q + pair + e);
          }
        word |= shuffle_xor(word, 1);
        word |= shuffle_xor(word, 2);
        int column = column0 + 8 * j;
        if (valid && lane % 4 == 0 && column / 32 < p.ldo) write_word(p, word, row, column);
      }
#else
      BW_UNROLL for (int j = 0; j < NT; ++j) {
        int column = column0 + 8 * j + pair;
        if (!valid || column >= p.n) continue;
        Sum d0 = finished(p, acc[i][j][2 * half], term, kind, column);
        Sum d1 = column + 1 < p.n ? finished(p, acc[i][j][2 * half + 1], term, kind, column + 1) : Sum(0);
        write_two(p, d0, d1, row, column);
      }
#endif
    }
}

// The sums of a warp whose lanes hold columns column0 + 32 j + lane of one row of the block.
template <int TN, class Sum>
BW_DEVICE void write_columns(const Product& p, const Sum (&acc)[TN], const RowTerm* terms, int block_row0, int local, int column0) {
  int lane = thread_id() % 32, row = block_row0 + local;
  if (row >= p.m) return;  // whole warps
  int term = 0, kind = 0;
  if (grid_z() == 1) term = load_shared(&terms[local].term), kind = load_shared(&terms[local].kind);
  BW_UNROLL for (int j = 0; j < TN; ++j) {
    int column = column0 + 32 * j + lane;
    bool valid = column < p.n;
    if (grid_z() > 1) {
      if (valid) atomic_add(p.partial + (i64(row) * p.n + column), int(acc[j]));
      continue;
    }
    Sum d = valid ? finished(p, acc[j], term, kind, column) : Sum(0);
#if BW_OUT == BW_OUT_BITS
    u32 word = vote(valid && bit_of(p, d, column));
    if (lane == 0 && (column0 + 32 * j) / 32 < p.ldo) write_word(p, word, row, column0 + 32 * j);
#else
    if (valid) write_one(p, d, row, column);
#endif
  }
}

// After a plane that is not the last: what was summed counts twice as much (Horner), the top plane of signed numbers
// negatively.
template <int MT, int NT, class Sum>
BW_DEVICE void next_plane(Sum (&acc)[MT][NT][4], bool negate) {
  BW_UNROLL for (int i = 0; i < MT; ++i)
    BW_UNROLL for (int j = 0; j < NT; ++j)
      BW_UNROLL for (int e = 0; e < 4; ++e) acc[i][j][e] = (negate ? -2 : 2) * acc[i][j][e];
}

}  // namespace bw
