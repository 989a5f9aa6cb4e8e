// mma.sync of numbers as they lie in memory. An instruction takes 16 rows, 8 columns and 32 bytes of K in registers of the
// same layout, whatever the numbers in these bytes are.
//
// `Step` says what they are: kBits, the accumulators' type Sum, product(accumulators, a, b), and the sums' type Result.
#pragma once
#include "mma_block.cuh"

namespace bw {

static_assert(kNT % 2 == 0 && (BW_OUT != BW_OUT_BITS || kNT % 4 == 0), "ldmatrix reads 16 columns, a word of bits has 32");

// All K of one tile.
template <class Step, int kChunks>
BW_DEVICE void multiply(typename Step::Sum (&acc)[kMT][kNT][4], const char* a_tile, const char* b_tile, int warp_row, int warp_column) {
  int lane = thread_id() % 32;
  int a_row = lane % 16, a_chunk = lane / 16, b_row = lane % 8 + lane / 16 * 8, b_chunk = lane / 8 % 2;
  BW_UNROLL for (int step = 0; step < kChunks / 2; ++step) {
    u32 a[kMT][4], b[kNT / 2][4];
    BW_UNROLL for (int i = 0; i < kMT; ++i) load_matrix4(a[i], a_tile + 16 * place<kChunks>(warp_row + 16 * i + a_row, 2 * step + a_chunk));
    BW_UNROLL for (int j = 0; j < kNT / 2; ++j) load_matrix4(b[j], b_tile + 16 * place<kChunks>(warp_column + 16 * j + b_row, 2 * step + b_chunk));
    BW_UNROLL for (int i = 0; i < kMT; ++i)
      BW_UNROLL for (int j = 0; j < kNT; ++j) {
        u32 two[2] = {b[j / 2][2 * (j % 2)], b[j / 2][2 * (j % 2) + 1]};
        Step::product(acc[i][j], a[i], two);
      }
  }
}

template <class Step>
BW_DEVICE void mma_tiles(const Product& p) {
  constexpr int kChunks = BW_BK * Step::kBits / 128;
  using Block = Copies<1, kChunks, kChunks>;
  using Sum = typename Step::Sum;
  mma_block<Block, Sum, typename Step::Result>(p, [](Sum (&acc)[kMT][kNT][4], const char* stage, int row, int column) {
    multiply<Step, kChunks>(acc, stage, stage + Block::kTileA, row, column);
  });
}

}  // namespace bw
