// Binary product by the tensor cores' 1-bit mma.sync: D = epilogue(sum over planes of popcounts of a op w).
//
// Costs: one m16n8k256 is 32,768 MAC; nominal rate on an A100 is 8 times that of int8 (16 warps' instructions of 32,768
// MAC per ~ 8 cycles and SM). A warp reads 4 + 2 registers a lane for it, so warp tiles of 64 x 64 need 1/8 ldmatrix.x4
// each. Blocks copy STAGES - 1 tiles of K ahead by cp.async.
//
// Compiled for one BW_BM x BW_BN x BW_BK tile, BW_WM x BW_WN warp tiles, BW_STAGES, BW_INSTRUCTION (0: m16n8k256 and,
// 1: m16n8k256 xor, 2: m8n8k128 xor), BW_OUT, BW_CONV, BW_PLANES, BW_SIGNED.
#include "copies.cuh"

namespace bw {

constexpr int kChunks = BW_BK / 128;
using Block = Copies<1, kChunks, kChunks>;
constexpr int kWarpsM = BW_BM / BW_WM, kMT = BW_WM / 16, kNT = BW_WN / 8;
static_assert(BW_THREADS == 32 * kWarpsM * (BW_BN / BW_WN), "a warp a warp tile");
static_assert(kNT % 2 == 0 && (BW_OUT != BW_OUT_BITS || kNT % 4 == 0), "ldmatrix reads 16 columns, a word of bits has 32");

BW_DEVICE void product(int (&c)[4], const u32 (&a)[4], const u32 (&b)[2]) {
#if BW_INSTRUCTION == 0
  mma_and(c, a, b);
#elif BW_INSTRUCTION == 1
  mma_xor(c, a, b);
#else  // four products of 8 x 8 x 128, whose fragments are quarters of the larger one's
  BW_UNROLL for (int half = 0; half < 2; ++half)
    BW_UNROLL for (int row = 0; row < 2; ++row) mma8_xor(c[2 * row], c[2 * row + 1], a[2 * half + row], b[half]);
#endif
}

// All K of one tile.
BW_DEVICE void multiply(int (&acc)[kMT][kNT][4], const char* a_tile, const char* b_tile, int warp_row, int warp_column) {
  int lane = thread_id() % 32;
  int a_row = lane % 16, a_chunk = lane / 16, b_row = lane % 8 + lane / 16 * 8, b_chunk = lane / 8 % 2;
  BW_UNROLL for (int step = 0; step < kChunks / 2; ++step) {
    u32 a[kMT][4], b[kNT / 2][4];
    BW_UNROLL for (int i = 0; i < kMT; ++i) load_matrix4(a[i], a_tile + 16 * place<kChunks>(warp_row + 16 * i + a_row, 2 * step + a_chunk));
    BW_UNROLL for (int j = 0; j < kNT / 2; ++j) load_matrix4(b[j], b_tile + 16 * place<kChunks>(warp_column + 16 * j + b_row, 2 * step + b_chunk));
    BW_UNROLL for (int i = 0; i < kMT; ++i)
      BW_UNROLL for (int j = 0; j < kNT; ++j) {
        u32 two[2] = {b[j / 2][2 * (j % 2)], b[j / 2][2 * (j % 2) + 1]};
        product(acc[i][j], a[i], two);
      }
  }
}

}  // namespace bw

BW_KERNEL(mma_b1, Product) {
  using namespace bw;
  int by, bx;
  block_position(p.swizzle, by, bx);
  int row0 = by * BW_BM, column0 = bx * BW_BN, warp = thread_id() / 32;
  int warp_row = warp % kWarpsM * BW_WM, warp_column = warp / kWarpsM * BW_WN;
  Block copies{p, shared()};
  if (!copies.start(row0, column0)) return;

  int acc[kMT][kNT][4];
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
    multiply(acc, stage, stage + Block::kTileA, warp_row, warp_column);
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
  write_fragments<kMT, kNT>(p, acc, terms, row0, warp_row, column0 + warp_column);
  end_epilogue(p, bx, row0, BW_BM, column0 + BW_BN);
}
