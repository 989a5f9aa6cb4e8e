// A block of wgmma: tiles of BW_BM x BW_BN x BW_BK by warpgroups of BW_WM rows, BW_STAGES in shared memory. An instruction
// takes 64 rows, all columns and 32 bytes of K; BW_BITS says how many bits its numbers have, BW_WGMMA which it is.
#pragma once
#include "copies.cuh"

namespace bw {

constexpr int kChunks = BW_BK * BW_BITS / 128;
using Block = Copies<1, kChunks, kChunks>;
constexpr int kMT = BW_WM / 64, kNT = BW_BN / 8;
static_assert(BW_THREADS == 128 * (BW_BM / BW_WM), "a warpgroup a warp tile");
static_assert(BW_STAGES >= 3, "one stage is read while the one before it still may be");
static_assert(Block::kTileA % 1024 == 0 && Block::kStage % 1024 == 0, "swizzles repeat after 1024 bytes");

// A K-major operand whose rows are kChunks chunks, swizzled over their whole width: the stride from one group of 8 rows to
// the next, and layout type 1 (128 bytes), 2 (64 bytes) or 3 (32 bytes). The leading offset is not used by these layouts.
BW_DEVICE u64 descriptor(const char* start) {
  constexpr u64 type = kChunks == 8 ? 1 : kChunks == 4 ? 2 : 3;
  return u64((shared_address(start) & 0x3ffff) >> 4) | u64(1) << 16 | u64(8 * kChunks) << 32 | type << 62;
}

BW_DEVICE void wgmma_block(const Product& p) {
  int by, bx;
  block_position(p.swizzle, by, bx);
  int row0 = by * BW_BM, column0 = bx * BW_BN, warp = thread_id() / 32, group = thread_id() / 128;
  Block copies{p, shared()};
  if (!copies.start(row0, column0)) return;

  int acc[kMT][1][kNT][4];
  BW_UNROLL for (int i = 0; i < kMT; ++i)
    BW_UNROLL for (int j = 0; j < kNT; ++j)
      BW_UNROLL for (int e = 0; e < 4; ++e) acc[i][0][j][e] = 0;

  BW_UNROLL for (int s = 0; s < BW_STAGES - 2; ++s) copies.ahead();

  int tile = 0, plane = BW_PLANES - 1;
  for (int t = 0; t < copies.total; ++t) {
    copy_wait<BW_STAGES - 3>();
    fence_proxy();  // what this thread copied becomes visible to wgmma
    sync_block();   // tile t has arrived for all, and no warpgroup reads tile t - 2 any more
    copies.ahead();  // over tile t - 2
    const char* a = copies.stage(t) + group * (BW_WM * kChunks * 16);
    const char* b = copies.stage(t) + Block::kTileA;
    wgmma_fence();
    BW_UNROLL for (int step = 0; step < kChunks / 2; ++step)
      BW_UNROLL for (int i = 0; i < kMT; ++i)
        BW_WGMMA(acc[i][0], descriptor(a + i * 64 * kChunks * 16) + 2 * step, descriptor(b) + 2 * step);
    wgmma_commit();
    wgmma_wait<1>();
#if BW_PLANES > 1
    if (++tile == copies.tiles) {
      if (plane > 0) {
        wgmma_wait<0>();
        BW_UNROLL for (int i = 0; i < kMT; ++i) wgmma_touch(acc[i][0]);
        BW_UNROLL for (int i = 0; i < kMT; ++i) next_plane(acc[i], BW_SIGNED && plane == BW_PLANES - 1);
      }
      tile = 0, --plane;
    }
#endif
  }
  (void)tile, (void)plane;
  wgmma_wait<0>();
  BW_UNROLL for (int i = 0; i < kMT; ++i) wgmma_touch(acc[i][0]);
  copy_wait<0>();

  RowTerm* terms = reinterpret_cast<RowTerm*>(copies.memory + BW_STAGES * Block::kStage);
  start_epilogue(p, terms, row0, BW_BM);
  BW_UNROLL for (int i = 0; i < kMT; ++i)
    write_fragments<1, kNT>(p, acc[i], terms, row0, group * BW_WM + 64 * i + warp % 4 * 16, column0);
  end_epilogue(p, bx, row0, BW_BM, column0 + BW_BN);
}

}  // namespace bw
