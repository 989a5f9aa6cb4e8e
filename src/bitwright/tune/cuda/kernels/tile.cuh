// Tiles of packed rows: where a 16-byte chunk lies in shared memory, and copying a tile there.
//
// A tile is ROWS rows of CHUNKS chunks of 16 bytes. Chunks of a row are permuted so that the 8 rows that one
// phase of ldmatrix reads lie in 8 different groups of 4 banks. The permutations are the 32-, 64- and 128-byte swizzles
// of wgmma, so both instructions read the same tiles.
#pragma once
#include "product.cuh"

namespace bw {

template <int CHUNKS>  // of 16 bytes in a row: 1, 2, 4 or 8
BW_DEVICE int place(int row, int chunk) {  // of a chunk in its tile
  return row * CHUNKS + (chunk ^ ((row / (8 / CHUNKS)) % CHUNKS));
}

// The raster: blocks of `swizzle` columns are walked row by row, so that neighbours in time share operands in L2.
BW_DEVICE void block_position(int swizzle, int& by, int& bx) {
  int columns = grid_x(), rows = grid_y(), linear = block_y() * columns + block_x();
  if (swizzle <= 1) {
    by = block_y(), bx = block_x();
    return;
  }
  int band = linear / (swizzle * rows), inside = linear - band * swizzle * rows;
  int width = columns - band * swizzle < swizzle ? columns - band * swizzle : swizzle;
  by = inside / width, bx = band * swizzle + inside % width;
}

// One operand's rows of a block: copies its tile of any k.
template <int ROWS, int CHUNKS, bool CONV>
struct Rows {
  static constexpr int kCopies = (ROWS * CHUNKS + BW_THREADS - 1) / BW_THREADS;  // of a thread

  const Quad* base;
  int row0, limit, ld;

  BW_DEVICE void start(const Product&, const void* from, int first, int rows, int stride) {
    base = static_cast<const Quad*>(from), row0 = first, limit = rows, ld = stride;
  }

  // Chunks chunk0 ... chunk0 + CHUNKS of the plane at `plane`, zeros from chunk `chunks` on and past the last row.
  BW_DEVICE void copy(const Product&, char* tile, int chunk0, int chunks, i64 plane) const {
    BW_UNROLL for (int i = 0; i < kCopies; ++i) {
      int index = thread_id() + i * BW_THREADS;
      if (ROWS * CHUNKS % BW_THREADS != 0 && index >= ROWS * CHUNKS) break;
      int row = index / CHUNKS, chunk = index % CHUNKS, k = chunk0 + chunk;
      bool valid = row0 + row < limit && k < chunks;
      copy16(tile + 16 * place<CHUNKS>(row, chunk), base + (valid ? plane + i64(row0 + row) * ld + k : 0), valid);
    }
  }
};

// Rows of a convolution: row = output pixel, k = (tap, chunk of a pixel). Nothing is unfolded in memory.
template <int ROWS, int CHUNKS>
struct Rows<ROWS, CHUNKS, true> {
  static constexpr int kCopies = (ROWS * CHUNKS + BW_THREADS - 1) / BW_THREADS;

  const Quad* base;
  int image[kCopies], top[kCopies], left[kCopies];  // image: first pixel's index, -1: no such row

  BW_DEVICE void start(const Product& p, const void* from, int first, int rows, int) {
    base = static_cast<const Quad*>(from);
    BW_UNROLL for (int i = 0; i < kCopies; ++i) {
      int row = first + (thread_id() + i * BW_THREADS) / CHUNKS;
      int pixels = p.out_h * p.out_w, of = row / pixels, inside = row - of * pixels, y = inside / p.out_w;
      image[i] = row < rows ? of * p.h * p.w_in : -1;
      top[i] = y * p.stride_h - p.pad_h;
      left[i] = (inside - y * p.out_w) * p.stride_w - p.pad_w;
    }
  }

  BW_DEVICE void copy(const Product& p, char* tile, int chunk0, int chunks, i64 plane) const {
    BW_UNROLL for (int i = 0; i < kCopies; ++i) {
      int index = thread_id() + i * BW_THREADS;
      if (ROWS * CHUNKS % BW_THREADS != 0 && index >= ROWS * CHUNKS) break;
      int row = index / CHUNKS, chunk = index % CHUNKS, k = chunk0 + chunk;
      int tap = k / p.pixel_chunks, in_pixel = k - tap * p.pixel_chunks;
      int tap_y = tap / p.kernel_w, y = top[i] + tap_y * p.dilation_h;
      int x = left[i] + (tap - tap_y * p.kernel_w) * p.dilation_w;
      bool row_exists = image[i] >= 0 && k < chunks;
      bool inside = y >= 0 && y < p.h && x >= 0 && x < p.w_in;
      const Quad* from = base;
      if (inside && row_exists) from = base + plane + (i64(image[i]) + y * p.w_in + x) * p.pixel_chunks + in_pixel;
      bool padded = !inside && row_exists && p.pad != nullptr;
      if (padded) from = static_cast<const Quad*>(p.pad) + in_pixel;
      copy16(tile + 16 * place<CHUNKS>(row, chunk), from, (row_exists && inside) || padded);
    }
  }
};

// The sum of the bits of row `row`, weighted by plane.
BW_DEVICE int row_sum(const Product& p, int row) {
  if (p.a_mul == 0) return 0;
#if !BW_CONV
  return load(p.a_sums + row);
#else
  int pixels = p.out_h * p.out_w, of = row / pixels, inside = row - of * pixels, oy = inside / p.out_w;
  int top = oy * p.stride_h - p.pad_h, left = (inside - oy * p.out_w) * p.stride_w - p.pad_w, sum = 0;
  for (int i = 0; i < p.kernel_h; ++i)
    for (int j = 0; j < p.kernel_w; ++j) {
      int y = top + i * p.dilation_h, x = left + j * p.dilation_w;
      bool in = y >= 0 && y < p.h && x >= 0 && x < p.w_in;
      sum += in ? load(p.a_sums + (i64(of) * p.h + y) * p.w_in + x) : p.pad_sum;
    }
  return sum;
#endif
}

// The row of w_terms that serves row `row`.
BW_DEVICE int class_of(const Product& p, int row) {
  return p.row_class == nullptr ? 0 : load(p.row_class + row % (p.out_h * p.out_w));
}

}  // namespace bw
