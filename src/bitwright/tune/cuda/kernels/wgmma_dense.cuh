// Dense product of bytes by Hopper's warpgroup instruction: wgmma m64nNk32 s8 (sm_90a). The baseline of wgmma_b1, with both
// sides unpacked ahead; BW_UNSIGNED: bytes of A are unsigned.
#define BW_BITS 8
#if BW_UNSIGNED
#define BW_WGMMA wgmma_u8
#else
#define BW_WGMMA wgmma_s8
#endif
#include "wgmma_tiles.cuh"

BW_KERNEL(wgmma_dense, Product) { bw::wgmma_block(p); }
