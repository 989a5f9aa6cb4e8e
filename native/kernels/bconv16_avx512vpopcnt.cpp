// Binary convolution for AVX-512 with VPOPCNTDQ: panels of 16 channels, for layers that leave most of a wider one empty.
#include "bconv_vpopcnt.h"

#include "entries.h"
#include "kernel_binary.h"

namespace bitwright {

#if BITWRIGHT_AVX512VPOPCNT

namespace {

using Family = Vpopcnt<1, 16>;

const BinaryKernel kernel = {
    "bconv16_avx512vpopcnt", "avx512vpopcnt", "vpopcntd, tile 16x16, for layers of up to 16 channels a group",
    kRankAvx512Vpopcnt, supports_avx512vpopcnt, Family::kPanel, 16, Family::panel_bytes, Family::pack, Family::count16, Family::count32, Family::bits,
    nullptr, &bconv16_pixels_avx512vpopcnt,
};

}  // namespace

const BinaryKernel* const bconv16_avx512vpopcnt = &kernel;

#else

const BinaryKernel* const bconv16_avx512vpopcnt = nullptr;

#endif

}  // namespace bitwright
