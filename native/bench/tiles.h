// Register tiles of the count kernels that could be worth their code, for tiles_bench.cpp: the families of the kernels, with other numbers of pixels and
// channels. Those that won somewhere are tiles of the kernels themselves.
#pragma once

#include <vector>

#include "kernel_binary.h"

namespace bitwright {

std::vector<const BinaryKernel*> candidate_tiles_avx2();
std::vector<const BinaryKernel*> candidate_tiles_avx512vpopcnt();

}  // namespace bitwright
