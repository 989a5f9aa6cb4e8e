// Ends of matrix products, bit planes and transposed bits: the loops of bmatmul_loops.h and bmatmul_transpose.h compiled for this instruction set.
#include "isa.h"

#include "entries.h"
#include "kernel_product.h"

#if BITWRIGHT_AVX512

namespace bitwright {
namespace {

constexpr uint32_t kWhole = 64;

#include "bmatmul_loops.h"
#include "bmatmul_transpose.h"

const ProductKernel kernel = {
    "bmatmul_avx512", "avx512", "loops compiled for AVX-512", kRankAvx512, supports_avx512,
    finish<uint16_t, uint16_t>, finish<uint16_t, int32_t>, finish<uint32_t, uint16_t>, finish<uint32_t, int32_t>,
    add_plane<uint16_t>, add_plane<uint32_t>, transpose,
};

}  // namespace

const ProductKernel* const bmatmul_avx512 = &kernel;

}  // namespace bitwright

#else

namespace bitwright {
const ProductKernel* const bmatmul_avx512 = nullptr;
}  // namespace bitwright

#endif
