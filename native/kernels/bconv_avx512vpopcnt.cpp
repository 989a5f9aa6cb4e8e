// Binary convolution for AVX-512 with VPOPCNTDQ: panels of 64 channels. bconv_vpopcnt.h says how.
#include "bconv_vpopcnt.h"

#include "entries.h"
#include "kernel_binary.h"

namespace bitwright {

#if BITWRIGHT_AVX512VPOPCNT

namespace {

using Family = Vpopcnt<4, 6>;

const BinaryKernel kernel = {
    "bconv_avx512vpopcnt", "avx512vpopcnt", "vpopcntd, channels in 32-bit lanes, embedded broadcasts, tile 6x64",
    kRankAvx512Vpopcnt, supports_avx512vpopcnt, Family::kPanel, 6, Family::panel_bytes, Family::pack, Family::count16, Family::count32, Family::bits,
    &bconv32_avx512vpopcnt, nullptr, Family::pack_in_order, Family::floats, Family::shorts,
};

}  // namespace

const BinaryKernel* const bconv_avx512vpopcnt = &kernel;

#else

const BinaryKernel* const bconv_avx512vpopcnt = nullptr;

#endif

}  // namespace bitwright
