// Products of 1-bit weights by the tensor cores' wider instructions: weights stay bits in memory and are spread to numbers
// in registers, right before the product.
//
// BW_A_BITS 1: bit planes of both sides as bytes 0 and 1 through m16n8k32 u8 x s8; gives the sums of `and`, for GPUs whose
// 1-bit instructions are emulated. 8: 8-bit activations by weights +-1. 16: halves by weights +-1 through m16n8k16 f16 (BW_BFLOAT: bf16),
// summed in float32. Costs: 3 integer operations for every 4 (2) weights of a lane, beside 1/BW_WM of a product.
//
// Compiled for BW_BM x BW_BN x BW_BK, BW_WM x BW_WN, BW_STAGES, BW_A_BITS, BW_UNSIGNED, and as mma_b1 for the rest.
#include "mma_block.cuh"
#include "spread.cuh"

namespace bw {

constexpr int kChunks = BW_BK / 128;           // of a row of weights
constexpr int kChunksA = kChunks * BW_A_BITS;  // of a row of activations: parts of at most 8, each a tile of its own
constexpr int kPart = kChunksA < 8 ? kChunksA : 8, kParts = kChunksA / kPart;
using Block = Copies<kParts, kPart, kChunks>;
constexpr int kStep = BW_A_BITS == 16 ? 16 : 32;  // K of an instruction

#if BW_A_BITS == 16
using Sum = float;
#else
using Sum = int;
#endif

BW_DEVICE u32 word_at(const char* tile, int row, int word) {
  return load_shared(reinterpret_cast<const u32*>(tile + 16 * place<kChunks>(row, word / 4)) + word % 4);
}

// Fragments of one instruction. Lane l of A: rows l / 4 and + 8; of B: column l / 4; K runs over l % 4 in 32-bit registers
// of 4 bytes or 2 halves, then again for the second half of K.
BW_DEVICE void fragment_a(u32 (&a)[4], const char* tile, int row, int step) {
  int lane = thread_id() % 32;
#if BW_A_BITS == 1
  BW_UNROLL for (int half = 0; half < 2; ++half) {
    u32 word = word_at(tile, row + lane / 4 + 8 * half, step) >> (4 * (lane % 4));
    a[half] = bit_bytes(word), a[half + 2] = bit_bytes(word >> 16);
  }
#else
  int chunk = 2 * step + lane / 16;
  load_matrix4(a, tile + chunk / kPart * Block::kPart + 16 * place<kPart>(row + lane % 16, chunk % kPart));
#endif
}

BW_DEVICE void fragment_b(u32 (&b)[2], const char* tile, int column, int step) {
  int lane = thread_id() % 32;
  u32 word = word_at(tile, column + lane / 4, step * kStep / 32);
#if BW_A_BITS == 1
  word >>= 4 * (lane % 4);
  b[0] = bit_bytes(word), b[1] = bit_bytes(word >> 16);
#elif BW_A_BITS == 8
  word >>= 4 * (lane % 4);
  b[0] = sign_bytes(word), b[1] = sign_bytes(word >> 16);
#else
  word >>= step % 2 * 16 + 2 * (lane % 4);
#if BW_BFLOAT
  b[0] = bfloats(word), b[1] = bfloats(word >> 8);
#else
  b[0] = halves(word), b[1] = halves(word >> 8);
#endif
#endif
}

BW_DEVICE void product(int (&c)[4], const u32 (&a)[4], const u32 (&b)[2]) { mma_s8<!BW_UNSIGNED>(c, a, b); }
BW_DEVICE void product(float (&c)[4], const u32 (&a)[4], const u32 (&b)[2]) {
#if BW_A_BITS == 16 && BW_BFLOAT
  mma_bf16(c, a, b);
#else
  mma_f16(c, a, b);
#endif
}

// All K of one stage.
BW_DEVICE void multiply(Sum (&acc)[kMT][kNT][4], const char* stage, int warp_row, int warp_column) {
  BW_UNROLL for (int step = 0; step < BW_BK / kStep; ++step) {
    u32 a[kMT][4];
    BW_UNROLL for (int i = 0; i < kMT; ++i) fragment_a(a[i], stage, warp_row + 16 * i, step);
    BW_UNROLL for (int j = 0; j < kNT; ++j) {
      u32 b[2];
      fragment_b(b, stage + Block::kTileA, warp_column + 8 * j, step);
      BW_UNROLL for (int i = 0; i < kMT; ++i) product(acc[i][j], a[i], b);
    }
  }
}

}  // namespace bw

BW_KERNEL(mma_wide, Product) {
  bw::mma_block<bw::Block, bw::Sum, bw::Sum>(p, [](bw::Sum (&acc)[bw::kMT][bw::kNT][4], const char* stage, int row, int column) {
    bw::multiply(acc, stage, row, column);
  });
}
