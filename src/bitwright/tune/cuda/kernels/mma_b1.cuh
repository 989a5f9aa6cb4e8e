// Binary product by the tensor cores' 1-bit mma.sync: D = epilogue(sum over planes of popcounts of a op w).
//
// Costs: one m16n8k256 is 32,768 MAC; nominal rate on an A100 is 8 times that of int8 (16 warps' instructions of 32,768
// MAC per ~ 8 cycles and SM). A warp reads 4 + 2 registers a lane for it, so warp tiles of 64 x 64 need 1/8 ldmatrix.x4
// each. Blocks copy STAGES - 1 tiles of K ahead by cp.async.
//
// Compiled for one BW_BM x BW_BN x BW_BK tile, BW_WM x BW_WN warp tiles, BW_STAGES, BW_INSTRUCTION (0: m16n8k256 and,
// 1: m16n8k256 xor, 2: m8n8k128 xor), BW_OUT, BW_CONV, BW_PLANES, BW_SIGNED.
#include "mma_tiles.cuh"

namespace bw {

struct Bits {
  using Sum = int;
  using Result = int;
  static constexpr int kBits = 1;

  BW_DEVICE static void product(int (&c)[4], const u32 (&a)[4], const u32 (&b)[2]) {
#if BW_INSTRUCTION == 0
    mma_and(c, a, b);
#elif BW_INSTRUCTION == 1
    mma_xor(c, a, b);
#else  // four products of 8 x 8 x 128, whose fragments are quarters of the larger one's
    BW_UNROLL for (int half = 0; half < 2; ++half)
      BW_UNROLL for (int row = 0; row < 2; ++row) mma8_xor(c[2 * row], c[2 * row + 1], a[2 * half + row], b[half]);
#endif
  }
};

}  // namespace bw

BW_KERNEL(mma_b1, Product) { bw::mma_tiles<bw::Bits>(p); }
