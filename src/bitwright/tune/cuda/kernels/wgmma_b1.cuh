// Binary product by Hopper's warpgroup instruction: wgmma m64nNk256 b1 `and` (sm_90a).
//
// Costs: one instruction is 64 x BW_BN x 256 MAC by four warps; both operands come from shared memory, so a stage is read
// once a warpgroup. Its rate is not published and was not measured here. One instruction group stays under way while the
// next tile is waited for, so copies run BW_STAGES - 2 tiles ahead: a stage is refilled two tiles after it was read.
//
// Compiled for BW_BM x BW_BN x BW_BK, BW_WM rows a warpgroup (64 or 128), BW_STAGES >= 3, and as mma_b1 for the rest.
#define BW_BITS 1
#define BW_WGMMA wgmma_and
#include "wgmma_tiles.cuh"

BW_KERNEL(wgmma_b1, Product) { bw::wgmma_block(p); }
