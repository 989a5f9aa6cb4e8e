// Dense product by mma.sync: what the same numbers cost as bytes or halves on both sides, unpacked ahead. The baseline.
//
// Costs: one m16n8k32 of bytes is 4,096 MAC, one m16n8k16 of halves 2,048; nominal rates on an A100 are 1/8 and 1/16 of the
// 1-bit instruction's. BW_BITS 8: bytes, BW_UNSIGNED those of A; 16: halves, summed in float32. Sums of halves that are
// integers become integers again (exact up to 2^24); with BW_REAL they stay floats.
#include "mma_tiles.cuh"

namespace bw {

struct Numbers {
  static constexpr int kBits = BW_BITS;
#if BW_BITS == 8
  using Sum = int;
  using Result = int;
  BW_DEVICE static void product(int (&c)[4], const u32 (&a)[4], const u32 (&b)[2]) { mma_s8<!BW_UNSIGNED>(c, a, b); }
#else
  using Sum = float;
#if BW_REAL
  using Result = float;
#else
  using Result = int;
#endif
  BW_DEVICE static void product(float (&c)[4], const u32 (&a)[4], const u32 (&b)[2]) { mma_f16(c, a, b); }
#endif
};

}  // namespace bw

BW_KERNEL(mma_dense, Product) { bw::mma_tiles<bw::Numbers>(p); }
