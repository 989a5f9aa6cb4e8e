// A block of mma.sync: tiles of BW_BM x BW_BN x BW_BK by warps of BW_WM x BW_WN, BW_STAGES in shared memory. An instruction
// takes 16 rows, 8 columns and 32 bytes of K in registers of the same layout, whatever the numbers in these bytes are.
//
// `Step` says what they are: kBits, the accumulators' type Sum, product(accumulators, a, b), and the sums' type Result.
#pragma once
#include "copies.cuh"

namespace bw {

constexpr int kWarpsM = BW_BM / BW_WM, kMT = BW_WM / 16, kNT = BW_WN / 8;
static_assert(BW_THREADS == 32 * kWarpsM * (BW_BN / BW_WN), "a warp a warp tile");
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
BW_DEVICE void mma_block(const Product& p) {
  constexpr int kChunks = BW_BK * Step::kBits / 128;
  using Block = Copies<1, kChunks, kChunks>;
  int by, bx;
  block_position(p.swizzle, by, bx);
  int row0 = by * BW_BM, column0 = bx * BW_BN, warp = thread_id() / 32;
  int warp_row = warp % kWarpsM * BW_WM, warp_column = warp / kWarpsM * BW_WN;
  Block copies{p, shared()};
  if (!copies.start(row0, column0)) return;

  typename Step::Sum acc[kMT][kNT][4];
  BW_UNROLL for (int i = 0; i < kMT; ++i)
    BW_UNROLL for (int j = 0; j < kNT; ++j)
      BW_UNROLL for (int e = 0; e < 4; ++e) acc[i][j][e] = 0;

  BW_UNROLL for (int s = 0; s < BW_STAGES - 1; ++s) copies.ahead();

  int tile = 0, plane = BW_PLANES - 1;
  for (int t = 0; t < copies.total; ++t) {
    copy_wait<BW_STAGES - 2>();
    sync_block();  // tile t has arrived for all, and all have read tile t - 1
    copies.ahead();  // over tile t - 1
    const char* stage = copies.stage(t);
    multiply<Step, kChunks>(acc, stage, stage + Block::kTileA, warp_row, warp_column);
#if BW_PLANES > 1
    if (++tile == copies.tiles) {
      if (plane > 0) next_plane(acc, BW_SIGNED && plane == BW_PLANES - 1);
      tile = 0, --plane;
    }
#endif
  }
  (void)tile, (void)plane;
  copy_wait<0>();

  RowTerm* terms = reinterpret_cast<RowTerm*>(copies.memory + BW_STAGES * Block::kStage);
  start_epilogue(p, terms, row0, BW_BM);
  typename Step::Result sums[kMT][kNT][4];
  BW_UNROLL for (int i = 0; i < kMT; ++i)
    BW_UNROLL for (int j = 0; j < kNT; ++j)
      BW_UNROLL for (int e = 0; e < 4; ++e) sums[i][j][e] = typename Step::Result(acc[i][j][e]);
  write_fragments<kMT, kNT>(p, sums, terms, row0, warp_row, column0 + warp_column);
  end_epilogue(p, bx, row0, BW_BM, column0 + BW_BN);
}

}  // namespace bw
