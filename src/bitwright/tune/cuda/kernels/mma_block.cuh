// A block of mma.sync: tiles of BW_BM x BW_BN x BW_BK by warps of BW_WM x BW_WN, BW_STAGES in shared memory.
#pragma once
#include "copies.cuh"

namespace bw {

constexpr int kWarpsM = BW_BM / BW_WM, kMT = BW_WM / 16, kNT = BW_WN / 8;
static_assert(BW_THREADS == 32 * kWarpsM * (BW_BN / BW_WN), "a warp a warp tile");

// `Block`: its copies. multiply(sums, stage, row, column) adds all K of the tiles in a stage to the sums of the warp whose
// tile begins at that row and column. Sums become `Result`s before the epilogue.
template <class Block, class Sum, class Result, class Multiply>
BW_DEVICE void mma_block(const Product& p, const Multiply& multiply) {
  int by, bx;
  block_position(p.swizzle, by, bx);
  int row0 = by * BW_BM, column0 = bx * BW_BN, warp = thread_id() / 32;
  int warp_row = warp % kWarpsM * BW_WM, warp_column = warp / kWarpsM * BW_WN;
  Block copies{p, shared()};
  if (!copies.start(row0, column0)) return;

  Sum acc[kMT][kNT][4];
  BW_UNROLL for (int i = 0; i < kMT; ++i)
    BW_UNROLL for (int j = 0; j < kNT; ++j)
      BW_UNROLL for (int e = 0; e < 4; ++e) acc[i][j][e] = 0;

  BW_UNROLL for (int s = 0; s < BW_STAGES - 1; ++s) copies.ahead();

  int tile = 0, plane = BW_PLANES - 1;
  for (int t = 0; t < copies.total; ++t) {
    copy_wait<BW_STAGES - 2>();
    sync_block();  // tile t has arrived for all, and all have read tile t - 1
    copies.ahead();  // over tile t - 1
    multiply(acc, copies.stage(t), warp_row, warp_column);
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
  Result sums[kMT][kNT][4];
  BW_UNROLL for (int i = 0; i < kMT; ++i)
    BW_UNROLL for (int j = 0; j < kNT; ++j)
      BW_UNROLL for (int e = 0; e < 4; ++e) sums[i][j][e] = Result(acc[i][j][e]);
  write_fragments<kMT, kNT>(p, sums, terms, row0, warp_row, column0 + warp_column);
  end_epilogue(p, bx, row0, BW_BM, column0 + BW_BN);
}

}  // namespace bw
