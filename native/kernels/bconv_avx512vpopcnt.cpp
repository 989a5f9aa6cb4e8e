// Binary convolution for AVX-512 with VPOPCNTDQ: panels of 64 channels. bconv_vpopcnt.h says how.
//
// Tiles (Zen 5 server, bitwright_tiles_bench avx512vpopcnt, time of 6x64 / time of the other): 7x64 has 28 accumulators and reloads weights: 0.84 to 0.99,
// but 1.00 to 1.03 on maps of 7x7, whose 49 pixels it cuts evenly. 4x64: 1.00 to 1.04 where floats of short sums are written (1x1, 32 to 768 channels),
// 0.84 to 1.01 elsewhere. What lost everywhere: 5x64; 3x96 (0.5 to 0.78), 2x128 and 3x128 (0.4 to 0.97), whose weights are loaded for few pixels.
#include "bconv_vpopcnt.h"

#include "entries.h"
#include "kernel_binary.h"

namespace bitwright {

#if BITWRIGHT_AVX512VPOPCNT

namespace {

using Family = Vpopcnt<4, 7>;

constexpr BinaryKernel family = {
    "bconv_avx512vpopcnt", "avx512vpopcnt", "vpopcntd, channels in 32-bit lanes, embedded broadcasts, tile 6x64",
    kRankAvx512Vpopcnt, supports_avx512vpopcnt, Family::kPanel, 6, Family::panel_bytes, Family::pack, Family::count16, Family::count32, Family::bits,
    &bconv32_avx512vpopcnt, nullptr, Family::pack_in_order, Family::floats, Family::shorts,
};

constexpr BinaryKernel tile4 = with_tile(family, "bconv_avx512vpopcnt/4x64", 4);
constexpr BinaryKernel tile6 = with_tile(family, "bconv_avx512vpopcnt/6x64", 6);
constexpr BinaryKernel tile7 = with_tile(family, "bconv_avx512vpopcnt/7x64", 7);
const BinaryKernel* const tiles[] = {&tile6, &tile7, &tile4, nullptr};

const BinaryKernel kernel = with_tiles(family, tiles);

}  // namespace

const BinaryKernel* const bconv_avx512vpopcnt = &kernel;

#else

const BinaryKernel* const bconv_avx512vpopcnt = nullptr;

#endif

}  // namespace bitwright
