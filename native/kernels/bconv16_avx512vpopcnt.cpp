// Binary convolution for AVX-512 with VPOPCNTDQ: panels of 16 channels, for layers that leave most of a wider one empty.
//
// Tiles (Zen 5 server, bitwright_tiles_bench avx512vpopcnt, 8x16 over 16x16): 1.02 to 1.09 in 3x3 layers, 0.93 in 1x1 layers.
#include "bconv_vpopcnt.h"

#include "entries.h"
#include "kernel_binary.h"

namespace bitwright {

#if BITWRIGHT_AVX512VPOPCNT

namespace {

using Family = Vpopcnt<1, 16>;

constexpr BinaryKernel family = {
    "bconv16_avx512vpopcnt", "avx512vpopcnt", "vpopcntd, tile 16x16 (8x16 for several taps), for layers of up to 16 channels a group",
    kRankAvx512Vpopcnt, supports_avx512vpopcnt, Family::kPanel, 16, Family::panel_bytes, Family::pack, Family::count16, Family::count32, Family::bits,
    nullptr, &bconv16_pixels_avx512vpopcnt,
};

constexpr BinaryKernel tile8 = with_tile(family, "bconv16_avx512vpopcnt/8x16", 8);
constexpr BinaryKernel tile16 = with_tile(family, "bconv16_avx512vpopcnt/16x16", 16);
const BinaryKernel* const tiles[] = {&tile16, &tile8, nullptr};
const BinaryKernel* tile_for(uint32_t taps, uint32_t) { return taps > 1 ? &tile8 : &tile16; }

const BinaryKernel kernel = with_tiles(family, tiles, tile_for);

}  // namespace

const BinaryKernel* const bconv16_avx512vpopcnt = &kernel;

#else

const BinaryKernel* const bconv16_avx512vpopcnt = nullptr;

#endif

}  // namespace bitwright
