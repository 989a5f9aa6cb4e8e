// Ends of matrix products, bit planes and transposed bits: the loops of bmatmul_loops.h and bmatmul_transpose.h compiled for this instruction set.
#include "isa.h"

#include "entries.h"
#include "kernel_product.h"

namespace bitwright {
namespace {

constexpr uint32_t kWhole = 32;

#include "bmatmul_loops.h"
#include "bmatmul_transpose.h"

const ProductKernel kernel = {
    "bmatmul_portable", "portable", "C++17", kRankPortable, supports_portable,
    finish<uint16_t, uint16_t>, finish<uint16_t, int32_t>, finish<uint32_t, uint16_t>, finish<uint32_t, int32_t>,
    add_plane<uint16_t>, add_plane<uint32_t>, transpose,
};

}  // namespace

const ProductKernel* const bmatmul_portable = &kernel;

}  // namespace bitwright
