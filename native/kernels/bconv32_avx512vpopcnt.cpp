// Binary convolution for AVX-512 with VPOPCNTDQ: panels of 32 channels, for layers that leave half of a wider one empty.
#include "bconv_vpopcnt.h"

#include "entries.h"
#include "kernel_binary.h"

namespace bitwright {

#if BITWRIGHT_AVX512VPOPCNT

namespace {

using Family = Vpopcnt<2, 12>;

const BinaryKernel kernel = {
    "bconv32_avx512vpopcnt", "avx512vpopcnt", "vpopcntd, tile 12x32, for layers of up to 32 channels a group",
    kRankAvx512Vpopcnt, supports_avx512vpopcnt, Family::kPanel, 12, Family::panel_bytes, Family::pack, Family::count16, Family::count32, Family::bits,
    &bconv16_avx512vpopcnt, nullptr, Family::pack_in_order, Family::floats, Family::shorts,
};

}  // namespace

const BinaryKernel* const bconv32_avx512vpopcnt = &kernel;

#else

const BinaryKernel* const bconv32_avx512vpopcnt = nullptr;

#endif

}  // namespace bitwright
