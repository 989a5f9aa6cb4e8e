// The epilogue of a product whose K was split: from the added sums of popcounts in `partial` to the output. Also what
// follows the products of libraries, which know nothing of our epilogues. A warp makes 32 columns of a row; grid (ceil(n / 32),
// rows in steps), one warp a word. BW_SUMS 0: integers, 1: floats that are integers, 2: floats that are the product.
#include "epilogue.cuh"

BW_KERNEL(finish, Product) {
  using namespace bw;
  int lane = thread_id() % 32, warps = BW_THREADS / 32;
  int row = block_y() * warps + thread_id() / 32, column = block_x() * 32 + lane;
  if (row >= p.m) return;  // whole warps
  bool valid = column < p.n;
  int term = p.a_mul * row_sum(p, row), kind = class_of(p, row);
#if BW_SUMS == 0
  int d = valid ? finished(p, load(p.partial + (i64(row) * p.n + column)), term, kind, column) : 0;
#else
  float sum = valid ? load(reinterpret_cast<const float*>(p.partial) + (i64(row) * p.n + column)) : 0.f;
#if BW_SUMS == 1
  int d = valid ? finished(p, int(sum), term, kind, column) : 0;
#else
  float d = sum;
#endif
#endif
#if BW_OUT == BW_OUT_BITS
  u32 word = vote(valid && bit_of(p, d, column));
  if (lane == 0 && column / 32 < p.ldo) write_word(p, word, row, column);
  if (block_x() == grid_x() - 1)
    for (int w = (block_x() + 1) + lane; w < p.ldo; w += 32) store(static_cast<u32*>(p.out) + (i64(row) * p.ldo + w), 0u);
#else
  if (valid) write_one(p, d, row, column);
#endif
}
