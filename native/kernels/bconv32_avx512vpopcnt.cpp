// Binary convolution for AVX-512 with VPOPCNTDQ: panels of 32 channels, for layers that leave half of a wider one empty.
//
// Tiles (Zen 5 server, bitwright_tiles_bench avx512vpopcnt, speed over 12x32): 14x32 1.01 to 1.06 in layers of 32 and 96 outputs, 8x32 1.05 to 1.09 where
// a tap is one word (32 -> 32, 3x3, 112x112), which addresses dominate.
#include "bconv_vpopcnt.h"

#include "entries.h"
#include "kernel_binary.h"

namespace bitwright {

#if BITWRIGHT_AVX512VPOPCNT

namespace {

using Family = Vpopcnt<2, 14>;

constexpr BinaryKernel family = {
    "bconv32_avx512vpopcnt", "avx512vpopcnt", "vpopcntd, tile 14x32 (8x32 for taps of one word), for layers of up to 32 channels a group",
    kRankAvx512Vpopcnt, supports_avx512vpopcnt, Family::kPanel, 14, Family::panel_bytes, Family::pack, Family::count16, Family::count32, Family::bits,
    &bconv16_avx512vpopcnt, nullptr, Family::pack_in_order, Family::floats, Family::shorts,
};

constexpr BinaryKernel tile8 = with_tile(family, "bconv32_avx512vpopcnt/8x32", 8);
constexpr BinaryKernel tile14 = with_tile(family, "bconv32_avx512vpopcnt/14x32", 14);
const BinaryKernel* const tiles[] = {&tile14, &tile8, nullptr};
const BinaryKernel* tile_for(uint32_t, uint32_t words) { return words == 1 ? &tile8 : &tile14; }

const BinaryKernel kernel = with_tiles(family, tiles, tile_for);

}  // namespace

const BinaryKernel* const bconv32_avx512vpopcnt = &kernel;

#else

const BinaryKernel* const bconv32_avx512vpopcnt = nullptr;

#endif

}  // namespace bitwright
