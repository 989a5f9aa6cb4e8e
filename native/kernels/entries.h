// The entry of every kernel file. Null where this binary was not built for the kernel's instruction set. Adding a kernel: its file, its line here,
// its line in registry.cpp.
#pragma once

namespace bitwright {

struct BinaryKernel;
struct DepthwiseKernel;
struct EpilogueKernel;
struct FloatKernel;
struct Int8Kernel;
struct MinimalKernel;
struct PackKernel;
struct PixelKernel;
struct PoolKernel;
struct ProductKernel;
struct SlicedKernel;

// Ranks order the instruction sets; a kernel has the rank of what it needs.
constexpr int kRankPortable = 0;
constexpr int kRankSse42 = 10;
constexpr int kRankAvx2 = 20;
constexpr int kRankAvx512 = 30;
constexpr int kRankAvx512Vnni = 35;
constexpr int kRankAvx512Vpopcnt = 40;
constexpr int kRankGfni = 50;
constexpr int kRankNeon = 10;
constexpr int kRankNeondot = 20;

extern const BinaryKernel* const bconv_portable;
extern const BinaryKernel* const bconv_sse42;
extern const BinaryKernel* const bconv_avx2;
extern const BinaryKernel* const bconv32_avx2;
extern const BinaryKernel* const bconv_avx512;
extern const BinaryKernel* const bconv_avx512vpopcnt;
extern const BinaryKernel* const bconv32_avx512vpopcnt;
extern const BinaryKernel* const bconv16_avx512vpopcnt;
extern const PixelKernel* const bconv16_pixels_avx512vpopcnt;
extern const BinaryKernel* const bconv_neon;
extern const BinaryKernel* const bconv_neondot;

extern const SlicedKernel* const bconv_gfni;

extern const DepthwiseKernel* const bdepthwise_portable;
extern const DepthwiseKernel* const bdepthwise_avx2;
extern const DepthwiseKernel* const bdepthwise_avx512;
extern const DepthwiseKernel* const bdepthwise_neon;

extern const FloatKernel* const fconv_portable;
extern const FloatKernel* const fconv_avx2;
extern const FloatKernel* const fconv_avx512;
extern const FloatKernel* const fconv_neon;

extern const MinimalKernel* const fconv_minimal_avx2;
extern const MinimalKernel* const fconv_minimal_avx512;
extern const MinimalKernel* const fconv_minimal_neon;

extern const Int8Kernel* const qconv_portable;
extern const Int8Kernel* const qconv_avx2;
extern const Int8Kernel* const qconv_avx512vnni;
extern const Int8Kernel* const qconv_neon;
extern const Int8Kernel* const qconv_neondot;

extern const EpilogueKernel* const epilogue_portable;
extern const EpilogueKernel* const epilogue_avx2;
extern const EpilogueKernel* const epilogue_avx512;
extern const EpilogueKernel* const epilogue_neon;

extern const PackKernel* const pack_portable;
extern const PackKernel* const pack_avx2;
extern const PackKernel* const pack_avx512;
extern const PackKernel* const pack_neon;

extern const ProductKernel* const bmatmul_portable;
extern const ProductKernel* const bmatmul_avx2;
extern const ProductKernel* const bmatmul_avx512;
extern const ProductKernel* const bmatmul_neon;

extern const PoolKernel* const pool_portable;
extern const PoolKernel* const pool_avx2;
extern const PoolKernel* const pool_avx512;
extern const PoolKernel* const pool_neon;

// supported() of the kernels.
bool supports_portable();
bool supports_sse42();
bool supports_avx2();
bool supports_avx512();
bool supports_avx512vnni();
bool supports_avx512vpopcnt();
bool supports_gfni();
bool supports_neon();
bool supports_neondot();

}  // namespace bitwright
