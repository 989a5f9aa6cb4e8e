// Binary convolution for AVX2: nibble tables as in bconv_avx2.cpp, with panels of 32 channels, for layers that leave half of a wider one empty: there
// 1.2 to 1.6 times as fast (Zen 5 server, bitwright_tiles_bench avx2). 4, 6 and 10 pixels were slower by up to 3 %.
#include "bconv_nibbles_avx2.h"

#include "entries.h"
#include "kernel_binary.h"

namespace bitwright {

#if BITWRIGHT_AVX2

namespace {

using Family = Nibbles<1, 8>;

const BinaryKernel kernel = {
    "bconv32_avx2", "avx2", "nibble tables by vpshufb, tile 8x32, for layers of up to 32 channels a group",
    kRankAvx2, supports_avx2, Family::kPanel, 8, Family::panel_bytes, pack_nibbles<Family::kPanel>, Family::count16, Family::count32,
};

}  // namespace

const BinaryKernel* const bconv32_avx2 = &kernel;

#else

const BinaryKernel* const bconv32_avx2 = nullptr;

#endif

}  // namespace bitwright
