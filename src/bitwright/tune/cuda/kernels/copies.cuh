// The copies of a block, ahead of their use: planes from the top one down, all tiles of K of each.
#pragma once
#include "epilogue.cuh"
#include "tile.cuh"

namespace bw {

// A stage in shared memory holds a tile of A, in PARTS tiles of PART chunks a row, and behind it one of B, of CHUNKS a row.
template <int PARTS, int PART, int CHUNKS>
struct Copies {
  static constexpr int kPart = BW_BM * PART * 16, kTileA = kPart * PARTS, kStage = kTileA + BW_BN * CHUNKS * 16;

  const Product& p;
  char* memory;
  int tiles = 0, first = 0, total = 0;  // tiles of K of this block; total: of all planes
  int next = 0, tile = 0, plane = BW_PLANES - 1;
  Rows<BW_BM, PART, BW_CONV> a;
  Rows<BW_BN, CHUNKS, false> b;

  // This block's share of the tiles of K; false if it has none.
  BW_DEVICE bool start(int row0, int column0) {
    tiles = (p.k_chunks + CHUNKS - 1) / CHUNKS;
    share_of_k(tiles, first);
    if (tiles <= 0) return false;
    total = tiles * BW_PLANES;
    a.start(p, p.a, row0, p.m, p.lda);
    b.start(p, p.w, column0, p.n, p.ldw);
    return true;
  }

  // Copies the next tile, if there is one. Its group of copies is closed in any case, so that waits can count groups.
  BW_DEVICE void ahead() {
    if (next < total) {
      char* to = memory + next % BW_STAGES * kStage;
      BW_UNROLL for (int part = 0; part < PARTS; ++part)
        a.copy(p, to + part * kPart, (first + tile) * PARTS * PART + part * PART, p.a_chunks, plane * p.a_plane);
      b.copy(p, to + kTileA, (first + tile) * CHUNKS, p.k_chunks, 0);
      ++next;
      if (++tile == tiles) tile = 0, --plane;
    }
    copy_commit();
  }

  BW_DEVICE const char* stage(int t) const { return memory + t % BW_STAGES * kStage; }
};

}  // namespace bw
