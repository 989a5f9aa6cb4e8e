// Binary product on the CUDA cores: `and`/`xor`, popcount, add. For GPUs without native 1-bit matrix instructions, and the
// yardstick of those with them.
//
// Costs: popc runs at 16 results a cycle and multiprocessor: 512 MAC/cycle, whatever the rest does. A warp makes
// BW_TM rows x (32 BW_TN) columns: a row's chunk is one broadcast read, columns lie side by side in the lanes, whose
// 16-byte reads are free of bank conflicts by the tiles' swizzle.
//
// Compiled for BW_BM = warps * BW_TM rows, BW_BN = 32 BW_TN columns, BW_BK, BW_STAGES, BW_XOR, and as mma_b1 for the rest.
#include "copies.cuh"

namespace bw {

constexpr int kChunks = BW_BK / 128;
using Block = Copies<1, kChunks, kChunks>;
static_assert(BW_BN == 32 * BW_TN && BW_BM * 32 == BW_TM * BW_THREADS, "a warp has BW_TM rows and all columns");

BW_DEVICE int joined(u32 a, u32 w) { return popc(BW_XOR ? a ^ w : a & w); }

BW_DEVICE int joined(const Quad& a, const Quad& w) {
  return joined(a.x, w.x) + joined(a.y, w.y) + joined(a.z, w.z) + joined(a.w, w.w);
}

}  // namespace bw

BW_KERNEL(popc_gemm, Product) {
  using namespace bw;
  int by, bx;
  block_position(p.swizzle, by, bx);
  int row0 = by * BW_BM, column0 = bx * BW_BN, lane = thread_id() % 32, warp_row = thread_id() / 32 * BW_TM;
  Block copies{p, shared()};
  if (!copies.start(row0, column0)) return;

  int acc[BW_TM][BW_TN];
  BW_UNROLL for (int i = 0; i < BW_TM; ++i)
    BW_UNROLL for (int j = 0; j < BW_TN; ++j) acc[i][j] = 0;

  BW_UNROLL for (int s = 0; s < BW_STAGES - 1; ++s) copies.ahead();

  int tile = 0, plane = BW_PLANES - 1;
  for (int t = 0; t < copies.total; ++t) {
    copy_wait<BW_STAGES - 2>();
    sync_block();
    copies.ahead();
    const Quad* a_tile = reinterpret_cast<const Quad*>(copies.stage(t));
    const Quad* b_tile = reinterpret_cast<const Quad*>(copies.stage(t) + Block::kTileA);
    BW_UNROLL for (int chunk = 0; chunk < kChunks; ++chunk) {
      Quad w[BW_TN];
      BW_UNROLL for (int j = 0; j < BW_TN; ++j) w[j] = load_shared(b_tile + place<kChunks>(32 * j + lane, chunk));
      BW_UNROLL for (int i = 0; i < BW_TM; ++i) {
        Quad a = load_shared(a_tile + place<kChunks>(warp_row + i, chunk));
        BW_UNROLL for (int j = 0; j < BW_TN; ++j) acc[i][j] += joined(a, w[j]);
      }
    }
    if (BW_PLANES > 1 && ++tile == copies.tiles) {
      int factor = plane == 0 ? 1 : BW_SIGNED && plane == BW_PLANES - 1 ? -2 : 2;  // see next_plane
      BW_UNROLL for (int i = 0; i < BW_TM; ++i)
        BW_UNROLL for (int j = 0; j < BW_TN; ++j) acc[i][j] *= factor;
      tile = 0, --plane;
    }
  }
  copy_wait<0>();

  RowTerm* terms = reinterpret_cast<RowTerm*>(copies.memory + BW_STAGES * Block::kStage);
  start_epilogue(p, terms, row0, BW_BM);
  BW_UNROLL for (int i = 0; i < BW_TM; ++i) write_columns<BW_TN>(p, acc[i], terms, row0, warp_row + i, column0);
  end_epilogue(p, bx, row0, BW_BM, column0 + BW_BN);
}
