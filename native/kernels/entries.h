// The entry of every kernel file. Null where this binary was not built for the kernel's instruction set. Adding a kernel: its file, its line here,
// its line in registry.cpp.
#pragma once

#include "kernel.h"

namespace bitwright {

// Ranks order the instruction sets; a kernel has the rank of what it needs.
constexpr int kRankPortable = 0;
constexpr int kRankAvx2 = 20;
constexpr int kRankAvx512 = 30;
constexpr int kRankAvx512Vpopcnt = 40;

extern const BinaryKernel* const bconv_portable;
extern const BinaryKernel* const bconv_avx2;
extern const BinaryKernel* const bconv_avx512;
extern const BinaryKernel* const bconv_avx512vpopcnt;
extern const BinaryKernel* const bconv32_avx512vpopcnt;
extern const BinaryKernel* const bconv16_avx512vpopcnt;

extern const FloatKernel* const fconv_portable;
extern const FloatKernel* const fconv_avx2;
extern const FloatKernel* const fconv_avx512;

extern const EpilogueKernel* const epilogue_portable;
extern const EpilogueKernel* const epilogue_avx2;
extern const EpilogueKernel* const epilogue_avx512;

extern const PackKernel* const pack_portable;
extern const PackKernel* const pack_avx2;
extern const PackKernel* const pack_avx512;

extern const ProductKernel* const bmatmul_portable;
extern const ProductKernel* const bmatmul_avx2;
extern const ProductKernel* const bmatmul_avx512;

// supported() of the kernels.
bool supports_portable();
bool supports_avx2();
bool supports_avx512();
bool supports_avx512vpopcnt();

}  // namespace bitwright
